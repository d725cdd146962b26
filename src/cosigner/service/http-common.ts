/** What the cosigner's two listeners have in common: limits, strict bodies, problem details. */

import type { Server } from 'node:http';
import type { TlsOptions } from 'node:tls';
import { type FastifyInstance, type FastifyReply, type FastifyRequest, fastify } from 'fastify';
import { fromUtf8, HoldfastError, parseJson } from '../../core/index.ts';
import { errorFromHttp, type Logger, PROBLEM_TYPE, problemOf, refusals } from '../../http/index.ts';
import { type Logged, MAXIMUM_SUBMISSION, type Pending } from './cosigner.ts';
import type { CosignerMetrics } from './metrics.ts';

const HEAD_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
const KEEP_ALIVE = 30_000;

export interface AppOptions {
  /** Undefined serves plain HTTP. */
  readonly tls: TlsOptions | undefined;
  readonly log: Logger;
  readonly trustedProxies: readonly string[];
}

/** An app without routes. Bodies are text, or JSON without doubled members. */
export function newApp({ tls, log, trustedProxies }: AppOptions): FastifyInstance {
  const common = {
    ...refusals(),
    logger: false,
    bodyLimit: MAXIMUM_SUBMISSION,
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE,
    forceCloseConnections: 'idle',
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
  app.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    fromUtf8(body),
  );
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    parseJson(fromUtf8(body), 'malformed'),
  );
  app.setErrorHandler((thrown, _request, reply) => {
    const error = errorFromHttp(thrown);
    if (error.code === 'unexpected') log.error({ event: 'request failed', reason: error.message });
    return sendProblem(reply, error);
  });
  app.setNotFoundHandler((_request, reply) =>
    sendProblem(reply, new HoldfastError('not_found', 'there is nothing here; see docs/cosigner.md')),
  );
  return app;
}

export function sendProblem(reply: FastifyReply, error: HoldfastError): FastifyReply {
  const problem = problemOf(error);
  // Errors are never kept by caches: the next request may find what is missing now.
  return reply
    .code(problem.status)
    .headers({ 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' })
    .send(JSON.stringify(problem));
}

/** The body as text. @throws HoldfastError `malformed`. */
export function textBody(request: FastifyRequest): string {
  if (typeof request.body === 'string') return request.body;
  throw new HoldfastError('malformed', 'the body must be text, content type text/plain');
}

/** Runs one submission, counted and timed; 200 for what is in the log, 202 for what waits. */
export async function submit(
  reply: FastifyReply,
  kind: string,
  metrics: Pick<CosignerMetrics, 'submissions' | 'seconds'>,
  work: () => Promise<Logged | Pending | { readonly index: number } | { readonly sha256: string }>,
): Promise<FastifyReply> {
  const stop = metrics.seconds.startTimer({ kind });
  try {
    const result = await work();
    metrics.submissions.inc({ kind, code: 'ok' });
    const pending = 'status' in result && result.status === 'pending';
    return reply
      .code(pending ? 202 : 200)
      .header('cache-control', 'no-store')
      .send(result);
  } catch (thrown) {
    metrics.submissions.inc({ kind, code: errorFromHttp(thrown).code });
    throw thrown;
  } finally {
    stop();
  }
}
