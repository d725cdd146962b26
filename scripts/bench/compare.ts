/**
 * Two builds under the same load at the same time, so that whatever else the machine does meets both: what a recovery costs
 * each in CPU time. On a busy machine that says more than rates one after the other.
 */

import { join } from 'node:path';
import { BenchFleet } from './holdfast.ts';
import { LoadGenerator } from './load.ts';
import { isNode, tokenTotals } from './observe.ts';
import { enrolRecords, openTenancy } from './records.ts';
import { table } from './report.ts';
import { median, sum } from './statistics.ts';
import { measureWindow, type Window } from './throughput.ts';

export interface CompareOptions {
  readonly directory: string;
  /** Entry of the other build. */
  readonly other: string;
  readonly seconds: number;
  readonly windows: number;
  readonly concurrency: number;
  readonly records: number;
  readonly nodeOptions: string | undefined;
  readonly say: (line: string) => void;
}

export interface Comparison {
  readonly other: readonly Window[];
  readonly own: readonly Window[];
}

/** Each window is one of both: each has `concurrency` recoveries under way. */
export async function compareBuilds(options: CompareOptions): Promise<Comparison> {
  const { directory, other, say, windows } = options;
  await using sides = new AsyncDisposableStack();
  say('making two fleets');
  const measureOther = await newSide({ ...options, entry: other, directory: join(directory, 'other') }, sides);
  const measureOwn = await newSide({ ...options, entry: undefined, directory: join(directory, 'own') }, sides);
  const found: { other: Window[]; own: Window[] } = { other: [], own: [] };
  for (let i = 0; i <= windows; i++) {
    const [before, after] = await Promise.all([measureOther(), measureOwn()]);
    say(
      `other ${each(before).toFixed(2)} ms at ${before.perSecond.toFixed(1)}/s, own ${each(after).toFixed(2)} ms at ${after.perSecond.toFixed(1)}/s`,
    );
    // The first warms the engine's compiler up.
    if (i === 0) continue;
    found.other.push(before);
    found.own.push(after);
  }
  return found;
}

async function newSide(
  options: CompareOptions & { readonly entry: string | undefined },
  stack: AsyncDisposableStack,
): Promise<() => Promise<Window>> {
  const { directory, entry, nodeOptions, concurrency, seconds, records: wanted } = options;
  const fleet = await BenchFleet.create({ directory, nodes: 5, coordinators: 1, nodeOptions, entry });
  await fleet.up();
  stack.defer(() => fleet.down());
  const tenancy = await openTenancy(fleet);
  stack.defer(() => tenancy.close());
  const records = await enrolRecords(tenancy, Math.max(wanted, 2 * concurrency));
  const generator = new LoadGenerator(tenancy.trust, 1);
  let expectedRate = 80;
  return async () => {
    const window = await measureWindow({ fleet, tenancy, records, generator, concurrency, seconds, expectedRate });
    expectedRate = Math.max(20, window.perSecond * 1.5);
    return window;
  };
}

const each = ({ processes, completed }: Window): number =>
  (1000 * sum(processes.map(({ cpu }) => cpu.total))) / completed;

export function printComparison({ other, own }: Comparison): void {
  const row = (title: string, value: (window: Window) => number): string[] => {
    const [before, after] = [other, own].map((windows) => median(windows.map(value))) as [number, number];
    return [title, before.toFixed(2), after.toFixed(2), `${(100 * (after / before - 1)).toFixed(1)}%`];
  };
  const of =
    (wanted: (name: { readonly name: string }) => boolean, part: 'total' | 'main' | 'token' | 'system') =>
    (window: Window) => {
      const some = window.processes.filter(wanted);
      return (1000 * sum(some.map(({ cpu }) => cpu[part]))) / some.length / window.completed;
    };
  const coordinator = (process: { readonly name: string }) => !isNode(process);
  const operations = (name: string) => (window: Window) =>
    (tokenTotals(window.processes).get(name)?.count ?? 0) / window.completed;
  console.log(`\nCPU milliseconds per recovery, median of ${own.length} windows, both at once`);
  console.log(
    table(
      ['', 'other', 'own', 'change'],
      [
        row('whole fleet', each),
        row('a node', of(isNode, 'total')),
        row('  of that its main thread', of(isNode, 'main')),
        row('  of that the token’s thread', of(isNode, 'token')),
        row('  of that in the kernel', of(isNode, 'system')),
        row('coordinator', of(coordinator, 'total')),
        row('  of that in the kernel', of(coordinator, 'system')),
        row('token operations: ECDH', operations('ecdh')),
        row('recoveries per second', (window) => window.perSecond),
        row(
          'batches of a node per second',
          (window) => median(window.processes.filter(isNode).map((one) => one.batches)) / window.workSeconds,
        ),
        row('milliseconds of a recovery', (window) => window.times.recovery.median),
      ],
    ),
  );
  const failed = sum([...own, ...other].map((window) => window.failed));
  console.log(`  failed ${failed}, checked in full ${sum([...own, ...other].map(({ verified }) => verified))}`);
}
