/** The coordinator's public API: JSON over HTTPS, or over plain HTTP on loopback behind a reverse proxy. */

import rateLimit from '@fastify/rate-limit';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { HoldfastError, parseJson, toBase64Url } from '../../core/index.ts';
import {
  addHealthRoutes,
  errorFromHttp,
  type Logger,
  PROBLEM_TYPE,
  problemOf,
  type Readiness,
  refusals,
} from '../../http/index.ts';
import { type TlsIdentity, tlsPublicServerOptions } from '../../pki/index.ts';
import {
  type ClientAnswer,
  type ClientRequest,
  clientAnswerToJson,
  clientRequestFromJson,
  MAXIMUM_REQUEST_JSON,
  OPERATIONS,
} from '../../protocol/index.ts';
import { BUNDLE_SERIAL_HEADER, readBundleSerial } from '../../trust/index.ts';
import type { NodeInfo } from '../maintenance.ts';
import type { CoordinatorMetrics } from './metrics.ts';
import { openApiDocument } from './openapi.ts';
import type { ServiceRecords } from './service-records.ts';
import type { KnownTrustSet } from './trust-source.ts';

export interface RateLimit {
  /** Requests of one client address in a window. */
  readonly requests: number;
  readonly windowMilliseconds: number;
}

export interface CoordinatorServerOptions {
  readonly fleet: { readonly fleet: string; readonly epoch: number; readonly nodes: readonly unknown[] };
  /** Undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  readonly handle: (request: ClientRequest) => Promise<ClientAnswer>;
  readonly readiness: () => Readiness;
  readonly infos: () => ReadonlyMap<number, NodeInfo>;
  readonly metrics: Pick<CoordinatorMetrics, 'answers' | 'seconds'>;
  /** The newest trust set that is known of this fleet; undefined where there is no source of one. */
  readonly trust?: () => KnownTrustSet | undefined;
  /** What the nodes sign of themselves; undefined where there is no source of an accepted bundle. */
  readonly serviceRecords?: (() => Promise<ServiceRecords>) | undefined;
  readonly log: Logger;
  /** Undefined: no limit. */
  readonly rateLimit: RateLimit | undefined;
  /** Origins (scheme, host, port) whose pages may call the API, or `['*']`. */
  readonly allowedOrigins: readonly string[];
  /** Addresses or CIDR blocks of reverse proxies whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  /** Requests in flight beyond which `overloaded` is answered. */
  readonly maximumInFlight: number;
}

const HEAD_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
const KEEP_ALIVE = 30_000;
/** Seconds for which a browser may remember that a page is allowed to call. */
const PREFLIGHT_SECONDS = 600;

/** All routes, not yet listening. */
export async function createCoordinatorServer(options: CoordinatorServerOptions): Promise<FastifyInstance> {
  const app = newApp(options);
  addHeaders(app, options);
  if (options.rateLimit) {
    const { requests, windowMilliseconds } = options.rateLimit;
    await app.register(rateLimit, {
      max: requests,
      timeWindow: windowMilliseconds,
      cache: 50_000,
      errorResponseBuilder: (_request, { ttl }) =>
        new HoldfastError('rate_limited', `too many requests; wait ${Math.ceil(ttl / 1000)} s before the next one`),
    });
  }
  app.setErrorHandler((thrown, request, reply) => {
    const error = errorFromHttp(thrown);
    if (error.code === 'unexpected') options.log.error({ event: 'request failed', reason: error.message });
    const { operation } = (request.params ?? {}) as { operation?: string };
    if (operation !== undefined && (OPERATIONS as readonly string[]).includes(operation)) {
      options.metrics.answers.inc({ operation, code: error.code });
    }
    return sendProblem(reply, error);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, new HoldfastError('not_found', 'there is nothing here; GET /openapi.json describes the API')),
  );
  addOperations(app, options);
  addPublicRoutes(app, options);
  return app;
}

