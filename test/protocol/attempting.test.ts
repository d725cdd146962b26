/** Counting, evaluating, confirming, spending and destroying: one test per clause of the table in section 6. */

import { describe, expect, it } from 'vitest';
import {
  budgetLeft,
  type Context,
  decideAttempt,
  decideConfirm,
  decideDestroy,
  decideEvaluation,
  decideSpent,
  emptyRecord,
  encodeOwnerDeletion,
  nextAttemptAt,
  type RecordState,
  waitBefore,
} from '../../src/protocol/index.ts';
import {
  accepted,
  activated,
  attemptBody,
  attempted,
  certifyBytes,
  confirmation,
  confirmed,
  contextOf,
  enrolment,
  heads,
  makeFleet,
  NOW,
  named,
  ownerDeletion,
  placeOf,
  RECORD,
  SECOND,
  spentProof,
} from './fixtures.ts';

const fleet = makeFleet();
const context = contextOf(fleet);
const one = enrolment(fleet, 1);
const active = activated(context, one);
const codeOf = (decision: { refusal?: { code: string } }) => decision.refusal?.code;

const guess = (
  state: RecordState,
  attempt: number,
  blind = `guess ${attempt}`,
  shown: ReturnType<typeof heads> = [],
  at: Context = context,
) => decideAttempt(at, state, { generation: 1, attempt, blindHash: named(blind) }, shown);

describe('attempt', () => {
  it('votes for the next number and one blinded element', () => {
    const decision = guess(active, 1);
    expect(decision.body).toEqual(attemptBody(fleet, one, 1, named('guess 1')));
    expect(decision.state.active).toMatchObject({ attempt: 1, vote: named('guess 1'), attemptTime: NOW });
  });

  it('repeats its vote for the same element, one charge, whatever the clock says', () => {
    const slow = makeFleet(3, { waits: [0, 3600] });
    const state = accepted(guess(active, 1, 'b', [], contextOf(slow)));
    const again = guess(state, 1, 'b', [], contextOf(slow, NOW + 1));
    expect(again).toEqual({ state, body: attemptBody(fleet, one, 1, named('b')) });
  });

  it('never votes for a second element of the same number', () => {
    const state = accepted(guess(active, 1, 'mine'));
    expect(codeOf(guess(state, 1, 'other'))).toBe('conflict');
    expect(guess(state, 1, 'other').state).toBe(state);
  });

  it('votes for nothing at a number where it abstains', () => {
    const state: RecordState = { ...active, active: { ...active.active!, attempt: 2, vote: undefined } };
    expect(codeOf(guess(state, 2))).toBe('conflict');
    expect(codeOf(guess(state, 1))).toBe('conflict');
    expect(guess(state, 3).body).toBeDefined();
  });

  it('takes the same element for a higher number', () => {
    const state = accepted(guess(active, 1, 'other'));
    expect(guess(state, 2, 'mine').body).toEqual(attemptBody(fleet, one, 2, named('mine')));
  });

  it('jumps over numbers only with the heads of t nodes that show them', () => {
    const there = attempted(context, one, active, 4);
    expect(codeOf(guess(active, 5))).toBe('behind');
    expect(codeOf(guess(active, 5, 'b', heads(fleet, [2], there)))).toBe('behind');
    expect(codeOf(guess(active, 5, 'b', heads(fleet, [2, 2], there)))).toBe('behind');
    expect(codeOf(guess(active, 6, 'b', heads(fleet, [2, 3], there)))).toBe('behind');
    const newer = activated(context, enrolment(fleet, 2, { previous: one }), there);
    expect(codeOf(guess(active, 5, 'b', heads(fleet, [2, 3], newer)))).toBe('behind');
    expect(guess(active, 5, 'b', heads(fleet, [2, 3], there)).state.active).toMatchObject({
      attempt: 5,
      vote: named('b'),
    });
  });

  it('refuses numbers that are confirmed, and numbers beyond the limit since then', () => {
    const used = confirmed(context, one, attempted(context, one, active, 3), 3);
    expect(codeOf(guess(used, 3, 'guess 3'))).toBe('conflict');
    const full = attempted(context, one, used, 13);
    expect(full.active?.attempt).toBe(13);
    expect(codeOf(guess(full, 14))).toBe('spent');
    expect(codeOf(guess(used, 14, 'b', heads(fleet, [1, 2], full)))).toBe('spent');
  });

  it('never goes beyond the generation’s lifetime, however often the right PIN was used', () => {
    const short = contextOf(makeFleet(3, { limit: 3, lifetimeLimit: 5 }));
    const used = confirmed(short, one, attempted(short, one, active, 3), 3);
    const end = attempted(short, one, used, 5);
    expect(codeOf(guess(end, 6, 'b', [], short))).toBe('spent');
    expect(codeOf(guess(confirmed(short, one, end, 5), 6, 'b', [], short))).toBe('spent');
  });

  it.each([
    ['an unknown record', emptyRecord(RECORD), 'not_found'],
    ['a generation not activated here', { ...emptyRecord(RECORD), highest: 1 }, 'behind'],
    ['a destroyed generation', accepted(decideDestroy(context, active, ownerDeletion(fleet, one))), 'destroyed'],
    ['a superseded generation', activated(context, enrolment(fleet, 2, { previous: one }), active), 'superseded'],
  ] as const)('refuses %s', (_, state, code) => {
    expect(codeOf(guess(state, 1))).toBe(code);
  });
});

