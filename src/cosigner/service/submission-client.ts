/** An operator's side of the submission listener: mutual TLS, and the cosigner's problems as errors of ours. */

import { Pool } from 'undici';
import { asHoldfastError, fromUtf8, HoldfastError, isErrorCode, parseJson } from '../../core/index.ts';
import { type TlsIdentity, tlsClientOptions } from '../../pki/index.ts';
import type { Logged, Pending } from './cosigner.ts';

export interface SubmissionClientOptions {
  /** https://host:port of the submission listener. */
  readonly url: string;
  /** A certificate of the role operator. */
  readonly tls: TlsIdentity;
  /** The name of the authority, as the certificates have it in the place of a fleet's. */
  readonly authority: string;
  /** Milliseconds for an answer. */
  readonly timeout: number;
}

export const SUBMISSIONS = ['proposal', 'acceptance', 'revocation', 'policy', 'evidence'] as const;
export type Submission = (typeof SUBMISSIONS)[number];

/** 64 waiting proposals of 48 KiB, with room. */
const MAXIMUM_ANSWER = 8 * 1024 * 1024;

export class SubmissionClient {
  readonly #pool: Pool;

  /** @throws HoldfastError `usage` for an address that is none. */
  constructor({ url, tls, authority, timeout }: SubmissionClientOptions) {
    if (!URL.canParse(url) || new URL(url).origin !== url || !url.startsWith('https://')) {
      throw new HoldfastError('usage', 'the cosigner’s address must be https://host:port, nothing more');
    }
    this.#pool = new Pool(url, {
      connections: 1,
      connect: tlsClientOptions(tls, { fleet: authority, role: 'cosigner' }) as NonNullable<Pool.Options['connect']>,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      maxResponseSize: MAXIMUM_ANSWER,
    });
  }

  /** @throws HoldfastError with the cosigner's code, or `not_ready` where it cannot be reached. */
  submit(kind: Submission, text: string): Promise<Logged | Pending | { readonly index: number }> {
    const type = kind === 'evidence' ? 'application/json' : 'text/plain; charset=utf-8';
    return this.#send('POST', `/submit/${kind}`, text, type) as Promise<Logged | Pending>;
  }

  /** Proposals that wait for a person, the oldest first; `since` in milliseconds since 1970. */
  async waiting(): Promise<readonly { readonly digest: string; readonly text: string; readonly since: number }[]> {
    const answer = parseJson(JSON.stringify(await this.#send('GET', '/submit/waiting')), 'malformed');
    return answer
      .object(['waiting'])
      .required('waiting')
      .array(0, 1000)
      .map((value) => {
        const item = value.object(['digest', 'text', 'since']);
        return {
          digest: item.required('digest').text(64),
          text: item.required('text').text(65_536),
          since: item.required('since').integer(0),
        };
      });
  }

  async approve(digest: string): Promise<Logged> {
    return (await this.#send('POST', `/submit/waiting/${digest}/approve`)) as Logged;
  }

  async reject(digest: string): Promise<void> {
    await this.#send('POST', `/submit/waiting/${digest}/reject`);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
  }

  async #send(method: 'GET' | 'POST', path: string, body?: string, type?: string): Promise<unknown> {
    let status: number;
    let text: string;
    try {
      const response = await this.#pool.request({
        method,
        path,
        ...(body !== undefined && { body, headers: { 'content-type': type! } }),
      });
      status = response.statusCode;
      text = fromUtf8(new Uint8Array(await response.body.arrayBuffer()));
    } catch (cause) {
      const reason = asHoldfastError(cause).message;
      throw new HoldfastError('not_ready', `the cosigner cannot be reached: ${reason}`, { cause });
    }
    const { value } = parseJson(text, 'malformed');
    if (status === 200 || status === 202) return value;
    const { code, detail } = (value ?? {}) as { code?: unknown; detail?: unknown };
    throw new HoldfastError(
      typeof code === 'string' && isErrorCode(code) ? code : 'unexpected',
      `the cosigner refused: ${typeof detail === 'string' ? detail : `status ${status}`}`,
    );
  }
}