function newApp({ tls, log, trustedProxies }: CoordinatorServerOptions): FastifyInstance {
  const common = {
    ...refusals(),
    logger: false,
    bodyLimit: MAXIMUM_REQUEST_JSON,
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    trustProxy: trustedProxies.length > 0 ? [...trustedProxies] : false,
  } as const;
  const app = tls
    ? (fastify({
        ...common,
        https: { ...tlsPublicServerOptions(tls), headersTimeout: HEAD_TIMEOUT, handshakeTimeout: HEAD_TIMEOUT },
      }) as unknown as FastifyInstance)
    : fastify({ ...common, http: { headersTimeout: HEAD_TIMEOUT } });
  app.server.on('tlsClientError', (error) => log.debug({ event: 'connection refused', reason: error.message }));
  app.removeAllContentTypeParsers();
  // Members that appear twice are refused, which the framework's own parser does not.
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string' },
    async (_request: FastifyRequest, body: string) => parseJson(body, 'malformed').value,
  );
  return app;
}

function addHeaders(app: FastifyInstance, { tls, allowedOrigins, trust }: CoordinatorServerOptions): void {
  const any = allowedOrigins.includes('*');
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      ...(tls && { 'strict-transport-security': 'max-age=31536000' }),
    });
    const used = readBundleSerial(request.headers[BUNDLE_SERIAL_HEADER]?.toString());
    const known = used === undefined ? undefined : trust?.();
    if (used !== undefined && known && known.serial > used) reply.header(BUNDLE_SERIAL_HEADER, String(known.serial));
    const { origin } = request.headers;
    if (!any && allowedOrigins.length > 0) reply.header('vary', 'origin');
    if (origin === undefined || !(any || allowedOrigins.includes(origin))) return;
    reply.headers({
      'access-control-allow-origin': any ? '*' : origin,
      'access-control-expose-headers': `retry-after, ${BUNDLE_SERIAL_HEADER}`,
    });
    if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined) return;
    return reply
      .code(204)
      .headers({
        'access-control-allow-methods': 'GET, POST',
        'access-control-allow-headers': `content-type, ${BUNDLE_SERIAL_HEADER}`,
        'access-control-max-age': String(PREFLIGHT_SECONDS),
      })
      .send();
  });
}

function addOperations(app: FastifyInstance, options: CoordinatorServerOptions): void {
  const { handle, metrics, maximumInFlight } = options;
  let inFlight = 0;
  for (const operation of OPERATIONS) {
    app.post(`/v1/${operation}`, async (request) => {
      if (inFlight >= maximumInFlight) throw new HoldfastError('overloaded', 'too many requests in flight; try again');
      inFlight++;
      const stop = metrics.seconds.startTimer({ operation });
      try {
        const answer = await handle(clientRequestFromJson(operation, request.body));
        metrics.answers.inc({ operation, code: 'ok' });
        return clientAnswerToJson(answer);
      } finally {
        stop();
        inFlight--;
      }
    });
  }
}

function addPublicRoutes(app: FastifyInstance, options: CoordinatorServerOptions): void {
  const { fleet, readiness, infos, trust, serviceRecords } = options;
  addHealthRoutes(app, readiness);
  app.get('/openapi.json', async () => openApiDocument);
  app.get('/v1/trust', async (_request, reply) => {
    const known = trust?.();
    if (known) return reply.header('content-type', 'application/json').send(known.set);
    throw new HoldfastError('not_found', 'this coordinator knows no trust set; ask the cosigner, or a mirror of it');
  });
  app.get('/v1/service-record', async () => {
    if (!serviceRecords) throw new HoldfastError('not_found', 'this coordinator knows no accepted bundle');
    const { bundle, statements } = await serviceRecords();
    return {
      bundle,
      nodes: statements.map(({ node, statement, signature }) => ({
        node,
        statement: toBase64Url(statement),
        signature: toBase64Url(signature),
      })),
    };
  });
  app.get('/v1/nodes', async () => ({
    fleet: fleet.fleet,
    epoch: fleet.epoch,
    nodes: fleet.nodes.map((_, i) => {
      const info = infos().get(i + 1);
      if (!info) return { node: i + 1, phase: 'unreachable' };
      const { node, phase, incarnation, headsKnown, headsNeeded } = info;
      return { node, phase, incarnation, headsKnown, headsNeeded };
    }),
  }));
}

function sendProblem(reply: FastifyReply, error: HoldfastError): FastifyReply {
  const problem = problemOf(error);
  return reply.code(problem.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(problem));
}
