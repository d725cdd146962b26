/**
 * The statement on one node's keys: its token, every key with its attributes as read back from that token, and proofs that
 * the keys are in the hands of whoever answered. It says nothing on where they are: that is the vendor's attestation.
 */

import { bytesToHex, hmacSha256, type JsonValue, sha256, utf8 } from '../core/index.ts';
import { agree } from '../crypto/index.ts';
import {
  type CanonicalValue,
  type Digest,
  digestOf,
  formatTime,
  readDigest,
  readNodeName,
  readTime,
  serialiseDocument,
  toBase64,
} from '../trust/index.ts';
import { readBase64 } from './keys.ts';
import { readLine, readTokenFacts, type TokenFacts, writeTokenFacts } from './lines.ts';

export const NODE_KEY_NAMES = ['identity', 'session', 'oprf', 'tweak', 'anchor'] as const;
/** As section 3 of docs/protocol.md names them. */
export type NodeKeyName = (typeof NODE_KEY_NAMES)[number];

export type PossessionProof =
  /** The key has signed `possessionText`: ECDSA in DER. */
  | { readonly kind: 'signature'; readonly signature: Uint8Array }
  /**
   * The key has been used for ECDH with a point of which nobody told the node the secret before it had answered. In the
   * log stand, in this order: the digest of `agreementCommitment`, that of `agreementAnswer`, this statement.
   */
  | {
      readonly kind: 'agreement';
      /** The ephemeral secret, 32 bytes big-endian, which was published after the answer. */
      readonly secret: Uint8Array;
      /** Of `agreementAnswer` by the node's identity key: ECDSA in DER. */
      readonly signature: Uint8Array;
    }
  /** No public proof is claimed, as for a key of HMAC. */
  | { readonly kind: 'none'; readonly reason: string };

export interface NodeKeyFacts {
  readonly name: NodeKeyName;
  /** CKA_LABEL. */
  readonly label: string;
  /** CKA_ID in hexadecimal, up to 64 bytes; empty for none. */
  readonly id: string;
  /** Such as `EC P-256` or `generic secret, 256 bit`. */
  readonly type: string;
  /** The public key, 65 bytes uncompressed; null for keys that have none. */
  readonly publicKey: Uint8Array | null;
  /** Attributes as read back, by their PKCS#11 names: CKA_SENSITIVE and so on. 0 to 64. */
  readonly attributes: Readonly<Record<string, boolean>>;
  readonly proof: PossessionProof;
  /**
   * The vendor's attestation of this very key: SHA-256 of files of kind `attestation` in the evidence manifest, each one
   * certificate in DER, the key's own first and the vendor's root left out. 0 to 8.
   */
  readonly attestation: readonly Digest[];
}

export interface NodeKeysPredicate {
  /** The node's name in the bundle. */
  readonly node: string;
  /** Milliseconds since 1970, whole seconds: when the token was read. */
  readonly readAt: number;
  readonly token: TokenFacts;
  /** 1 to 5, each name once. */
  readonly keys: readonly NodeKeyFacts[];
}

/** What the question is about: `description` is the digest of the fleet's description. */
export interface PossessionSubject {
  readonly description: Digest;
  /** The node's name. */
  readonly node: string;
  /** CKA_LABEL of the key. */
  readonly label: string;
}

/** The text that a signing key signs: a line `holdfast/possession/v1` and one line of JSON. */
export function possessionText({ description, node, label }: PossessionSubject): string {
  return serialiseDocument('holdfast/possession/v1', { description, node, label });
}

/** What the witness of an agreement logs first. `secret`: 32 random bytes that are a scalar of P-256. */
export function agreementCommitment(subject: PossessionSubject, secret: Uint8Array): string {
  return agreementCommitmentOf(subject, bytesToHex(sha256(secret)));
}

/** The same for whoever knows the secret's SHA-256 only, in hexadecimal. */
export function agreementCommitmentOf({ description, node, label }: PossessionSubject, secret: Digest): string {
  return serialiseDocument('holdfast/agreement-commitment/v1', { description, node, label, secret });
}

/**
 * What the node signs and logs before it knows the secret.
 * @param commitment the text of `agreementCommitment`.
 * @param point the ephemeral public key, 65 bytes.
 * @param shared the x-coordinate, 32 bytes, of its product with the node's key.
 */
export function agreementAnswer(commitment: string, point: Uint8Array, shared: Uint8Array): string {
  return agreementAnswerOf(commitment, point, agreementMac(commitment, shared));
}

/** HMAC-SHA256 of the commitment's text, 32 bytes, which nobody makes without the product. */
export function agreementMac(commitment: string, shared: Uint8Array): Uint8Array {
  return hmacSha256(shared, utf8(commitment));
}

