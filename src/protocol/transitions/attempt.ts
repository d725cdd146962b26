/** Counting attempts, allowing evaluations, confirming (docs/protocol.md, section 6). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { encodeConfirmation } from '../document.ts';
import { position } from '../facts.ts';
import { type ActiveRecord, type ConfirmationProof, nextAttemptAt, type RecordState } from '../record.ts';
import type { Body } from '../statement.ts';
import { type Context, type Decision, type Head, majorityShows, refuse } from './decision.ts';
import { activeDocument, adoptOpen, type CertifiedOpen, latestTime, place } from './enrol.ts';

export interface AttemptRequest {
  readonly generation: number;
  readonly attempt: number;
  readonly blindHash: Uint8Array;
}

/**
 * A node that voted "spent" takes confirmations only from a majority's heads, so it may lack one that it gave a receipt
 * for before it was rolled back: until it has caught up it neither votes nor evaluates.
 */
const MARKED = 'this node voted to destroy the record';

/** The refusal where `generation` is not the active one, or undefined. */
export function generationObjection(state: RecordState, generation: number): HoldfastError | undefined {
  if (state.active?.generation === generation) return undefined;
  if (state.tombstone && state.tombstone.generation >= generation) return new HoldfastError('destroyed', 'destroyed');
  if (state.active && state.active.generation > generation) {
    return new HoldfastError('superseded', `generation ${state.active.generation} is active`);
  }
  return state.highest === 0
    ? new HoldfastError('not_found', 'this node knows no such record')
    : new HoldfastError('behind', 'this node has not seen this generation activated');
}

/** Votes for one blinded element as the only one of an attempt number. */
export function decideAttempt(
  context: Context,
  state: RecordState,
  request: AttemptRequest,
  heads: readonly Head[],
): Decision {
  const objection = generationObjection(state, request.generation);
  if (objection) return { state, refusal: objection };
  const active = state.active!;
  const { attempt: a, blindHash } = request;
  const body: Body<'attempt'> = {
    kind: 'attempt',
    ...place(context, state, active.generation),
    attempt: a,
    blindHash,
    documentHash: active.documentHash,
  };
  if (active.spent) return refuse(state, 'spent', MARKED);
  if (a <= active.confirmed) return refuse(state, 'conflict', `number ${a} is no longer open`);
  if (a <= active.attempt) {
    const same = a === active.attempt && active.vote && equalBytes(active.vote, blindHash);
    return same ? { state, body } : refuse(state, 'conflict', `number ${a} is taken`);
  }
  const { barred } = active;
  const revoted = barred?.upTo === a && barred.vote && equalBytes(barred.vote, blindHash);
  if (barred && a <= barred.upTo && !revoted) {
    return refuse(state, 'conflict', `this node may have voted for number ${a} before it was rolled back`);
  }
  const { policy } = context.fleet;
  if (a - active.confirmed > policy.limit || a > policy.lifetimeLimit) {
    return refuse(state, 'spent', 'the attempts are spent, or this node is behind');
  }
  let since = active.attemptTime;
  if (a > active.attempt + 1) {
    const shows = (head: Body<'head'>) =>
      head.facts.active?.generation === active.generation && position(head.facts.active) >= a - 1;
    if (!majorityShows(context, state.record, heads, shows)) {
      return refuse(state, 'behind', `this node has only seen number ${active.attempt}`);
    }
    const times = heads.filter((head) => shows(head.body)).map((head) => head.body.attemptTime);
    since = Math.max(since, ...times);
  }
  const learned: ActiveRecord = { ...active, attempt: a - 1, attemptTime: Math.min(since, context.now) };
  const until = nextAttemptAt(policy, learned, context.now);
  if (context.now < until) {
    const kept =
      active.attemptTime <= context.now ? state : { ...state, active: { ...active, attemptTime: context.now } };
    return {
      state: kept,
      refusal: new HoldfastError('waiting', 'it is too early for another attempt', { details: { until } }),
    };
  }
  const voted: ActiveRecord = { ...active, attempt: a, vote: blindHash, barred: undefined, attemptTime: context.now };
  return { state: { ...state, active: voted }, body };
}

