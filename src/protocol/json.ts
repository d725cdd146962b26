/**
 * Client requests and answers as the JSON of the public API (RFC 8259), binary fields in base64url without padding
 * (RFC 4648 section 5). The operation stands in the path, not in the body.
 */

import { isErrorCode, type JsonObject, JsonValue, toBase64Url } from '../core/index.ts';
import type { ClientAnswer, ClientRequest, Operation } from './request.ts';

/** Bytes of a request's JSON that a coordinator reads: all binary fields at their largest, and the names. */
export const MAXIMUM_REQUEST_JSON = 256 * 1024;
/** Bytes of an answer's JSON that a client reads. */
export const MAXIMUM_ANSWER_JSON = 1024 * 1024;

const REQUEST_MEMBERS = ['fleet', 'epoch', 'record', 'generation', 'attempt', 'arguments', 'sealed'] as const;
const SEALED_MEMBERS = ['node', 'enc', 'ciphertext'] as const;
const ANSWER_MEMBERS = ['nodes', 'certificate', 'portable'] as const;
const NODE_MEMBERS = ['node', 'code', 'statement', 'head', 'sealed'] as const;

export interface ClientRequestJson {
  readonly fleet: string;
  readonly epoch: number;
  /** base64url, as every binary field. */
  readonly record: string;
  readonly generation: number;
  readonly attempt: number;
  readonly arguments: string;
  readonly sealed: readonly { readonly node: number; readonly enc: string; readonly ciphertext: string }[];
}

export interface ClientAnswerJson {
  readonly nodes: readonly {
    readonly node: number;
    readonly code: string;
    readonly statement?: string;
    readonly head?: string;
    readonly sealed?: string;
  }[];
  readonly certificate?: string;
  readonly portable?: string;
}

/** The body of `POST /v1/{operation}`. */
export function clientRequestToJson(request: ClientRequest): ClientRequestJson {
  const { fleet, epoch, generation, attempt } = request;
  return {
    fleet,
    epoch,
    record: toBase64Url(request.record),
    generation,
    attempt,
    arguments: toBase64Url(request.arguments),
    sealed: request.sealed.map(({ node, enc, ciphertext }) => ({
      node,
      enc: toBase64Url(enc),
      ciphertext: toBase64Url(ciphertext),
    })),
  };
}

/** @throws HoldfastError `malformed` for anything that `clientRequestToJson` does not give. */
export function clientRequestFromJson(operation: Operation, json: unknown): ClientRequest {
  const body = new JsonValue(json, '', 'malformed').object(REQUEST_MEMBERS);
  const sealed = body.required('sealed');
  const parts = sealed.array(0, 9).map((item) => {
    const part = item.object(SEALED_MEMBERS);
    return {
      node: part.required('node').integer(1, 9),
      enc: part.required('enc').bytes(65, 65),
      ciphertext: part.required('ciphertext').bytes(0, 8192),
    };
  });
  if (new Set(parts.map(({ node }) => node)).size !== parts.length) sealed.fail('names a node twice');
  return {
    fleet: body.required('fleet').text(64),
    epoch: body.required('epoch').integer(0),
    operation,
    record: body.required('record').bytes(32, 32),
    generation: body.required('generation').integer(0),
    attempt: body.required('attempt').integer(0),
    arguments: body.required('arguments').bytes(0, 65_536),
    sealed: parts,
  };
}

export function clientAnswerToJson(answer: ClientAnswer): ClientAnswerJson {
  return {
    nodes: answer.nodes.map(({ node, code, statement, head, sealed }) => ({
      node,
      code,
      ...(statement && { statement: toBase64Url(statement) }),
      ...(head && { head: toBase64Url(head) }),
      ...(sealed && { sealed: toBase64Url(sealed) }),
    })),
    ...(answer.certificate && { certificate: toBase64Url(answer.certificate) }),
    ...(answer.portable && { portable: toBase64Url(answer.portable) }),
  };
}

/** @throws HoldfastError `malformed` for anything that `clientAnswerToJson` does not give. */
export function clientAnswerFromJson(json: unknown): ClientAnswer {
  const body = new JsonValue(json, '', 'malformed').object(ANSWER_MEMBERS);
  const list = body.required('nodes');
  const nodes = list.array(0, 9).map((item) => {
    const part = item.object(NODE_MEMBERS);
    const code = part.required('code');
    const word = code.text(32);
    return {
      node: part.required('node').integer(1, 9),
      code: word === 'ok' || isErrorCode(word) ? word : code.fail('is no code of this version'),
      statement: optionalBytes(part, 'statement', 20_000),
      head: optionalBytes(part, 'head', 20_000),
      sealed: optionalBytes(part, 'sealed', 8192),
    };
  });
  if (new Set(nodes.map(({ node }) => node)).size !== nodes.length) list.fail('names a node twice');
  return {
    nodes,
    certificate: optionalBytes(body, 'certificate', 16_384),
    portable: optionalBytes(body, 'portable', 120_000),
  };
}

function optionalBytes<N extends string>(object: JsonObject<N>, name: N, maximum: number): Uint8Array | undefined {
  return object.optional(name)?.bytes(0, maximum);
}
