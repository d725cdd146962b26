/**
 * A witness's HTTP interface (C2SP tlog-witness): `add-checkpoint` for logs and whoever refreshes their cosignatures,
 * for monitors the newest cosigned checkpoint and the signed contradictions per origin, and at the root what it says of
 * itself.
 */

import type { FastifyInstance } from 'fastify';
import { HoldfastError } from '../../../core/index.ts';
import {
  addHealthRoutes,
  addPage,
  addRateLimit,
  createApp,
  errorFromHttp,
  type Logger,
  type Page,
  type RateLimit,
  type Readiness,
} from '../../../http/index.ts';
import { type TlsIdentity, tlsPublicServerOptions } from '../../../pki/index.ts';
import { MAXIMUM_REQUEST } from '../request.ts';
import type { Witness } from '../witness.ts';
import type { WitnessMetrics } from './metrics.ts';

export interface WitnessServerOptions {
  readonly witness: Pick<Witness, 'addCheckpoint' | 'newestCheckpoint' | 'misconduct' | 'description'>;
  /** Undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  readonly readiness: () => Readiness;
  readonly metrics: Pick<WitnessMetrics, 'answers' | 'seconds'>;
  readonly log: Logger;
  /** Per client address; undefined: no limit. */
  readonly rateLimit: RateLimit | undefined;
  readonly trustedProxies: readonly string[];
  /** The transparency page, at `/page/`, for who would not have it from the party that is checked; undefined: none. */
  readonly page?: Page | undefined;
  /** Requests in flight beyond which 503 is answered. */
  readonly maximumInFlight: number;
}

const KEEP_ALIVE = 60_000;
const TEXT = 'text/plain; charset=utf-8';

/** All routes, not yet listening. */
export async function createWitnessServer(options: WitnessServerOptions): Promise<FastifyInstance> {
  const { witness, readiness, log, trustedProxies } = options;
  const app = createApp({
    tls: options.tls && tlsPublicServerOptions(options.tls),
    log,
    trustedProxies,
    bodyLimit: MAXIMUM_REQUEST,
    keepAlive: KEEP_ALIVE,
    refusal: ({ code, message }) => ({ status: STATUS_OF[code]?.[0] ?? 400, type: TEXT, body: `${message}\n` }),
  });
  // The specification names no content type for requests, and clients send any or none.
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: unknown, body: Buffer) => body);
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      'cache-control': 'no-store',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      ...(options.tls && { 'strict-transport-security': 'max-age=31536000' }),
    });
  });
  await addRateLimit(app, options.rateLimit);
  app.setErrorHandler((thrown, _request, reply) => {
    const error = errorFromHttp(thrown);
    if (error.code === 'unexpected') log.error({ event: 'request failed', reason: error.message });
    const [status, reason] = STATUS_OF[error.code] ?? [
      500,
      'the witness failed; its operator finds the reason in its log',
    ];
    return reply
      .code(status)
      .type(TEXT)
      .send(`${reason ?? error.message}\n`);
  });
  app.setNotFoundHandler((_request, reply) => reply.code(404).type(TEXT).send('there is nothing here\n'));
  addHealthRoutes(app, readiness);
  addAddCheckpoint(app, options);
  if (options.page) addPage(app, options.page, '/page/');
  app.get('/', async () => witness.description);
  app.get<{ Params: { hash: string } }>('/:hash/checkpoint', async (request, reply) => {
    const checkpoint = witness.newestCheckpoint(request.params.hash);
    if (checkpoint === undefined) return reply.code(404).type(TEXT).send('no checkpoint of that origin was cosigned\n');
    return reply.type(TEXT).send(checkpoint);
  });
  app.get<{ Params: { hash: string } }>('/:hash/misconduct', async (request, reply) => {
    const misconduct = witness.misconduct(request.params.hash);
    return misconduct ? { misconduct } : reply.code(404).type(TEXT).send('this witness does not know that origin\n');
  });
  return app;
}

/** Errors that are the server's, not the protocol's: status, and what is said instead of the message. */
const STATUS_OF: Readonly<Record<string, readonly [status: number, reason?: string]>> = {
  malformed: [400],
  too_large: [413],
  rate_limited: [429],
  overloaded: [503],
  not_ready: [503],
};

function addAddCheckpoint(app: FastifyInstance, options: WitnessServerOptions): void {
  const { witness, metrics, maximumInFlight } = options;
  let inFlight = 0;
  app.post('/add-checkpoint', async (request, reply) => {
    if (inFlight >= maximumInFlight) throw new HoldfastError('overloaded', 'too many requests in flight; try again');
    inFlight++;
    const stop = metrics.seconds.startTimer();
    let status = 500;
    try {
      const body = request.body instanceof Uint8Array ? request.body : new Uint8Array();
      const answer = await witness.addCheckpoint(body);
      status = answer.status;
      return await reply.code(answer.status).type(answer.contentType).send(answer.body);
    } finally {
      stop();
      metrics.answers.inc({ status: String(status) });
      inFlight--;
    }
  });
}
