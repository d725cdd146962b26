/** Hardware tokens: the node's `Token` on PKCS#11, its double in software, and what operators need around them. */

export {
  type AffinePoint,
  decodeCompressed,
  decodeUncompressed,
  type EvaluationPrimitives,
  encodeCompressed,
  encodeUncompressed,
  evaluate,
} from './evaluate.ts';
export {
  type BenchOptions,
  benchToken,
  type ExamineOptions,
  examineToken,
  type Finding,
  removeThrowaway,
  type TokenReport,
  type TokenRole,
  type Verdict,
} from './examine.ts';
export * from './inventory.ts';
export { type MeasureOptions, measureToken, type Rate } from './measure.ts';
export * from './pin.ts';
export {
  initialiseSlot,
  type ModuleAccess,
  type PinTrial,
  readSlots,
  replaceSoPin,
  type SlotState,
  setUserPin,
  tokenRandom,
  tryPin,
} from './pkcs11/administration.ts';
export type { TokenSelector } from './pkcs11/connection.ts';
export { type InitialiseOptions, initialiseToken } from './pkcs11/initialise.ts';
export type { KeySpec } from './pkcs11/keys.ts';
export { COMMAND_TIMEOUT, type TokenAccess } from './pkcs11/pool.ts';
export {
  type CertificateReading,
  destroyKeys,
  findKeys,
  type KeyReading,
  type ReadingAccess,
  readCertificates,
  readKeys,
} from './pkcs11/reading.ts';
export {
  createTokenSigner,
  openSigningToken,
  openTokenSigner,
  type SignerOptions,
  type SigningTokenOptions,
} from './pkcs11/signing-token.ts';
export {
  type CreatedKeys,
  createTokenKeys,
  nodeKeySpecs,
  openToken,
  type Pkcs11Token,
  type TokenOptions,
} from './pkcs11/token.ts';
export * from './port.ts';
export { probeToken, type SigningProfile, type TokenProfile } from './probe.ts';
export * from './refused-pin.ts';
export { MAXIMUM_MESSAGE, verifySignature } from './signature.ts';
export * from './softhsm.ts';
export * from './software.ts';
export {
  SoftwareSigningToken,
  type SoftwareSigningTokenOptions,
  type SoftwareSigningTokenState,
} from './software-signing.ts';
export { syncTokenFolder } from './sync.ts';
