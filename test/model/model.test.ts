/** The guess bound holds in every reachable state of the model, and each rule that it rests on is needed. */
import { describe, expect, it } from 'vitest';
import { search } from './search.ts';

const timeout = 600_000;

/** Bounds of a search, and the number of states under which it cannot have been the search that was meant. */
const holds: readonly [name: string, macros: readonly string[], atLeast: number][] = [
  ['limit 2, one rollback, one crash', ['LIMIT=2', 'ROLLBACKS=1', 'CRASHES=1', 'NUMBERS=2'], 5_000_000],
  ['limit 2, one rollback, a refilled budget', ['LIMIT=2', 'ROLLBACKS=1', 'CRASHES=0', 'NUMBERS=3'], 2_000_000],
  ['limit 1, three rollbacks of one node', ['LIMIT=1', 'ROLLBACKS=3', 'CRASHES=0', 'NUMBERS=2'], 500_000],
  ['limit 1, one rollback, one crash', ['LIMIT=1', 'ROLLBACKS=1', 'CRASHES=1', 'NUMBERS=2'], 1_000_000],
  ['limit 1, two nodes rolled back in turn', ['LIMIT=1', 'ROLLBACKS=2', 'CRASHES=0', 'NUMBERS=1', 'ANY_NODE'], 100_000],
];

const oneRollback = ['LIMIT=1', 'ROLLBACKS=1', 'CRASHES=0', 'NUMBERS=2'];
const limitTwo = ['LIMIT=2', 'ROLLBACKS=1', 'CRASHES=0', 'NUMBERS=2'];
const threeRollbacks = ['LIMIT=1', 'ROLLBACKS=3', 'CRASHES=0', 'NUMBERS=2'];
const both = [limitTwo, threeRollbacks];
const twoNodes = ['LIMIT=1', 'ROLLBACKS=2', 'CRASHES=0', 'NUMBERS=1', 'ANY_NODE'];

/** A rule removed, and the configurations in which the search must then find a violation. */
const breaks: readonly [rule: string, macro: string, configurations: readonly (readonly string[])[]][] = [
  ['the certificate check', 'NO_CERTIFICATE_CHECK', both],
  ['the fence vector', 'NO_FENCE', both],
  ['merging uncertified votes', 'NO_MERGE_UNCERTIFIED', both],
  ['abstaining where peers differ', 'NO_ABSTAIN', both],
  ['waiting for t other heads', 'OWN_HEAD_COUNTS', both],
  ['refusing an incarnation already accepted', 'STALE_INCARNATION', [threeRollbacks]],
  ['the fence vector in receipts', 'NO_RECEIPT_CHECK', [limitTwo, threeRollbacks]],
  ["keeping a peer's abstention", 'ABSTAIN_YIELDS', [twoNodes]],
  ['merging the fences of peers', 'NO_MERGE_FENCES', [twoNodes]],
];

const reachable: readonly [name: string, goal: number][] = [
  ['a confirmation commits', 1],
  ['all nodes serve again after a rollback', 2],
  ['after a rollback and a committed confirmation the next number is certified', 3],
  ['a node serves that abstains', 4],
];

// Each search has its own process and folder, and two cores make two at a time.
describe.concurrent('the guess bound', () => {
  it.each(holds)('holds in every state: %s', { timeout }, async (_name, macros, atLeast) => {
    const result = await search([...macros, 'LEMMAS'], atLeast > 1_500_000 ? 'large' : 'small');
    expect(result.output).not.toMatch(/assertion violated/);
    expect(result).toMatchObject({ errors: 0, complete: true });
    expect(result.states).toBeGreaterThan(atLeast);
  });

  for (const [rule, macro, configurations] of breaks) {
    it.each(configurations.map((macros) => ({ macros })))(
      `is broken without ${rule}: $macros`,
      { timeout },
      async ({ macros }) => {
        const result = await search([...macros, macro], 'small');
        expect(result.errors).toBe(1);
        expect(result.violated).toMatch(/count<=\d|late==/);
      },
    );
  }
});

describe.concurrent('the model is not vacuous', () => {
  it.each(reachable)('%s', { timeout }, async (_name, goal) => {
    const result = await search([...oneRollback, `REACH=${goal}`], 'small');
    expect(result.errors).toBe(1);
    expect(result.violated).toContain(`${goal}==${goal}`);
  });
});
