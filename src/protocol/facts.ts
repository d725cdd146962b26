/**
 * What nodes compare and tell each other of a record: its place in the lattice of section 6, votes included, without
 * proofs and without times (which differ between nodes that agree).
 */

import { codec, type Infer, sha256 } from '../core/index.ts';

const { fixed, flag, message, optional, struct, uint } = codec;

export const recordFacts = struct({
  /** The highest generation ever opened, activated or destroyed here; 0 where there was none. */
  highest: uint,
  /** The open vote for generation `highest`. Absent where this node abstains, or learned the generation otherwise. */
  open: optional(struct({ blindHash: fixed(32), ownerKey: fixed(32), takeover: flag, cancelled: flag })),
  /** The stage vote for generation `highest`. */
  stage: optional(fixed(32)),
  active: optional(
    struct({
      generation: uint,
      documentHash: fixed(32),
      attempt: uint,
      /**
       * The blinded element's hash that this node votes for at the higher of `attempt` and `barred`; absent where it abstains
       * there. What it may have voted for at `barred` and forgotten was that, or can be in no certificate.
       */
      vote: optional(fixed(32)),
      confirmed: uint,
      /** The highest number that this node may have voted for and forgotten; 0 for none. Never counts as an attempt. */
      barred: uint,
      /** Set once this node voted "spent", or took over such a vote while repairing. */
      spent: optional(struct({ attempt: uint, confirmed: uint })),
    }),
  ),
  /** The highest generation known, with proof, to be destroyed; 0 where there is none. */
  tombstone: uint,
});

export type RecordFacts = Infer<typeof recordFacts>;

/** The number beyond which a node can vote: what it voted for, or may have voted for and forgotten. */
export function position(active: Pick<NonNullable<RecordFacts['active']>, 'attempt' | 'barred'>): number {
  return Math.max(active.attempt, active.barred);
}

const factsMessage = message('holdfast/facts/v1', { record: fixed(32), facts: recordFacts });

export const encodeFacts = factsMessage.encode;
export const decodeFacts = factsMessage.decode;

/** 32 bytes: equal on two nodes exactly when they hold the same facts on the record. */
export function syncHash(record: Uint8Array, facts: RecordFacts): Uint8Array {
  return factsMessage.use({ record, facts }, sha256);
}
