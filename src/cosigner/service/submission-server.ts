/** Where operators submit: mutual TLS with certificates of the role operator. Approval is for those who are named for it. */

import type { Server, TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HoldfastError, JsonValue } from '../../core/index.ts';
import type { Logger } from '../../http/index.ts';
import { checkPeer, requirePeer, type TlsIdentity, tlsServerOptions } from '../../pki/index.ts';
import type { Approvals } from './approvals.ts';
import type { Cosigner, Logged, Pending } from './cosigner.ts';
import {
  EVIDENCE_EXTENSIONS,
  type EvidenceExtension,
  type EvidenceFiles,
  MAXIMUM_EVIDENCE_FILE,
} from './evidence-files.ts';
import { createCosignerApp, submit, textBody } from './http-common.ts';
import type { CosignerMetrics } from './metrics.ts';

export interface SubmissionServerOptions {
  readonly tls: TlsIdentity;
  /** The name that the certificates carry in the place of a fleet's. */
  readonly authority: string;
  readonly cosigner: Cosigner;
  readonly approvals: Approvals | undefined;
  /** Names of the operators' certificates that may approve. */
  readonly approvers: readonly string[];
  /** Where uploaded evidence is kept; undefined takes none. */
  readonly evidenceFiles: EvidenceFiles | undefined;
  readonly metrics: CosignerMetrics;
  readonly log: Logger;
}

/** All routes, not yet listening. */
export function createSubmissionServer(options: SubmissionServerOptions): FastifyInstance {
  const { tls, authority, log, cosigner, metrics } = options;
  const app = createCosignerApp({ tls: tlsServerOptions(tls), log, trustedProxies: [] });
  requirePeer(app.server as unknown as Server, { fleet: authority, role: 'operator' });
  const texts: Record<string, (text: string, request: FastifyRequest) => Promise<Logged | Pending>> = {
    proposal: (text, request) => cosigner.propose(text, operatorOf(request, options)),
    acceptance: (text) => cosigner.accept(text),
    revocation: (text) => cosigner.revoke(text),
    policy: (text) => cosigner.addPolicy(text),
  };
  for (const [kind, work] of Object.entries(texts)) {
    app.post(`/submit/${kind}`, (request, reply) =>
      submit(reply, kind, metrics, () => work(textBody(request), request)),
    );
  }
  app.post('/submit/evidence', (request, reply) =>
    submit(reply, 'evidence', metrics, () => cosigner.addEvidence(evidenceOf(request), operatorOf(request, options))),
  );
  addEvidenceFiles(app, options);
  addApprovals(app, options);
  return app;
}

/** Files of evidence, which the public listener then serves by their SHA-256. */
function addEvidenceFiles(app: FastifyInstance, { evidenceFiles, metrics }: SubmissionServerOptions): void {
  app.addContentTypeParser(
    'application/octet-stream',
    { parseAs: 'buffer' },
    async (_request: FastifyRequest, body: Buffer) => body,
  );
  for (const extension of Object.keys(EVIDENCE_EXTENSIONS) as EvidenceExtension[]) {
    const options = { bodyLimit: MAXIMUM_EVIDENCE_FILE };
    app.post(`/submit/evidence-file/${extension}`, options, (request, reply) =>
      submit(reply, 'evidence-file', metrics, async () => {
        if (!Buffer.isBuffer(request.body)) {
          throw new HoldfastError('malformed', 'the body must be the file, content type application/octet-stream');
        }
        if (!evidenceFiles) throw new HoldfastError('not_found', 'this cosigner keeps no evidence');
        return { sha256: await evidenceFiles.keep(new Uint8Array(request.body), extension) };
      }),
    );
  }
}

function addApprovals(app: FastifyInstance, options: SubmissionServerOptions): void {
  const { approvals, cosigner, metrics, log } = options;
  const waiting = () => approvals?.waiting ?? [];
  app.get('/submit/waiting', async (_request, reply) => {
    const proposals = waiting().map(({ digest, text, since }) => ({ digest, text, since }));
    return reply.header('cache-control', 'no-store').send({ waiting: proposals });
  });
  type Digest = { Params: { digest: string } };
  app.post<Digest>('/submit/waiting/:digest/approve', (request, reply) =>
    submit(reply, 'approval', metrics, async () => {
      const approver = approverOf(request, options);
      const logged = await cosigner.approve(request.params.digest, approver);
      log.info({ event: 'proposal approved', digest: logged.digest, approver });
      return logged;
    }),
  );
  app.post<Digest>('/submit/waiting/:digest/reject', async (request, reply) => {
    const approver = approverOf(request, options);
    const { digest } = request.params;
    if (!approvals) throw new HoldfastError('not_found', 'this cosigner asks nobody for approval');
    await cosigner.reject(digest);
    log.info({ event: 'proposal rejected', digest, approver });
    return reply.header('cache-control', 'no-store').send({ status: 'rejected', digest });
  });
}

/** @throws HoldfastError `forbidden` for an operator who is not named as an approver. */
function approverOf(request: FastifyRequest, options: SubmissionServerOptions): string {
  const name = operatorOf(request, options);
  const { approvers } = options;
  if (approvers.includes(name)) return name;
  throw new HoldfastError('forbidden', `${name} is not among the approvers in this cosigner’s configuration`);
}

/** `{"sha256", "size", "address"}`. */
function evidenceOf(request: FastifyRequest) {
  if (typeof request.body !== 'object') {
    throw new HoldfastError('malformed', 'the body must be JSON, content type application/json');
  }
  const file = new JsonValue(request.body, '', 'malformed').object(['sha256', 'size', 'address']);
  return {
    sha256: file.required('sha256').text(64),
    size: file.required('size').integer(1),
    address: file.required('address').text(512),
  };
}

/** The name in the operator's certificate. */
function operatorOf(request: FastifyRequest, { authority }: SubmissionServerOptions): string {
  const socket = request.raw.socket as TLSSocket;
  return checkPeer(socket.getPeerCertificate(), { fleet: authority, role: 'operator' }).name;
}
