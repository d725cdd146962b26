/** Whatever is asked of it, with whatever evidence: a record's state only grows, decisions are pure, encodings round-trip. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';
import {
  type Body,
  type Decision,
  decideActivate,
  decideAttempt,
  decideCancel,
  decideConfirm,
  decideDestroy,
  decideEvaluation,
  decideOpen,
  decideSpent,
  decideStage,
  decodePortableRecord,
  decodeRecordState,
  emptyRecord,
  encodePortableRecord,
  encodeRecordState,
  factsOf,
  mergeCertified,
  mergeVotes,
  portable,
  type RecordFacts,
  type RecordState,
} from '../../src/protocol/index.ts';
import {
  attemptBody,
  authorise,
  confirmation,
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

const fleet = makeFleet(3, {
  limit: 3,
  lifetimeLimit: 8,
  waits: [0, 0, 5],
  takeover: { kind: 'delayed', seconds: 20 },
});
// Three owners' lines and a takeover, so that generations follow each other, compete, and are skipped.
const first = enrolment(fleet, 1);
const rival = enrolment(fleet, 1, { owner: 'rival' });
const second = enrolment(fleet, 2, { previous: first });
const taken = enrolment(fleet, 2, { owner: 'thief', takeover: true });
const third = enrolment(fleet, 3, { previous: second });
const all = [first, rival, second, taken, third] as const;

const command = fc.record({
  step: fc.constantFrom(
    'open',
    'stage',
    'activate',
    'attempt',
    'evaluate',
    'confirm',
    'spent',
    'delete',
    'destroySpent',
    'cancel',
    'carry',
    'votes',
  ),
  one: fc.nat(all.length - 1),
  number: fc.oneof(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 1, max: 9 })),
  blind: fc.constantFrom('a', 'b'),
  /** Clock relative to the start, in seconds: steps both ways. */
  second: fc.integer({ min: -30, max: 60 }),
  shown: fc.constantFrom([], [1], [2, 3], [1, 2, 3]),
  /** Whose state stands behind heads and what is carried: an earlier one of this very node. */
  past: fc.nat(60),
  /** What else peers claim while repairing, honest or not: far numbers, bars, spent marks, stages, cancellations. */
  claims: fc.array(
    fc.record({
      past: fc.nat(60),
      raise: fc.constantFrom(0, 0, 1, 2 ** 40),
      attempt: fc.constantFrom(undefined, 0, 1, 3, 5, 2 ** 40),
      barred: fc.constantFrom(0, 0, 2, 4, 2 ** 40),
      blind: fc.constantFrom('a', 'b', undefined),
      stage: fc.constantFrom(undefined, 0, 1, 2),
      spent: fc.boolean(),
      cancelled: fc.boolean(),
    }),
    { maxLength: 2 },
  ),
  certified: fc.boolean(),
});
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

type Claim = Command['claims'][number];

/** The facts of an earlier state, as a liar may tell them. */
function claimed(state: RecordState, claim: Claim): RecordFacts {
  const facts = factsOf(state);
  const { open, active } = facts;
  return {
    ...facts,
    highest: facts.highest + claim.raise,
    open: open && { ...open, cancelled: claim.cancelled },
    stage: claim.stage === undefined ? facts.stage : all[claim.stage]!.documentHash,
    active: active && {
      ...active,
      attempt: claim.attempt ?? active.attempt,
      vote: claim.blind ? named(claim.blind) : undefined,
      barred: claim.barred,
      spent: claim.spent ? { attempt: 3, confirmed: active.confirmed } : active.spent,
    },
  };
}

