/**
 * What a vault node needs of its token. Two implementations pass one suite: PKCS#11 (`pkcs11/`) and the test double in
 * software. Every method rejects with a HoldfastError of code `token_removed`, `token_failed`, `token_pin_locked`,
 * `token_pin_incorrect` or `token_unsuitable`; it never returns a wrong result silently.
 */

import type { HoldfastError } from '../core/index.ts';

/** What the token says of itself (CK_TOKEN_INFO), for people and metrics. */
export interface TokenDescription {
  readonly module: string;
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
}

/** Names of the node's keys, as in section 3 of docs/protocol.md. */
export type TokenKeyName = 'identity' | 'session' | 'oprf' | 'tweak' | 'anchor';

/** Uncompressed SEC1 points on P-256, 65 bytes each. */
export interface TokenPublicKeys {
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  readonly oprf: Uint8Array;
}

/** How often and how long the token did each kind of operation, since the process began. */
export interface TokenUsage {
  readonly operation: string;
  readonly count: number;
  /** Time spent inside the module, in seconds. */
  readonly seconds: number;
  /** How many took at most `TOKEN_SECONDS[i]` and more than the bound before it; the last: longer than all. Where measured. */
  readonly durations?: readonly number[];
}

/** Seconds: from a MAC in software to a hardware token that is about to count as hung. */
export const TOKEN_SECONDS = [
  0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
] as const;

export interface Token {
  readonly description: TokenDescription;
  readonly publicKeys: TokenPublicKeys;
  /** Milliseconds since 1970 at which the keys were generated, where the token tells (CKA_START_DATE), else undefined. */
  readonly keysCreatedAt: number | undefined;
  /** True where the deployment declares the token's anchor rollback-resistant (real hardware). */
  readonly rollbackResistant: boolean;

  /** ECDSA P-256 over SHA-256 of `message` with `identity`: 64 bytes r || s, s in the lower half. About 0.05 ms. */
  sign(message: Uint8Array): Promise<Uint8Array>;
  /**
   * ECDH with `session`: the 32-byte x-coordinate that RFC 9180's DHKEM wants. `point` is 65 bytes, uncompressed.
   * Rejects with `malformed` for a point off the curve, without asking the token.
   */
  deriveSession(point: Uint8Array): Promise<Uint8Array>;
  /**
   * RFC 9497 BlindEvaluate (P256-SHA256, mode OPRF) under `oprf` times the record's scalar, section 4.
   * `tweakInput` names the record and generation; `blindedElement` and the answer are compressed points of 33 bytes.
   * Rejects with `malformed` for anything but a canonical, on-curve, non-identity point. About 0.4 ms.
   */
  evaluate(tweakInput: Uint8Array, blindedElement: Uint8Array): Promise<Uint8Array>;
  /** HMAC-SHA256 with `anchor`, 32 bytes. */
  anchorMac(message: Uint8Array): Promise<Uint8Array>;
  /** The anchor values now on the token, up to two, in no particular order; an object never written is left out. */
  readAnchors(): Promise<Uint8Array[]>;
  /**
   * Replaces the older of the two anchor values, durably. The two objects are written in turn, so a torn write leaves
   * the other whole. `value` has at most 256 bytes. A rejection means that the result is unknown.
   */
  writeAnchor(value: Uint8Array): Promise<void>;
  /**
   * `writeAnchor`, and once that is durable `sign`, in one turn of the token. Rejects as `writeAnchor` does, with nothing
   * signed; answers with an error where the anchor is written and the signature failed.
   */
  anchorThenSign(value: Uint8Array, message: Uint8Array): Promise<Uint8Array | HoldfastError>;
  usage(): readonly TokenUsage[];
  /** Drains work in progress, then logs out and finalizes. Further calls reject. */
  close(): Promise<void>;
}

/** Ed25519 (RFC 8032, pure), or ECDSA on P-256 with SHA-256 (FIPS 186-5). */
export type SigningAlgorithm = 'Ed25519' | 'P-256';

/** One key on a token that signs and does nothing else. */
export interface SigningKey {
  readonly algorithm: SigningAlgorithm;
  /** Ed25519: 32 bytes (RFC 8032 section 5.1.2). P-256: uncompressed SEC1 point, 65 bytes. */
  readonly publicKey: Uint8Array;
  /**
   * 64 bytes: the Ed25519 signature of `message`, or ECDSA over its SHA-256 as r || s with s in the lower half. Verified
   * with the public key before it is released. `message` has 1 byte to 1 MiB; an Ed25519 message goes to the token as a
   * whole, and hardware may take less. Rejects with `usage` or `too_large` for another length, else as `Token` does.
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** A single signing key with the token's session to itself (certificate authority). */
export interface TokenSigner extends SigningKey {
  close(): Promise<void>;
}

/** A signing key as found by its label, before any check. */
export interface FoundSigningKey {
  /** CKA_LABEL. */
  readonly label: string;
  /** Undefined for a key of another type. */
  readonly algorithm: SigningAlgorithm | undefined;
}

/**
 * A token of signing keys, one login for all of them. Two implementations pass one suite: PKCS#11 and the test double.
 * Labels have 1 to 200 printable ASCII characters without spaces.
 */
export interface SigningToken {
  readonly description: TokenDescription;
  /** What this token can sign with, found by trying it; Ed25519 first where both work. Never empty. */
  readonly algorithms: readonly SigningAlgorithm[];
  /** The private keys whose label begins with `prefix`, sorted by label. */
  find(prefix: string): Promise<readonly FoundSigningKey[]>;
  /**
   * Generates a key, reads its attributes back, tries it, and opens it. Rejects with `token_unsuitable` if the label is
   * taken or the token cannot make such a key as section 3 of docs/protocol.md asks; nothing is left behind then, but for a
   * key that has the right attributes and signs wrongly.
   */
  generate(label: string, algorithm: SigningAlgorithm): Promise<SigningKey>;
  /** Checks the key's attributes and tries it. Rejects with `token_unsuitable` if it is missing or not as asked. */
  open(label: string): Promise<SigningKey>;
  usage(): readonly TokenUsage[];
  /** Drains work in progress, then logs out. Its keys' further calls reject. */
  close(): Promise<void>;
}
