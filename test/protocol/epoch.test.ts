/** Changes of membership, as pure functions: who may follow whom, what old certificates prove, whom to join by. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  agreeingLeavers,
  checkFleet,
  decideActivate,
  decideAttempt,
  decideConfirm,
  decideEvaluation,
  decideStage,
  decodeCertificate,
  emptyNodeState,
  emptyRecord,
  encodeSignedStatement,
  endangeredEpochs,
  enterEpoch,
  type Fleet,
  factsOf,
  fencesAgree,
  isRetained,
  latestTime,
  leaveEpoch,
  liveShares,
  membershipDigest,
  mergeVotes,
  newNodeState,
  openDocument,
  openLeave,
  provenActivation,
  provenConfirmation,
  provenTombstone,
  type RecordState,
  type Signer,
  StatementVerifier,
  successorOf,
  threshold,
} from '../../src/protocol/index.ts';
import {
  accepted,
  activated,
  attemptBody,
  attempted,
  certify,
  certifyBytes,
  cheapChecks,
  confirmation,
  contextOf,
  enrolment,
  makeFleet,
  named,
  ownerDeletion,
  placeOf,
  point,
  RECORD,
  signStatement,
} from './fixtures.ts';

const token = (name: string) => ({
  identity: point(`${name} identity`),
  session: point(`${name} session`),
  oprf: point(`${name} oprf`),
});
const replaced = (fleet: Fleet, ...nodes: number[]) =>
  successorOf(fleet, new Map(nodes.map((node) => [node, token(`${fleet.epoch} ${node}`)])));

const old = makeFleet(5);
const now = replaced(old, 2);
const context = contextOf(now);
const first = enrolment(old, 1);
const refused = (code: string) => expect.objectContaining({ code });

describe('a fleet’s description', () => {
  it('carries the epochs before it, oldest first, with their keys', () => {
    const third = replaced(now, 4);
    expect(() => checkFleet(third)).not.toThrow();
    expect(third.earlier?.map(({ epoch }) => epoch)).toEqual([1, 2]);
    expect([1, 2, 3, 4, 5].filter((node) => isRetained(third, 1, node))).toEqual([1, 3, 5]);
    expect([1, 2, 3, 4, 5].filter((node) => isRetained(third, 2, node))).toEqual([1, 2, 3, 5]);
    expect(isRetained(third, 7, 1)).toBe(false);
  });

  it.each<[string, (fleet: Fleet) => Partial<Fleet>]>([
    ['a gap before this epoch', (fleet) => ({ epoch: fleet.epoch + 1 })],
    ['epochs out of order', (fleet) => ({ earlier: [fleet.earlier![0]!, fleet.earlier![0]!] })],
    ['an epoch below 1', ({ earlier }) => ({ earlier: [{ ...earlier![0]!, epoch: 0 }, earlier![0]!] })],
    ['another number of nodes', ({ earlier }) => ({ earlier: [{ epoch: 1, nodes: earlier![0]!.nodes.slice(0, 3) }] })],
    ['a token that moved', ({ nodes }) => ({ nodes: [nodes[1]!, nodes[0]!, ...nodes.slice(2)] })],
    [
      'a key in another use',
      ({ nodes }) => ({
        nodes: [{ ...nodes[0]!, identity: nodes[0]!.oprf, oprf: nodes[0]!.identity }, ...nodes.slice(1)],
      }),
    ],
    [
      'one key twice in one epoch',
      ({ earlier }) => ({
        earlier: [{ epoch: 1, nodes: earlier![0]!.nodes.map(() => earlier![0]!.nodes[0]!) }],
      }),
    ],
    [
      'more epochs than it may',
      ({ earlier }) => ({
        epoch: 18,
        earlier: Array.from({ length: 17 }, (_, i) => ({ ...earlier![0]!, epoch: i + 1 })),
      }),
    ],
  ])('with %s is refused', (_, change) => {
    const fleet = makeFleet(5, {}, { epoch: 2, earlier: [{ ...old, epoch: 1 }] });
    expect(() => checkFleet(fleet)).not.toThrow();
    expect(() => checkFleet({ ...fleet, ...change(fleet) })).toThrow(refused('bad_input'));
  });

  it('keeps t nodes of the one before it, or is a new fleet', () => {
    expect(() => replaced(old, 1, 2)).not.toThrow();
    expect(() => replaced(old, 1, 2, 3)).toThrow(/keeps 2 nodes and 3 are needed/);
  });

  it('tells of which epochs some records may have too few shares left', () => {
    expect(old.policy.minimumShares).toBe(4);
    expect(endangeredEpochs(now)).toEqual([]);
    const third = replaced(now, 4);
    expect(endangeredEpochs(third)).toEqual([1]);
    expect(endangeredEpochs({ ...third, policy: { ...third.policy, minimumShares: 5 } })).toEqual([]);
  });
});

describe('what an earlier epoch certified', () => {
  it('still proves activation, confirmation and deletion, by that epoch’s keys', () => {
    const proven = provenActivation(context.verifier, RECORD, first.proof);
    expect(proven.document.epoch).toBe(1);
    expect(provenConfirmation(context.verifier, first.content, first.documentHash, confirmation(old, first, 3))).toBe(
      3,
    );
    expect(provenTombstone(context.verifier, RECORD, ownerDeletion(old, first))).toBe(1);
    const state = accepted(decideActivate(context, emptyRecord(RECORD), first.proof));
    const after = accepted(decideConfirm(context, state, confirmation(old, first, 3), []));
    expect(after.active).toMatchObject({ confirmed: 3, attempt: 3 });
  });

  it('proves nothing where the epoch’s keys are not carried, or others signed it', () => {
    const without = contextOf({ ...now, earlier: [] } as Fleet);
    expect(() => provenActivation(without.verifier, RECORD, first.proof)).toThrow(refused('untrusted'));
    const impostor = { ...now, epoch: 1 };
    const forged = enrolment(impostor, 1);
    expect(() => provenActivation(context.verifier, RECORD, forged.proof)).toThrow(refused('untrusted'));
  });

  it('does not mix: opening, staging and document are of one epoch', () => {
    const again = enrolment(now, 1);
    for (const [proof] of [
      [{ ...again.proof, openCertificate: certifyBytes(old, { ...again.open, epoch: 1 }) }],
      [{ ...first.proof, openCertificate: certifyBytes(now, { ...first.open, epoch: 2 }) }],
    ] as const) {
      const decision = decideActivate(context, emptyRecord(RECORD), proof);
      expect(decision.refusal?.code).toBe('untrusted');
      expect(() => provenActivation(context.verifier, RECORD, proof)).toThrow(refused('untrusted'));
    }
  });

  it('evaluates nothing: its attempts must be voted for again', () => {
    const certificate = certify(old, attemptBody(old, first, 1, named('element')));
    expect(() => context.verifier.certificate(certificate, 'attempt')).toThrow(refused('untrusted'));
    const state = activated(context, first);
    const vote = decideAttempt(context, state, { generation: 1, attempt: 1, blindHash: named('element') }, []);
    expect(vote.body).toMatchObject({ kind: 'attempt', epoch: 2, attempt: 1 });
    const body = context.verifier.certificate(certify(now, vote.body!), 'attempt');
    expect(decideEvaluation(context, accepted(vote), { body, latest: 1 }).refusal).toBeUndefined();
  });

  it('stages nothing: a document of an earlier epoch comes with its activation or not at all', () => {
    const opened = {
      body: { ...first.open, epoch: 2 },
      latest: latestTime(decodeCertificate(first.openCertificate).signatures.map(({ signer }) => signer)),
    };
    expect(decideStage(context, emptyRecord(RECORD), first.document, opened).refusal?.code).toBe('untrusted');
    expect(openDocument(first.document, now, cheapChecks).epoch).toBe(1);
  });

  it('has the shares of those nodes only whose tokens are the same', () => {
    expect(liveShares(now, first.content).map(({ node }) => node)).toEqual([1, 3, 4, 5]);
    expect(liveShares(now, enrolment(now, 2).content)).toHaveLength(5);
  });
});

describe('a node’s own state', () => {
  const joinedOld = { ...newNodeState(old), fences: [3, 4, 1, 1, 1], incarnation: 3 };

  it('of a first epoch has nothing to join; of a later one it has', () => {
    expect(newNodeState(old)).toMatchObject({ epoch: 1, joined: true, sound: true, incarnation: 1 });
    expect(newNodeState(now)).toMatchObject({ epoch: 2, joined: false, sound: true });
    expect(enterEpoch(emptyNodeState(5), now)).toMatchObject({ epoch: 2, joined: false, sound: false });
  });

  it('leaves once: again for the same, never for another', () => {
    const left = leaveEpoch(joinedOld, now, named('root'));
    expect(left.left).toEqual({ next: membershipDigest(now), root: named('root') });
    expect(leaveEpoch(left, now, named('another root'))).toBe(left);
    expect(() => leaveEpoch(left, replaced(old, 3), named('root'))).toThrow(refused('conflict'));
  });

  it('enters the next epoch with new fences, its incarnation and its leave', () => {
    const left = leaveEpoch(joinedOld, now, named('root'));
    const entered = enterEpoch(left, now, named('leave'));
    expect(entered).toMatchObject({ epoch: 2, incarnation: 3, fences: [0, 0, 0, 0, 0], joined: false, sound: true });
    expect(entered.left).toBeUndefined();
    expect(entered.leave).toEqual(named('leave'));
    expect(enterEpoch(entered, now)).toBe(entered);
  });

  it('goes neither back, nor to another membership of its epoch, nor past the one that it left for', () => {
    const left = leaveEpoch(joinedOld, now, named('root'));
    expect(() => enterEpoch(left, old)).toThrow(/has left epoch 1/);
    expect(() => enterEpoch(left, replaced(old, 3))).toThrow(/other nodes/);
    const entered = enterEpoch(left, now);
    expect(() => enterEpoch(entered, old)).toThrow(/gone on to epoch 2/);
    expect(() => enterEpoch(entered, replaced(old, 3))).toThrow(/names other nodes/);
  });
});

describe('a leave statement', () => {
  const body = { kind: 'leave', fleet: 'test', epoch: 1, next: membershipDigest(now), root: named('root') } as const;
  const statement = (node: number, change: object = {}, fleet = old) =>
    encodeSignedStatement(signStatement(fleet, node, { ...body, ...change }));

  it('counts of a node that is kept, for this membership', () => {
    expect(openLeave(context.verifier, statement(3)).node).toBe(3);
  });

  it.each([
    ['of a replaced node', statement(2)],
    ['for another membership', statement(3, { next: membershipDigest(replaced(old, 3)) })],
    ['of this epoch', statement(3, { epoch: 2 }, now)],
    ['by another’s key', statement(3, {}, makeFleet(5, {}, { nodes: [...now.nodes.slice(1), now.nodes[0]!] }))],
    ['of another kind', encodeSignedStatement(signStatement(old, 3, { kind: 'destroyed', ...placeOf(old, 1) }))],
  ])('%s does not', (_, encoded) => {
    expect(() => openLeave(context.verifier, encoded)).toThrow(refused('untrusted'));
  });

  const leaver = (node: number, incarnation: number, fences: number[]): Signer => ({
    node,
    incarnation,
    sequence: 1,
    time: 1,
    fences,
  });

  it('of a node that was put back and served again counts with no t others', () => {
    // Node 1 left in incarnation 2, was put back, and rejoined as 3: of any two others one has fenced 2 off.
    const put = leaver(1, 2, [2, 1, 1]);
    expect(agreeingLeavers([put, leaver(2, 1, [3, 1, 1])])).toHaveLength(1);
    const others = [leaver(2, 1, [3, 1, 1, 1, 1]), leaver(3, 1, [2, 1, 1, 1, 1]), leaver(4, 1, [3, 1, 1, 1, 1])];
    expect(agreeingLeavers([leaver(1, 2, [2, 1, 1, 1, 1]), ...others])).toEqual(others);
  });

  it('that lies about fences keeps no honest ones from counting', () => {
    const liar = leaver(5, 1, [9, 9, 9, 9, 1]);
    const honest = [1, 2, 3].map((node) => leaver(node, 1, [1, 1, 1, 1, 1]));
    expect(agreeingLeavers([liar, ...honest])).toEqual(honest);
  });

  it('is chosen into the largest set that agrees', () => {
    const fences = fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 5 });
    const signers = fc.array(fc.tuple(fc.integer({ min: 1, max: 2 }), fences), { minLength: 0, maxLength: 5 });
    fc.assert(
      fc.property(signers, (given) => {
        const all = given.map(([incarnation, one], i) => leaver(i + 1, incarnation, one));
        const chosen = agreeingLeavers(all);
        expect(fencesAgree(chosen)).toBe(true);
        for (let set = 0; set < 2 ** all.length; set++) {
          const some = all.filter((_, i) => (set >> i) & 1);
          if (some.length > chosen.length) expect(fencesAgree(some)).toBe(false);
        }
      }),
    );
  });
});

describe('what a node that joins an epoch takes over', () => {
  /** What `node`, which voted for numbers up to `upTo` in the old epoch, tells. */
  const told = (upTo: number) => factsOf(attempted(contextOf(old), first, activated(contextOf(old), first), upTo));

  it('bars every number that the old epoch may have certified, whichever t nodes left it', () => {
    const t = threshold(old);
    fc.assert(
      fc.property(
        fc.shuffledSubarray([1, 2, 3, 4, 5], { minLength: t, maxLength: t }),
        fc.shuffledSubarray([1, 3, 4, 5], { minLength: t, maxLength: 4 }),
        (signers, leavers) => {
          const heard = leavers.map((node) => told(signers.includes(node) ? 4 : 0));
          const state = mergeVotes(context, activated(context, first), heard, 4 - heard.length);
          expect(state.active?.barred?.upTo).toBe(4);
        },
      ),
    );
  });

  it('keeps what it had barred itself, although nobody else voted there', () => {
    const before = activated(context, first);
    const barred: RecordState = { ...before, active: { ...before.active!, barred: { upTo: 3, vote: named('a') } } };
    const kept = { generation: 1, upTo: 3, vote: named('a') };
    expect(mergeVotes(context, barred, [told(0), told(0)], 2).active?.barred).toBeUndefined();
    expect(mergeVotes(context, barred, [told(0), told(0)], 2, false, kept).active?.barred).toEqual({
      upTo: 3,
      vote: named('a'),
    });
    expect(mergeVotes(context, barred, [told(4), told(4)], 2, false, kept).active?.barred?.upTo).toBe(4);
    // Where others vote there for another element, it votes for none.
    const other = mergeVotes(context, barred, [told(3), told(3)], 2, false, kept).active?.barred;
    expect(other).toEqual({ upTo: 3, vote: undefined });
    const elsewhere = { ...kept, generation: 2 };
    expect(mergeVotes(context, barred, [told(0)], 2, false, elsewhere).active?.barred).toBeUndefined();
  });
});

describe('the verifier', () => {
  it('knows the epochs that the fleet carries and no other', () => {
    const verifier = new StatementVerifier(replaced(now, 4), cheapChecks);
    expect(verifier.at(1).fleet.nodes[1]!.identity).toEqual(old.nodes[1]!.identity);
    expect(verifier.at(2).fleet.nodes[1]!.identity).toEqual(now.nodes[1]!.identity);
    for (const epoch of [0, 4, 99]) expect(() => verifier.at(epoch)).toThrow(refused('untrusted'));
  });
});
