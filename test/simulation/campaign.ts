/** Many seeds of one configuration, each checked after every step, and proof that things did happen in them. */

import { expect } from 'vitest';
import { describeFailure } from './report.ts';
import { run } from './scenario.ts';

/** What must have happened in a campaign: a run in which nothing happens keeps every property. */
const EVENTS = [
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
];

/** What must have happened where nodes are replaced. */
const EPOCH_EVENTS = [
  'epochs',
  'leaves',
  'entered without having left',
  'enrolled anew',
  'confirmations committed',
  'recovered at the end',
];

/** Runs `seeds` seeds from `from`; `npm run simulate` runs as many as one likes. */
export async function campaign(nodes: number, from: number, seeds: number, epochs = false): Promise<void> {
  const totals = new Map<string, number>();
  for (let seed = from; seed < from + seeds; seed++) {
    const result = await run({ seed, nodes, epochs });
    if (result.violation !== undefined) throw new Error(describeFailure(result, { nodes, epochs }));
    for (const [name, count] of result.counts) totals.set(name, (totals.get(name) ?? 0) + count);
  }
  for (const name of epochs ? EPOCH_EVENTS : EVENTS) expect(totals.get(name) ?? 0, name).toBeGreaterThan(1);
  expect(totals.get('elements evaluated')).toBeGreaterThan(4 * seeds);
  // With three nodes, one that fails before the others have left ends it; that must not be all that happens.
  if (epochs) expect(totals.get('epochs that could not begin') ?? 0).toBeLessThan(totals.get('epochs')! / 2);
}
