/** The client's way to coordinators: JSON over HTTPS by `fetch`, several addresses with failover. Browser-safe. */

import { asHoldfastError, type ErrorCode, fromUtf8, HoldfastError, isErrorCode, parseJson } from '../core/index.ts';
import {
  type ClientAnswer,
  type ClientRequest,
  clientAnswerFromJson,
  clientRequestToJson,
  MAXIMUM_ANSWER_JSON,
} from '../protocol/index.ts';
import { BUNDLE_SERIAL_HEADER, readBundleSerial } from '../trust/index.ts';
import { type FetchBody, readBounded } from './download.ts';
import type { CoordinatorTransport } from './ports.ts';

/** The part of the Fetch standard that is used here: its `fetch` is one. */
export type Fetch = (url: string, init: RequestInit) => Promise<FetchAnswer>;

/** What is used of a `Response`, for a `fetch` of one's own. */
export interface FetchAnswer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  readonly body: FetchBody | null;
}

export interface HttpTransportOptions {
  /** One or more addresses `https://host[:port]`, in order of preference; `http:` only for loopback. */
  readonly urls: readonly string[];
  /** Default is the global `fetch`. In Node, pass one that trusts the fleet's own authority. */
  readonly fetch?: Fetch;
  /** Milliseconds for one coordinator to answer; default 10,000. */
  readonly timeout?: number;
  /** In bundle mode: which bundle is in use, and who is told where a coordinator claims to know a newer one. */
  readonly bundle?: {
    readonly serial: number;
    readonly onNewer: (serial: number, url: string) => void;
  };
}

/**
 * A coordinator is trusted for nothing but being there, so its word alone never says that a PIN is wrong or a record
 * gone: only these codes are taken over from a refusal.
 */
const TAKEN_OVER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'no_majority',
  'not_ready',
  'overloaded',
  'rate_limited',
  'malformed',
  'too_large',
  'other_epoch',
]);

/** Of the failures of several coordinators the first of these kinds is reported: it says most. */
const PRECEDENCE: readonly ErrorCode[] = [
  'untrusted',
  'malformed',
  'too_large',
  'usage',
  'rate_limited',
  'overloaded',
  'other_epoch',
];

export class HttpTransport implements CoordinatorTransport {
  readonly #urls: readonly string[];
  readonly #fetch: Fetch;
  readonly #timeout: number;
  readonly #bundle: HttpTransportOptions['bundle'];
  /** Index of the coordinator that answered last. */
  #preferred = 0;

  /** @throws HoldfastError `usage` for an address that cannot be used. */
  constructor(options: HttpTransportOptions) {
    if (options.urls.length === 0) throw new HoldfastError('usage', 'name at least one coordinator’s address (URL)');
    this.#urls = options.urls.map(checkUrl);
    this.#fetch = options.fetch ?? ((url, init) => fetch(url, init));
    this.#timeout = options.timeout ?? 10_000;
    this.#bundle = options.bundle;
  }

  /**
   * Asks the coordinators in turn, beginning with the one that answered last.
   * @throws HoldfastError `no_majority`, `not_ready`, `overloaded`, `rate_limited` (may pass); `untrusted` for a
   *   certificate or an answer that does not verify; `malformed`, `too_large`, `other_epoch`, `usage`, `cancelled`.
   */
  async send(request: ClientRequest, signal?: AbortSignal): Promise<ClientAnswer> {
    const body = JSON.stringify(clientRequestToJson(request));
    const failures: HoldfastError[] = [];
    for (let i = 0; i < this.#urls.length; i++) {
      const index = (this.#preferred + i) % this.#urls.length;
      try {
        const answer = await this.#ask(this.#urls[index]!, request.operation, body, signal);
        this.#preferred = index;
        return answer;
      } catch (thrown) {
        if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause: signal.reason });
        failures.push(asHoldfastError(thrown));
      }
    }
    for (const code of PRECEDENCE) {
      const failure = failures.find((one) => one.code === code);
      if (failure) throw failure;
    }
    throw failures[0]!;
  }

  async #ask(url: string, operation: string, body: string, signal: AbortSignal | undefined): Promise<ClientAnswer> {
    const timeout = AbortSignal.timeout(this.#timeout);
    let response: FetchAnswer;
    let bytes: Uint8Array;
    try {
      response = await this.#fetch(`${url}/v1/${operation}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          ...(this.#bundle && { [BUNDLE_SERIAL_HEADER]: String(this.#bundle.serial) }),
        },
        body,
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
        redirect: 'error',
        credentials: 'omit',
        cache: 'no-store',
        referrerPolicy: 'no-referrer',
      });
      const tooLarge = () => new HoldfastError('untrusted', 'the coordinator’s answer is larger than any should be');
      bytes = await readBounded(response, MAXIMUM_ANSWER_JSON, tooLarge);
    } catch (thrown) {
      if (thrown instanceof HoldfastError) throw thrown;
      throw unreachable(url, thrown, timeout.aborted);
    }
    this.#noteSerial(url, response);
    if (response.status !== 200) throw refusal(url, response, bytes);
    try {
      return clientAnswerFromJson(parseJson(fromUtf8(bytes), 'malformed').value);
    } catch (cause) {
      throw new HoldfastError('untrusted', `the answer of ${url} is not a coordinator’s; check the address`, { cause });
    }
  }

  #noteSerial(url: string, response: FetchAnswer): void {
    if (!this.#bundle) return;
    const serial = readBundleSerial(response.headers.get(BUNDLE_SERIAL_HEADER));
    if (serial !== undefined && serial > this.#bundle.serial) this.#bundle.onNewer(serial, url);
  }
}

