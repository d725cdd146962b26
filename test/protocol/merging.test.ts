/** Joining certified state that anybody may carry, and the votes that a peer tells a node that repairs. */

import { describe, expect, it } from 'vitest';
import {
  budgetLeft,
  decideAttempt,
  decideConfirm,
  decideDestroy,
  decideEvaluation,
  decideOpen,
  decideSpent,
  decideStage,
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
  attemptBody,
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
  const behind = expect.objectContaining({ code: 'behind' });
  const gone = accepted(decideDestroy(context, used, ownerDeletion(fleet, first)));

  it.each<[string, RecordState, RecordFacts]>([
    ['an activation', empty, factsOf(active)],
    ['an activation newer than its own', active, factsOf(activated(context, second))],
    ['a confirmation', active, factsOf(used)],
    ['a tombstone', empty, { ...factsOf(empty), tombstone: 1 }],
    ['a tombstone of what is active here', active, { ...factsOf(active), tombstone: 2 }],
    ['a tombstone newer than its own', gone, { ...factsOf(gone), tombstone: 2 }],
  ])('of %s without its proof is refused', (_, state, claim) => {
    expect(() => requireProven(state, claim)).toThrow(behind);
  });

  it.each<[string, RecordState, RecordFacts]>([
    ['what it has itself', used, factsOf(used)],
    ['less than it has', used, factsOf(active)],
    ['nothing', used, factsOf(empty)],
    ['an older generation with more confirmed', activated(context, second), factsOf(used)],
    ['what is destroyed here', gone, factsOf(used)],
    ['a tombstone of what is superseded here', activated(context, second), { ...factsOf(active), tombstone: 1 }],
    ['votes alone', active, { ...factsOf(attempted(context, first, active, 5)), highest: 9 }],
  ])('of %s needs none', (_, state, claim) => {
    expect(() => requireProven(state, claim)).not.toThrow();
  });

  it('of a confirmation is no reproach to a node that holds it off because it voted spent', () => {
    const spent = { ...active, active: { ...active.active!, spent: { attempt: 10, confirmed: 0 } } };
    expect(() => requireProven(spent, factsOf(used))).not.toThrow();
    expect(() => requireProven(spent, factsOf(activated(context, second)))).toThrow(behind);
  });
});

type Active = NonNullable<RecordFacts['active']>;
const at = (attempt: number, vote?: string, change: Partial<Active> = {}, state = active): RecordFacts => {
  const facts = factsOf(state);
  return { ...facts, active: { ...facts.active!, attempt, vote: vote ? named(vote) : undefined, ...change } };
};
const here = at(0);
const five = contextOf(makeFleet(5, { minimumShares: 3 }));

describe('how many peers make a forgotten vote possible', () => {
  const bars = (n: number, claims: readonly RecordFacts[], unheard: number) =>
    mergeVotes(contextOf(makeFleet(n)), active, claims, unheard).active?.barred?.upTo;

  it.each<[string, number, RecordFacts[], number, number | undefined]>([
    ['of three, one suffices', 3, [at(4, 'a'), here], 0, 4],
    ['of three, none does not', 3, [here, here], 0, undefined],
    ['of five, one among all four does not', 5, [at(4, 'a'), here, here, here], 0, undefined],
    ['of five, two do', 5, [at(4, 'a'), at(4, 'a'), here, here], 0, 4],
    ['of five, one does beside one unheard', 5, [at(4, 'a'), here, here], 1, 4],
    ['of five, the lower of two numbers counts', 5, [at(9, 'a'), at(4, 'a'), here, here], 0, 4],
    ['of five, the higher one beside one unheard', 5, [at(9, 'a'), at(4, 'a'), here], 1, 9],
    ['of seven, two do not', 7, [at(4, 'a'), at(4, 'a'), here, here, here, here], 0, undefined],
    ['of seven, two do beside one unheard', 7, [at(4, 'a'), at(4, 'a'), here, here, here], 1, 4],
    ['with more unheard than t - 1, still one is needed', 5, [here], 3, undefined],
    ['alone in its fleet, there are none', 1, [], 0, undefined],
  ])('%s', (_, n, claims, unheard, upTo) => {
    expect(bars(n, claims, unheard)).toBe(upTo);
  });

  it('does not depend on the order in which they are heard', () => {
    const claims = [at(9, 'a'), at(4, 'b'), here, at(4, 'b')];
    const forward = mergeVotes(five, active, claims, 0);
    expect(mergeVotes(five, active, claims.toReversed(), 0)).toEqual(forward);
  });

  it('counts none of another generation', () => {
    const older = at(7, 'a', { generation: 2 });
    expect(mergeVotes(five, active, [older, older], 0).active?.barred).toBeUndefined();
  });
});