describe('waiting times', () => {
  const slow = makeFleet(3, { waits: [0, 0, 60, 300] });
  const at = (seconds: number) => contextOf(slow, NOW + seconds * SECOND);
  const two = attempted(at(0), one, activated(at(0), one), 2);

  it('grow with the attempts since the last success; the last entry repeats', () => {
    expect([1, 2, 3, 4, 5, 9].map((a) => waitBefore(slow.policy, a, 0) / SECOND)).toEqual([0, 0, 60, 300, 300, 300]);
    expect([8, 9, 10].map((a) => waitBefore(slow.policy, a, 7) / SECOND)).toEqual([0, 0, 60]);
  });

  it('are counted on the node’s own clock from its own vote', () => {
    const early = guess(two, 3, 'b', [], at(59.999));
    expect(early.refusal).toMatchObject({ code: 'waiting', details: { until: NOW + 60 * SECOND } });
    expect(early.state).toBe(two);
    expect(early.body).toBeUndefined();
    expect(guess(two, 3, 'b', [], at(60)).body).toBeDefined();
    expect(nextAttemptAt(slow.policy, two.active!, NOW)).toBe(NOW + 60 * SECOND);
  });

  it('are over after a forward step of the clock', () => {
    expect(guess(two, 3, 'b', [], at(1e9)).body).toBeDefined();
  });

  it('count from now after a backward step, and that is remembered', () => {
    const back = guess(two, 3, 'b', [], at(-5000));
    expect(back.refusal?.details.until).toBe(NOW - 4940 * SECOND);
    expect(back.state.active?.attemptTime).toBe(NOW - 5000 * SECOND);
    const later = guess(back.state, 3, 'b', [], at(-4941));
    expect(later.refusal?.details.until).toBe(NOW - 4940 * SECOND);
    expect(guess(back.state, 3, 'b', [], at(-4940)).body).toBeDefined();
  });

  const old: RecordState = { ...active, active: { ...active.active!, attemptTime: NOW - 9000 * SECOND } };

  it('count, for numbers learned from heads, from the latest signed time or now', () => {
    const peers = (seconds: number) => {
      const state = attempted(
        at(seconds),
        one,
        { ...two, active: { ...two.active!, attemptTime: NOW - 1000 * SECOND } },
        3,
      );
      return heads(slow, [1, 2], state, NOW + seconds * SECOND);
    };
    expect(guess(two, 4, 'b', peers(-100), at(0)).refusal).toMatchObject({
      code: 'waiting',
      details: { until: NOW + 300 * SECOND },
    });
    expect(guess(old, 4, 'b', peers(-100), at(200)).body).toBeDefined();
    expect(guess(old, 4, 'b', peers(-100), at(199)).refusal?.details.until).toBe(NOW + 200 * SECOND);
    expect(guess(two, 4, 'b', peers(90), at(0)).refusal?.details.until).toBe(NOW + 300 * SECOND);
  });

  it('count, for numbers learned from a certificate, from its latest signed time or now', () => {
    const learned = (latest: number, seconds: number) =>
      accepted(decideEvaluation(at(seconds), active, { body: attemptBody(fleet, one, 2, named('b')), latest })).active;
    expect(learned(NOW - 7, 0)).toMatchObject({ attempt: 2, vote: named('b'), attemptTime: NOW - 7 });
    expect(learned(NOW + 7, 0)?.attemptTime).toBe(NOW);
  });
});

