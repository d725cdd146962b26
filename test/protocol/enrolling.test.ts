/** Opening, staging, activating and taking over: one test per clause of the table in section 6. */

import { describe, expect, it } from 'vitest';
import {
  type Body,
  type Context,
  cancelObjection,
  decideActivate,
  decideCancel,
  decideDestroy,
  decideEvaluation,
  decideOpen,
  decideStage,
  documentHash,
  emptyRecord,
  encodeActivation,
  encodeDocument,
  encodeOwnerAction,
  encodeOwnerDeletion,
  type Handover,
  mergeCertified,
  type OpenRequest,
  portable,
  type RecordState,
} from '../../src/protocol/index.ts';
import {
  accepted,
  activated,
  attempted,
  authorise,
  certifyBytes,
  confirmed,
  contextOf,
  type Enrolment,
  enrolment,
  heads,
  makeFleet,
  NOW,
  named,
  ownerDeletion,
  placeOf,
  RECORD,
  SECOND,
  sign,
} from './fixtures.ts';

const fleet = makeFleet();
const context = contextOf(fleet);
const first = enrolment(fleet, 1);
const second = enrolment(fleet, 2, { previous: first });
const empty = emptyRecord(RECORD);
const active = activated(context, first);

const request = (one: Enrolment, previous?: Enrolment): OpenRequest => {
  const { generation, open } = one;
  const { blindHash, ownerKey, takeover } = open;
  const authorisation = previous && authorise(fleet, previous, { generation, blindHash, ownerKey });
  return { generation, blindHash, ownerKey, takeover, authorisation };
};
const certified = (one: Enrolment) => ({ body: one.open });
const refused = (code: string) => expect.objectContaining({ code });
const codeOf = (decision: { refusal?: { code: string } }) => decision.refusal?.code;

describe('open', () => {
  it('votes for one blinded element and owner of the first generation', () => {
    const decision = decideOpen(context, empty, request(first), []);
    expect(decision.body).toEqual(first.open);
    expect(decision.state).toMatchObject({
      highest: 1,
      open: { blindHash: first.blindHash, cancelled: false, time: NOW },
    });
  });

  it('repeats its vote for the same request and changes nothing', () => {
    const state = accepted(decideOpen(context, empty, request(first), []));
    const again = decideOpen(contextOf(fleet, NOW + 5000), state, request(first), []);
    expect(again).toEqual({ state, body: first.open });
  });

  it.each([
    ['another blinded element', { blindHash: named('other') }],
    ['another owner', { ownerKey: named('other') }],
    ['a takeover instead', { takeover: true }],
  ])('refuses %s for the same generation', (_, change) => {
    const state = accepted(decideOpen(context, empty, request(first), []));
    const decision = decideOpen(context, state, { ...request(first), ...change }, []);
    expect(codeOf(decision)).toBe('conflict');
    expect(decision.state).toBe(state);
  });

  it('refuses a generation below the highest that it saw', () => {
    const state: RecordState = { ...empty, highest: 3 };
    for (const generation of [1, 2, 3]) {
      expect(codeOf(decideOpen(context, state, { ...request(first), generation }, []))).toBe('conflict');
    }
  });

  it('jumps a generation only with the heads of t nodes', () => {
    const third = enrolment(fleet, 3);
    const there: RecordState = { ...empty, highest: 2 };
    const jump = (shown: ReturnType<typeof heads>) => codeOf(decideOpen(context, empty, request(third), shown));
    expect(jump([])).toBe('behind');
    expect(jump(heads(fleet, [1], there))).toBe('behind');
    expect(jump(heads(fleet, [1, 1], there))).toBe('behind');
    expect(jump(heads(fleet, [1, 2], { ...empty, highest: 1 }))).toBe('behind');
    expect(jump(heads(fleet, [1, 2], { ...there, record: named('other') }))).toBe('behind');
    expect(jump(heads(fleet, [1, 2], there))).toBeUndefined();
  });

  it('drops the stage vote of the generation before', () => {
    const staged: RecordState = { ...empty, highest: 1, stage: { documentHash: named('d'), document: undefined } };
    expect(accepted(decideOpen(context, staged, request(enrolment(fleet, 2)), [])).stage).toBeUndefined();
  });

  it('replaces an active record only with its owner’s signature over all of it', () => {
    const right = request(second, first);
    expect(decideOpen(context, active, right, []).body).toEqual(second.open);
    expect(codeOf(decideOpen(context, active, request(second), []))).toBe('owner_required');
    for (const change of [{ blindHash: named('other') }, { ownerKey: named('other') }]) {
      expect(codeOf(decideOpen(context, active, { ...right, ...change }, []))).toBe('owner_required');
    }
    const stranger = enrolment(fleet, 1, { owner: 'stranger' });
    expect(codeOf(decideOpen(context, active, request(second, stranger), []))).toBe('owner_required');
  });

  it('tells a node that missed the authorising generation to catch up, and refuses one that is outdated', () => {
    const third = enrolment(fleet, 3, { previous: second });
    const shown = heads(fleet, [1, 2], { ...empty, highest: 2 });
    expect(codeOf(decideOpen(context, active, request(third, second), shown))).toBe('behind');
    const ahead = activated(context, second, active);
    expect(codeOf(decideOpen(context, ahead, request(third, first), shown))).toBe('owner_required');
  });
});