describe('a number that this node may have voted for', () => {
  const guess = (state: RecordState, attempt: number, blind: string, shown: ReturnType<typeof heads> = []) =>
    decideAttempt(five, state, { generation: 1, attempt, blindHash: named(blind) }, shown);
  const codeOf = (decision: { refusal?: { code: string } }) => decision.refusal?.code;
  const merged = (claims: readonly RecordFacts[], state = active, unheard = 0) =>
    mergeVotes(five, state, claims, unheard);
  const there = (attempt: number) => heads(five.fleet, [1, 2, 3], attempted(five, first, active, attempt));

  it('is barred, and never counted as an attempt', () => {
    const after = merged([at(10, 'a'), at(10, 'b')]);
    expect(after.active).toEqual({ ...active.active, barred: { upTo: 10, vote: undefined } });
    expect(factsOf(after).active).toMatchObject({ attempt: 0, vote: undefined, barred: 10 });
    const { attempt, confirmed: success } = after.active!;
    expect(budgetLeft(five.fleet.policy, attempt, success)).toBe(10);
    const spend = { generation: 1, attempt: 10, confirmed: 0 };
    const four = [1, 2, 3, 4];
    expect(codeOf(decideSpent(five, after, spend, heads(five.fleet, four, after)))).toBe('conflict');
    expect(codeOf(decideSpent(five, after, spend, [...heads(five.fleet, four, after), ...there(10).slice(0, 2)]))).toBe(
      'conflict',
    );
  });

  it('is bounded by the limit since the last success, and by the lifetime', () => {
    const far = (state: RecordState) => {
      const claim = at(2 ** 50, 'a', { confirmed: state.active!.confirmed });
      return [claim, claim];
    };
    expect(merged(far(active)).active?.barred).toEqual({ upTo: 10, vote: undefined });
    expect(merged(far(used), used).active?.barred?.upTo).toBe(13);
    const short = contextOf(makeFleet(5, { limit: 5, lifetimeLimit: 6 }));
    expect(mergeVotes(short, active, far(active), 0).active?.barred?.upTo).toBe(5);
    expect(mergeVotes(short, used, far(used), 0).active?.barred?.upTo).toBe(6);
  });

  it('is refused for every element where the peers there disagree, or one tells none', () => {
    for (const claims of [
      [at(1, 'a'), at(1, 'b')],
      [at(1, 'a'), at(1)],
      [at(1), at(1)],
    ]) {
      const after = merged(claims);
      expect(after.active?.barred).toEqual({ upTo: 1, vote: undefined });
      for (const blind of ['a', 'b', 'c']) {
        expect(codeOf(guess(after, 1, blind))).toBe('conflict');
        expect(guess(after, 1, blind).state).toBe(after);
      }
      expect(guess(after, 2, 'c', there(1)).body).toMatchObject({ attempt: 2 });
    }
  });

  it('may be voted for again for the one element that all peers there agree on', () => {
    const after = merged([at(1, 'a'), at(1, 'a'), here, here]);
    expect(after.active?.barred).toEqual({ upTo: 1, vote: named('a') });
    expect(codeOf(guess(after, 1, 'b'))).toBe('conflict');
    const voted = guess(after, 1, 'a');
    expect(voted.body).toMatchObject({ kind: 'attempt', attempt: 1, blindHash: named('a') });
    expect(voted.state.active).toMatchObject({ attempt: 1, vote: named('a'), barred: undefined });
  });

  it('follows the ordinary rules also where peers agree: heads to jump, waiting times', () => {
    const after = merged([at(4, 'a'), at(4, 'a')]);
    expect(after.active?.barred).toEqual({ upTo: 4, vote: named('a') });
    for (const attempt of [1, 2, 3]) expect(codeOf(guess(after, attempt, 'a', there(4)))).toBe('conflict');
    expect(codeOf(guess(after, 4, 'a'))).toBe('behind');
    expect(guess(after, 4, 'a', there(3)).body).toMatchObject({ attempt: 4 });
    const slow = contextOf(makeFleet(5, { waits: [60] }));
    const early = { generation: 1, attempt: 1, blindHash: named('a') };
    const one = mergeVotes(slow, active, [at(1, 'a'), at(1, 'a')], 0);
    expect(codeOf(decideAttempt(slow, one, early, []))).toBe('waiting');
  });

  it('is a vote for anything where a peer bars it itself and names no element', () => {
    const barring = at(0, undefined, { barred: 2 });
    expect(merged([barring, barring]).active?.barred).toEqual({ upTo: 2, vote: undefined });
    expect(merged([barring, at(2, 'a')]).active?.barred).toEqual({ upTo: 2, vote: undefined });
    // A bar below the number of the vote leaves that vote what it is.
    expect(merged([at(2, 'a', { barred: 1 }), at(2, 'a')]).active?.barred?.vote).toEqual(named('a'));
  });

  it('is a vote for the element that a peer’s bar names, and for no other', () => {
    const barring = at(1, 'a', { barred: 2 });
    expect(merged([barring, at(2, 'a')]).active?.barred).toEqual({ upTo: 2, vote: named('a') });
    expect(merged([barring, at(2, 'b')]).active?.barred).toEqual({ upTo: 2, vote: undefined });
    // It says nothing of a number below it.
    expect(merged([barring, at(1, 'a'), here, here]).active?.barred).toEqual({ upTo: 1, vote: named('a') });
    expect(merged([barring, at(1, 'b'), here, here]).active?.barred).toEqual({ upTo: 1, vote: named('b') });
  });

  it('is told to others with the element that the peers agreed on, which this node votes for', () => {
    const told = factsOf(merged([at(3, 'a'), at(3, 'a'), here, here], attempted(five, first, active, 2)));
    expect(told.active).toMatchObject({ attempt: 2, barred: 3, vote: named('a') });
    const none = factsOf(merged([at(3, 'a'), at(3, 'b'), here, here], attempted(five, first, active, 2)));
    expect(none.active).toMatchObject({ attempt: 2, barred: 3, vote: undefined });
  });

  it('stays free for its element while a fleet with one node down restarts one after the other', () => {
    // Node 1 alone has voted; nodes 2 to 4 repair in turn, each from the three others that can be reached.
    const states = [attempted(five, first, active, 1), active, active, active];
    for (const i of [1, 2, 3]) {
      const peers = states.filter((_, other) => other !== i).map(factsOf);
      states[i] = mergeVotes(five, states[i]!, peers, 1);
    }
    const { vote } = states[0]!.active!;
    expect(states.slice(1).map(({ active: one }) => one?.barred)).toEqual([1, 2, 3].map(() => ({ upTo: 1, vote })));
  });

  it('shows others, in this node’s head, that the number is gone', () => {
    const barring = merged([at(4, 'a'), at(4, 'b')]);
    const shown = heads(five.fleet, [1, 2, 3], barring);
    expect(guess(active, 5, 'c', shown).body).toMatchObject({ attempt: 5 });
    expect(codeOf(guess(active, 6, 'c', shown))).toBe('behind');
  });

  it('is none where this node stands there or beyond', () => {
    const three = attempted(five, first, active, 3);
    expect(merged([at(3, 'a'), at(2, 'b')], three)).toEqual(three);
  });

  it('is free again by an attempt or a certificate there or above, and only then', () => {
    const barred = merged([at(4, 'a'), at(4, 'b')]);
    expect(guess(barred, 5, 'c', there(4)).state.active).toMatchObject({ attempt: 5, barred: undefined });
    const learn = (attempt: number) => {
      const body = attemptBody(five.fleet, first, attempt, named('x'));
      return accepted(decideEvaluation(five, barred, { body, latest: 0 })).active;
    };
    expect(learn(3)).toMatchObject({ attempt: 3, barred: { upTo: 4 } });
    expect(learn(4)).toMatchObject({ attempt: 4, vote: named('x'), barred: undefined });
    expect(learn(5)).toMatchObject({ attempt: 5, barred: undefined });
    const success = (attempt: number) => confirmed(five, first, barred, attempt).active;
    expect(success(3)).toMatchObject({ confirmed: 3, attempt: 3, barred: { upTo: 4 } });
    expect(success(4)).toMatchObject({ confirmed: 4, attempt: 4, barred: undefined });
  });

  it('is free again when more peers were heard', () => {
    const before = merged([at(7, 'a'), here, here], active, 1);
    expect(before.active?.barred?.upTo).toBe(7);
    expect(merged([at(7, 'a'), here, here, here], before)).toEqual(active);
  });
});

