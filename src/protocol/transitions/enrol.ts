/** Opening, staging and activating a generation (docs/protocol.md, section 6). */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { decodeCertificate } from '../certificate.ts';
import {
  type DocumentContent,
  documentHash,
  encodeActivation,
  encodeOpenAuthorisation,
  openDocument,
  ownerConsented,
  readDocument,
} from '../document.ts';
import { isRetained } from '../epoch.ts';
import type { Fleet } from '../fleet.ts';
import type { ActivationProof, RecordState } from '../record.ts';
import type { Body, Signer } from '../statement.ts';
import { type Context, type Decision, type Head, majorityShows, refuse } from './decision.ts';

export interface OpenRequest {
  readonly generation: number;
  readonly blindHash: Uint8Array;
  /** Ed25519 public key of the generation to come. */
  readonly ownerKey: Uint8Array;
  readonly takeover: boolean;
  /** By the owner of the generation `previous`, over `holdfast/owner/open/v1`. */
  readonly authorisation: { readonly previous: number; readonly signature: Uint8Array } | undefined;
}

/** Votes for one blinded element and owner key as the only ones of a generation. */
export function decideOpen(
  context: Context,
  state: RecordState,
  request: OpenRequest,
  heads: readonly Head[],
): Decision {
  const { generation, blindHash, ownerKey, takeover } = request;
  const body: Body<'open'> = { kind: 'open', ...place(context, state, generation), blindHash, ownerKey, takeover };
  if (generation <= state.highest) {
    const { open } = state;
    const same =
      generation === state.highest &&
      open &&
      !open.cancelled &&
      equalBytes(open.blindHash, blindHash) &&
      equalBytes(open.ownerKey, ownerKey) &&
      open.takeover === takeover;
    return same ? { state, body } : refuse(state, 'conflict', `generation ${generation} is taken`);
  }
  if (generation > state.highest + 1) {
    const shown = majorityShows(context, state.record, heads, (head) => head.facts.highest >= generation - 1);
    if (!shown) return refuse(state, 'behind', `this node has only seen generation ${state.highest}`);
  }
  const objection = ownersObjection(context, state, request);
  if (objection) return { state, refusal: objection };
  return {
    state: {
      ...state,
      highest: generation,
      open: { blindHash, ownerKey, takeover, cancelled: false, time: context.now },
      stage: undefined,
    },
    body,
  };
}

function ownersObjection(context: Context, state: RecordState, request: OpenRequest): HoldfastError | undefined {
  const { active } = state;
  if (!active) return undefined;
  if (request.takeover) return takeoverObjection(context);
  const { authorisation } = request;
  if (!authorisation) return new HoldfastError('owner_required', 'an active record can only be replaced by its owner');
  if (authorisation.previous > active.generation) {
    return new HoldfastError('behind', `this node has only activated generation ${active.generation}`);
  }
  const signed = encodeOpenAuthorisation({
    fleet: context.fleet.fleet,
    record: state.record,
    previous: authorisation.previous,
    generation: request.generation,
    blindHash: request.blindHash,
    owner: request.ownerKey,
  });
  const owner = activeDocument(state)!.ownerKey;
  const right =
    authorisation.previous === active.generation &&
    context.verifier.checks.ed25519(owner, signed, authorisation.signature);
  return right ? undefined : new HoldfastError('owner_required', 'the signature is not by the record’s current owner');
}

export function takeoverObjection(context: Context): HoldfastError | undefined {
  return context.fleet.policy.takeover.kind === 'off'
    ? new HoldfastError('owner_required', 'this fleet allows no takeover of an active record')
    : undefined;
}

/** The content of the active document. It was verified when it was activated. */
export function activeDocument(state: RecordState): DocumentContent | undefined {
  return state.active && readDocument(state.active.activation.document);
}

/**
 * A node whose token was replaced since a record was enrolled votes and counts there, but what it evaluates opens nothing.
 * @throws HoldfastError `no_share` for such a one.
 */
