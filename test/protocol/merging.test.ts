/** Joining certified state that anybody may carry, and the votes that a peer tells a node that repairs. */

import { describe, expect, it } from 'vitest';
import {
  decideAttempt,
  decideDestroy,
  emptyRecord,
  factsOf,
  mergeCertified,
  mergeVotes,
  type PortableRecord,
  portable,
  type RecordFacts,
  type RecordState,
  requireProven,
} from '../../src/protocol/index.ts';
import {
  accepted,
  activated,
  attempted,
  confirmation,
  confirmed,
  contextOf,
  enrolment,
  heads,
  makeFleet,
  named,
  ownerDeletion,
  RECORD,
  spentProof,
} from './fixtures.ts';

const fleet = makeFleet();
const context = contextOf(fleet);
const first = enrolment(fleet, 1);
const second = enrolment(fleet, 2, { previous: first });
const empty = emptyRecord(RECORD);
const active = activated(context, first);
const used = confirmed(context, first, attempted(context, first, active, 3), 3);
const nothing: PortableRecord = {
  record: RECORD,
  activation: undefined,
  confirmation: undefined,
  tombstone: undefined,
};

describe('certified state', () => {
  it('brings an empty node to where the carrier stands', () => {
    const after = mergeCertified(context, empty, portable(used));
    expect(after.active).toMatchObject({
      generation: 1,
      confirmed: 3,
      attempt: 3,
      confirmation: used.active!.confirmation,
    });
  });

  it('carried in any order gives the same, and again changes nothing', () => {
    const parts = [
      portable(active),
      portable(used),
      portable(activated(context, second)),
      { ...nothing, tombstone: ownerDeletion(fleet, first) },
    ];
    const join = (order: readonly number[]) =>
      order.reduce((state, i) => mergeCertified(context, state, parts[i]!), empty);
    const forward = join([0, 1, 2, 3]);
    expect(forward).toMatchObject({ highest: 2, active: { generation: 2 }, tombstone: { generation: 1 } });
    for (const order of [
      [3, 2, 1, 0],
      [2, 3, 0, 1],
      [1, 3, 2, 0],
      [0, 1, 2, 3, 3, 2, 1, 0],
    ]) {
      expect(factsOf(join(order))).toEqual(factsOf(forward));
    }
  });

  it('takes nothing of what is carried for another record, or with a wrong proof', () => {
    const wrong = (carried: PortableRecord) => () => mergeCertified(context, empty, carried);
    expect(wrong({ ...portable(used), record: named('x') })).toThrow(expect.objectContaining({ code: 'malformed' }));
    const lone = { ...nothing, tombstone: spentProof(fleet, first, 10, 0, { nodes: [1] }) };
    expect(wrong(lone)).toThrow(expect.objectContaining({ code: 'untrusted' }));
    const torn = { ...portable(active).activation!, stageCertificate: Uint8Array.of(0, 0, 0, 1) };
    expect(wrong({ ...nothing, activation: torn })).toThrow(expect.objectContaining({ code: 'malformed' }));
  });

  it('leaves a tombstone’s generation dead, whatever is carried', () => {
    const gone = accepted(decideDestroy(context, used, ownerDeletion(fleet, first)));
    expect(mergeCertified(context, gone, portable(used))).toEqual(gone);
  });

  it('leaves a confirmation of another generation aside', () => {
    const next = activated(context, second, used);
    expect(mergeCertified(context, next, portable(used))).toEqual(next);
    expect(mergeCertified(context, empty, { ...nothing, confirmation: confirmation(fleet, first, 3) })).toBe(empty);
  });

  it('reopens a record that this node voted to destroy only with the heads of t nodes', () => {
    const spent: RecordState = {
      ...active,
      active: { ...active.active!, attempt: 10, spent: { attempt: 10, confirmed: 0 } },
    };
    expect(mergeCertified(context, spent, portable(used)).active?.confirmed).toBe(0);
    const after = mergeCertified(context, spent, portable(used), heads(fleet, [1, 3], used));
    expect(after.active).toMatchObject({ attempt: 10, confirmed: 3, spent: undefined });
  });
});