describe('an opening that this node may have voted for', () => {
  const open = { blindHash: named('b'), ownerKey: named('k'), takeover: false, cancelled: false };
  const none = factsOf(active);
  const opened = (highest: number, stage?: string, change: Partial<typeof open> = {}): RecordFacts => ({
    ...none,
    highest,
    open: { ...open, ...change },
    stage: stage ? named(stage) : undefined,
  });
  const merged = (claims: readonly RecordFacts[], state = active) => mergeVotes(five, state, claims, 0);

  it('is abstained from: no peer puts a vote into this node’s mouth', () => {
    const after = merged([opened(2), opened(2), opened(2), none]);
    expect(after).toEqual({ ...active, highest: 2 });
    const request = { generation: 2, ...open, authorisation: undefined };
    expect(decideOpen(five, after, request, []).refusal?.code).toBe('conflict');
    const stageless = decideStage(five, after, second.document, undefined);
    expect(stageless.refusal?.code).toBe('behind');
  });

  it('drops this node’s own vote for an older generation, not the one for this', () => {
    const own: RecordState = { ...active, highest: 2, open: { ...open, blindHash: named('mine'), time: 5 } };
    expect(merged([opened(2), opened(2), opened(2)], own).open).toEqual(own.open);
    expect(merged([opened(3), opened(3), opened(3)], own)).toMatchObject({
      highest: 3,
      open: undefined,
      stage: undefined,
    });
  });

  it('needs t peers, as its certificate needs t + 1 votes, and is believed no more than 1024 generations ahead', () => {
    const far = opened(2 ** 50);
    expect(merged([opened(2), opened(2), none, none]).highest).toBe(1);
    expect(merged([opened(9), opened(9), opened(3), none]).highest).toBe(3);
    expect(merged([opened(1025), opened(1025), opened(1025)]).highest).toBe(1025);
    expect(merged([far, far, far])).toMatchObject({ highest: 1025, stage: undefined });
    expect(merged([far, far, far], empty).highest).toBe(1024);
    // One of four not heard may be one of them.
    expect(mergeVotes(five, active, [opened(2), opened(2), none], 1).highest).toBe(2);
    expect(mergeVotes(five, active, [opened(2), none, none], 1).highest).toBe(1);
  });

  it('is never made up by one of three nodes', () => {
    const three = contextOf(makeFleet(3));
    const alone = [opened(2, 'd', { takeover: true, cancelled: true }), none];
    expect(mergeVotes(three, active, alone, 0)).toEqual(active);
    expect(mergeVotes(three, active, [opened(2), opened(3)], 0).highest).toBe(2);
  });

  it('has the stage that all peers there agree on, which only its own document can take', () => {
    const proper = { ...opened(2), stage: second.documentHash };
    const after = merged([proper, proper, proper]);
    expect(after.stage).toEqual({ documentHash: second.documentHash, document: undefined });
    const certified = { body: second.open, latest: 0 };
    expect(decideStage(five, after, second.document, certified).body?.kind).toBe('stage');
    const other = merged([opened(2, 'd'), opened(2, 'd'), opened(2, 'd')]);
    expect(decideStage(five, other, second.document, certified).refusal?.code).toBe('conflict');
    expect(decideEvaluation(five, after, certified).refusal?.code).toBe('conflict');
  });

  it('has a stage that no document can take where peers there disagree', () => {
    const proper = { ...opened(2), stage: second.documentHash };
    const split = merged([proper, proper, opened(2, 'e')]);
    expect(split.stage).toEqual({ documentHash: new Uint8Array(32), document: undefined });
    const staged = decideStage(five, split, second.document, { body: second.open });
    expect(staged.refusal?.code).toBe('conflict');
  });

  it('has a stage only where t peers staged or went beyond', () => {
    expect(merged([opened(2, 'd'), opened(2, 'd'), opened(2), none]).stage).toBeUndefined();
    expect(merged([opened(2, 'd'), opened(2, 'd'), opened(3), none])).toMatchObject({
      highest: 2,
      stage: { documentHash: named('d') },
    });
    expect(merged([opened(3), opened(3), opened(2), none]).stage).toBeUndefined();
  });

  it('leaves this node’s own stage as it is, and nothing where the generation is active here', () => {
    const own: RecordState = {
      ...active,
      highest: 2,
      open: { ...open, time: 5 },
      stage: { documentHash: named('mine'), document: undefined },
    };
    expect(merged([opened(2, 'd'), opened(2, 'd'), opened(2, 'd')], own)).toEqual(own);
    const settled = { ...none, open, stage: named('d') };
    expect(merged([settled, settled, settled])).toEqual(active);
  });

  it('is cancelled as t - 1 peers cancelled it, and by fewer not', () => {
    const taking: RecordState = { ...active, highest: 2, open: { ...open, takeover: true, time: 5 } };
    const cancelled = opened(2, undefined, { takeover: true, cancelled: true });
    expect(merged([cancelled, none, none, none], taking).open?.cancelled).toBe(false);
    expect(merged([cancelled, cancelled, none, none], taking).open).toEqual({ ...taking.open, cancelled: true });
  });
});

