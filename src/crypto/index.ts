/** RFC 9497, RFC 9180, password-protected secret sharing and strict signatures, on bytes. Safe for browsers; no I/O. */

export { agree, publicPointOf } from './agreement.ts';
export { type Ed25519Key, ed25519KeyFromSeed, signEd25519 } from './ed25519.ts';
export { ENVELOPE_BYTES, MAXIMUM_SECRET_BYTES, openEnvelope, sealEnvelope } from './envelope.ts';
export { hkdf, hkdfExpand, hkdfExtract } from './hkdf.ts';
export {
  newRequestRecipient,
  newRequestSender,
  type OpenedRequest,
  type RequestRecipient,
  type RequestSender,
  type SealedRequest,
} from './hpke.ts';
export { type Blinded, blind, ELEMENT_BYTES, finalize } from './oprf.ts';
export { normalisePin, normaliseRecoveryCode } from './pin.ts';
export { deriveKeys, newSeed, SEED_BYTES, type SeedKeys } from './seed.ts';
export { MAXIMUM_SHARES, type MaskedShare, type NodeOutput, protectSeed, recoverSeed } from './shares.ts';
export { isPublicPoint, lowS, verifyEcdsa, verifyEd25519 } from './signature.ts';
export { nativeArgon2id, type StretchParameters, stretchPin } from './stretch.ts';
