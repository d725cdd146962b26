/** A node's state of one record, as stored, and what it tells others of it. */

import { codec, type Infer } from '../core/index.ts';
import { type RecordFacts, syncHash } from './facts.ts';
import type { Fleet, Policy } from './fleet.ts';
import type { Body } from './statement.ts';

const { bytes, fixed, flag, message, optional, struct, uint, word } = codec;

const tombstoneProof = struct({
  generation: uint,
  /** `spent`: the certificate of a spent statement. `owner`: an encoded `ownerDeletion`. */
  kind: word('spent', 'owner'),
  proof: bytes(34_000),
});

/**
 * The owner's signature that deletes a generation, with the opening that proves the owner's key to anybody; where that was a
 * takeover, and only there, also with the staging, which proves that its time to be cancelled has passed.
 */
const ownerDeletion = message('holdfast/owner-deletion/v2', {
  openCertificate: bytes(16_384),
  stageCertificate: optional(bytes(16_384)),
  signature: fixed(64),
});
export const encodeOwnerDeletion = ownerDeletion.encode;
export const decodeOwnerDeletion = ownerDeletion.decode;

const confirmationProof = struct({
  /** Certificate of the attempt that was confirmed. */
  certificate: bytes(16_384),
  signature: fixed(64),
});

const activationProof = struct({
  document: bytes(20_000),
  /** Proves who the owner is: it names the owner's key. */
  openCertificate: bytes(16_384),
  stageCertificate: bytes(16_384),
  /** By the document's owner, over the stage certificate. */
  ownerSignature: fixed(64),
});

const recordState = message('holdfast/record-state/v1', {
  record: fixed(32),
  /** The highest generation ever opened, activated or destroyed here. */
  highest: uint,
  /** This node's open vote for generation `highest`; absent where it abstains. `time` in ms, from this node's clock. */
  open: optional(struct({ blindHash: fixed(32), ownerKey: fixed(32), takeover: flag, cancelled: flag, time: uint })),
  /** This node's stage vote for generation `highest`, with the document where it has it. */
  stage: optional(struct({ documentHash: fixed(32), document: optional(bytes(20_000)) })),
  active: optional(
    struct({
      generation: uint,
      documentHash: fixed(32),
      activation: activationProof,
      /** The highest attempt number voted for or learned. Only grows. */
      attempt: uint,
      /** The one blinded element's hash that this node votes for at `attempt`; absent where it abstains. */
      vote: optional(fixed(32)),
      /**
       * Numbers above `attempt` that this node may have voted for before it was rolled back, as far as its peers' votes go:
       * it votes for none of them, but for `vote` at `upTo` where its peers agree on that. Neither counts as an attempt.
       */
      barred: optional(struct({ upTo: uint, vote: optional(fixed(32)) })),
      attemptTime: uint,
      confirmed: uint,
      confirmation: optional(confirmationProof),
      /** This node's "spent" vote, or one taken over while repairing: no confirm without the heads of t nodes. */
      spent: optional(struct({ attempt: uint, confirmed: uint })),
    }),
  ),
  tombstone: optional(tombstoneProof),
});

export type RecordState = Infer<typeof recordState>;
export type ActiveRecord = NonNullable<RecordState['active']>;
export type TombstoneProof = Infer<typeof tombstoneProof>;
export type ConfirmationProof = Infer<typeof confirmationProof>;
export type ActivationProof = Infer<typeof activationProof>;

export const encodeRecordState = recordState.encode;
export const decodeRecordState = recordState.decode;

export function emptyRecord(record: Uint8Array): RecordState {
  return { record, highest: 0, open: undefined, stage: undefined, active: undefined, tombstone: undefined };
}

/** What carries a record's certified state from node to node; every part proves itself. */
const portableRecord = message('holdfast/portable-record/v1', {
  record: fixed(32),
  activation: optional(activationProof),
  confirmation: optional(confirmationProof),
  tombstone: optional(tombstoneProof),
});

export type PortableRecord = Infer<typeof portableRecord>;
export const encodePortableRecord = portableRecord.encode;
export const decodePortableRecord = portableRecord.decode;

export function portable(state: RecordState): PortableRecord {
  return {
    record: state.record,
    activation: state.active?.activation,
    confirmation: state.active?.confirmation,
    tombstone: state.tombstone,
  };
}

export function factsOf(state: RecordState): RecordFacts {
  const { open, active } = state;
  return {
    highest: state.highest,
    open: open && {
      blindHash: open.blindHash,
      ownerKey: open.ownerKey,
      takeover: open.takeover,
      cancelled: open.cancelled,
    },
    stage: state.stage?.documentHash,
    active: active && {
      generation: active.generation,
      documentHash: active.documentHash,
      attempt: active.attempt,
      vote: active.barred && active.barred.upTo > active.attempt ? active.barred.vote : active.vote,
      confirmed: active.confirmed,
      barred: active.barred?.upTo ?? 0,
      spent: active.spent,
    },
    tombstone: state.tombstone?.generation ?? 0,
  };
}

export const recordSyncHash = (state: RecordState): Uint8Array => syncHash(state.record, factsOf(state));

/** Attempts left now: within the limit since the last success, and within the generation's lifetime. */
export function budgetLeft(policy: Policy, attempt: number, confirmed: number): number {
  return Math.max(0, Math.min(policy.limit - (attempt - confirmed), policy.lifetimeLimit - attempt));
}

/** Milliseconds to wait between number `a - 1` and number `a`, where `confirmed` is the last success. */
export function waitBefore(policy: Policy, a: number, confirmed: number): number {
  const { waits } = policy;
  return 1000 * (waits[Math.min(a - confirmed, waits.length) - 1] ?? 0);
}

/** The earliest time, in ms, at which this node votes for the next number. */
export function nextAttemptAt(policy: Policy, active: ActiveRecord, now: number): number {
  // A clock that stepped back must not lengthen a wait beyond its length from now.
  const since = Math.min(active.attemptTime, now);
  return since + waitBefore(policy, active.attempt + 1, active.confirmed);
}

export function headBody(fleet: Fleet, state: RecordState, now: number): Body<'head'> {
  return {
    kind: 'head',
    fleet: fleet.fleet,
    epoch: fleet.epoch,
    record: state.record,
    facts: factsOf(state),
    attemptTime: state.active?.attemptTime ?? 0,
    nextAttemptAt: state.active ? nextAttemptAt(fleet.policy, state.active, now) : 0,
  };
}