describe('takeover', () => {
  const opening: OpenRequest = { ...request(enrolment(fleet, 2, { takeover: true })), takeover: true };
  const taken = enrolment(fleet, 2, { takeover: true });

  it('is refused where the policy is off', () => {
    expect(codeOf(decideOpen(context, active, opening, []))).toBe('owner_required');
    const opened: RecordState = { ...active, highest: 2, open: { ...openOf(taken), time: NOW } };
    expect(codeOf(decideStage(context, opened, taken.document, undefined))).toBe('owner_required');
    expect(codeOf(decideActivate(context, active, taken.proof))).toBe('owner_required');
  });

  it('is taken at once where the policy is immediate, and flagged', () => {
    const at = contextOf(makeFleet(3, { takeover: { kind: 'immediate' } }));
    const opened = accepted(decideOpen(at, active, opening, []));
    const staged = accepted(decideStage(at, opened, taken.document, undefined));
    const after = accepted(decideActivate(at, staged, taken.proof));
    expect(after.active?.generation).toBe(2);
    expect(taken.content.takeover).toBe(true);
  });

  it('may not hide behind a document that does not say so', () => {
    const at = contextOf(makeFleet(3, { takeover: { kind: 'immediate' } }));
    const hidden = enrolment(fleet, 2, { takeover: true, content: { takeover: false } });
    const opened = accepted(decideOpen(at, active, opening, []));
    expect(codeOf(decideStage(at, opened, hidden.document, undefined))).toBe('owner_required');
    expect(codeOf(decideActivate(at, active, hidden.proof))).toBe('untrusted');
  });

  describe('delayed', () => {
    const delayed = makeFleet(3, { takeover: { kind: 'delayed', seconds: 100 } });
    const at = (seconds: number) => contextOf(delayed, NOW + seconds * SECOND);
    const opened = accepted(decideOpen(at(0), active, opening, []));
    const evaluated = (when: Context, state: RecordState) =>
      decideEvaluation(when, state, { body: taken.open, latest: NOW - 500 * SECOND });
    const cancelSignature = (generation: number, owner = first.owner) =>
      sign(owner, encodeOwnerAction({ fleet: fleet.fleet, record: RECORD, generation, action: 'cancel' }));

    it('may be staged only when the delay has passed on this node’s clock', () => {
      const early = decideStage(at(99.999), opened, taken.document, undefined);
      expect(early.refusal).toMatchObject({ code: 'waiting', details: { until: NOW + 100 * SECOND } });
      expect(early.state).toBe(opened);
      expect(decideStage(at(100), opened, taken.document, undefined).body).toMatchObject({
        kind: 'stage',
        generation: 2,
      });
    });

    it('counts from now after a backward step of the clock', () => {
      const stepped = decideStage(at(-1000), opened, taken.document, undefined);
      expect(stepped.refusal).toMatchObject({ code: 'waiting', details: { until: NOW - 900 * SECOND } });
      expect(codeOf(decideStage(at(-901), stepped.state, taken.document, undefined))).toBe('waiting');
      expect(decideStage(at(-900), stepped.state, taken.document, undefined).body?.kind).toBe('stage');
    });

    it('counts, where the opening was learned from a certificate, from when it was learned', () => {
      // Not seen as opened here: it may have been cancelled before, so this node stays out of it.
      expect(codeOf(decideStage(at(100), { ...active, highest: 2 }, taken.document, certified(taken)))).toBe(
        'owner_required',
      );
      // However long ago it was certified: nobody who asked this node could have known of it.
      const learned = decideStage(at(500), active, taken.document, certified(taken));
      expect(learned.refusal).toMatchObject({ code: 'waiting', details: { until: NOW + 600 * SECOND } });
      expect(learned.state.open).toMatchObject({ takeover: true, cancelled: false, time: NOW + 500 * SECOND });
      expect(codeOf(decideStage(at(599), learned.state, taken.document, certified(taken)))).toBe('waiting');
      expect(decideStage(at(600), learned.state, taken.document, certified(taken)).body?.kind).toBe('stage');
      expect(evaluated(at(7), active).state.open).toMatchObject({ time: NOW + 7 * SECOND });
    });

    it('is waited for also by a node that missed the activation of what would be taken over', () => {
      const missed = accepted(decideOpen(at(0), empty, { ...opening, generation: 1 }, []));
      const one = enrolment(fleet, 1, { takeover: true, owner: 'owner 2' });
      expect(missed.active).toBeUndefined();
      expect(codeOf(decideStage(at(99), missed, one.document, undefined))).toBe('waiting');
      expect(decideStage(at(100), missed, one.document, undefined).body?.kind).toBe('stage');
      expect(codeOf(decideStage(at(100), empty, taken.document, certified(taken)))).toBe('waiting');
    });

    it('is cancelled by the owner’s signature for good', () => {
      expect(cancelObjection(at(0), opened, 2, cancelSignature(2))).toBeUndefined();
      const cancelled = accepted(decideCancel(at(0), opened, 2));
      expect(cancelled.open?.cancelled).toBe(true);
      for (const opening of [undefined, certified(taken)]) {
        expect(codeOf(decideStage(at(500), cancelled, taken.document, opening))).toBe('owner_required');
      }
      expect(codeOf(decideOpen(at(500), cancelled, request(taken), []))).toBe('conflict');
    });

    it('is cancelled even where the opening has not been seen yet', () => {
      const cancelled = accepted(decideCancel(at(0), active, 2));
      expect(cancelled).toMatchObject({ highest: 2, open: undefined });
      expect(codeOf(decideOpen(at(0), cancelled, request(taken), []))).toBe('conflict');
      expect(codeOf(decideStage(at(500), cancelled, taken.document, certified(taken)))).toBe('owner_required');
    });

    it('is cancelled no further ahead than the next generation, so that nobody uses the numbers up', () => {
      const far = decideCancel(at(0), active, 3);
      expect(codeOf(far)).toBe('behind');
      expect(far.state).toBe(active);
      expect(accepted(decideCancel(at(0), opened, 2)).highest).toBe(2);
      expect(codeOf(decideCancel(at(0), opened, 4))).toBe('behind');
    });

    it('deletes, itself and what is older, only with the proof that it was staged', () => {
      const { openCertificate } = taken;
      const action = encodeOwnerAction({ fleet: fleet.fleet, record: RECORD, generation: 2, action: 'delete' });
      const deletion = (stageCertificate: Uint8Array | undefined) => ({
        generation: 2,
        kind: 'owner' as const,
        proof: encodeOwnerDeletion({ openCertificate, stageCertificate, signature: sign(taken.owner, action) }),
      });
      const majority = certifyBytes(
        delayed,
        { kind: 'stage', ...placeOf(delayed, 2), documentHash: taken.documentHash },
        { nodes: [1, 3] },
      );
      for (const state of [opened, active, empty]) {
        for (const proof of [undefined, first.proof.stageCertificate, majority]) {
          expect(() => decideDestroy(at(500), state, deletion(proof))).toThrow(refused('untrusted'));
        }
        const gone = accepted(decideDestroy(at(0), state, deletion(taken.proof.stageCertificate)));
        expect(gone).toMatchObject({ active: undefined, tombstone: { generation: 2 } });
      }
      expect(() => mergeCertified(at(99), active, { ...portable(active), tombstone: deletion(undefined) })).toThrow(
        refused('untrusted'),
      );
    });

    it('deletes nothing older where the policy allows no takeover any more', () => {
      const refusing = decideDestroy(context, opened, ownerDeletion(delayed, taken));
      expect(codeOf(refusing)).toBe('conflict');
      expect(refusing.state).toBe(opened);
      const done = accepted(decideActivate(at(100), opened, taken.proof));
      for (const state of [done, empty]) {
        expect(accepted(decideDestroy(context, state, ownerDeletion(delayed, taken))).tombstone?.generation).toBe(2);
      }
    });

    it('is not named where the owner was asked: other deletions carry no staging', () => {
      const { openCertificate, proof, owner } = first;
      const action = encodeOwnerAction({ fleet: fleet.fleet, record: RECORD, generation: 1, action: 'delete' });
      const signed = { openCertificate, stageCertificate: proof.stageCertificate, signature: sign(owner, action) };
      const tombstone = { generation: 1, kind: 'owner' as const, proof: encodeOwnerDeletion(signed) };
      expect(() => decideDestroy(context, active, tombstone)).toThrow(refused('untrusted'));
    });

    it('is cancelled by nobody else', () => {
      expect(cancelObjection(at(0), opened, 2, cancelSignature(2, named('stranger')))?.code).toBe('owner_required');
      expect(cancelObjection(at(0), opened, 2, cancelSignature(3))?.code).toBe('owner_required');
      expect(cancelObjection(at(0), empty, 2, cancelSignature(2))?.code).toBe('behind');
    });

    it('cannot be cancelled twice into another generation, nor when it is over', () => {
      expect(codeOf(decideCancel(at(0), { ...opened, highest: 3 }, 2))).toBe('conflict');
      const own = accepted(decideOpen(at(0), active, request(second, first), []));
      expect(codeOf(decideCancel(at(0), own, 2))).toBe('conflict');
      const done = accepted(decideActivate(at(100), opened, taken.proof));
      expect(codeOf(decideCancel(at(100), done, 2))).toBe('conflict');
    });
  });
});

