/** Errors as problem details for HTTP APIs (RFC 9457), made from the one table of error codes. */

import { asHoldfastError, ERROR_KINDS, type ErrorCode, HoldfastError } from '../core/index.ts';

export const PROBLEM_TYPE = 'application/problem+json';

export interface Problem {
  /** `urn:holdfast:problem:<code>`. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ErrorCode;
  /** Whether the very same request may succeed later. */
  readonly retryable: boolean;
}

/** What a client is told of an error. Of what nobody foresaw it learns nothing: that stands in the log. */
export function problemOf(error: HoldfastError): Problem {
  const { status, title, retryable } = ERROR_KINDS[error.code];
  const detail =
    error.code === 'unexpected' ? 'The service failed; its operator finds the reason in its log.' : error.message;
  return { type: `urn:holdfast:problem:${error.code}`, title, status, detail, code: error.code, retryable };
}

/** The codes of Fastify and Node that a client can cause, as errors of ours. */
export function errorFromHttp(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const { statusCode, code } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    statusCode?: unknown;
    code?: unknown;
  };
  if (statusCode === 413) return new HoldfastError('too_large', 'the body is larger than this service reads');
  if (statusCode === 415) return new HoldfastError('malformed', 'the body’s content type is not the one documented');
  if (statusCode === 429) return new HoldfastError('rate_limited', 'too many requests; wait before the next one');
  if (code === 'FST_ERR_CTP_INVALID_JSON_BODY' || code === 'FST_ERR_CTP_EMPTY_JSON_BODY') {
    return new HoldfastError('malformed', 'the body is not JSON');
  }
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new HoldfastError('malformed', 'the request is not one that this service understands');
  }
  if (statusCode === 503) return new HoldfastError('not_ready', 'the service is shutting down');
  return asHoldfastError(thrown);
}
