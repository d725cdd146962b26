/** The results and errors of commands: lines for people, or exactly one JSON object on standard output for programs. */

import { asHoldfastError, ERROR_KINDS, type ErrorCode, type HoldfastError, Secret } from '../core/index.ts';

/** Standard output and standard error, or what stands for them. */
export interface Streams {
  readonly stdout: { write(text: string): unknown };
  readonly stderr: { write(text: string): unknown };
}

export interface Result {
  /** Whether the command was called with `--json`. */
  readonly json: boolean;
  /** What a program gets; `code` and `exitCode` are added. Secrets in it are refused. */
  readonly value: Readonly<Record<string, unknown>>;
  /** What a person gets. */
  readonly lines: readonly string[];
  /** Where the command did its work and what it found is bad; default `ok`. */
  readonly code?: ErrorCode;
}

/** Of what the log has taken: its files come with the witnesses' next confirmation. */
export const SEEN_LATER = 'Clients and audits see it once the witnesses have confirmed the log.';

/** Prints the result of a command that came to its end. @returns its exit code: 0, or that of `code`. */
export function printResult(result: Result, streams: Streams = process): number {
  const { code } = result;
  const exitCode = code === undefined ? 0 : ERROR_KINDS[code].exit;
  if (result.json) streams.stdout.write(`${toJson({ ...result.value, code: code ?? 'ok', exitCode })}\n`);
  else for (const line of result.lines) streams.stdout.write(`${withoutControls(line)}\n`);
  return exitCode;
}

/**
 * Reports the error that ended a command, on standard error for a person, on standard output for a program.
 * Of what is not a HoldfastError only the message goes out; causes and stacks never do.
 * @returns the exit code: of the error's kind, unless another is given.
 */
export function reportError(
  thrown: unknown,
  options: { readonly json: boolean; readonly exitCode?: number },
  streams: Streams = process,
): number {
  const error = asHoldfastError(thrown);
  const exitCode = options.exitCode ?? error.exitCode;
  const { title } = ERROR_KINDS[error.code];
  if (options.json) {
    const { code, message, details } = error;
    streams.stdout.write(`${toJson({ error: { code, title, message, details }, code, exitCode })}\n`);
  } else {
    streams.stderr.write(`holdfast: ${withoutControls(error.message)}\n`);
    for (const fact of factsOf(error, Date.now())) streams.stderr.write(`${fact}\n`);
    const hint = hintFor(error);
    if (hint) streams.stderr.write(`${hint}\n`);
  }
  return exitCode;
}

/** Why nodes refuse a user token: the reasons that they seal to its client (docs/user-tokens.md). */
const REFUSALS: Readonly<Record<string, string>> = {
  malformed: 'it is not a user token in every detail',
  issuer: 'they know no tenant of that issuer',
  signature: 'it is not signed with one of the tenant’s keys',
  audience: 'it is for another fleet',
  too_old: 'it is good for longer than the tenant may say',
  record: 'it names another record than its user’s',
  not_yet_valid: 'it is not good yet; compare the clocks',
  expired: 'it has expired',
  scope: 'it does not name this operation in its scope',
  client_signature: 'the request is not signed with the client key that it names',
};

/**
 * What somebody who failed needs to know: with a PIN how many attempts are left, and when the next may be made; with a
 * user token why it was refused.
 */
export function factsOf(error: HoldfastError, now: number): string[] {
  const { attemptsLeft, nextAttemptAt, reason, retryAt } = error.details;
  const lines: string[] = [];
  if (error.code === 'forbidden' && typeof reason === 'string' && Object.hasOwn(REFUSALS, reason))
    lines.push(`The nodes refuse the token: ${REFUSALS[reason]} (${reason}).`);
  if (typeof attemptsLeft === 'number') lines.push(`Attempts left: ${attemptsLeft}.`);
  if (typeof nextAttemptAt === 'number' && attemptsLeft !== 0)
    lines.push(`Next attempt: ${formatWhen(nextAttemptAt, now)}.`);
  if (typeof retryAt === 'number') lines.push(`Try again: ${formatWhen(retryAt, now)}.`);
  return lines;
}

