/**
 * What a vault node needs of its token. Two implementations pass one suite: PKCS#11 (`pkcs11/`) and the test double in
 * software. Every method rejects with a HoldfastError of code `token_removed`, `token_failed`, `token_pin_locked`,
 * `token_pin_incorrect` or `token_unsuitable`; it never returns a wrong result silently.
 */

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
}

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
  usage(): readonly TokenUsage[];
  /** Drains work in progress, then logs out and finalizes. Further calls reject. */
  close(): Promise<void>;
}

/** One ECDSA P-256 signing key on a token, for roles that need nothing else (certificate authority, bundle signers). */
export interface TokenSigner {
  /** Uncompressed SEC1 point, 65 bytes. */
  readonly publicKey: Uint8Array;
  /** ECDSA P-256 over SHA-256 of `message`: 64 bytes r || s, s in the lower half. */
  sign(message: Uint8Array): Promise<Uint8Array>;
  close(): Promise<void>;
}
