/**
 * Requests of a client to the nodes: what is in the clear for the coordinator, what is sealed to each node, and the
 * public arguments of each operation (docs/protocol.md, section 6).
 */

import { codec, HoldfastError, type Infer, sha256 } from '../core/index.ts';

const { bytes, fixed, flag, labelOf, list, message, optional, struct, text, uint, word } = codec;

export const OPERATIONS = ['status', 'open', 'stage', 'activate', 'attempt', 'confirm', 'delete', 'cancel'] as const;
export type Operation = (typeof OPERATIONS)[number];

/** Milliseconds in which a node takes so many requests of one record, and turns further ones away as `rate_limited`. */
export const RATE_WINDOW = 10_000;

const outer = struct({
  fleet: text(64),
  epoch: uint,
  /** The node that this is sealed to. */
  node: uint,
  operation: word(...OPERATIONS),
  record: fixed(32),
  /** 0 where the operation has none. */
  generation: uint,
  attempt: uint,
  /** SHA-256 of the encoded public arguments, which name the blinded element by its hash. */
  argumentsHash: fixed(32),
});

/** The outer fields of a request: associated data of its sealing, and signed by the client's key. */
export type Outer = Infer<typeof outer>;

const outerMessage = message('holdfast/request/v1', { outer });
export const encodeOuter = (value: Outer): Uint8Array<ArrayBuffer> => outerMessage.encode({ outer: value });

/** HPKE's `info` for requests. */
const sealingInfo = message('holdfast/request-info/v1', { fleet: text(64), epoch: uint, node: uint });
export const encodeSealingInfo = sealingInfo.encode;

/** What is sealed: the user token, the client key's signature over outer fields and token, and the blinded element. */
const contentOfVersion1 = message('holdfast/request-content/v1', {
  userToken: text(4096),
  clientSignature: fixed(64),
  /** For `open` and `attempt`: 33 bytes, compressed point. */
  blindedElement: optional(fixed(33)),
});

/** The signature is for the HPKE context too, and missing where the node has taken one for it and this user token. */
const contentOfVersion2 = message('holdfast/request-content/v2', {
  userToken: text(4096),
  clientSignature: optional(fixed(64)),
  blindedElement: optional(fixed(33)),
});

/** Nodes of before know version 1 only. */
export type RequestContent =
  | ({ readonly version: 1 } & Readonly<Infer<typeof contentOfVersion1>>)
  | ({ readonly version: 2 } & Readonly<Infer<typeof contentOfVersion2>>);

export function encodeRequestContent(content: RequestContent): Uint8Array<ArrayBuffer> {
  return content.version === 1 ? contentOfVersion1.encode(content) : contentOfVersion2.encode(content);
}

/** @throws HoldfastError `malformed` or `too_large` for anything that `encodeRequestContent` does not write. */
export function decodeRequestContent(encoded: Uint8Array): RequestContent {
  switch (labelOf(encoded)) {
    case contentOfVersion1.label:
      return { version: 1, ...contentOfVersion1.decode(encoded) };
    case contentOfVersion2.label:
      return { version: 2, ...contentOfVersion2.decode(encoded) };
    default:
      throw new HoldfastError('malformed', 'the request’s content is of a version that this node does not know');
  }
}

/** Sealed back to the client. `code` is "ok" or an error code; `reason` is for the person, never for the coordinator. */
const answerContent = message('holdfast/answer-content/v1', {
  code: text(32),
  reason: text(512),
  /** Milliseconds since 1970 before which another attempt is refused; 0 where that is not the reason. */
  until: uint,
  /** For evaluations: 33 bytes, compressed point. */
  evaluatedElement: optional(fixed(33)),
});
export type AnswerContent = Infer<typeof answerContent>;
export const encodeAnswerContent = answerContent.encode;
export const decodeAnswerContent = answerContent.decode;

/** Public arguments, one message per operation. */
export const ARGUMENTS = {
  status: message('holdfast/arguments/status/v1', {}),
  open: message('holdfast/arguments/open/v1', {
    blindHash: fixed(32),
    ownerKey: fixed(32),
    takeover: flag,
    authorisation: optional(struct({ previous: uint, signature: fixed(64) })),
  }),
  stage: message('holdfast/arguments/stage/v1', { document: bytes(20_000), openCertificate: bytes(16_384) }),
  activate: message('holdfast/arguments/activate/v1', {
    document: bytes(20_000),
    openCertificate: bytes(16_384),
    stageCertificate: bytes(16_384),
    ownerSignature: fixed(64),
  }),
  attempt: message('holdfast/arguments/attempt/v1', { blindHash: fixed(32) }),
  confirm: message('holdfast/arguments/confirm/v1', { certificate: bytes(16_384), signature: fixed(64) }),
  delete: message('holdfast/arguments/delete/v2', {
    signature: fixed(64),
    openCertificate: bytes(16_384),
    /** Of a record that was taken over, and of no other. */
    stageCertificate: optional(bytes(16_384)),
  }),
  cancel: message('holdfast/arguments/cancel/v1', { signature: fixed(64) }),
} as const satisfies Record<Operation, unknown>;

export type Arguments<O extends Operation> = Infer<(typeof ARGUMENTS)[O]>;

export const argumentsHash: (encoded: Uint8Array) => Uint8Array = sha256;

/** One operation for all nodes, as the client hands it to a coordinator. */
export const clientRequest = struct({
  fleet: text(64),
  epoch: uint,
  operation: word(...OPERATIONS),
  record: fixed(32),
  generation: uint,
  attempt: uint,
  /** Encoded public arguments. */
  arguments: bytes(65_536),
  /** HPKE encapsulation (65 bytes, uncompressed point) and ciphertext per node. */
  sealed: list(struct({ node: uint, enc: fixed(65), ciphertext: bytes(8192) }), 9),
});

export type ClientRequest = Infer<typeof clientRequest>;

const clientRequestMessage = message('holdfast/client-request/v1', { request: clientRequest });
export const encodeClientRequest = (request: ClientRequest): Uint8Array<ArrayBuffer> =>
  clientRequestMessage.encode({ request });
export const decodeClientRequest = (encoded: Uint8Array): ClientRequest => clientRequestMessage.decode(encoded).request;

/** What a coordinator answers: each node's part untouched, and the certificate where there is one. */
const clientAnswer = message('holdfast/client-answer/v1', {
  nodes: list(
    struct({
      node: uint,
      /** "ok", or the code of the node's refusal. */
      code: text(32),
      /** Encoded signed statement, receipt or head. */
      statement: optional(bytes(20_000)),
      head: optional(bytes(20_000)),
      /** Sealed `AnswerContent`. */
      sealed: optional(bytes(8192)),
    }),
    9,
  ),
  certificate: optional(bytes(16_384)),
  /** The active record as a node exported it, for `status` and `attempt`. */
  portable: optional(bytes(120_000)),
});
export type ClientAnswer = Infer<typeof clientAnswer>;
export const encodeClientAnswer = clientAnswer.encode;
export const decodeClientAnswer = clientAnswer.decode;