const openOf = (one: Enrolment) => {
  const { blindHash, ownerKey, takeover } = one.open;
  return { blindHash, ownerKey, takeover, cancelled: false };
};

describe('stage', () => {
  const opened = accepted(decideOpen(context, empty, request(first), []));
  const other = enrolment(fleet, 1, { content: { envelope: named('another envelope') } });

  it('stores a document by the owner named in the opening, unusable', () => {
    const decision = decideStage(context, opened, first.document, undefined);
    expect(decision.body).toEqual({ kind: 'stage', ...placeOf(fleet, 1), documentHash: first.documentHash });
    expect(decision.state.stage).toEqual({ documentHash: first.documentHash, document: first.document });
    expect(decision.state.active).toBeUndefined();
  });

  it('takes no other document for the generation, but the same one again', () => {
    const staged = accepted(decideStage(context, opened, first.document, undefined));
    expect(codeOf(decideStage(context, staged, other.document, undefined))).toBe('conflict');
    expect(decideStage(context, staged, first.document, undefined)).toMatchObject({
      state: staged,
      body: { kind: 'stage' },
    });
  });

  it('takes no document of an unopened generation, except with the certificate of its opening', () => {
    expect(codeOf(decideStage(context, empty, first.document, undefined))).toBe('behind');
    expect(codeOf(decideStage(context, { ...empty, highest: 1 }, first.document, undefined))).toBe('behind');
    expect(decideStage(context, empty, first.document, certified(first)).body?.kind).toBe('stage');
    expect(decideStage(context, { ...empty, highest: 1 }, first.document, certified(first)).body?.kind).toBe('stage');
    expect(codeOf(decideStage(context, empty, first.document, certified(second)))).toBe('behind');
  });

  it('lets a certificate of the opening override its own vote', () => {
    const rival = { ...request(first), blindHash: named('rival'), ownerKey: named('rival owner') };
    const voted = accepted(decideOpen(context, empty, rival, []));
    expect(codeOf(decideStage(context, voted, first.document, undefined))).toBe('owner_required');
    expect(decideStage(context, voted, first.document, certified(first)).state.open).toMatchObject(openOf(first));
  });

  it('refuses another owner’s document, older generations and a document of another record', () => {
    const stranger = enrolment(fleet, 1, { owner: 'stranger' });
    expect(codeOf(decideStage(context, opened, stranger.document, undefined))).toBe('owner_required');
    expect(codeOf(decideStage(context, { ...opened, highest: 2 }, first.document, undefined))).toBe('conflict');
    expect(codeOf(decideStage(context, active, first.document, certified(first)))).toBe('superseded');
    expect(codeOf(decideStage(context, emptyRecord(named('x')), first.document, undefined))).toBe('malformed');
    const proof = { generation: 1, kind: 'owner' as const, proof: new Uint8Array(0) };
    expect(codeOf(decideStage(context, { ...opened, tombstone: proof }, first.document, undefined))).toBe('destroyed');
  });

  it('needs the lineage from the active record’s owner', () => {
    const without = enrolment(fleet, 2);
    expect(codeOf(decideStage(context, active, without.document, certified(without)))).toBe('owner_required');
    expect(decideStage(context, active, second.document, certified(second)).body?.kind).toBe('stage');
  });
});

