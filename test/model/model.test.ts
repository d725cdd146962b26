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
  ['barring what peers voted for', 'NO_BAR', both],
  ['a bar that admits no other element', 'BAR_ADMITS_ANY', both],
  ['telling others of a bar', 'BAR_NOT_TOLD', [twoNodes]],
];

const reachable: readonly [name: string, goal: number][] = [
  ['a confirmation commits', 1],
  ['all nodes serve again after a rollback', 2],
  ['after a rollback and a committed confirmation the next number is certified', 3],
  ['a node serves that has barred every element of a number', 4],
  ['a node serves that has barred all but one', 5],
];

// Each search has its own process and folder, and two cores make two at a time.
describe.concurrent('the guess bound', () => {
  it.each(holds)('holds in every state: %s', { timeout }, async (_name, macros, atLeast) => {
    const result = await search('attempts', [...macros, 'LEMMAS'], atLeast < 1_000_000 ? 'small' : 'large');
    expect(result.output).not.toMatch(/assertion violated/);
    expect(result).toMatchObject({ errors: 0, complete: true });
    expect(result.states).toBeGreaterThan(atLeast);
  });

  for (const [rule, macro, configurations] of breaks) {
    it.each(configurations.map((macros) => ({ macros })))(
      `is broken without ${rule}: $macros`,
      { timeout },
      async ({ macros }) => {
        const result = await search('attempts', [...macros, macro], 'small');
        expect(result.errors).toBe(1);
        expect(result.violated).toMatch(/count<=\d|late==/);
      },
    );
  }
});

describe.concurrent('the model is not vacuous', () => {
  it.each(reachable)('%s', { timeout }, async (_name, goal) => {
    const result = await search('attempts', [...oneRollback, `REACH=${goal}`], 'small');
    expect(result.errors).toBe(1);
    expect(result.violated).toContain(`${goal}==${goal}`);
  });
});

const forthAndBack = ['ROLLBACKS=2'];

/** A rule of the change of membership removed: the number must then be certifiable for both elements. */
const acrossEpochs: readonly [rule: string, macro: string][] = [
  ['the fence rule among those that left', 'NO_LEAVE_FENCES'],
  ['a second one that left', 'ONE_LEAVE'],
  ['silence of those that left', 'VOTES_ON'],
  ['silence of those that left towards one that rejoins', 'LEFT_ANSWERS'],
  ['barring what those that left voted for', 'NO_BAR'],
  ['keeping one’s own votes', 'NO_OWN_VOTE'],
  ['doubt of a store whose later past was left', 'TRUSTS_ITSELF'],
];

const entered: readonly [name: string, goal: number][] = [
  ['all nodes join', 1],
  ['a replacement joins that has barred every element', 2],
  ['after two rollbacks a number is certified and voted for in the new epoch', 3],
];

describe.concurrent('one element for a number through a change of membership', () => {
  it.each([0, 2])('holds in every state: node %i put back and forth', { timeout }, async (node) => {
    const result = await search('epochs', [...forthAndBack, `ROLLED=${node}`], 'large');
    expect(result.output).not.toMatch(/assertion violated/);
    expect(result).toMatchObject({ errors: 0, complete: true });
    expect(result.states).toBeGreaterThan(500_000);
  });

  it.each(acrossEpochs)('is broken without %s', { timeout }, async (_rule, macro) => {
    const result = await search('epochs', [...forthAndBack, macro], 'small');
    expect(result.errors).toBe(1);
    expect(result.violated).toContain('certified!=3');
  });

  it.each(entered)('is not vacuous: %s', { timeout }, async (_name, goal) => {
    const result = await search('epochs', [...forthAndBack, `REACH=${goal}`], 'small');
    expect(result.errors).toBe(1);
    expect(result.violated).toContain(`${goal}==${goal}`);
  });
});
