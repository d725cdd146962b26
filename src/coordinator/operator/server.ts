/**
 * The operator's listener: the dashboard's page, and what it shows as JSON. It only reads, has a credential of its own, and
 * shares nothing with the API for clients: neither address nor credentials nor limits.
 */

import type { FastifyInstance, FastifyRequest } from 'fastify';
import { asHoldfastError, type Clock, HoldfastError, JsonValue, type Random } from '../../core/index.ts';
import { type HistoryView, type Overview, RANGE_NAMES, type Range } from '../../dashboard/index.ts';
import {
  addJsonBodies,
  addPage,
  addProblems,
  addRateLimit,
  createApp,
  type Logger,
  type Page,
} from '../../http/index.ts';
import { type TlsIdentity, tlsPublicServerOptions } from '../../pki/index.ts';
import { operatorApiDocument } from './openapi.ts';
import { MAXIMUM_CREDENTIAL, notAuthenticated, SESSION_MILLISECONDS, Sessions } from './sessions.ts';

export interface OperatorServerOptions {
  readonly credential: string;
  /** Undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  readonly overview: () => Overview;
  readonly history: (range: Range) => HistoryView;
  /** Undefined where pages were not built. */
  readonly page: Page | undefined;
  /** Addresses or CIDR blocks of reverse proxies whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[];
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
}

const MAXIMUM_BODY = 4096;
const REQUEST_TIMEOUT = 15_000;
/** Requests of one address in a minute: a page asks about thirty times. */
const REQUESTS_PER_MINUTE = 600;

/** With `Secure` only under names of this prefix do browsers keep other parts of a site from setting it (RFC 6265bis). */
const COOKIE = 'holdfast-operator';
const SECURE_COOKIE = `__Host-${COOKIE}`;

/** All routes, not yet listening. */
export async function createOperatorServer(options: OperatorServerOptions): Promise<FastifyInstance> {
  const { log, tls } = options;
  const app = createApp({
    tls: tls && tlsPublicServerOptions(tls),
    log,
    trustedProxies: options.trustedProxies,
    bodyLimit: MAXIMUM_BODY,
    requestTimeout: REQUEST_TIMEOUT,
  });
  addJsonBodies(app);
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
      'permissions-policy': 'camera=(), geolocation=(), microphone=()',
      'referrer-policy': 'no-referrer',
      'x-content-type-options': 'nosniff',
      ...(tls && { 'strict-transport-security': 'max-age=31536000' }),
    });
  });
  await addRateLimit(app, { requests: REQUESTS_PER_MINUTE, windowMilliseconds: 60_000 });
  addProblems(app, {
    log,
    notFound: 'there is nothing here; GET /openapi.json describes the API',
    refused: ({ code, details: { seconds } }, _request, reply) => {
      // RFC 9110 section 15.5.2. Not `Basic`: browsers would ask for a password by themselves.
      if (code === 'not_authenticated') reply.header('www-authenticate', 'Bearer realm="holdfast operator"');
      if (typeof seconds === 'number') reply.header('retry-after', String(seconds));
    },
  });
  if (options.page) addPage(app, options.page);
  else {
    app.get('/', async () => {
      throw new HoldfastError('not_found', 'the dashboard’s page was not built; run npm run build, then start again');
    });
  }
  app.get('/openapi.json', async () => operatorApiDocument);
  addApi(app, options);
  return app;
}

function addApi(app: FastifyInstance, options: OperatorServerOptions): void {
  const { overview, history, log, tls } = options;
  const sessions = new Sessions(options);
  const isSecure = (request: FastifyRequest) => tls !== undefined || request.protocol === 'https';
  const cookie = (request: FastifyRequest, value: string, seconds: number) =>
    `${isSecure(request) ? SECURE_COOKIE : COOKIE}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSecure(request) ? '; Secure' : ''}`;
  const sessionOf = (request: FastifyRequest) => cookieOf(request, isSecure(request) ? SECURE_COOKIE : COOKIE);
  /** Notes who was refused, and never what was presented. */
  const noted = <T>(request: FastifyRequest, check: () => T): T => {
    try {
      return check();
    } catch (thrown) {
      log.warn({ event: 'operator refused', address: request.ip, code: asHoldfastError(thrown).code });
      throw thrown;
    }
  };
  const authenticate = async (request: FastifyRequest) => {
    const session = sessionOf(request);
    if (session !== undefined && sessions.continues(session)) return;
    const bearer = bearerOf(request);
    if (bearer === undefined) throw notAuthenticated();
    noted(request, () => sessions.requireCredential(bearer, request.ip));
  };

  app.post('/v1/operator/session', async (request, reply) => {
    refuseOtherSites(request);
    const presented = new JsonValue(request.body, '', 'malformed').object(['credential']).required('credential');
    const name = noted(request, () => sessions.begin(presented.text(MAXIMUM_CREDENTIAL), request.ip));
    log.info({ event: 'operator signed in', address: request.ip });
    return reply
      .code(204)
      .header('set-cookie', cookie(request, name, SESSION_MILLISECONDS / 1000))
      .send();
  });
  app.delete('/v1/operator/session', async (request, reply) => {
    refuseOtherSites(request);
    const session = sessionOf(request);
    if (session !== undefined) sessions.end(session);
    return reply
      .code(204)
      .header('set-cookie', cookie(request, '', 0))
      .send();
  });
  app.get('/v1/operator/overview', { onRequest: authenticate }, async () => overview());
  app.get('/v1/operator/history', { onRequest: authenticate }, async (request) => {
    const query = new JsonValue({ ...(request.query as object) }, '', 'malformed').object(['range']);
    return history(query.required('range').word(RANGE_NAMES));
  });
}

/** SameSite keeps the cookie from other sites already; this also keeps them from signing anybody in or out. */
function refuseOtherSites({ headers, host }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  const { origin } = headers;
  // What stands before a proxy may be HTTPS, so that only the host is compared.
  const own = origin === undefined || (URL.canParse(origin) && new URL(origin).host === host);
  if (site === undefined ? own : site === 'same-origin') return;
  throw new HoldfastError('forbidden', 'this request comes from another site; open the dashboard itself');
}

function cookieOf({ headers: { cookie = '' } }: FastifyRequest, name: string): string | undefined {
  const found = cookie
    .split(';', 50)
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(`${name}=`));
  return found?.slice(name.length + 1);
}

/** RFC 6750 section 2.1. */
function bearerOf({ headers: { authorization = '' } }: FastifyRequest): string | undefined {
  return /^Bearer ([\x21-\x7e]{1,512})$/i.exec(authorization)?.[1];
}