function run(state: RecordState, past: readonly RecordState[], given: Command): Decision {
  const context = contextOf(fleet, NOW + given.second * 1000);
  const one = all[given.one]!;
  const other = past[given.past % past.length]!;
  const shown = heads(fleet, given.shown, other);
  const { generation, open } = one;
  const { number: attempt } = given;
  const blindHash = named(given.blind);
  const opened = given.certified ? { body: open, latest: NOW } : undefined;
  switch (given.step) {
    case 'open': {
      const { ownerKey, takeover } = open;
      const previous = generation === 2 ? first : generation === 3 ? second : undefined;
      const authorisation = previous && authorise(fleet, previous, open);
      return decideOpen(
        context,
        state,
        { generation, blindHash: open.blindHash, ownerKey, takeover, authorisation },
        shown,
      );
    }
    case 'stage':
      return decideStage(context, state, one.document, opened);
    case 'activate':
      return decideActivate(context, state, one.proof);
    case 'attempt':
      return decideAttempt(context, state, { generation, attempt, blindHash }, shown);
    case 'evaluate': {
      const body = given.certified ? open : attemptBody(fleet, one, attempt, blindHash);
      return decideEvaluation(context, state, { body, latest: NOW });
    }
    case 'confirm':
      return decideConfirm(context, state, confirmation(fleet, one, attempt, blindHash), shown);
    case 'spent': {
      const { attempt = 0, confirmed = 0 } = other.active ?? {};
      return decideSpent(context, state, { generation, attempt, confirmed }, shown);
    }
    case 'delete':
      return decideDestroy(context, state, ownerDeletion(fleet, one));
    case 'destroySpent':
      return decideDestroy(context, state, spentProof(fleet, one, attempt + 2, attempt % 3));
    case 'cancel':
      return decideCancel(context, state, generation);
    case 'carry':
      return { state: mergeCertified(context, state, portable(other), shown) };
    case 'votes':
      return { state: mergeVotes(context, state, peersOf(past, given), given.shown.length) };
  }
}

const peersOf = (past: readonly RecordState[], given: Command): RecordFacts[] => [
  factsOf(past[given.past % past.length]!),
  ...given.claims.map((claim) => claimed(past[claim.past % past.length]!, claim)),
];

/** What is asked for may be refused by an error as well: then nothing changes. */
function decide(state: RecordState, past: readonly RecordState[], given: Command): Decision {
  try {
    return run(state, past, given);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return { state, refusal: error };
  }
}

const rank = (state: RecordState) => ({
  highest: state.highest,
  tombstone: state.tombstone?.generation ?? 0,
  /** The highest generation that was ever active, or is known to be destroyed. */
  settled: Math.max(state.active?.generation ?? 0, state.tombstone?.generation ?? 0),
  active: state.active,
});

/** The place that a vote takes, and what it chooses. */
function vote(body: Body | undefined): [string, string] {
  switch (body?.kind) {
    case 'attempt':
      return [`attempt ${body.generation} ${body.documentHash} ${body.attempt}`, String(body.blindHash)];
    case 'open':
      return [`open ${body.generation}`, `${body.blindHash} ${body.ownerKey} ${body.takeover}`];
    case 'stage':
      return [`stage ${body.generation}`, String(body.documentHash)];
    default:
      return ['', ''];
  }
}