export function requireShare(fleet: Fleet, node: number, state: RecordState): void {
  const epoch = activeDocument(state)?.epoch;
  if (epoch === undefined || isRetained(fleet, epoch, node)) return;
  throw new HoldfastError('no_share', 'this node has no share in the record, which is of an earlier epoch');
}

/** What an open certificate proves. */
export interface CertifiedOpen {
  readonly body: Body<'open'>;
}

/** Votes for one document as the only one of an opened generation. Stores it, unusable. */
export function decideStage(
  context: Context,
  before: RecordState,
  document: Uint8Array,
  opened: CertifiedOpen | undefined,
): Decision {
  const content = openDocument(document, context.fleet, context.verifier.checks);
  const { generation } = content;
  if (content.epoch !== context.fleet.epoch) return refuse(before, 'untrusted', 'the document is of an earlier epoch');
  if (!equalBytes(content.record, before.record))
    return refuse(before, 'malformed', 'the document is of another record');
  if (before.tombstone && before.tombstone.generation >= generation) return refuse(before, 'destroyed', 'destroyed');
  if (before.active && before.active.generation >= generation) {
    return refuse(before, 'superseded', `generation ${before.active.generation} is active`);
  }
  const state = adoptOpen(context, before, generation, opened);
  if (state.highest > generation) return refuse(before, 'conflict', `generation ${state.highest} has been opened`);
  const { open } = state;
  if (state.highest < generation || !open) return refuse(before, 'behind', 'this needs the certificate of the opening');
  if (!equalBytes(open.ownerKey, content.ownerKey) || open.takeover !== content.takeover) {
    return refuse(before, 'owner_required', 'the document is not by the owner named in the opening');
  }
  if (open.cancelled) return refuse(before, 'owner_required', 'the owner cancelled this takeover');
  const delayed = takeoverDelay(context, state);
  if (delayed) return delayed;
  if (lacksConsent(context, state, content)) return refuse(before, 'owner_required', 'the owner did not consent');
  const hash = documentHash(document);
  if (state.stage && !equalBytes(state.stage.documentHash, hash)) {
    return refuse(before, 'conflict', 'another document was staged for this generation');
  }
  return {
    state: { ...state, stage: { documentHash: hash, document } },
    body: { kind: 'stage', ...place(context, state, generation), documentHash: hash },
  };
}

/**
 * A certificate overrides this node's own open vote, or its lack of one; never a cancellation. The delay of a takeover begins
 * now, whenever it was certified: until then this node has shown it to nobody who could cancel it.
 */
export function adoptOpen(
  context: Context,
  state: RecordState,
  generation: number,
  opened: CertifiedOpen | undefined,
): RecordState {
  if (!opened || opened.body.generation !== generation || state.highest > generation) return state;
  const { blindHash, ownerKey, takeover } = opened.body;
  const known = state.highest === generation ? state.open : undefined;
  if (known && equalBytes(known.blindHash, blindHash) && equalBytes(known.ownerKey, ownerKey)) return state;
  // Generation known without an open vote: abstaining after a repair, or cancelled before it was seen.
  const cancelled = state.highest === generation && (known?.cancelled ?? takeover);
  return {
    ...state,
    highest: generation,
    open: { blindHash, ownerKey, takeover, cancelled, time: context.now },
    stage: state.highest === generation ? state.stage : undefined,
  };
}

/**
 * The refusal until this node has shown the takeover for the whole delay. Also one that knows of nothing to be taken over: it
 * may have missed the activation of that.
 */
function takeoverDelay(context: Context, state: RecordState): Decision | undefined {
  const { takeover } = context.fleet.policy;
  if (!state.open?.takeover || takeover.kind !== 'delayed') return undefined;
  const time = Math.min(state.open.time, context.now);
  const until = time + takeover.seconds * 1000;
  if (context.now >= until) return undefined;
  return {
    state: time === state.open.time ? state : { ...state, open: { ...state.open, time } },
    refusal: new HoldfastError('waiting', 'the owner may still cancel this takeover', { details: { until } }),
  };
}

