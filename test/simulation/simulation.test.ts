/** Section 8's properties 1 to 4 under everything that a seed can do to a fleet, and a run is its seed's alone. */

import { describe, expect, it } from 'vitest';
import { describeFailure } from './report.ts';
import { type RunResult, run } from './scenario.ts';

/** Seeds per configuration; `npm run simulate` runs as many as one likes. */
const CONFIGURATIONS = [
  { nodes: 3, from: 1, seeds: 400 },
  { nodes: 5, from: 100_001, seeds: 130 },
] as const;

async function runAll(nodes: number, from: number, seeds: number): Promise<Map<string, number>> {
  const totals = new Map<string, number>();
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await run({ seed, nodes });
    if (result.violation !== undefined) throw new Error(describeFailure(result, { nodes }));
    for (const [name, count] of result.counts) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  return totals;
}

describe('a fleet of honest and malicious parties', () => {
  it.each(CONFIGURATIONS)('keeps its properties in $seeds runs of $nodes nodes', async ({ nodes, from, seeds }) => {
    const totals = await runAll(nodes, from, seeds);
    // A run in which nothing happens keeps every property: these are the things that must have happened.
    for (const name of [
      'confirmations committed',
      'generations gone',
      'spent certified',
      'deletes done',
      'changes the PIN done',
      'wrong guesses',
      'crashes',
      'served after a rollback',
      'votes split',
      'takes over done',
      'recovered at the end',
    ]) {
      expect(totals.get(name) ?? 0, name).toBeGreaterThan(1);
    }
    expect(totals.get('elements evaluated')).toBeGreaterThan(4 * seeds);
  });
});

describe('a run', () => {
  const facts = ({ hash, events, violation }: RunResult) => ({ hash, events, violation });

  it.each([1, 2, 3, 42, 1_000_003])('replays exactly: seed %i', async (seed) => {
    const first = await run({ seed });
    await run({ seed: seed + 1 });
    expect(facts(await run({ seed }))).toEqual(facts(first));
  });

  it('depends on its seed', async () => {
    expect((await run({ seed: 1 })).hash).not.toBe((await run({ seed: 2 })).hash);
  });
});
