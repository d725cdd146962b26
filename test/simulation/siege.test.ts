/** Section 8, number 2, against a malicious coordinator, one malicious node and somebody with a user token, who have a plan. */

import { describe, expect, it } from 'vitest';
import { describeFailure } from './report.ts';
import { type Attack, siege } from './siege.ts';

const SEEDS = 60;

async function besiege(attack: Attack, nodes: number, from: number): Promise<ReadonlyMap<string, number>> {
  const totals = new Map<string, number>();
  for (let seed = from; seed < from + SEEDS; seed++) {
    const result = await siege({ seed, nodes, attack });
    if (result.violation !== undefined) throw new Error(describeFailure(result, { nodes, attack }));
    for (const [name, count] of result.counts) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  return totals;
}

describe('a record stays its owner’s', () => {
  it.each([
    [3, 1],
    [5, 1001],
  ])('where a takeover is staged or deletes too early, with %i nodes', async (nodes, from) => {
    const totals = await besiege('takeover', nodes, from);
    for (const name of ['takeovers opened', 'takeovers cancelled', 'recovered at the end']) {
      expect(totals.get(name) ?? 0, name).toBeGreaterThan(SEEDS / 5);
    }
    // With the votes of a mere majority it would have succeeded.
    expect(totals.get(`takeovers with the votes of ${(nodes + 1) / 2}`) ?? 0).toBeGreaterThan(SEEDS / 5);
  });

  it.each([
    [3, 2001],
    [5, 3001],
  ])('where %i nodes could call its budget spent that was confirmed elsewhere', async (nodes, from) => {
    const totals = await besiege('spent', nodes, from);
    expect(totals.get('recovered at the end')).toBe(SEEDS);
    expect(totals.get('destructions tried') ?? 0).toBeGreaterThan(SEEDS);
  });
});