describe('a claim', () => {
  it('of certified state without its proof is refused, and with it taken', () => {
    const claims: [RecordState, RecordFacts][] = [
      [empty, factsOf(active)],
      [empty, { ...factsOf(empty), tombstone: 1 }],
      [active, factsOf(used)],
      [active, { ...factsOf(active), tombstone: 2 }],
    ];
    for (const [state, claim] of claims) {
      expect(() => requireProven(state, claim)).toThrow(expect.objectContaining({ code: 'behind' }));
    }
    expect(() => requireProven(used, factsOf(used))).not.toThrow();
    expect(() => requireProven(used, factsOf(active))).not.toThrow();
  });
});

describe('what a node may have forgotten', () => {
  const five = contextOf(makeFleet(5));
  const at = (
    attempt: number,
    vote: Uint8Array | undefined,
    change: Partial<NonNullable<RecordFacts['active']>> = {},
  ) => {
    const facts = factsOf(active);
    return { ...facts, active: { ...facts.active!, attempt, vote, ...change } };
  };
  const guess = (state: RecordState, attempt: number, blind: string) =>
    decideAttempt(five, state, { generation: 1, attempt, blindHash: named(blind) }, []).refusal?.code;

  it('is barred where t - 1 others are there, and never counted', () => {
    const after = mergeVotes(five, active, [at(1, named('a')), at(1, named('b')), at(0, undefined)], 0);
    expect(after.active).toMatchObject({ attempt: 0, vote: undefined, barred: { upTo: 1, vote: undefined } });
    for (const blind of ['a', 'b', 'c']) expect(guess(after, 1, blind)).toBeDefined();
  });

  it('may be voted for again where all that are there agree', () => {
    const after = mergeVotes(five, active, [at(1, named('a')), at(1, named('a')), at(0, undefined)], 0);
    expect(after.active?.barred).toEqual({ upTo: 1, vote: named('a') });
    expect(guess(after, 1, 'a')).toBeUndefined();
    expect(guess(after, 1, 'b')).toBeDefined();
  });

  it('is not what one peer alone claims, unless those unheard could stand beside it', () => {
    const claims = [at(7, named('a')), at(0, undefined), at(0, undefined)];
    expect(mergeVotes(five, active, claims, 0).active?.barred).toBeUndefined();
    expect(mergeVotes(five, active, claims, 1).active?.barred?.upTo).toBe(7);
  });

  it('is bounded by the limit, and a peer’s bar counts as a vote for anything', () => {
    const far = [at(2 ** 50, named('a')), at(2 ** 50, named('a'))];
    expect(mergeVotes(five, active, far, 0).active?.barred?.upTo).toBe(10);
    const bars = [at(0, undefined, { barred: 2 }), at(2, named('a'))];
    expect(mergeVotes(five, active, bars, 0).active?.barred).toEqual({ upTo: 2, vote: undefined });
  });

  it('of openings and stages is not voted for again', () => {
    const open = { blindHash: named('b'), ownerKey: named('k'), takeover: false, cancelled: false };
    const staged = (stage: string): RecordFacts => ({ ...factsOf(active), highest: 2, open, stage: named(stage) });
    const after = mergeVotes(five, active, [staged('d'), staged('d')], 0);
    expect(after).toMatchObject({
      highest: 2,
      open: undefined,
      stage: { documentHash: named('d'), document: undefined },
    });
    const split = mergeVotes(five, active, [staged('d'), staged('e')], 0).stage!;
    expect([named('d'), named('e')]).not.toContainEqual(split.documentHash);
    expect(mergeVotes(five, active, [staged('d'), factsOf(active)], 0).highest).toBe(1);
  });

  it('of a vote that the budget is spent is taken over from t - 1 others', () => {
    const marked = at(0, undefined, { spent: { attempt: 10, confirmed: 0 } });
    expect(mergeVotes(five, active, [marked, factsOf(active)], 0).active?.spent).toBeUndefined();
    expect(mergeVotes(five, active, [marked, marked], 0).active?.spent).toBeDefined();
  });
});