describe('evaluation', () => {
  const certified = (attempt: number, blind = `guess ${attempt}`) => ({
    body: attemptBody(fleet, one, attempt, named(blind)),
    latest: NOW,
  });

  it('follows a certificate over this node’s own vote, abstention or lag', () => {
    for (const [attempt, vote] of [
      [3, 'own'],
      [3, undefined],
      [1, 'own'],
    ] as const) {
      const state: RecordState = {
        ...active,
        active: { ...active.active!, attempt, vote: vote ? named(vote) : undefined },
      };
      const after = accepted(decideEvaluation(context, state, certified(3)));
      expect(after.active).toMatchObject({ attempt: 3, vote: named('guess 3') });
    }
  });

  it('changes nothing where the certificate is old news, and still allows it', () => {
    const state = attempted(context, one, active, 5);
    const decision = decideEvaluation(context, state, certified(2));
    expect(decision.refusal).toBeUndefined();
    expect(decision.state.active).toEqual(state.active);
    const same = decideEvaluation(context, state, certified(5));
    expect(same.state.active).toBe(state.active);
  });

  it('is refused once that number or a later one is confirmed', () => {
    const state = confirmed(context, one, attempted(context, one, active, 3), 2);
    expect(codeOf(decideEvaluation(context, state, certified(1)))).toBe('conflict');
    expect(codeOf(decideEvaluation(context, state, certified(2)))).toBe('conflict');
    expect(decideEvaluation(context, state, certified(3)).refusal).toBeUndefined();
  });

  it('is refused for another document, record or generation', () => {
    const other = { body: { ...certified(1).body, documentHash: named('other') }, latest: NOW };
    expect(codeOf(decideEvaluation(context, active, other))).toBe('untrusted');
    expect(codeOf(decideEvaluation(context, emptyRecord(named('x')), certified(1)))).toBe('untrusted');
    expect(codeOf(decideEvaluation(context, emptyRecord(RECORD), certified(1)))).toBe('not_found');
    const next = activated(context, enrolment(fleet, 2, { previous: one }), active);
    expect(codeOf(decideEvaluation(context, next, certified(1)))).toBe('superseded');
    const gone = accepted(decideDestroy(context, active, ownerDeletion(fleet, one)));
    expect(codeOf(decideEvaluation(context, gone, certified(1)))).toBe('destroyed');
  });
});

