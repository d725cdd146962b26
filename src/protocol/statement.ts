/**
 * Statements: what a node signs. A body says what was decided and is the same on all nodes that decided it; the signer
 * part says which node, in which incarnation, with which fences (docs/protocol.md, section 7). One token signature
 * over the Merkle root of a batch of statements serves them all.
 */

import { codec, HoldfastError, type Infer } from '../core/index.ts';
import { recordFacts } from './facts.ts';
import { leafHash, rootFromPath } from './merkle.ts';

const { bytes, fixed, flag, list, message, struct, text, uint } = codec;

const place = { fleet: text(64), epoch: uint, record: fixed(32), generation: uint };

/** Every kind of body. `attempt`, `open`, `stage`, `spent` make certificates; `active`, `confirmed`, `destroyed` are receipts. */
const BODIES = {
  open: message('holdfast/open/v1', { ...place, blindHash: fixed(32), ownerKey: fixed(32), takeover: flag }),
  stage: message('holdfast/stage/v1', { ...place, documentHash: fixed(32) }),
  active: message('holdfast/active/v1', { ...place, documentHash: fixed(32) }),
  attempt: message('holdfast/attempt/v1', {
    ...place,
    attempt: uint,
    blindHash: fixed(32),
    documentHash: fixed(32),
  }),
  /** "confirmed is at least `attempt` in this generation here." */
  confirmed: message('holdfast/confirmed/v1', { ...place, attempt: uint }),
  spent: message('holdfast/spent/v1', { ...place, attempt: uint, confirmed: uint }),
  /** "this generation and all older ones are destroyed here." */
  destroyed: message('holdfast/destroyed/v1', place),
  /** The takeover that opened this generation is cancelled here. */
  cancelled: message('holdfast/cancelled/v1', place),
  /** Times in milliseconds since 1970: of the vote for number `attempt`, and the earliest time of the next vote. */
  head: message('holdfast/head/v1', {
    fleet: text(64),
    epoch: uint,
    record: fixed(32),
    facts: recordFacts,
    attemptTime: uint,
    nextAttemptAt: uint,
  }),
  rejoin: message('holdfast/rejoin/v1', {
    fleet: text(64),
    epoch: uint,
    node: uint,
    incarnation: uint,
    nonce: fixed(32),
  }),
  /**
   * "this node takes no part in `epoch` any more; the records that it left with have this root of digests." `next` is the
   * digest of the one membership that it has left for.
   */
  leave: message('holdfast/leave/v1', { fleet: text(64), epoch: uint, next: fixed(32), root: fixed(32) }),
  /** One answer to a node that rejoins: the hash of the rejoin statement's leaf, and of the content sent beside this. */
  sync: message('holdfast/sync/v1', {
    fleet: text(64),
    epoch: uint,
    rejoin: fixed(32),
    prefix: bytes(31),
    contentHash: fixed(32),
    /** False where the incarnation was not above the fence: the signer's fence vector says what it must exceed. */
    accepted: flag,
  }),
} as const;

export type BodyKind = keyof typeof BODIES;
export type Body<K extends BodyKind = BodyKind> = { [P in K]: { kind: P } & Infer<(typeof BODIES)[P]> }[K];

const KIND_OF_LABEL = new Map(Object.entries(BODIES).map(([kind, body]) => [body.label, kind as BodyKind]));

export function encodeBody(body: Body): Uint8Array {
  return (BODIES[body.kind] as codec.Message<Body>).encode(body);
}

/** @throws HoldfastError `malformed`. */
export function decodeBody(encoded: Uint8Array): Body {
  const kind = KIND_OF_LABEL.get(codec.labelOf(encoded));
  if (!kind) throw new HoldfastError('malformed', 'statement body has an unknown label');
  return { kind, ...(BODIES[kind] as codec.Message<object>).decode(encoded) } as Body;
}

export const signer = struct({
  /** Node number, 1 to n. */
  node: uint,
  /** Counts restarts and repairs of the node, from 1. */
  incarnation: uint,
  /** Sequence of the batch that was anchored before this was signed. */
  sequence: uint,
  /** Milliseconds since 1970 on the node's clock. No clock affects the guess bound. */
  time: uint,
  /** The highest incarnation accepted from node i, at index i - 1. */
  fences: list(uint, 9),
});

export type Signer = Infer<typeof signer>;

/** A signature over a batch, and this statement's place in that batch. */
export const batchSignature = struct({
  index: uint,
  size: uint,
  path: list(fixed(32), 32),
  /** ECDSA P-256, 64 bytes, over `holdfast/statement-batch/v1`. */
  signature: fixed(64),
});

export type BatchSignature = Infer<typeof batchSignature>;

const statementLeaf = message('holdfast/statement/v1', { body: bytes(4096), signer });
const statementBatch = message('holdfast/statement-batch/v1', {
  fleet: text(64),
  epoch: uint,
  node: uint,
  root: fixed(32),
});
const signedStatement = message('holdfast/signed-statement/v1', { body: bytes(4096), signer, batch: batchSignature });

export interface SignedStatement {
  readonly body: Uint8Array;
  readonly signer: Signer;
  readonly batch: BatchSignature;
}

export const encodeSignedStatement = signedStatement.encode;
export const decodeSignedStatement = signedStatement.decode;

/** The leaf of a statement in its batch's tree, 32 bytes. */
export function statementHash(body: Uint8Array, by: Signer): Uint8Array {
  return statementLeaf.use({ body, signer: by }, leafHash);
}

/** The bytes that the token signs for a batch with this root. */
export function batchToSign(fleet: { fleet: string; epoch: number }, node: number, root: Uint8Array): Uint8Array {
  return statementBatch.encode({ fleet: fleet.fleet, epoch: fleet.epoch, node, root });
}

/** The root that a signed statement claims to be under, or undefined where its path is misshapen. */
export function batchRoot(statement: SignedStatement): Uint8Array | undefined {
  const { index, size, path } = statement.batch;
  return rootFromPath(statementHash(statement.body, statement.signer), index, size, path);
}