describe('a vote that the budget is spent', () => {
  const marked = (success: number) => at(10, 'a', { confirmed: success, spent: { attempt: 10, confirmed: success } });
  const spentAfter = (claims: readonly RecordFacts[], state = active, unheard = 0) =>
    mergeVotes(five, state, claims, unheard).active?.spent;

  it('is possible only where t others cast it', () => {
    expect(spentAfter([marked(0), marked(0), here, here])).toBeUndefined();
    expect(spentAfter([marked(0), marked(0), marked(0), here])).toEqual({ attempt: 0, confirmed: 0 });
    expect(spentAfter([marked(0), here, here], active, 1)).toBeUndefined();
    expect(spentAfter([marked(0), marked(0), here], active, 1)).toBeDefined();
    expect(mergeVotes(contextOf(makeFleet(3)), active, [marked(0), here], 0).active?.spent).toBeUndefined();
    // However few were heard, nobody’s word is not enough.
    expect(spentAfter([here], active, 3)).toBeUndefined();
  });

  it('is over where this node has a later success', () => {
    expect(spentAfter([marked(0), marked(0), marked(0)], used)).toBeUndefined();
    expect(spentAfter([marked(0), marked(3), marked(3)], used)).toBeUndefined();
    expect(spentAfter([marked(3), marked(3), marked(3)], used)).toEqual({ attempt: 3, confirmed: 3 });
  });

  it('of its own stays as it was', () => {
    const spent = { attempt: 10, confirmed: 0 };
    const own: RecordState = { ...active, active: { ...active.active!, attempt: 10, spent } };
    expect(spentAfter([here, here, here, here], own)).toEqual(spent);
    expect(spentAfter([marked(0), marked(0)], own)).toEqual(spent);
  });

  it('holds confirmations off and destroys nothing', () => {
    const after = mergeVotes(five, active, [marked(0), marked(0), marked(0)], 0);
    const proof = confirmation(five.fleet, first, 3);
    expect(decideConfirm(five, after, proof, []).refusal?.code).toBe('spent');
    const shown = heads(five.fleet, [1, 2, 3], used);
    expect(accepted(decideConfirm(five, after, proof, shown)).active).toMatchObject({ confirmed: 3, spent: undefined });
    expect(after.tombstone).toBeUndefined();
  });
});