describe('confirm', () => {
  const state = attempted(context, one, active, 4);
  const confirm = (proof = confirmation(fleet, one, 4), before = state, shown: ReturnType<typeof heads> = []) =>
    decideConfirm(context, before, proof, shown);

  it('gives the budget back and keeps its proof', () => {
    const proof = confirmation(fleet, one, 4);
    const decision = confirm(proof);
    expect(decision.body).toEqual({ kind: 'confirmed', ...placeOf(fleet, 1), attempt: 4 });
    expect(decision.state.active).toMatchObject({ attempt: 4, confirmed: 4, confirmation: proof });
    expect(budgetLeft(fleet.policy, 4, 4)).toBe(10);
  });

  it('raises the attempts of a node that lags, and lowers nothing', () => {
    expect(confirm(confirmation(fleet, one, 4), active).state.active).toMatchObject({
      attempt: 4,
      confirmed: 4,
      vote: named('guess 4'),
    });
    expect(confirm(confirmation(fleet, one, 2)).state.active).toMatchObject({
      attempt: 4,
      confirmed: 2,
      vote: named('guess 4'),
    });
  });

  it('repeats its receipt, also for older numbers, and keeps the newest proof', () => {
    const after = confirm().state;
    for (const attempt of [2, 4]) {
      const again = confirm(confirmation(fleet, one, attempt), after);
      expect(again.state).toBe(after);
      expect(again.body).toMatchObject({ kind: 'confirmed', attempt });
    }
  });

  it('refuses a signature that is not by the confirm key over exactly this attempt', () => {
    const right = confirmation(fleet, one, 4);
    expect(codeOf(confirm({ ...right, signature: confirmation(fleet, one, 3).signature }))).toBe('forbidden');
    expect(codeOf(confirm({ ...right, signature: confirmation(fleet, one, 4, named('x')).signature }))).toBe(
      'forbidden',
    );
    const impostor = { ...one, confirmKey: one.owner };
    expect(codeOf(confirm(confirmation(fleet, impostor, 4)))).toBe('forbidden');
  });

  it('refuses a certificate of another record, document or generation, or by too few', () => {
    const elsewhere = enrolment(fleet, 1, { record: named('x') });
    expect(codeOf(confirm(confirmation(fleet, elsewhere, 4)))).toBe('untrusted');
    const other = { ...one, documentHash: named('x') };
    expect(codeOf(confirm(confirmation(fleet, other, 4)))).toBe('untrusted');
    const next = enrolment(fleet, 2, { previous: one });
    expect(codeOf(confirm(confirmation(fleet, next, 4)))).toBe('behind');
    expect(codeOf(confirm(undefined, activated(context, next, active)))).toBe('superseded');
    expect(() => confirm(confirmation(fleet, one, 4, undefined, { nodes: [1] }))).toThrow(/too few/);
  });

  it('is held off by a node that voted spent until t heads show it', () => {
    const spent: RecordState = { ...state, active: { ...state.active!, spent: { attempt: 4, confirmed: 0 } } };
    const there = confirmed(context, one, state, 4);
    expect(codeOf(confirm(undefined, spent))).toBe('spent');
    expect(codeOf(confirm(undefined, spent, heads(fleet, [1], there)))).toBe('spent');
    expect(codeOf(confirm(undefined, spent, heads(fleet, [1, 2], confirmed(context, one, state, 3))))).toBe('spent');
    const reopened = confirm(undefined, spent, heads(fleet, [1, 2], there));
    expect(reopened.state.active).toMatchObject({ confirmed: 4, spent: undefined });
  });
});

