/** Messages between coordinator and node, carried over mutual TLS. The coordinator is trusted for availability only. */

import { codec, HoldfastError, type Infer } from '../core/index.ts';
import { clientRequest } from './request.ts';

const { bytes, fixed, flag, list, message, optional, struct, text, uint, word } = codec;

const heads = list(bytes(20_000), 9);

const NODE_REQUESTS = {
  /** One client's operation: vote, or store, or answer. `request.sealed` has this node's part only. */
  submit: message('holdfast/node/submit/v1', { request: clientRequest, heads }),
  /** The same request again, with the certificate that allows the evaluation. */
  evaluate: message('holdfast/node/evaluate/v1', { request: clientRequest, certificate: bytes(16_384) }),
  /** Certified state from another node. */
  carry: message('holdfast/node/carry/v1', { portable: bytes(120_000), heads }),
  export: message('holdfast/node/export/v1', { record: fixed(32) }),
  head: message('holdfast/node/head/v1', { record: fixed(32) }),
  /** Records whose budget is spent and that are due to be destroyed, as this node sees them. */
  due: message('holdfast/node/due/v1', { maximum: uint }),
  spend: message('holdfast/node/spend/v1', {
    record: fixed(32),
    generation: uint,
    attempt: uint,
    confirmed: uint,
    heads,
  }),
  /** A node that repairs: brings answers, takes its next queries. */
  repair: message('holdfast/node/repair/v1', {
    answers: list(struct({ peer: uint, query: bytes(65_536), answer: bytes(4_400_000) }), 64),
  }),
  /** One query of a node that repairs, to a peer. `rejoin` is its signed statement; the prefix has 0 to 31 bytes. */
  sync: message('holdfast/node/sync/v1', { rejoin: bytes(20_000), prefix: bytes(31) }),
  /** Unsigned digests for anti-entropy between serving nodes. */
  compare: message('holdfast/node/compare/v1', { prefix: bytes(31) }),
  info: message('holdfast/node/info/v1', {}),
  /** What the node signs of its limits, software and token, about the bundle with this digest. */
  service: message('holdfast/node/service/v1', { bundle: fixed(32) }),
} as const;

export type NodeRequestKind = keyof typeof NODE_REQUESTS;
export type NodeRequest<K extends NodeRequestKind = NodeRequestKind> = {
  [P in K]: { kind: P } & Infer<(typeof NODE_REQUESTS)[P]>;
}[K];

const KIND_OF_LABEL = new Map(
  Object.entries(NODE_REQUESTS).map(([kind, request]) => [request.label, kind as NodeRequestKind]),
);

export function encodeNodeRequest(request: NodeRequest): Uint8Array<ArrayBuffer> {
  return (NODE_REQUESTS[request.kind] as codec.Message<NodeRequest>).encode(request);
}

/** @throws HoldfastError `malformed` or `too_large`. */
export function decodeNodeRequest(encoded: Uint8Array): NodeRequest {
  const kind = KIND_OF_LABEL.get(codec.labelOf(encoded));
  if (!kind) throw new HoldfastError('malformed', 'node request has an unknown label');
  return { kind, ...(NODE_REQUESTS[kind] as codec.Message<object>).decode(encoded) } as NodeRequest;
}

const nodeAnswer = message('holdfast/node/answer/v1', {
  /** "ok", or the code of the refusal. */
  code: text(32),
  /** For logs and people; never says more than the code to whoever is not entitled. */
  reason: text(512),
  /** Milliseconds since 1970, where the refusal is only for now; else 0. */
  until: uint,
  /** Encoded signed statement. */
  statement: optional(bytes(20_000)),
  /** Encoded signed head, beside refusals and for `status` and `head`. */
  head: optional(bytes(20_000)),
  /** For the client, sealed. */
  sealed: optional(bytes(8192)),
  /** What the kind of request defines. */
  content: optional(bytes(4_300_000)),
});

export type NodeAnswer = Infer<typeof nodeAnswer>;
export const encodeNodeAnswer = nodeAnswer.encode;
export const decodeNodeAnswer = nodeAnswer.decode;

/** An answer with the given parts, the others absent. */
export function nodeAnswerWith(parts: Partial<NodeAnswer>): NodeAnswer {
  return {
    code: 'ok',
    reason: '',
    until: 0,
    statement: undefined,
    head: undefined,
    sealed: undefined,
    content: undefined,
    ...parts,
  };
}

const DIGESTS = 'holdfast/node/digests/v1';

/** Records that one answer lists at most: with 2 KiB of facts each, half of what an answer holds. */
export const CROWDED_BUCKET = 1024;

/** The content of answers, by kind. */
export const CONTENT = {
  due: message('holdfast/node/due-content/v1', { records: list(fixed(32), 256) }),
  /**
   * Prefix of 0 or 1 byte: 256 digests. Prefix of 2 bytes: the bucket's records, or where they are more than
   * `CROWDED_BUCKET`, 256 digests again, and so on: whoever names records freely can crowd one bucket.
   */
  digests: message(DIGESTS, { digests: list(fixed(32), 256) }),
  bucket: message('holdfast/node/bucket/v1', {
    entries: list(struct({ record: fixed(32), syncHash: fixed(32) }), CROWDED_BUCKET),
  }),
  /** As `bucket`, with the encoded facts themselves: what a repairing node merges. */
  factsBucket: message('holdfast/node/facts-bucket/v1', { facts: list(bytes(2048), CROWDED_BUCKET) }),
  /** What a sync answer's content hash covers: one of the above, the proofs of the peer's fences, how it came here. */
  sync: message('holdfast/node/sync-content/v2', {
    payload: bytes(4_194_304),
    proofs: list(bytes(4096), 9),
    /** Whether the peer has served in this epoch. */
    joined: flag,
    /** The peer's signed `leave` of the epoch before this one, where it has one; else empty. */
    leave: bytes(4096),
  }),
  queries: message('holdfast/node/queries/v1', {
    phase: word('repairing', 'serving', 'stopped'),
    queries: list(struct({ peer: uint, query: bytes(65_536) }), 64),
  }),
  info: message('holdfast/node/info-content/v1', {
    node: uint,
    phase: word('repairing', 'serving', 'stopped'),
    incarnation: uint,
    sequence: uint,
    records: uint,
    syncRoot: fixed(32),
    /** What this node accepted from node i, at index i - 1. */
    fences: list(uint, 9),
    /** How many peers' heads a repairing node has, of how many it needs. */
    headsKnown: uint,
    headsNeeded: uint,
    /** Why it does not serve, for people; empty where it does. */
    reason: text(512),
  }),
} as const;

/** Whether the content of an answer to a prefix of 2 bytes or more is digests, one level down. */
export function isDigests(content: Uint8Array): boolean {
  return codec.labelOf(content) === DIGESTS;
}