describe('any sequence of commands', () => {
  // Half of them begin with an active record: from nothing, few sequences get as far as counting attempts.
  const begun = (commands: fc.Arbitrary<Command>) =>
    fc
      .tuple(fc.boolean(), fc.array(commands, { minLength: 1, maxLength: 60 }))
      .map(([active, then]) => (active ? [{ ...then[0]!, step: 'activate' as const, one: 0 }, ...then] : then));
  const sequences = begun(command);

  it('never lowers generation, attempt, confirmed or tombstone', () => {
    fc.assert(
      fc.property(sequences, (commands) => {
        const past = [emptyRecord(RECORD)];
        for (const given of commands) {
          const before = past.at(-1)!;
          const after = decide(before, past, given).state;
          const [was, is] = [rank(before), rank(after)];
          expect(is.highest).toBeGreaterThanOrEqual(was.highest);
          expect(is.tombstone).toBeGreaterThanOrEqual(was.tombstone);
          expect(is.settled).toBeGreaterThanOrEqual(was.settled);
          expect(is.highest).toBeGreaterThanOrEqual(is.settled);
          if (is.active) expect(is.active.generation).toBeGreaterThan(is.tombstone);
          if (was.active && is.active && was.active.generation === is.active.generation) {
            expect(is.active.documentHash).toEqual(was.active.documentHash);
            expect(is.active.attempt).toBeGreaterThanOrEqual(was.active.attempt);
            expect(is.active.confirmed).toBeGreaterThanOrEqual(was.active.confirmed);
          }
          if (is.active) expect(is.active.attempt).toBeGreaterThanOrEqual(is.active.confirmed);
          past.push(after);
        }
      }),
      { numRuns: 250 },
    );
  });

  it('bars, whatever peers claim, nothing but numbers within the limit, and casts no vote', () => {
    const { limit, lifetimeLimit } = fleet.policy;
    fc.assert(
      fc.property(sequences, (commands) => {
        const past = [emptyRecord(RECORD)];
        for (const given of commands) {
          const before = past.at(-1)!;
          const { state, body } = decide(before, past, given);
          past.push(state);
          const { barred, attempt, confirmed } = state.active ?? { attempt: 0, confirmed: 0 };
          if (barred) {
            expect(barred.upTo).toBeGreaterThan(attempt);
            expect(barred.upTo).toBeLessThanOrEqual(Math.min(confirmed + limit, lifetimeLimit));
          }
          if (given.step !== 'votes') continue;
          expect(body).toBeUndefined();
          expect(state.tombstone).toBe(before.tombstone);
          // A merge brings no opening of others: it leaves, cancels or drops this node's own.
          if (state.open) expect(state.open).toEqual({ ...before.open!, cancelled: state.open.cancelled });
          expect(state.highest).toBeLessThanOrEqual(before.highest + 1024);
          if (state.highest === before.highest && before.stage) expect(state.stage).toEqual(before.stage);
          if (!before.active) expect(state.active).toBeUndefined();
          else {
            const { barred: _bar, spent: _spent, ...kept } = state.active!;
            expect(before.active).toMatchObject(kept);
            if (before.active.spent) expect(state.active?.spent).toEqual(before.active.spent);
          }
        }
      }),
      { numRuns: 250 },
    );
  });

  // A certificate may override a vote of this node; the model shows that this is safe. Without one it never strays.
  const uncertified = command
    .filter(({ step }) => step !== 'evaluate' && step !== 'confirm')
    .map((given) => ({ ...given, certified: false }));

  it('never signs two elements for one number, nor two openings or documents for one generation', () => {
    let repeated = 0;
    fc.assert(
      fc.property(begun(uncertified), (commands) => {
        const past = [emptyRecord(RECORD)];
        const signed = new Map<string, string>();
        for (const given of commands) {
          const { state, body } = decide(past.at(-1)!, past, given);
          past.push(state);
          const [place, choice] = vote(body);
          if (signed.has(place)) repeated++;
          if (place) expect(signed.get(place) ?? choice).toBe(choice);
          signed.set(place, choice);
        }
      }),
      { numRuns: 250 },
    );
    expect(repeated).toBeGreaterThan(20);
  });

  it('is decided purely: the same again for the same, and nothing given is changed', () => {
    fc.assert(
      fc.property(sequences, (commands) => {
        const past = [emptyRecord(RECORD)];
        for (const given of commands) {
          const before = past.at(-1)!;
          const bytes = encodeRecordState(before);
          const decision = decide(before, past, given);
          expect(decide(before, past, given)).toEqual(decision);
          expect(encodeRecordState(before)).toEqual(bytes);
          past.push(decision.state);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('leads to states whose encodings round-trip and fit their limits', () => {
    fc.assert(
      fc.property(sequences, (commands) => {
        const past = [emptyRecord(RECORD)];
        for (const given of commands) past.push(decide(past.at(-1)!, past, given).state);
        for (const state of past.slice(-8)) {
          expect(decodeRecordState(encodeRecordState(state))).toEqual(state);
          expect(decodePortableRecord(encodePortableRecord(portable(state)))).toEqual(portable(state));
        }
      }),
      { numRuns: 60 },
    );
  });

  it('reaches what the properties speak of', () => {
    const reached = new Set<string>();
    fc.assert(
      fc.property(sequences, (commands) => {
        const past = [emptyRecord(RECORD)];
        for (const given of commands) {
          const before = past.at(-1)!;
          const { state, refusal } = decide(before, past, given);
          if (!refusal) reached.add(given.step);
          if (refusal) reached.add(refusal.code);
          if (state.active?.confirmed) reached.add('confirmed');
          if (state.active?.barred) reached.add(state.active.barred.vote ? 'barred but one' : 'barred');
          if (before.active?.barred && state.active && !state.active.barred) reached.add(`lifted by ${given.step}`);
          if (state.tombstone) reached.add('tombstone');
          past.push(state);
        }
      }),
      { numRuns: 300, seed: 7 },
    );
    for (const step of [
      'open',
      'stage',
      'activate',
      'attempt',
      'evaluate',
      'confirm',
      'delete',
      'destroySpent',
      'cancel',
      'carry',
      'votes',
    ]) {
      expect(reached).toContain(step);
    }
    for (const code of [
      'confirmed',
      'tombstone',
      'barred',
      'barred but one',
      'lifted by votes',
      'conflict',
      'behind',
      'waiting',
      'spent',
      'destroyed',
      'superseded',
      'owner_required',
    ]) {
      expect(reached).toContain(code);
    }
  });
});
