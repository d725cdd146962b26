/**
 * What anybody may read, over HTTPS or behind a reverse proxy: the log as C2SP tlog-tiles has it, trust sets, policies,
 * the Plexi view. Acceptances and revocations may be sent by anybody too: their signatures say whose they are.
 */

import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyInstance, FastifyReply } from 'fastify';
import { HoldfastError } from '../../core/index.ts';
import {
  addHealthRoutes,
  addPage,
  addRateLimit,
  type Logger,
  type Page,
  type RateLimit,
  type Readiness,
} from '../../http/index.ts';
import { type TlsIdentity, tlsPublicServerOptions } from '../../pki/index.ts';
import { parseTilePath } from '../../trust/index.ts';
import type { Cosigner } from './cosigner.ts';
import type { EvidenceFiles } from './evidence-files.ts';
import { createCosignerApp, submit, textBody } from './http-common.ts';
import type { CosignerMetrics } from './metrics.ts';
import type { PlexiView } from './plexi-view.ts';
import { SITE_FILES } from './site-files.ts';
import { setPath } from './trust-sets.ts';

export interface PublicServerOptions {
  /** Folder of the static files. */
  readonly folder: string;
  /** Undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  readonly cosigner: Pick<Cosigner, 'accept' | 'revoke'>;
  readonly plexi: PlexiView;
  /** The newest checkpoint with a quorum, or the newest at all before the first; undefined where there is none. */
  readonly checkpoint: () => string | undefined;
  /** The newest checkpoint with what cosignatures it has. */
  readonly newestCheckpoint: () => string | undefined;
  /** SHA-256, in hexadecimal, of the fleet's trust set that goes with that checkpoint. */
  readonly trustSet: (fleet: string) => string | undefined;
  /** What the file of a site of this name says that goes with it. */
  readonly site: (name: string) => string | undefined;
  /** A signed trust policy by its version. */
  readonly policy: (version: number) => string | undefined;
  /** The text of an accepted bundle by its digest, in hexadecimal. */
  readonly bundle: (digest: string) => string | undefined;
  /** Files of evidence by their SHA-256. */
  readonly evidenceFiles: Pick<EvidenceFiles, 'find'> | undefined;
  readonly metrics: Pick<CosignerMetrics, 'submissions' | 'seconds'>;
  readonly readiness: () => Readiness;
  readonly log: Logger;
  /** Per client address; undefined: no limit. */
  readonly rateLimit: RateLimit | undefined;
  readonly trustedProxies: readonly string[];
  /** The transparency page, served at the root; undefined serves none. */
  readonly page?: Page | undefined;
}

const TEXT = 'text/plain; charset=utf-8';
const IMMUTABLE = 'public, max-age=31536000, immutable';
/** Seconds for which a cache may show what has changed since. */
const BRIEF = 'public, max-age=5';

/** All routes, not yet listening. */
export async function createPublicServer(options: PublicServerOptions): Promise<FastifyInstance> {
  const { tls, log, trustedProxies } = options;
  const app = createCosignerApp({ tls: tls && tlsPublicServerOptions(tls), log, trustedProxies });
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({
      // Everything here is public, and audits run in visitors' browsers.
      'access-control-allow-origin': '*',
      'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
      'x-content-type-options': 'nosniff',
      ...(tls && { 'strict-transport-security': 'max-age=31536000' }),
    });
  });
  await addRateLimit(app, options.rateLimit);
  addHealthRoutes(app, options.readiness);
  if (options.page) addPage(app, options.page);
  addLog(app, options);
  addTrust(app, options);
  addSite(app, options);
  addPlexi(app, options.plexi);
  addSubmissions(app, options);
  return app;
}

function addLog(app: FastifyInstance, { folder, checkpoint, newestCheckpoint }: PublicServerOptions): void {
  const note = (path: string, text: () => string | undefined) =>
    app.get(path, async (_request, reply) => {
      const found = text();
      if (found === undefined) throw new HoldfastError('not_found', 'there is no checkpoint yet');
      return reply.headers({ 'content-type': TEXT, 'cache-control': BRIEF }).send(found);
    });
  note('/checkpoint', checkpoint);
  note('/latest-checkpoint', newestCheckpoint);
  app.get('/tile/*', async (request, reply) => {
    const path = pathOf(request.url);
    try {
      parseTilePath(path);
    } catch (cause) {
      throw new HoldfastError('not_found', 'this is no address of a tile', { cause });
    }
    return sendFile(reply, join(folder, path), 'application/octet-stream', IMMUTABLE);
  });
}