/**
 * Whether the bearer of this certificate (given as its verified body and latest signed time) may have its blinded
 * element evaluated now. What the certificate teaches is stored before the evaluation.
 */
export function decideEvaluation(
  context: Context,
  state: RecordState,
  certified: { readonly body: Body<'attempt'> | Body<'open'>; readonly latest: number },
): Decision {
  const { body } = certified;
  if (!equalBytes(body.record, state.record)) return refuse(state, 'untrusted', 'the certificate is of another record');
  if (body.kind === 'open') return decideEnrolmentEvaluation(context, state, { body });
  const objection = generationObjection(state, body.generation);
  if (objection) return { state, refusal: objection };
  const active = state.active!;
  if (!equalBytes(body.documentHash, active.documentHash)) {
    return refuse(state, 'untrusted', 'the certificate is for another document');
  }
  if (active.spent) return refuse(state, 'spent', MARKED);
  if (body.attempt <= active.confirmed) return refuse(state, 'conflict', `number ${body.attempt} is no longer open`);
  const learned = learnAttempt(context, active, body, certified.latest);
  return { state: learned === active ? state : { ...state, active: learned } };
}

function decideEnrolmentEvaluation(context: Context, state: RecordState, opened: CertifiedOpen): Decision {
  const { generation } = opened.body;
  if (state.tombstone && state.tombstone.generation >= generation) return refuse(state, 'destroyed', 'destroyed');
  if (state.active && state.active.generation >= generation) {
    return refuse(state, 'superseded', `generation ${state.active.generation} is active`);
  }
  const adopted = adoptOpen(context, state, generation, opened);
  if (adopted.highest > generation) return refuse(state, 'conflict', `generation ${adopted.highest} has been opened`);
  if (adopted.stage) return refuse(state, 'conflict', 'a document has been staged for this generation');
  return { state: adopted };
}

/** An attempt number that a certificate proves, taken as this node's own. */
function learnAttempt(context: Context, active: ActiveRecord, body: Body<'attempt'>, latest: number): ActiveRecord {
  if (body.attempt < active.attempt) return active;
  if (body.attempt === active.attempt) {
    const known = active.vote && equalBytes(active.vote, body.blindHash);
    return known ? active : { ...active, vote: body.blindHash };
  }
  return {
    ...active,
    attempt: body.attempt,
    vote: body.blindHash,
    barred: active.barred && active.barred.upTo > body.attempt ? active.barred : undefined,
    attemptTime: Math.min(context.now, latest),
  };
}

/** Takes the proof that number `a` used the right PIN. */
export function decideConfirm(
  context: Context,
  state: RecordState,
  proof: ConfirmationProof,
  heads: readonly Head[],
): Decision {
  const { signers, body: attempt } = context.verifier.encodedProof(proof.certificate, 'attempt');
  if (!equalBytes(attempt.record, state.record))
    return refuse(state, 'untrusted', 'the certificate is of another record');
  const objection = generationObjection(state, attempt.generation);
  if (objection) return { state, refusal: objection };
  const active = state.active!;
  const a = attempt.attempt;
  if (!equalBytes(attempt.documentHash, active.documentHash)) {
    return refuse(state, 'untrusted', 'the certificate is for another document');
  }
  const body: Body<'confirmed'> = { kind: 'confirmed', ...place(context, state, active.generation), attempt: a };
  if (a <= active.confirmed) return { state, body };
  const { fleet, record, generation, blindHash } = attempt;
  const signed = encodeConfirmation({ fleet, record, generation, attempt: a, blindHash });
  const { confirmKey } = activeDocument(state)!;
  if (!context.verifier.checks.ed25519(confirmKey, signed, proof.signature)) {
    return refuse(state, 'forbidden', 'the confirmation’s signature is wrong');
  }
  if (active.spent) {
    const shown = majorityShows(
      context,
      record,
      heads,
      ({ facts }) => facts.active?.generation === generation && facts.active.confirmed >= a,
    );
    if (!shown)
      return refuse(state, 'spent', 'this node voted to destroy the record; it needs the heads of a majority');
  }
  const learned = learnAttempt(context, active, attempt, latestTime(signers));
  return {
    state: { ...state, active: { ...learned, confirmed: a, confirmation: proof, spent: undefined } },
    body,
  };
}
