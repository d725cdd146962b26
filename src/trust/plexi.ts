/**
 * Statements of Cloudflare's Plexi auditors, ciphersuite 1: a protobuf message signed with Ed25519
 * (cloudflare/plexi, plexi_core/src/proto/specs/types.proto and plexi_core/src/lib.rs).
 */

import { bytesToHex, concatBytes, HoldfastError, utf8 } from '../core/index.ts';
import { verifyEd25519 } from '../crypto/index.ts';

/** What an auditor says about one epoch of a namespace. */
export interface PlexiStatement {
  /** 1 to 256 of the characters that a path's segment has without being escaped. */
  readonly namespace: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  /** A bundle's serial. */
  readonly epoch: number;
  /** 32 bytes: SHA-256 of a bundle's text. */
  readonly digest: Uint8Array;
}

/** Protobuf with Ed25519. */
export const PLEXI_CIPHERSUITE = 1;

/** The namespace of a fleet. */
export function plexiNamespace({
  vault,
  environment,
  fleet,
}: {
  vault: string;
  environment: string;
  fleet: string;
}): string {
  return `${vault}.${environment}.${fleet}`;
}

/**
 * The exact bytes that are signed: fields in order of their numbers, none left out.
 * @throws HoldfastError `bad_input` for a statement that has no such bytes.
 */
export function plexiMessage({ namespace, timestamp, epoch, digest }: PlexiStatement): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9._~-]{1,256}$/.test(namespace)) refuse('namespace must be 1 to 256 of A-Z a-z 0-9 . _ ~ -');
  if (!Number.isSafeInteger(timestamp) || timestamp < 0) refuse('timestamp must be whole milliseconds since 1970');
  if (!Number.isSafeInteger(epoch) || epoch < 1) refuse('epoch must be a whole number from 1');
  if (digest.length !== 32) refuse('digest must have 32 bytes');
  return concatBytes(
    varintField(1, PLEXI_CIPHERSUITE),
    bytesField(2, utf8(namespace)),
    varintField(3, timestamp),
    bytesField(4, varintField(1, epoch)),
    bytesField(5, digest),
  ) as Uint8Array<ArrayBuffer>;
}

/** The last byte of the public key, by which Plexi's readers find it. */
export function plexiKeyId(publicKey: Uint8Array): number {
  return publicKey.at(-1) ?? 0;
}

/** Whether `signature` (64 bytes) is by `publicKey` (32 bytes). @throws HoldfastError `bad_input` as `plexiMessage`. */
export function verifyPlexi(publicKey: Uint8Array, statement: PlexiStatement, signature: Uint8Array): boolean {
  return verifyEd25519(publicKey, plexiMessage(statement), signature);
}

/** A signed statement as Plexi's API answers it, with the members that its readers know. */
export function plexiResponse(statement: PlexiStatement, publicKey: Uint8Array, signature: Uint8Array) {
  const message = plexiMessage(statement);
  return {
    version: PLEXI_CIPHERSUITE,
    ciphersuite: PLEXI_CIPHERSUITE,
    namespace: statement.namespace,
    timestamp: statement.timestamp,
    epoch: statement.epoch,
    digest: bytesToHex(statement.digest),
    signature: bytesToHex(signature),
    key_id: plexiKeyId(publicKey),
    serialized_message: bytesToHex(message),
  } as const;
}

/** Wire type 0. */
function varintField(number: number, value: number): Uint8Array {
  return Uint8Array.of(number << 3, ...varint(value));
}

/** Wire type 2. */
function bytesField(number: number, value: Uint8Array): Uint8Array {
  return concatBytes(Uint8Array.of((number << 3) | 2, ...varint(value.length)), value);
}

/** Seven bits in each byte, the lowest first; not by bits, because times go beyond 32 of them. */
function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function refuse(problem: string): never {
  throw new HoldfastError('bad_input', `the Plexi statement’s ${problem}`);
}