describe('evaluation of an enrolment', () => {
  const evaluate = (state: RecordState, body: Body<'open'> = first.open) =>
    decideEvaluation(context, state, { body, latest: NOW });

  it('follows the certificate, and remembers what it teaches', () => {
    const decision = evaluate(empty);
    expect(decision.refusal).toBeUndefined();
    expect(decision.state).toMatchObject({ highest: 1, open: openOf(first) });
    const voted = accepted(decideOpen(context, empty, { ...request(first), blindHash: named('rival') }, []));
    expect(evaluate(voted).state.open).toMatchObject(openOf(first));
  });

  it('is never made after a document was staged, nor for what is over', () => {
    const opened = accepted(decideOpen(context, empty, request(first), []));
    const staged = accepted(decideStage(context, opened, first.document, undefined));
    expect(codeOf(evaluate(staged))).toBe('conflict');
    expect(codeOf(evaluate(active))).toBe('superseded');
    expect(codeOf(evaluate({ ...empty, highest: 2 }))).toBe('conflict');
    const proof = { generation: 1, kind: 'owner' as const, proof: new Uint8Array(0) };
    expect(codeOf(evaluate({ ...empty, highest: 1, tombstone: proof }))).toBe('destroyed');
    expect(codeOf(evaluate(emptyRecord(named('other'))))).toBe('untrusted');
  });
});

