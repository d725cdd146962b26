/**
 * The closed list of Holdfast's error codes, with the exit code, HTTP status and advice that belong to each.
 * HTTP errors are problem+json (RFC 9457) made from the same table.
 */

interface ErrorKind {
  /** Exit code of every command that ends with this error. */
  readonly exit: number;
  /** HTTP status of the public API (RFC 9110). */
  readonly status: number;
  /** Whether the very same request may succeed later without anybody changing anything. */
  readonly retryable: boolean;
  readonly title: string;
}

const kind = (exit: number, status: number, retryable: boolean, title: string): ErrorKind => ({
  exit,
  status,
  retryable,
  title,
});

/** Every error code there is. A code's meaning never changes; new codes may be added. */
export const ERROR_KINDS = {
  unexpected: kind(1, 500, false, 'Something unexpected happened.'),
  usage: kind(2, 400, false, 'The command line or configuration is wrong.'),
  wrong_pin: kind(3, 403, false, 'The PIN is wrong.'),
  waiting: kind(3, 429, true, 'It is too early for another attempt.'),
  spent: kind(4, 410, false, 'No attempts are left.'),
  destroyed: kind(4, 410, false, 'The record has been destroyed.'),
  no_majority: kind(5, 503, true, 'No majority of nodes could be reached.'),
  not_ready: kind(5, 503, true, 'The node or service is not ready.'),
  overloaded: kind(5, 503, true, 'The service is overloaded.'),
  cancelled: kind(1, 499, true, 'The operation was cancelled.'),
  untrusted: kind(6, 502, false, 'Something did not verify.'),
  other_epoch: kind(6, 409, false, 'The fleet’s nodes have changed; a newer trust file is needed.'),
  trust_expired: kind(6, 502, false, 'The trust file has expired.'),
  bundle_malformed: kind(9, 422, false, 'The validation bundle, or what came with it, is not valid.'),
  signature_missing: kind(6, 502, false, 'A signature that must be there is missing.'),
  signature_invalid: kind(6, 502, false, 'A signature is false.'),
  wrong_environment: kind(6, 502, false, 'This belongs to another vault, environment or fleet.'),
  wrong_origin: kind(6, 502, false, 'This comes from another log.'),
  proof_invalid: kind(6, 502, false, 'The proof that something stands in the log does not verify.'),
  not_accepted: kind(6, 502, false, 'The log does not list this fleet as accepted.'),
  bundle_superseded: kind(6, 502, false, 'The log lists a newer bundle of this fleet.'),
  roster_wrong: kind(6, 502, false, 'The log’s list of fleets is wrong.'),
  quorum_not_met: kind(6, 502, true, 'Too few independent witnesses have confirmed the log.'),
  log_stale: kind(6, 502, true, 'The witnesses’ confirmations of the log are too old.'),
  clock_fault: kind(6, 502, true, 'The clock of this device is wrong.'),
  rolled_back: kind(6, 502, false, 'This is older than what was already seen.'),
  log_misconduct: kind(6, 502, false, 'The log has broken its own rules.'),
  evidence_wrong: kind(6, 502, false, 'The deployment’s evidence is missing or not what the bundle names.'),
  evidence_malformed: kind(9, 422, false, 'A piece of the deployment’s evidence is not valid.'),
  evidence_missing: kind(6, 502, false, 'A piece of the deployment’s evidence is missing.'),
  evidence_unlogged: kind(6, 502, false, 'A piece of the deployment’s evidence does not stand in the log.'),
  evidence_signature: kind(6, 502, false, 'A signature on the deployment’s evidence is false.'),
  evidence_mismatch: kind(6, 502, false, 'Pieces of the deployment’s evidence contradict each other or the bundle.'),
  possession_invalid: kind(6, 502, false, 'The proof that somebody holds a node’s key is false.'),
  token_class_unproven: kind(6, 502, false, 'The bundle claims more of a token than is proven.'),
  split_view: kind(6, 502, false, 'The log shows different histories to different people.'),
  chain_broken: kind(6, 502, false, 'The bundle does not follow from the one that was trusted before.'),
  bundle_retired: kind(6, 502, false, 'The fleet has been retired.'),
  bundle_revoked: kind(6, 502, false, 'The bundle has been revoked.'),
  bundle_expired: kind(6, 502, false, 'The bundle has expired.'),
  bundle_not_yet_valid: kind(6, 502, false, 'The bundle is not valid yet.'),
  policy_floor: kind(6, 502, false, 'The fleet is weaker than your application allows.'),
  fleet_weakened: kind(6, 502, false, 'The fleet is weaker than the one that was trusted before.'),
  policy_malformed: kind(9, 422, false, 'The trust policy is not valid.'),
  policy_signatures: kind(6, 502, false, 'The trust policy has too few signatures.'),
  policy_unsafe: kind(6, 502, false, 'The trust policy does not protect.'),
  policy_expired: kind(6, 502, false, 'The trust policy has expired.'),
  policy_outdated: kind(6, 502, false, 'There is a newer trust policy, which was not shown.'),
  trust_unavailable: kind(5, 503, true, 'What proves the fleet’s keys cannot be fetched.'),
  trust_state_damaged: kind(6, 502, false, 'What this device remembers of the fleets that it trusts is damaged.'),
  faulty_node: kind(6, 502, false, 'A node answered wrongly.'),
  recovery_code_unreadable: kind(9, 422, false, 'The recovery code has too many mistakes.'),
  recovery_code_wrong: kind(3, 403, false, 'The recovery code is another backup’s.'),
  passkey_wrong: kind(3, 403, false, 'The passkey does not open this backup.'),
  passkey_unsupported: kind(1, 501, false, 'The browser or passkey cannot encrypt.'),
  passkey_alone: kind(7, 409, false, 'A passkey cannot be the only way to a backup.'),
  last_method: kind(7, 409, false, 'This is the last way to the backup.'),
  forbidden: kind(7, 403, false, 'The user token does not allow this.'),
  not_authenticated: kind(7, 401, false, 'This needs a credential that is missing, wrong or no longer valid.'),
  owner_required: kind(7, 403, false, 'This needs the proof of the record’s owner.'),
  not_found: kind(8, 404, false, 'There is no such record.'),
  bad_input: kind(9, 422, false, 'The input file is not valid.'),
  malformed: kind(9, 400, false, 'The message is malformed.'),
  too_large: kind(9, 413, false, 'The message is too large.'),
  rate_limited: kind(5, 429, true, 'Too many requests.'),
  conflict: kind(5, 409, true, 'Another request took this number.'),
  behind: kind(5, 409, true, 'The node is behind the others.'),
  no_share: kind(5, 503, false, 'The node has no share in this record.'),
  superseded: kind(8, 409, false, 'The record has a newer generation.'),
  store_refused: kind(6, 503, false, 'The state store does not match its anchor.'),
  token_pin_locked: kind(7, 503, false, 'The token’s PIN is locked.'),
  token_pin_incorrect: kind(7, 503, false, 'The token’s PIN is wrong.'),
  token_removed: kind(5, 503, false, 'The token is gone.'),
  token_failed: kind(1, 503, true, 'The token failed.'),
  token_unsuitable: kind(6, 503, false, 'The token cannot do what is needed.'),
  signing_refused: kind(7, 403, false, 'The signing key does not sign this.'),
  not_approved: kind(7, 403, false, 'Nobody approved this signature.'),
  journal_damaged: kind(6, 503, false, 'The signing journal is not as it was written.'),
  ceremony_damaged: kind(6, 502, false, 'The transcript of the key ceremony is not as it was written.'),
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;

/** JSON-safe facts about an error. Never secrets: they are printed, logged and sent. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

/** The only error that leaves a Holdfast function on purpose. `message` tells a person what to do next. */
export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; details?: ErrorDetails } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details ?? {};
  }

  get retryable(): boolean {
    return ERROR_KINDS[this.code].retryable;
  }

  get exitCode(): number {
    return ERROR_KINDS[this.code].exit;
  }
}

/** Whether `text` is one of the closed list of codes. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_KINDS, text);
}

/** Any thrown thing as a HoldfastError; what is not one already becomes `unexpected` with its cause kept. */
export function asHoldfastError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  return new HoldfastError('unexpected', textOf(thrown), { cause: thrown });
}

/** Never throws, although `String` does for what has no text. */
function textOf(thrown: unknown): string {
  try {
    return thrown instanceof Error ? thrown.message : String(thrown);
  } catch {
    return `a thrown ${typeof thrown} without text`;
  }
}
