/** The ways to one backup key: PIN, passkey, recovery code. Safe for browsers; the composition is in docs/recovery-methods.md. */

export {
  NAME_CHARACTERS,
  newRecoveryCode,
  RECOVERY_CODE_CHARACTERS,
  type ReadRecoveryCode,
  RecoveryCode,
  readRecoveryCode,
} from './code.ts';
export * from './compose.ts';
export * from './header.ts';
export {
  checkMethods,
  MAXIMUM_METHODS,
  MAXIMUM_SEALED_BYTES,
  type MethodKind,
  openMethods,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
  sealMethods,
  standingOf,
} from './methods.ts';
export { browserPasskeys, type PasskeyPort, passkeyError } from './passkey.ts';
