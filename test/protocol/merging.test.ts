/** Joining certified state that anybody may carry, and the votes that a peer tells a node that repairs. */

import { describe, expect, it } from 'vitest';
import {
  decideDestroy,
  emptyRecord,
  factsOf,
  mergeCertified,
  mergeVotes,
  type PortableRecord,
  portable,
  type RecordFacts,
  type RecordState,
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
  NOW,
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

describe('a peer’s votes', () => {
  const facts = (state: RecordState, change: Partial<NonNullable<RecordFacts['active']>> = {}): RecordFacts => {
    const all = factsOf(state);
    return { ...all, active: all.active && { ...all.active, ...change } };
  };

  it('for a later number become this node’s own, at its own time', () => {
    const later = contextOf(fleet, NOW + 77);
    const after = mergeVotes(later, active, facts(active, { attempt: 4, vote: named('b') }));
    expect(after.active).toMatchObject({ attempt: 4, vote: named('b'), attemptTime: NOW + 77, confirmed: 0 });
  });

  it('for the same element change nothing; for another one this node abstains, for good', () => {
    const mine = attempted(context, first, active, 2);
    expect(mergeVotes(context, mine, factsOf(mine))).toEqual(mine);
    const differing = mergeVotes(context, mine, facts(mine, { vote: named('other') }));
    expect(differing.active).toMatchObject({ attempt: 2, vote: undefined });
    // Not even the node's earlier vote, told by a third node, brings it back.
    expect(mergeVotes(context, differing, factsOf(mine)).active?.vote).toBeUndefined();
    expect(mergeVotes(context, mine, facts(mine, { vote: undefined })).active?.vote).toBeUndefined();
  });

  it('for an older number change nothing', () => {
    const mine = attempted(context, first, active, 3);
    expect(mergeVotes(context, mine, facts(active, { attempt: 2, vote: named('b') }))).toEqual(mine);
  });

  it('join to the same in whatever order peers tell them', () => {
    const tells = [
      facts(active, { attempt: 3, vote: named('a') }),
      facts(active, { attempt: 3, vote: named('b') }),
      facts(active, { attempt: 2, vote: named('c') }),
    ];
    for (const order of [
      [0, 1, 2],
      [2, 1, 0],
      [1, 0, 2],
      [0, 2, 1],
    ]) {
      const joined = order.reduce((state, i) => mergeVotes(context, state, tells[i]!), active);
      expect(joined.active).toMatchObject({ attempt: 3, vote: undefined });
    }
  });

  it('adopt an opening and a stage of a newer generation, without the document', () => {
    const open = { blindHash: named('b'), ownerKey: named('k'), takeover: false, cancelled: false };
    const after = mergeVotes(context, active, { ...factsOf(active), highest: 2, open, stage: named('d') });
    expect(after).toMatchObject({
      highest: 2,
      open: { ...open, time: NOW },
      stage: { documentHash: named('d'), document: undefined },
    });
  });

  it('make this node abstain where openings or stages of one generation differ', () => {
    const open = { blindHash: named('b'), ownerKey: named('k'), takeover: false, cancelled: false };
    const mine: RecordState = {
      ...empty,
      highest: 1,
      open: { ...open, time: NOW },
      stage: { documentHash: named('d'), document: undefined },
    };
    const told = (change: object, stage = named('d')) =>
      mergeVotes(context, mine, { ...factsOf(mine), stage, open: { ...open, ...change } });
    expect(told({}).open).toEqual(mine.open);
    expect(told({ cancelled: true }).open?.cancelled).toBe(true);
    for (const change of [{ blindHash: named('x') }, { ownerKey: named('x') }, { takeover: true }]) {
      expect(told(change).open).toBeUndefined();
    }
    const split = told({}, named('e')).stage!;
    expect([named('d'), named('e')]).not.toContainEqual(split.documentHash);
    expect(mergeVotes(context, { ...mine, stage: undefined }, factsOf(mine)).stage?.documentHash).toEqual(named('d'));
  });

  it('take over a vote that the budget is spent', () => {
    const after = mergeVotes(context, used, facts(used, { spent: true }));
    expect(after.active?.spent).toEqual({ attempt: 3, confirmed: 3 });
  });

  it('are not taken from a peer that claims certified state without its proof', () => {
    const claims: RecordFacts[] = [factsOf(active), { ...factsOf(empty), tombstone: 1 }];
    for (const claim of claims) {
      expect(() => mergeVotes(context, empty, claim)).toThrow(expect.objectContaining({ code: 'behind' }));
    }
    expect(() => mergeVotes(context, active, factsOf(used))).toThrow(expect.objectContaining({ code: 'behind' }));
    expect(() => mergeVotes(context, active, { ...factsOf(active), tombstone: 2 })).toThrow(/without its proof/);
    expect(mergeVotes(context, used, factsOf(used))).toEqual(used);
  });
});
