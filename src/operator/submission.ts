/** An operator's way to the cosigner: submissions and approvals over mutual TLS. */

import { X509Certificate } from 'node:crypto';
import { type Dispatcher, Pool } from 'undici';
import {
  asHoldfastError,
  bytesToHex,
  collectBytes,
  fromUtf8,
  HoldfastError,
  parseJson,
  sha256,
  utf8,
} from '../core/index.ts';
import { checkUrl } from '../cosigner/replay/index.ts';
import { peerIdentityOf, type TlsIdentity, tlsClientOptions } from '../pki/index.ts';
import { digestOf, type Evidence } from '../trust/index.ts';
import {
  type Logged,
  MAXIMUM_ANSWER,
  type Pending,
  problemFrom,
  readSubmitted,
  type WaitingProposal,
} from './answers.ts';

/** What an operator asks of a cosigner. Answers are unverified. */
export interface Submission {
  /** Notes in the log where evidence is; the same again gives the same leaf's index. */
  evidence(evidence: Evidence, signal?: AbortSignal): Promise<number>;
  /** An unsigned bundle. */
  proposal(text: string, signal?: AbortSignal): Promise<Logged | Pending>;
  policy(note: string, signal?: AbortSignal): Promise<Logged>;
  waiting(signal?: AbortSignal): Promise<readonly WaitingProposal[]>;
  approve(digest: string, signal?: AbortSignal): Promise<Logged>;
  reject(digest: string, signal?: AbortSignal): Promise<void>;
}

export interface SubmissionOptions {
  /** https://host:port of the cosigner's listener for operators. */
  readonly url: string;
  /** The operator's certificate and key, and the authority of both sides. */
  readonly tls: TlsIdentity;
  /** Milliseconds for each answer; default 30,000: signing on a token and witnesses take their time. */
  readonly timeout?: number;
}

export const SUBMISSIONS = ['proposal', 'acceptance', 'revocation', 'policy', 'evidence'] as const;
export type SubmissionKind = (typeof SUBMISSIONS)[number];

/** What a file of evidence is: JSON, a transcript as text, a certificate in DER. */
export const EVIDENCE_FILE_KINDS = ['json', 'txt', 'cer'] as const;
export type EvidenceFileKind = (typeof EVIDENCE_FILE_KINDS)[number];

/** 64 proposals of 48 KiB, with what JSON escapes. */
const MAXIMUM_WAITING_BYTES = 8 * 1024 * 1024;
const CONNECT_TIMEOUT = 5000;

export class HttpSubmission implements Submission, AsyncDisposable {
  readonly #url: string;
  readonly #pool: Pool;
  readonly #timeout: number;