function lacksConsent(context: Context, state: RecordState, content: DocumentContent): boolean {
  const active = activeDocument(state);
  if (!active) return false;
  const takeoverAllowed = takeoverObjection(context) === undefined;
  if (content.takeover) return !takeoverAllowed;
  if (ownerConsented(active, content)) return false;
  // The chain of owners began anew with a takeover that this node has missed.
  const begun = content.lineage[0]?.previous ?? 0;
  return !(takeoverAllowed && begun > active.generation);
}

/** Makes a staged generation the active one. The proof is complete in itself, so anybody may carry it. */
export function decideActivate(context: Context, state: RecordState, proof: ActivationProof): Decision {
  const staged = context.verifier.proof(decodeCertificate(proof.stageCertificate), 'stage');
  const hash = documentHash(proof.document);
  const { generation } = staged;
  if (!equalBytes(staged.record, state.record) || !equalBytes(staged.documentHash, hash)) {
    return refuse(state, 'untrusted', 'the stage certificate is for another document');
  }
  if (state.tombstone && state.tombstone.generation >= generation) return refuse(state, 'destroyed', 'destroyed');
  const { active } = state;
  if (active && active.generation > generation) {
    return refuse(state, 'superseded', `generation ${active.generation} is active`);
  }
  const body: Body<'active'> = { kind: 'active', ...place(context, state, generation), documentHash: hash };
  if (active?.generation === generation) {
    return equalBytes(active.documentHash, hash)
      ? { state, body }
      : refuse(state, 'conflict', 'another document is active');
  }
  const content = openDocument(proof.document, context.fleet, context.verifier.checks);
  const opened = context.verifier.proof(decodeCertificate(proof.openCertificate), 'open');
  for (const part of [content, opened]) {
    if (part.generation !== generation || part.epoch !== staged.epoch || !equalBytes(part.record, state.record)) {
      return refuse(state, 'untrusted', 'the activation is of another record, generation or epoch');
    }
  }
  if (!equalBytes(opened.ownerKey, content.ownerKey) || opened.takeover !== content.takeover) {
    return refuse(state, 'untrusted', 'the document is not by the owner named in the opening');
  }
  const signed = encodeActivation(proof.stageCertificate);
  if (!context.verifier.checks.ed25519(content.ownerKey, signed, proof.ownerSignature)) {
    return refuse(state, 'untrusted', 'the owner did not sign this activation');
  }
  if (lacksConsent(context, state, content)) return refuse(state, 'owner_required', 'the owner did not consent');
  return {
    state: {
      ...state,
      highest: Math.max(state.highest, generation),
      stage: state.highest <= generation ? undefined : state.stage,
      open: state.highest < generation ? undefined : state.open,
      active: {
        generation,
        documentHash: hash,
        activation: proof,
        attempt: 0,
        vote: undefined,
        barred: undefined,
        attemptTime: context.now,
        confirmed: 0,
        confirmation: undefined,
        spent: undefined,
      },
    },
    body,
  };
}

/** Cancels, with the current owner's signature, the takeover that opened `generation`. */
export function decideCancel(context: Context, state: RecordState, generation: number): Decision {
  const body: Body<'cancelled'> = { kind: 'cancelled', ...place(context, state, generation) };
  if (state.highest > generation || (state.active && state.active.generation >= generation)) {
    return refuse(state, 'conflict', `generation ${Math.max(state.highest, state.active?.generation ?? 0)} was opened`);
  }
  if (generation > state.highest + 1) {
    return refuse(state, 'behind', `this node has only seen generation ${state.highest}`);
  }
  if (state.highest === generation && state.open && !state.open.takeover) {
    return refuse(state, 'conflict', 'the owner opened this generation');
  }
  const seen = state.highest === generation;
  const open = seen && state.open ? { ...state.open, cancelled: true } : undefined;
  return { state: { ...state, highest: generation, open, stage: seen ? state.stage : undefined }, body };
}

/** The latest time that any signer of a certificate gave, in ms. */
export function latestTime(signers: readonly Signer[]): number {
  return Math.max(...signers.map(({ time }) => time));
}

export function place(context: Context, state: RecordState, generation: number) {
  return { fleet: context.fleet.fleet, epoch: context.fleet.epoch, record: state.record, generation };
}