describe('a store put back to a past that was left', () => {
  const voted = attempted(five, first, active, 1);
  const elsewhere = { ...factsOf(voted), active: { ...factsOf(voted).active!, vote: named('another element') } };
  const peersOf = (facts: RecordFacts) => [facts, facts, factsOf(active), factsOf(active)];

  it('does not have its own vote believed where t - 1 peers voted for another element, or went beyond', () => {
    expect(mergeVotes(five, voted, peersOf(elsewhere), 0).active?.vote).toEqual(voted.active!.vote);
    expect(mergeVotes(five, voted, peersOf(elsewhere), 0, true).active?.vote).toEqual(named('another element'));
    const beyond = { ...elsewhere, active: { ...elsewhere.active, attempt: 2 } };
    expect(mergeVotes(five, voted, peersOf(beyond), 0, true).active).toMatchObject({
      vote: undefined,
      barred: { upTo: 2 },
    });
  });

  it('keeps its vote where the peers agree with it, or too few are there to matter', () => {
    expect(mergeVotes(five, voted, peersOf(factsOf(voted)), 0, true).active?.vote).toEqual(voted.active!.vote);
    const one = [elsewhere, factsOf(active), factsOf(active), factsOf(active)];
    expect(mergeVotes(five, voted, one, 0, true).active?.vote).toEqual(voted.active!.vote);
  });

  it('drops its own open vote, and abstains from staging, where peers hold others', () => {
    const open = { blindHash: named('b'), ownerKey: named('o'), takeover: false, cancelled: false };
    const mine: RecordState = {
      ...empty,
      highest: 1,
      open: { ...open, time: 1 },
      stage: { documentHash: named('d'), document: undefined },
    };
    const theirs = { ...factsOf(mine), open: { ...open, blindHash: named('c') }, stage: named('e') };
    const after = mergeVotes(five, mine, [theirs, ...peersOf(theirs).slice(0, 3)], 0, true);
    expect(after.open).toBeUndefined();
    expect(after.stage?.documentHash).toEqual(new Uint8Array(32));
    expect(mergeVotes(five, mine, peersOf(factsOf(mine)).slice(0, 2), 2, true)).toMatchObject({
      open: mine.open,
      stage: mine.stage,
    });
  });
});