  /** @throws HoldfastError `usage` for an address or certificate that cannot be used. */
  constructor({ url, tls, timeout = 30_000 }: SubmissionOptions) {
    this.#url = checkUrl('the cosigner’s address', url).origin;
    if (!this.#url.startsWith('https:')) throw new HoldfastError('usage', 'the cosigner’s address must be https://');
    this.#timeout = timeout;
    this.#pool = new Pool(this.#url, {
      connections: 1,
      connect: {
        ...tlsClientOptions(tls, { fleet: authorityOf(tls), role: 'cosigner' }),
        timeout: CONNECT_TIMEOUT,
      } as NonNullable<Pool.Options['connect']>,
    });
  }

  /** Sends a text of any kind as it is: a proposal unsigned, evidence as JSON, all else as signed notes. */
  async submit(
    kind: SubmissionKind,
    text: string,
    signal?: AbortSignal,
  ): Promise<Logged | Pending | { index: number }> {
    const type = kind === 'evidence' ? 'application/json' : 'text/plain';
    const answer = await this.#send('POST', `/submit/${kind}`, { type, body: text, signal });
    return kind === 'evidence' ? { index: indexIn(answer) } : readSubmitted(answer);
  }

  async evidence({ sha256, size, address }: Evidence, signal?: AbortSignal): Promise<number> {
    const body = JSON.stringify({ sha256, size, address });
    return indexIn(await this.#send('POST', '/submit/evidence', { type: 'application/json', body, signal }));
  }

  /** Has the cosigner keep and serve a file of evidence; the same again changes nothing. */
  async evidenceFile(kind: EvidenceFileKind, content: Uint8Array, signal?: AbortSignal): Promise<void> {
    const type = 'application/octet-stream';
    const answer = await this.#send('POST', `/submit/evidence-file/${kind}`, { type, body: content, signal });
    const digest = parseJson(fromUtf8(answer), 'malformed').object(['sha256']).required('sha256').text(64);
    if (digest === bytesToHex(sha256(content))) return;
    throw new HoldfastError('untrusted', 'the cosigner has kept another file of evidence than it was sent');
  }

  async proposal(text: string, signal?: AbortSignal): Promise<Logged | Pending> {
    return readSubmitted(await this.#text('/submit/proposal', text, signal));
  }

  async policy(note: string, signal?: AbortSignal): Promise<Logged> {
    return logged(readSubmitted(await this.#text('/submit/policy', note, signal)));
  }

  async waiting(signal?: AbortSignal): Promise<readonly WaitingProposal[]> {
    const answer = await this.#send('GET', '/submit/waiting', { signal, maximum: MAXIMUM_WAITING_BYTES });
    return parseJson(fromUtf8(answer), 'malformed')
      .object(['waiting'])
      .required('waiting')
      .array(0, 1000)
      .map((value) => {
        const item = value.object(['digest', 'text', 'since']);
        const text = item.required('text').text(65_536);
        const digest = digestOf(text);
        if (item.required('digest').text(64) !== digest) value.fail('has a digest that is not its text’s');
        return { digest, text, since: item.required('since').integer(0) };
      });
  }

  async approve(digest: string, signal?: AbortSignal): Promise<Logged> {
    return logged(readSubmitted(await this.#send('POST', `/submit/waiting/${digest}/approve`, { signal })));
  }

  async reject(digest: string, signal?: AbortSignal): Promise<void> {
    await this.#send('POST', `/submit/waiting/${digest}/reject`, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.destroy();
  }

  #text(path: string, body: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#send('POST', path, { type: 'text/plain', body, signal });
  }

  async #send(
    method: 'GET' | 'POST',
    path: string,
    options: { type?: string; body?: string | Uint8Array; signal?: AbortSignal | undefined; maximum?: number },
  ): Promise<Uint8Array> {
    const { type, body, signal, maximum = MAXIMUM_ANSWER } = options;
    const { statusCode, bytes } = await this.#exchange(
      {
        method,
        path,
        ...(type !== undefined && { headers: { 'content-type': type } }),
        ...(body !== undefined && { body: typeof body === 'string' ? utf8(body) : body }),
      },
      maximum,
      signal,
    );
    if (statusCode === 200 || statusCode === 202) return bytes;
    throw problemFrom(this.#url, statusCode, bytes);
  }

  /** Whatever fails here is the connection's fault, and no answer of the cosigner. */
  async #exchange(message: Dispatcher.RequestOptions, maximum: number, signal: AbortSignal | undefined) {
    const deadline = AbortSignal.timeout(this.#timeout);
    try {
      const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
      const { statusCode, body } = await this.#pool.request({ ...message, signal: either });
      const tooLarge = () => new HoldfastError('too_large', `${this.#url} answered with more than ${maximum} bytes`);
      return { statusCode, bytes: await collectBytes(body, maximum, tooLarge) };
    } catch (cause) {
      if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause });
      throw unreachable(this.#url, cause);
    }
  }
}

/** The name that certificates of this authority carry in the place of a fleet's: the operator's own says it. */
function authorityOf({ certificatePem }: TlsIdentity): string {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
  } catch (cause) {
    throw new HoldfastError('usage', 'the operator’s certificate is no PEM certificate', { cause });
  }
  const identity = peerIdentityOf(certificate);
  if (identity?.role === 'operator') return identity.fleet;
  throw new HoldfastError('usage', 'the certificate is not one of the role operator; ask the cosigner for one');
}

function indexIn(answer: Uint8Array): number {
  return parseJson(fromUtf8(answer), 'malformed').object(['index']).required('index').integer(0);
}

function logged(result: Logged | Pending): Logged {
  if (result.status === 'logged') return result;
  throw new HoldfastError('malformed', 'the cosigner lets something wait that never does');
}

/** Node's codes for certificates that do not verify. */
const CERTIFICATE = /^(?:CERT_|ERR_TLS_CERT|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/;

function unreachable(url: string, thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError && thrown.code === 'too_large') return thrown;
  const { code } = (thrown ?? {}) as { code?: unknown };
  // An error of ours comes from the check of the peer's certificate.
  if (thrown instanceof HoldfastError || (typeof code === 'string' && CERTIFICATE.test(code))) {
    return new HoldfastError('untrusted', `${url} is not the cosigner that your certificate’s authority certifies`, {
      cause: thrown,
    });
  }
  return new HoldfastError('not_ready', `${url} cannot be reached: ${asHoldfastError(thrown).message}`, {
    cause: thrown,
  });
}