describe('spent', () => {
  const full = attempted(context, one, active, 10);
  const all = [1, 2, 3];
  const shown = heads(fleet, all, full);
  const spend = (
    state: RecordState,
    change: { attempt?: number; confirmed?: number; generation?: number } = {},
    by = shown,
    at = context,
  ) => decideSpent(at, state, { generation: 1, attempt: 10, confirmed: 0, ...change }, by);

  it('is voted where this node and t + 1 heads together show no budget', () => {
    const decision = spend(full);
    expect(decision.body).toEqual({ kind: 'spent', ...placeOf(fleet, 1), attempt: 10, confirmed: 0 });
    expect(decision.state.active?.spent).toEqual({ attempt: 10, confirmed: 0 });
    expect(spend(decision.state)).toEqual(decision);
  });

  it('is voted neither by its own count alone nor with the heads of a mere majority', () => {
    expect(codeOf(spend(full, {}, []))).toBe('behind');
    expect(codeOf(spend(full, {}, heads(fleet, [1, 2, 2, 1], full)))).toBe('behind');
    expect(codeOf(spend(full, {}, heads(fleet, all, { ...full, record: named('x') })))).toBe('behind');
    const five = makeFleet(5);
    const of = contextOf(five);
    const record = activated(of, enrolment(five, 1));
    const used = attempted(of, enrolment(five, 1), record, 10);
    expect(codeOf(spend(used, {}, heads(five, [1, 2, 3], used), of))).toBe('behind');
    expect(spend(used, {}, heads(five, [1, 2, 3, 5], used), of).body?.kind).toBe('spent');
  });

  it('is voted for its own count whatever lower ones the heads show, and for a higher one only of t heads', () => {
    expect(spend(full, {}, heads(fleet, all, active)).body?.kind).toBe('spent');
    const nine = attempted(context, one, active, 9);
    for (const state of [nine, active]) {
      expect(codeOf(spend(state, {}, heads(fleet, all, nine)))).toBe('conflict');
      expect(codeOf(spend(state, {}, [...heads(fleet, [1], full), ...heads(fleet, [2, 3], nine)]))).toBe('conflict');
      // A node whose token was replaced has no count: the others could else never destroy what they have counted to the end.
      const followed = spend(state, {}, [...heads(fleet, [1, 2], full), ...heads(fleet, [3], state)]);
      expect(followed.body?.kind).toBe('spent');
      expect(followed.state.active).toMatchObject({ attempt: state.active!.attempt, spent: { attempt: 10 } });
    }
  });

  it('is never voted for numbers that are only barred, here or in the heads', () => {
    const barring: RecordState = { ...active, active: { ...active.active!, barred: { upTo: 10, vote: undefined } } };
    expect(codeOf(spend(barring, {}, heads(fleet, all, barring)))).toBe('conflict');
    expect(codeOf(spend(barring, {}, [...heads(fleet, [1, 2], barring), ...heads(fleet, [3], full)]))).toBe('conflict');
  });

  it('is not voted where a head or this node shows a confirmation', () => {
    const used = confirmed(context, one, full, 10);
    expect(codeOf(spend(full, {}, [...heads(fleet, [1, 2], full), ...heads(fleet, [3], used)]))).toBe('conflict');
    expect(codeOf(spend(used))).toBe('conflict');
    expect(codeOf(spend(used, { confirmed: 10 }))).toBe('conflict');
  });

  it('is not voted with other numbers than the heads show, or while attempts are left', () => {
    expect(codeOf(spend(full, { attempt: 11 }))).toBe('conflict');
    const nine = attempted(context, one, active, 9);
    expect(codeOf(spend(nine, { attempt: 9 }, heads(fleet, all, nine)))).toBe('conflict');
    expect(codeOf(spend(full, { generation: 2 }))).toBe('behind');
  });

  describe('with a delay in the policy', () => {
    const patient = makeFleet(3, { destroyAfter: 100 });
    const at = (seconds: number) => contextOf(patient, NOW + seconds * SECOND);
    const signedAt = (seconds: number, nodes = all) =>
      heads(fleet, nodes, full).map(({ signer, body }) => ({
        signer: { ...signer, time: NOW + seconds * SECOND },
        body,
      }));

    it('waits since its own last vote', () => {
      const late = signedAt(1000);
      expect(spend(full, {}, late, at(99)).refusal).toMatchObject({
        code: 'waiting',
        details: { until: NOW + 100 * SECOND },
      });
      expect(spend(full, {}, late, at(100)).body?.kind).toBe('spent');
      const back = spend(full, {}, late, at(-500));
      expect(back.refusal?.details.until).toBe(NOW - 400 * SECOND);
      expect(codeOf(spend(back.state, {}, late, at(-401)))).toBe('waiting');
      expect(spend(back.state, {}, late, at(-400)).body?.kind).toBe('spent');
    });

    it('counts no head from before the same delay has passed since that node’s last vote', () => {
      expect(codeOf(spend(full, {}, signedAt(99.999), at(500)))).toBe('behind');
      expect(codeOf(spend(full, {}, [...signedAt(100, [1, 2]), ...signedAt(99.999, [3])], at(500)))).toBe('behind');
      expect(spend(full, {}, signedAt(100), at(500)).body?.kind).toBe('spent');
    });
  });
});

