/** The coordinator's public API: JSON over HTTPS, or over plain HTTP on loopback behind a reverse proxy. */

import type { FastifyInstance } from 'fastify';
import { HoldfastError, toBase64Url } from '../../core/index.ts';
import {
  addHealthRoutes,
  addJsonBodies,
  addProblems,
  addRateLimit,
  createApp,
  type Logger,
  type RateLimit,
  type Readiness,
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

/** Seconds for which a browser may remember that a page is allowed to call. */
const PREFLIGHT_SECONDS = 600;

/** All routes, not yet listening. */
export async function createCoordinatorServer(options: CoordinatorServerOptions): Promise<FastifyInstance> {
  const { log, metrics, trustedProxies } = options;
  const tls = options.tls && tlsPublicServerOptions(options.tls);
  const app = createApp({ tls, log, trustedProxies, bodyLimit: MAXIMUM_REQUEST_JSON });
  addJsonBodies(app);
  addHeaders(app, options);
  await addRateLimit(app, options.rateLimit);
  addProblems(app, {
    log,
    notFound: 'there is nothing here; GET /openapi.json describes the API',
    refused: ({ code }, request) => {
      const { operation } = (request.params ?? {}) as { operation?: string };
      if (operation !== undefined && (OPERATIONS as readonly string[]).includes(operation)) {
        metrics.answers.inc({ operation, code });
      }
    },
  });
  addOperations(app, options);
  addPublicRoutes(app, options);
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