/** The address without a slash at its end. */
function checkUrl(text: string): string {
  const url = URL.parse(text);
  const loopback = url && /^(localhost|127\.[0-9.]+|\[::1\])$/.test(url.hostname);
  if (!url || !(url.protocol === 'https:' || (url.protocol === 'http:' && loopback))) {
    throw new HoldfastError('usage', `${JSON.stringify(text)} is not the https:// address of a coordinator`);
  }
  if (url.username || url.password || url.search || url.hash) {
    throw new HoldfastError('usage', 'a coordinator’s address has no user name, query or fragment');
  }
  return url.href.replace(/\/+$/, '');
}

/** Names under which Node reports a certificate that does not verify; browsers do not tell. */
const CERTIFICATE = /CERT|ERR_TLS|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|SIGNATURE_FAILURE/;

function unreachable(url: string, thrown: unknown, timedOut: boolean): HoldfastError {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const code = (cause as { code?: unknown } | undefined)?.code;
  if (cause instanceof HoldfastError || (typeof code === 'string' && CERTIFICATE.test(code))) {
    return new HoldfastError('untrusted', `the certificate of ${url} does not verify for this fleet`, {
      cause: thrown,
    });
  }
  const reason = timedOut ? 'it did not answer in time' : typeof code === 'string' ? code : 'no connection';
  // Nobody knows how far a request came whose answer has not.
  const outcome = timedOut ? ', but an attempt that was under way may count' : '; try again later';
  const message = `the coordinator at ${url} cannot be reached (${reason}): nothing is lost${outcome}`;
  return new HoldfastError('no_majority', message, { cause: thrown });
}

/**
 * A refusal is problem+json (RFC 9457) of the coordinator, or whatever stands in front of it has to say. Where it says after
 * how many seconds to come back (RFC 9110, section 10.2.3), that is the detail `retryAfter`.
 */
function refusal(url: string, { status, headers }: FetchAnswer, bytes: Uint8Array): HoldfastError {
  let code: unknown;
  let detail: unknown;
  try {
    ({ code, detail } = JSON.parse(fromUtf8(bytes)) as { code?: unknown; detail?: unknown });
  } catch {
    // Not a problem document: the status alone speaks.
  }
  const after = headers.get('retry-after')?.trim() ?? '';
  // The other form, a date, is no coordinator's; five digits are more than a day.
  const time = (status === 429 || status === 503) && /^[0-9]{1,5}$/.test(after) && { retryAfter: Number(after) };
  if (typeof code === 'string' && isErrorCode(code) && TAKEN_OVER.has(code)) {
    const words = typeof detail === 'string' && detail !== '' ? detail.slice(0, 500) : `it answered ${status}`;
    return new HoldfastError(code, `the coordinator at ${url} refused: ${words}`, { details: { ...time } });
  }
  const details = { status, ...time, ...(typeof code === 'string' && { reported: code.slice(0, 32) }) };
  if (status === 404)
    return new HoldfastError('usage', `there is no coordinator of this version at ${url}`, { details });
  if (status === 429) return new HoldfastError('rate_limited', `${url} refuses more requests for now`, { details });
  if (status >= 500)
    return new HoldfastError('not_ready', `${url} answered ${status}; it may be starting`, { details });
  return new HoldfastError('malformed', `${url} did not accept the request (${status})`, { details });
}