function addTrust(app: FastifyInstance, { folder, trustSet, policy, bundle }: PublicServerOptions): void {
  app.get<{ Params: { digest: string } }>('/trust/sets/:digest', async (request, reply) => {
    const { digest } = request.params;
    if (!/^[0-9a-f]{64}$/.test(digest)) throw new HoldfastError('not_found', 'this is no SHA-256 in hexadecimal');
    return sendFile(reply, join(folder, setPath(digest)), 'application/json', IMMUTABLE);
  });
  app.get<{ Params: { digest: string } }>('/trust/bundles/:digest', async (request, reply) => {
    const { digest } = request.params;
    const found = /^[0-9a-f]{64}$/.test(digest) ? bundle(digest) : undefined;
    if (found === undefined) throw new HoldfastError('not_found', 'the log has accepted no bundle with this SHA-256');
    return reply.headers({ 'content-type': TEXT, 'cache-control': IMMUTABLE }).send(found);
  });
  app.get<{ Params: { fleet: string } }>('/trust/:fleet', async (request, reply) => {
    const { fleet } = request.params;
    const digest = trustSet(fleet);
    if (digest === undefined) throw new HoldfastError('not_found', 'there is no trust set of a fleet of this name');
    return sendFile(reply, join(folder, setPath(digest)), 'application/json', BRIEF);
  });
  app.get<{ Params: { version: string } }>('/policies/:version', async (request, reply) => {
    const { version } = request.params;
    const found = /^[1-9]\d{0,8}$/.test(version) ? policy(Number(version)) : undefined;
    if (found === undefined) throw new HoldfastError('not_found', 'the log has no trust policy of this version');
    return reply.headers({ 'content-type': TEXT, 'cache-control': IMMUTABLE }).send(found);
  });
}

/** Where an audit begins, and the evidence that it reads (docs/cosigner.md). */
function addSite(app: FastifyInstance, { site, evidenceFiles }: PublicServerOptions): void {
  for (const name of SITE_FILES) {
    app.get(`/${name}`, async (_request, reply) => {
      const text = site(name);
      if (text === undefined) throw new HoldfastError('not_found', 'the trust policy names no address to begin from');
      return reply.headers({ 'content-type': 'application/json', 'cache-control': BRIEF }).send(Buffer.from(text));
    });
  }
  app.get<{ Params: { name: string } }>('/evidence/:name', async (request, reply) => {
    const [, digest] = /^([0-9a-f]{64})(?:\.[a-z0-9]{1,8})?$/.exec(request.params.name) ?? [];
    const found = digest === undefined ? undefined : evidenceFiles?.find(digest);
    if (!found) throw new HoldfastError('not_found', 'there is no evidence with this SHA-256 here');
    return sendFile(reply, found.path, found.type, IMMUTABLE);
  });
}

function addPlexi(app: FastifyInstance, plexi: PlexiView): void {
  const answer = (reply: FastifyReply, found: unknown, cache: string) => {
    if (found === undefined) throw new HoldfastError('not_found', 'there is no such namespace or epoch');
    return reply.header('cache-control', cache).send(found);
  };
  type Named = { Params: { namespace: string } };
  app.get('/info', async (_request, reply) => answer(reply, plexi.info(), BRIEF));
  app.get('/namespaces', async (_request, reply) => answer(reply, plexi.namespaces(), BRIEF));
  app.get<Named>('/namespaces/:namespace', async (request, reply) =>
    answer(reply, plexi.namespace(request.params.namespace), BRIEF),
  );
  app.get<Named>('/namespaces/:namespace/last-verified-epoch', async (request, reply) =>
    answer(reply, plexi.lastVerifiedEpoch(request.params.namespace), BRIEF),
  );
  app.get<{ Params: { namespace: string; epoch: string } }>(
    '/namespaces/:namespace/audits/:epoch',
    async (request, reply) => {
      const { namespace, epoch } = request.params;
      const found = /^[1-9]\d{0,14}$/.test(epoch) ? plexi.audit(namespace, Number(epoch)) : undefined;
      return answer(reply, found, IMMUTABLE);
    },
  );
}

function addSubmissions(app: FastifyInstance, { cosigner, metrics }: PublicServerOptions): void {
  app.post('/submit/acceptance', (request, reply) =>
    submit(reply, 'acceptance', metrics, () => cosigner.accept(textBody(request))),
  );
  app.post('/submit/revocation', (request, reply) =>
    submit(reply, 'revocation', metrics, () => cosigner.revoke(textBody(request))),
  );
}

/** The path as it was sent, so that no decoding makes two addresses of one file. */
function pathOf(url: string): string {
  return url.split('?', 1)[0]!.slice(1);
}

async function sendFile(reply: FastifyReply, path: string, type: string, cache: string): Promise<FastifyReply> {
  const file = await open(path, 'r').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') {
      throw new HoldfastError('not_found', 'there is no such file; a partial tile may have become a full one', {
        cause,
      });
    }
    throw cause;
  });
  const { size } = await file.stat();
  return reply
    .headers({ 'content-type': type, 'cache-control': cache, 'content-length': size })
    .send(createReadStream(path, { fd: file, autoClose: true }));
}
