/** The Fastify app that every public HTTP service begins with: limits, TLS or plain HTTP, strict bodies, problem details. */

import type { Server } from 'node:http';
import type { TlsOptions } from 'node:tls';
import rateLimit from '@fastify/rate-limit';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { fromUtf8, HoldfastError, parseJson } from '../core/index.ts';
import type { Logger } from './log.ts';
import { networkOf } from './network.ts';
import { errorFromHttp, PROBLEM_TYPE, problemOf } from './problem.ts';
import { type Refusal, refusals } from './refusals.ts';

export interface AppOptions {
  /** Undefined serves plain HTTP. */
  readonly tls: TlsOptions | undefined;
  readonly log: Logger;
  /** Addresses or CIDR blocks of reverse proxies whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[];
  /** Bytes of the longest body that is read. */
  readonly bodyLimit: number;
  /** Milliseconds for a client to send its request. Default 30,000. */
  readonly requestTimeout?: number;
  /** Milliseconds for which a connection without a request stays. Default 30,000. */
  readonly keepAlive?: number;
  /** `HEAD` where there is `GET`. Default false. */
  readonly headRoutes?: boolean;
  /** How requests that reach no route are refused. Default: as problem details. */
  readonly refusal?: (error: HoldfastError) => Refusal;
}

export interface RateLimit {
  /** Requests of one client in a window. */
  readonly requests: number;
  readonly windowMilliseconds: number;
}

const HEAD_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
const KEEP_ALIVE = 30_000;
/** Clients of which a limit remembers how much they asked. */
const REMEMBERED_ADDRESSES = 50_000;

/** An app without routes that reads no bodies: add parsers for those it shall read. Not yet listening. */
export function createApp(options: AppOptions): FastifyInstance {
  const { tls, log, trustedProxies, bodyLimit, refusal } = options;
  const common = {
    ...refusals(refusal),
    logger: false,
    bodyLimit,
    requestTimeout: options.requestTimeout ?? REQUEST_TIMEOUT,
    keepAliveTimeout: options.keepAlive ?? KEEP_ALIVE,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: options.headRoutes ?? false,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
  } as const;
  const app = tls
    ? (fastify({
        ...common,
        https: { ...tls, headersTimeout: HEAD_TIMEOUT, handshakeTimeout: HEAD_TIMEOUT },
      }) as unknown as FastifyInstance)
    : fastify({ ...common, http: { headersTimeout: HEAD_TIMEOUT } });
  (app.server as Server).on('tlsClientError', (error: Error) =>
    log.debug({ event: 'connection refused', reason: error.message }),
  );
  app.removeAllContentTypeParsers();
  return app;
}

/** Reads JSON, UTF-8 throughout, and refuses members that appear twice, which the framework's own parser takes. */
export function addJsonBodies(app: FastifyInstance): void {
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, body: Buffer) => parseJson(fromUtf8(body), 'malformed').value,
  );
}

/** Limits the requests of one client: of an IPv4 address, or of a network of IPv6. Undefined: no limit. */
export async function addRateLimit(app: FastifyInstance, limit: RateLimit | undefined): Promise<void> {
  if (!limit) return;
  await app.register(rateLimit, {
    max: limit.requests,
    timeWindow: limit.windowMilliseconds,
    cache: REMEMBERED_ADDRESSES,
    keyGenerator: (request) => networkOf(request.ip),
    errorResponseBuilder: (_request, { ttl }) =>
      new HoldfastError('rate_limited', `too many requests; wait ${Math.ceil(ttl / 1000)} s before the next one`),
  });
}

export interface ProblemsOptions {
  readonly log: Logger;
  /** What to say where there is no such route. */
  readonly notFound: string;
  /** Looks at each refused request, before the answer is sent. */
  readonly refused?: (error: HoldfastError, request: FastifyRequest, reply: FastifyReply) => void;
}

/** Answers every error as problem details (RFC 9457), and logs those that nobody foresaw. */
export function addProblems(app: FastifyInstance, { log, notFound, refused }: ProblemsOptions): void {
  app.setErrorHandler((thrown, request, reply) => {
    const error = errorFromHttp(thrown);
    if (error.code === 'unexpected') log.error({ event: 'request failed', reason: error.message });
    refused?.(error, request, reply);
    return sendProblem(reply, error);
  });
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, new HoldfastError('not_found', notFound)));
}

/** Errors are never kept by caches: the next request may find what is missing now. */
export function sendProblem(reply: FastifyReply, error: HoldfastError): FastifyReply {
  const problem = problemOf(error);
  return reply
    .code(problem.status)
    .headers({ 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' })
    .send(JSON.stringify(problem));
}
