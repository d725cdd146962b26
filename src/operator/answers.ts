/** What a cosigner answers to a submission, read strictly: results as JSON, refusals as problem details (RFC 9457). */

import { type ErrorCode, fromUtf8, HoldfastError, isErrorCode, parseJson } from '../core/index.ts';

/** What was submitted, as it stands in the log. */
export interface Logged {
  readonly status: 'logged';
  /** The signed note. Unverified. */
  readonly note: string;
  readonly index: number;
  readonly digest: string;
}

/** It waits for a person's approval. */
export interface Pending {
  readonly status: 'pending';
  readonly digest: string;
}

export interface WaitingProposal {
  /** Of `text`, computed here. */
  readonly digest: string;
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly since: number;
}

/** Bytes of a note in an answer, with room for what JSON escapes. */
export const MAXIMUM_ANSWER = 262_144;
/** Characters of a refusal's reason that are passed on. */
const MAXIMUM_DETAIL = 1000;

/** @throws HoldfastError `malformed`. */
export function readSubmitted(body: Uint8Array): Logged | Pending {
  const file = parseJson(fromUtf8(body), 'malformed').object(['status', 'note', 'index', 'digest']);
  const digest = file.required('digest').text(64);
  if (file.required('status').word(['logged', 'pending']) === 'pending') return { status: 'pending', digest };
  return {
    status: 'logged',
    note: file.required('note').text(MAXIMUM_ANSWER),
    index: file.required('index').integer(0),
    digest,
  };
}

/** A refusal as the error that it names. Codes of programming errors, and unknown ones, become `not_ready`. */
export function problemFrom(url: string, status: number, body: Uint8Array): HoldfastError {
  let code: unknown;
  let detail: unknown;
  try {
    ({ code, detail } = JSON.parse(fromUtf8(body)) as { code?: unknown; detail?: unknown });
  } catch {
    // Not a problem document: the status alone speaks.
  }
  const known: ErrorCode | undefined = typeof code === 'string' && isErrorCode(code) ? code : undefined;
  const words = typeof detail === 'string' && detail !== '' ? detail.slice(0, MAXIMUM_DETAIL) : `status ${status}`;
  if (known === undefined || known === 'unexpected') {
    return new HoldfastError('not_ready', `${url} failed (${words}); its operator finds the reason in its log`);
  }
  return new HoldfastError(known, `${url} refused: ${words}`, { details: { status } });
}