/** The same text for whoever knows the MAC only. */
export function agreementAnswerOf(commitment: string, point: Uint8Array, mac: Uint8Array): string {
  return serialiseDocument('holdfast/agreement-answer/v1', {
    commitment: digestOf(commitment),
    point: toBase64(point),
    mac: bytesToHex(mac),
  });
}

/** Both texts of an agreement as they must have been; undefined for a secret that is no scalar, or a key that is no point. */
export function agreementTexts(
  subject: PossessionSubject,
  secret: Uint8Array,
  publicKey: Uint8Array,
): { readonly commitment: string; readonly answer: string } | undefined {
  const agreed = agree(secret, publicKey);
  if (agreed === undefined) return undefined;
  const commitment = agreementCommitment(subject, secret);
  return { commitment, answer: agreementAnswer(commitment, agreed.point, agreed.shared) };
}

export function writeNodeKeysPredicate({ node, readAt, token, keys }: NodeKeysPredicate): CanonicalValue {
  return { node, readAt: formatTime(readAt), token: writeTokenFacts(token), keys: keys.map(writeKey) };
}

function writeKey({ name, label, id, type, publicKey, attributes, proof, attestation }: NodeKeyFacts): CanonicalValue {
  const point = publicKey === null ? null : toBase64(publicKey);
  return { name, label, id, type, publicKey: point, attributes, proof: writeProof(proof), attestation };
}

function writeProof(proof: PossessionProof): CanonicalValue {
  if (proof.kind === 'none') return { kind: proof.kind, reason: proof.reason };
  const signature = toBase64(proof.signature);
  if (proof.kind === 'signature') return { kind: proof.kind, signature };
  return { kind: proof.kind, secret: toBase64(proof.secret), signature };
}

/** Reads what `writeNodeKeysPredicate` writes. Throws as `JsonValue` does. */
export function readNodeKeysPredicate(value: JsonValue): NodeKeysPredicate {
  const file = value.object(['node', 'readAt', 'token', 'keys']);
  const keys = file.required('keys').array(1, NODE_KEY_NAMES.length).map(readKey);
  if (new Set(keys.map(({ name }) => name)).size !== keys.length) file.required('keys').fail('must have each key once');
  return {
    node: readNodeName(file.required('node')),
    readAt: readTime(file.required('readAt')),
    token: readTokenFacts(file.required('token')),
    keys,
  };
}

function readKey(value: JsonValue): NodeKeyFacts {
  const key = value.object(['name', 'label', 'id', 'type', 'publicKey', 'attributes', 'proof', 'attestation']);
  const publicKey = key.required('publicKey');
  const attestation = key.required('attestation').array(0, 8);
  return {
    name: key.required('name').word(NODE_KEY_NAMES),
    label: readLine(key.required('label')),
    id: readId(key.required('id')),
    type: readLine(key.required('type'), 64),
    publicKey: publicKey.value === null ? null : readPoint(publicKey),
    attributes: readAttributes(key.required('attributes')),
    proof: readProof(key.required('proof')),
    attestation: attestation.map((item) => readDigest(item)),
  };
}

function readId(value: JsonValue): string {
  if (value.value === '') return '';
  const id = value.text(128);
  return /^(?:[0-9a-f]{2})+$/.test(id) ? id : value.fail('must be lower-case hexadecimal');
}

function readPoint(value: JsonValue): Uint8Array {
  const point = readBase64(value, 65);
  return point.length === 65 && point[0] === 4 ? point : value.fail('must be an uncompressed point of 65 bytes');
}

function readAttributes(value: JsonValue): Record<string, boolean> {
  const { value: raw } = value;
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return value.fail('must be an object');
  const names = Object.keys(raw);
  if (names.length > 64) value.fail('must have at most 64 members');
  const wrong = names.find((name) => !/^CKA_[A-Z0-9_]{1,60}$/.test(name));
  if (wrong !== undefined) value.fail('must have members that are names of PKCS#11 attributes');
  const members = value.object(names);
  return Object.fromEntries(names.map((name) => [name, members.required(name).boolean()]));
}

function readProof(value: JsonValue): PossessionProof {
  const any = value.object(['kind', 'signature', 'secret', 'reason']);
  const kind = any.required('kind').word(['signature', 'agreement', 'none']);
  if (kind === 'none') {
    return { kind, reason: readLine(value.object(['kind', 'reason']).required('reason')) };
  }
  const signature = readBase64(any.required('signature'), 72);
  if (kind === 'signature') {
    value.object(['kind', 'signature']);
    return { kind, signature };
  }
  const secret = readBase64(value.object(['kind', 'signature', 'secret']).required('secret'), 32);
  return secret.length === 32 ? { kind, secret, signature } : value.fail('must have a secret of 32 bytes');
}
