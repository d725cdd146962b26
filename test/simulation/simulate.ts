/** `npm run simulate -- --seeds N [--from S] [--nodes 3|5] [--epochs] [--siege ATTACK] [--mutation NAME] [--verbose]`: runs seeds, reports the first failure. */

import { parseArgs } from 'node:util';
import { MUTATIONS, withMutation } from './mutations.ts';
import { describeFailure } from './report.ts';
import { type RunOptions, run } from './scenario.ts';
import { ATTACKS, siege } from './siege.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    nodes: { type: 'string' },
    epochs: { type: 'boolean', default: false },
    mutation: { type: 'string' },
    siege: { type: 'string' },
    verbose: { type: 'boolean', default: false },
    'keep-going': { type: 'boolean', default: false },
  },
});

const say = (line: string) => process.stdout.write(`${line}\n`);
const first = Number(values.from);
const count = Number(values.seeds);
const known =
  (values.mutation === undefined || Object.hasOwn(MUTATIONS, values.mutation)) &&
  (values.siege === undefined || ATTACKS.some((one) => one === values.siege));
const attack = ATTACKS.find((one) => one === values.siege);
const nodes = values.nodes === undefined ? undefined : Number(values.nodes);
if (!Number.isSafeInteger(first) || !Number.isSafeInteger(count) || !known || ![undefined, 3, 5].includes(nodes)) {
  say(
    `usage: npm run simulate -- --seeds N [--from S] [--nodes 3|5] [--epochs] [--siege ATTACK] [--mutation NAME] [--verbose] [--keep-going]`,
  );
  say(`attacks: ${ATTACKS.join(', ')}`);
  say(`mutations: ${Object.keys(MUTATIONS).join(', ')}`);
  process.exit(2);
}

const totals = new Map<string, number>();
let events = 0;
let failures = 0;
const begun = performance.now();
await withMutation(values.mutation, async (transitions) => {
  for (let seed = first; seed < first + count; seed++) {
    const options: RunOptions = {
      seed,
      ...(nodes && { nodes }),
      epochs: values.epochs,
      ...(transitions && { transitions }),
      ...(values.verbose && { verbose: say }),
    };
    const result = await (attack ? siege({ ...options, attack, nodes: nodes ?? (seed % 2 ? 3 : 5) }) : run(options));
    events += result.events;
    for (const [name, number] of result.counts) totals.set(name, (totals.get(name) ?? 0) + number);
    if (result.violation === undefined) continue;
    failures++;
    say(
      values['keep-going']
        ? `seed ${seed}: ${result.violation.split('\n')[0]}`
        : describeFailure(result, { nodes, mutation: values.mutation, epochs: values.epochs, attack }),
    );
    if (!values['keep-going']) break;
  }
});
const seconds = (performance.now() - begun) / 1000;
say([...totals].map(([name, number]) => `${name}: ${number}`).join(', '));
say(`${events} events in ${seconds.toFixed(1)} s, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
