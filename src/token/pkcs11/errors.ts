/** From CKR_* return values (PKCS#11 v2.40, section 5.1) to Holdfast's closed list of error codes. */

import { type ErrorCode, HoldfastError } from '../../core/index.ts';

const CODES: Readonly<Record<string, ErrorCode>> = {
  CKR_DEVICE_REMOVED: 'token_removed',
  CKR_TOKEN_NOT_PRESENT: 'token_removed',
  CKR_TOKEN_NOT_RECOGNIZED: 'token_removed',
  CKR_SLOT_ID_INVALID: 'token_removed',
  CKR_PIN_INCORRECT: 'token_pin_incorrect',
  CKR_PIN_INVALID: 'token_pin_incorrect',
  CKR_PIN_LEN_RANGE: 'token_pin_incorrect',
  CKR_PIN_LOCKED: 'token_pin_locked',
};

const ADVICE: Readonly<Partial<Record<ErrorCode, string>>> = {
  token_removed: 'put the token back and restart the service',
  token_pin_incorrect: 'correct the PIN before trying again: tokens lock after a few wrong ones',
  token_pin_locked: 'have the security officer set a new PIN',
  token_failed: 'look up the return value in the module’s documentation',
};

/** Modules answer so, and with nothing else, where their own configuration or files cannot be read. */
const GENERAL_ERROR =
  'often the module cannot read its own configuration or files; see its log, and for SoftHSM what SOFTHSM2_CONF names and who may read it';

/** The session or its objects are gone, or their state is unknown: a new session may succeed. */
const SESSION_LOST: ReadonlySet<string> = new Set([
  'CKR_SESSION_HANDLE_INVALID',
  'CKR_SESSION_CLOSED',
  'CKR_DEVICE_REMOVED',
  'CKR_TOKEN_NOT_PRESENT',
  'CKR_TOKEN_NOT_RECOGNIZED',
  'CKR_USER_NOT_LOGGED_IN',
  'CKR_OBJECT_HANDLE_INVALID',
  'CKR_KEY_HANDLE_INVALID',
  'CKR_CRYPTOKI_NOT_INITIALIZED',
  'CKR_OPERATION_ACTIVE',
  'CKR_OPERATION_NOT_INITIALIZED',
  'CKR_DEVICE_ERROR',
  'CKR_GENERAL_ERROR',
  'CKR_FUNCTION_FAILED',
  'CKR_FUNCTION_CANCELED',
  'CKR_DEVICE_MEMORY',
  'CKR_HOST_MEMORY',
]);

/** The CKR name of what a module threw, or undefined for any other error. `C_FindObjects` throws a plain Error. */
export function ckrName(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  return /CKR_[A-Z0-9_]+/.exec(error.message)?.[0];
}

/** Whether the session should be dropped, and an idempotent operation tried once more in a new one. */
export function losesSession(error: unknown): boolean {
  if (error instanceof HoldfastError) return SESSION_LOST.has(String(error.details.ckr ?? ''));
  const name = ckrName(error);
  return name === undefined || SESSION_LOST.has(name);
}

/** What a module threw during `operation`, as a HoldfastError with both in its details. */
export function tokenError(error: unknown, operation: string): HoldfastError {
  if (error instanceof HoldfastError) return error;
  const ckr = ckrName(error);
  const code = (ckr && CODES[ckr]) || 'token_failed';
  const advice = ckr === 'CKR_GENERAL_ERROR' ? GENERAL_ERROR : ADVICE[code];
  const reason = ckr ?? 'an error that is no PKCS#11 return value';
  return new HoldfastError(code, `the token refused ${operation} with ${reason}; ${advice}`, {
    cause: error,
    details: { operation, ckr: ckr ?? null },
  });
}
