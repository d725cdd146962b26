/** What the cosigner's two listeners have in common: which bodies they read, and how a submission is answered. */

import type { TlsOptions } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { fromUtf8, HoldfastError } from '../../core/index.ts';
import { addJsonBodies, addProblems, createApp, errorFromHttp, type Logger } from '../../http/index.ts';
import { type Logged, MAXIMUM_SUBMISSION, type Pending } from './cosigner.ts';
import type { CosignerMetrics } from './metrics.ts';

export interface CosignerAppOptions {
  /** Undefined serves plain HTTP. */
  readonly tls: TlsOptions | undefined;
  readonly log: Logger;
  readonly trustedProxies: readonly string[];
}

/** An app without routes. Bodies are text, or JSON without doubled members. */
export function createCosignerApp(options: CosignerAppOptions): FastifyInstance {
  const app = createApp({ ...options, bodyLimit: MAXIMUM_SUBMISSION, headRoutes: true });
  app.addContentTypeParser('text/plain', { parseAs: 'buffer' }, async (_request: FastifyRequest, body: Buffer) =>
    fromUtf8(body),
  );
  addJsonBodies(app);
  addProblems(app, { log: options.log, notFound: 'there is nothing here; see docs/cosigner.md' });
  return app;
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