describe('destroy', () => {
  it('deletes the document with the owner’s signature; the tombstone stays with its proof', () => {
    const proof = ownerDeletion(fleet, one);
    const decision = decideDestroy(context, active, proof);
    expect(decision.body).toEqual({ kind: 'destroyed', ...placeOf(fleet, 1) });
    expect(decision.state).toEqual({ ...emptyRecord(RECORD), highest: 1, tombstone: proof });
    expect(decideDestroy(context, decision.state, proof)).toEqual(decision);
  });

  it('deletes with the votes of more than a majority that the budget is spent', () => {
    expect(decideDestroy(context, active, spentProof(fleet, one, 10, 0)).state).toMatchObject({
      active: undefined,
      tombstone: { generation: 1, kind: 'spent' },
    });
    for (const [n, votes] of [
      [3, [1, 2]],
      [5, [1, 2, 3]],
      [9, [1, 2, 3, 4, 5]],
    ] as const) {
      const of = makeFleet(n);
      const record = activated(contextOf(of), enrolment(of, 1));
      const proof = (nodes: readonly number[]) => spentProof(of, enrolment(of, 1), 10, 0, { nodes });
      expect(() => decideDestroy(contextOf(of), record, proof(votes))).toThrow(/too few/);
      expect(accepted(decideDestroy(contextOf(of), record, proof([...votes, n]))).active).toBeUndefined();
    }
  });

  it('takes no proof of another generation or record, or that shows attempts left', () => {
    const second = enrolment(fleet, 2, { previous: one });
    const elsewhere = enrolment(fleet, 1, { record: named('x') });
    for (const proof of [
      { ...ownerDeletion(fleet, second), generation: 1 },
      ownerDeletion(fleet, elsewhere),
      { ...spentProof(fleet, second, 10, 0), generation: 1 },
      spentProof(fleet, elsewhere, 10, 0),
      spentProof(fleet, one, 9, 0),
      spentProof(fleet, one, 10, 1),
    ]) {
      expect(() => decideDestroy(context, active, proof)).toThrow(expect.objectContaining({ code: 'untrusted' }));
    }
  });

  it('takes nobody else’s signature and no lone certificate', () => {
    expect(codeOf(decideDestroy(context, active, ownerDeletion(fleet, one, named('stranger'))))).toBe('owner_required');
    const lone = spentProof(fleet, one, 10, 0, { nodes: [1] });
    expect(() => decideDestroy(context, active, lone)).toThrow(expect.objectContaining({ code: 'untrusted' }));
    const open = certifyBytes(fleet, one.open, { nodes: [1] });
    const proof = encodeOwnerDeletion({
      openCertificate: open,
      stageCertificate: undefined,
      signature: new Uint8Array(64),
    });
    expect(() => decideDestroy(context, active, { generation: 1, kind: 'owner', proof })).toThrow(/too few/);
    const majority = certifyBytes(fleet, one.open, { nodes: [1, 2] });
    const opened = encodeOwnerDeletion({
      openCertificate: majority,
      stageCertificate: undefined,
      signature: new Uint8Array(64),
    });
    expect(() => decideDestroy(context, active, { generation: 1, kind: 'owner', proof: opened })).toThrow(
      /one vote fewer/,
    );
  });

  it('drops older generations and what was under way for them, and spares newer ones', () => {
    const second = enrolment(fleet, 2, { previous: one });
    const newer = activated(context, second, active);
    const after = accepted(decideDestroy(context, newer, ownerDeletion(fleet, one)));
    expect(after).toMatchObject({ highest: 2, tombstone: { generation: 1 }, active: { generation: 2 } });
    const gone = accepted(decideDestroy(context, after, ownerDeletion(fleet, second)));
    expect(gone).toMatchObject({ highest: 2, tombstone: { generation: 2 }, active: undefined });
    expect(decideDestroy(context, gone, ownerDeletion(fleet, one)).state).toBe(gone);
  });
});