/** `now`, or a local date and time and how far off that is. Times in milliseconds since 1970. */
export function formatWhen(time: number, now: number): string {
  const seconds = Math.ceil((time - now) / 1000);
  if (seconds <= 0) return 'now';
  return `${new Date(time).toLocaleString('sv-SE')} (in ${formatDuration(seconds)})`;
}

/** A word of a command line that a person may copy into a shell (POSIX.1-2017, Shell Command Language, 2.2). */
export function shellWord(word: string): string {
  return /^[\w./+:@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** `1 file`, `21 files`. */
export function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Seconds in the largest unit that keeps the number readable: `45 s`, `5 min`, `12 h`, `7 days`. */
export function formatDuration(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.ceil(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.ceil(seconds / 3600)} h`;
  return `${Math.ceil(seconds / 86_400)} days`;
}

/** Advice that belongs to a kind of error, wherever it arose; a message adds what is particular. */
const HINTS: { readonly [Code in ErrorCode]?: string } = {
  unexpected: 'If nothing on this machine explains it, please report it with the command and the version of Holdfast.',
  usage: 'See holdfast --help, or --help after the command.',
  untrusted: 'Nothing was sent. Do not go on until you know why.',
  trust_expired: 'Get a fresh trust file from where you got this one.',
};

/** Codes of the steps by which a fleet is verified (docs/trust.md, section 6). */
const VERIFICATION: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'bundle_malformed',
  'signature_missing',
  'signature_invalid',
  'wrong_environment',
  'wrong_origin',
  'proof_invalid',
  'not_accepted',
  'bundle_superseded',
  'roster_wrong',
  'quorum_not_met',
  'log_stale',
  'clock_fault',
  'rolled_back',
  'split_view',
  'chain_broken',
  'bundle_revoked',
  'policy_floor',
  'fleet_weakened',
  'policy_malformed',
  'policy_signatures',
  'policy_unsafe',
  'policy_outdated',
]);

function hintFor(error: HoldfastError): string | undefined {
  // The system's own word, such as that the disk is full, explains it.
  const word = (error.cause as { code?: unknown } | null | undefined)?.code;
  if (error.code === 'unexpected' && typeof word === 'string' && /^E[A-Z0-9]+$/.test(word)) return undefined;
  const hint = HINTS[error.code];
  if (hint !== undefined) return hint;
  if (VERIFICATION.has(error.code))
    return `The check that failed is ${error.code}; docs/trust.md says what it is for. There is no way past it.`;
  const mayPass = error.retryable && error.code !== 'cancelled' && error.details.final !== true;
  return mayPass ? 'The same command may succeed later.' : undefined;
}

/** JSON without secrets: a `Secret` or raw bytes in a result are a programming error, so they show as redacted. */
function toJson(value: unknown): string {
  const json = JSON.stringify(value, function (this: Record<string, unknown>, key: string, converted: unknown) {
    // The item itself: a Buffer has turned into an object with an array of its bytes by now.
    const item = this[key];
    if (item instanceof Secret || item instanceof Uint8Array) return '[redacted]';
    return typeof item === 'bigint' ? item.toString() : converted;
  });
  // Within texts only, where both forms mean the same: a program may well be a person's terminal.
  return json.replace(UNSEEN, (character) =>
    [...Array(character.length).keys()]
      .map((i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** Controls, line ends, and the characters that hide in a text or move it about (Unicode: Cc, Zl, Zp, Cf). */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** `text` as one line that cannot drive a terminal: what people do not see is shown as `\u{...}`; messages may quote what was read. */
export function withoutControls(text: string): string {
  return text.replace(UNSEEN, (character) =>
    character === '\t' ? character : `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );
}

/** Tells a person something beside the result, on standard error. Whatever else a command writes there goes through `withoutControls` too. */
export function say(...lines: readonly string[]): void {
  for (const line of lines) process.stderr.write(`${withoutControls(line)}\n`);
}

/** The warnings of what was read, such as a PIN's file. */
export const warn = (warnings: readonly string[]): void => say(...warnings.map((warning) => `warning: ${warning}`));