describe('activate', () => {
  it('makes the staged document the active one, with a full budget', () => {
    const staged = accepted(decideStage(context, empty, first.document, certified(first)));
    const decision = decideActivate(context, staged, first.proof);
    expect(decision.body).toEqual({ kind: 'active', ...placeOf(fleet, 1), documentHash: first.documentHash });
    expect(decision.state).toMatchObject({
      highest: 1,
      stage: undefined,
      active: { generation: 1, attempt: 0, confirmed: 0, vote: undefined, confirmation: undefined, spent: undefined },
    });
  });

  it('needs nothing but the proof, and done again changes nothing', () => {
    const used = confirmed(context, first, attempted(context, first, active, 2), 2);
    expect(decideActivate(context, used, first.proof)).toEqual({
      state: used,
      body: { kind: 'active', ...placeOf(fleet, 1), documentHash: first.documentHash },
    });
  });

  it('drops the older generation with its counters', () => {
    const used = attempted(context, first, active, 3);
    const after = activated(context, second, used);
    expect(after.active).toMatchObject({ generation: 2, attempt: 0, documentHash: second.documentHash });
    expect(JSON.stringify(after)).not.toContain(JSON.stringify(first.document));
  });

  it('keeps what was opened and staged for a newer generation', () => {
    const third = enrolment(fleet, 3, { previous: second });
    const opened: RecordState = {
      ...active,
      highest: 3,
      open: { ...openOf(third), time: NOW },
      stage: { documentHash: third.documentHash, document: third.document },
    };
    const after = activated(context, second, opened);
    expect(after).toMatchObject({ highest: 3, stage: { documentHash: third.documentHash }, active: { generation: 2 } });
    expect(after.open).toMatchObject(openOf(third));
  });

  it('follows the owners across several missed generations', () => {
    let latest = first;
    for (let generation = 2; generation <= 6; generation++) latest = enrolment(fleet, generation, { previous: latest });
    expect(activated(context, latest, active).active?.generation).toBe(6);
    const third = enrolment(fleet, 3, {
      previous: enrolment(fleet, 2, { owner: 'stranger', previous: enrolment(fleet, 1, { owner: 'x' }) }),
    });
    expect(codeOf(decideActivate(context, active, third.proof))).toBe('owner_required');
  });

  it('follows owners whose chain began with a takeover that it missed, only where takeovers are allowed', () => {
    const third = enrolment(fleet, 3, { previous: enrolment(fleet, 2, { owner: 'thief', takeover: true }) });
    expect(codeOf(decideActivate(context, active, third.proof))).toBe('owner_required');
    const allowed = contextOf(makeFleet(3, { takeover: { kind: 'immediate' } }));
    expect(activated(allowed, third, active).active?.generation).toBe(3);
    // A chain that began at or before the generation active here must be of its owner.
    const stranger = enrolment(fleet, 1, { owner: 'x' });
    const forged = enrolment(fleet, 3, { previous: enrolment(fleet, 2, { owner: 'stranger', previous: stranger }) });
    expect(codeOf(decideActivate(allowed, active, forged.proof))).toBe('owner_required');
    const rootless = enrolment(fleet, 3, { owner: 'stranger' });
    expect(codeOf(decideActivate(allowed, active, rootless.proof))).toBe('owner_required');
  });

  it('refuses what another generation or a tombstone has replaced', () => {
    const after = activated(context, second, active);
    expect(codeOf(decideActivate(context, after, first.proof))).toBe('superseded');
    const proof = { generation: 2, kind: 'owner' as const, proof: new Uint8Array(0) };
    expect(codeOf(decideActivate(context, { ...empty, highest: 2, tombstone: proof }, first.proof))).toBe('destroyed');
    expect(codeOf(decideActivate(context, { ...empty, highest: 2, tombstone: proof }, second.proof))).toBe('destroyed');
  });

  it('refuses each part that does not belong to the others', () => {
    const other = enrolment(fleet, 1, { content: { envelope: named('other') } });
    const elsewhere = enrolment(fleet, 1, { record: named('other') });
    const stranger = enrolment(fleet, 1, { owner: 'stranger' });
    const wrong = (change: Partial<typeof first.proof>, state = empty) =>
      codeOf(decideActivate(context, state, { ...first.proof, ...change }));
    expect(wrong({ document: other.document })).toBe('untrusted');
    expect(wrong({ stageCertificate: other.proof.stageCertificate })).toBe('untrusted');
    expect(wrong({ openCertificate: second.openCertificate })).toBe('untrusted');
    expect(wrong({ openCertificate: elsewhere.openCertificate })).toBe('untrusted');
    expect(wrong({ openCertificate: stranger.openCertificate })).toBe('untrusted');
    expect(wrong({ ownerSignature: stranger.proof.ownerSignature })).toBe('untrusted');
    expect(wrong(elsewhere.proof)).toBe('untrusted');
    expect(codeOf(decideActivate(context, active, other.proof))).toBe('conflict');
  });

  it('takes the owner’s signature over exactly the certificate that was staged', () => {
    const again = certifyBytes(
      fleet,
      { kind: 'stage', ...placeOf(fleet, 1), documentHash: first.documentHash },
      { nodes: [3, 2, 1] },
    );
    expect(codeOf(decideActivate(context, empty, { ...first.proof, stageCertificate: again }))).toBe('untrusted');
    const ownerSignature = sign(first.owner, encodeActivation(again));
    expect(decideActivate(context, empty, { ...first.proof, stageCertificate: again, ownerSignature }).body?.kind).toBe(
      'active',
    );
  });

  it('overrides this node’s own vote for another document', () => {
    const rival: RecordState = { ...empty, highest: 1, stage: { documentHash: named('rival'), document: undefined } };
    expect(activated(context, first, rival)).toMatchObject({
      stage: undefined,
      active: { documentHash: first.documentHash },
    });
  });

  it('takes over no proof whose opening or staging has the votes of a mere majority', () => {
    for (const [n, votes] of [
      [3, [1, 2]],
      [5, [1, 2, 3]],
      [9, [1, 2, 3, 4, 5]],
    ] as const) {
      const of = makeFleet(n);
      const one = enrolment(of, 1);
      const staging: Body = { kind: 'stage', ...placeOf(of, 1), documentHash: one.documentHash };
      const proof = (openers: readonly number[], stagers: readonly number[]) => {
        const stageCertificate = certifyBytes(of, staging, { nodes: stagers });
        const openCertificate = certifyBytes(of, one.open, { nodes: openers });
        const ownerSignature = sign(one.owner, encodeActivation(stageCertificate));
        return { document: one.document, openCertificate, stageCertificate, ownerSignature };
      };
      const more = [...votes, n];
      for (const few of [proof(votes, more), proof(more, votes)]) {
        expect(() => decideActivate(contextOf(of), empty, few)).toThrow(/one vote fewer/);
      }
      expect(codeOf(decideActivate(contextOf(of), empty, proof(more, more)))).toBeUndefined();
    }
  });
});

describe('the lineage', () => {
  it('keeps the newest 64 handovers; a node that missed more needs one that it knows', () => {
    let latest = first;
    for (let generation = 2; generation <= 70; generation++)
      latest = enrolment(fleet, generation, { previous: latest });
    expect(latest.content.lineage).toHaveLength(64);
    const known = (generation: number): RecordState => {
      const at = latest.content.lineage.find((step: Handover) => step.previous === generation);
      const owner = at ? at.previousOwner : named(`owner ${generation}`);
      const content = { ...first.content, generation, ownerKey: owner };
      const document = encodeDocument(content, (message) => sign(owner, message));
      return {
        ...active,
        highest: generation,
        active: {
          ...active.active!,
          generation,
          documentHash: documentHash(document),
          activation: { ...first.proof, document },
        },
      };
    };
    expect(codeOf(decideActivate(context, known(5), latest.proof))).toBe('owner_required');
    expect(decideActivate(context, known(6), latest.proof).body?.kind).toBe('active');
    expect(decideActivate(context, known(69), latest.proof).body?.kind).toBe('active');
  });
});
