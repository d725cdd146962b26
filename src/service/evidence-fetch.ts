/**
 * Fetching evidence from addresses that bundles and logs name, and so others chose: HTTPS of the public Internet, and besides
 * only the origins that the configuration names.
 */

import { HoldfastError } from '../core/index.ts';
import { checkUrl, Fetcher } from '../cosigner/replay/index.ts';

export interface EvidenceFetcherOptions {
  /** PEM of authorities besides the system's. */
  readonly authority: string | undefined;
  /** Origins that may be inside the own network, or plain HTTP on loopback. */
  readonly origins: readonly string[];
  /** Milliseconds for one file. */
  readonly timeout: number;
}

export interface EvidenceFetcher {
  /** @throws HoldfastError `usage`, `untrusted`, `not_ready`, `too_large`, `cancelled`. */
  fetch(address: string, maximumBytes: number, signal?: AbortSignal): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** @throws HoldfastError `usage` for an origin that is none. */
export function openEvidenceFetcher({ authority, origins, timeout }: EvidenceFetcherOptions): EvidenceFetcher {
  const known = origins.map(originFrom);
  const [own, stranger] = [new Fetcher({ authority }), new Fetcher({ authority, publicOnly: true })];
  return {
    async fetch(address, maximumBytes, signal) {
      const url = checkUrl('the address of evidence', address);
      const isKnown = known.includes(url.origin);
      if (!isKnown && url.protocol !== 'https:') {
        throw new HoldfastError(
          'untrusted',
          `evidence is fetched by HTTPS, or from a configured origin; not ${address}`,
        );
      }
      const { status, body } = await (isKnown ? own : stranger).get(url, { maximumBytes, timeout, signal });
      if (status === 200) return body;
      throw new HoldfastError('not_ready', `${url.href} answered with status ${status}`);
    },
    async close() {
      await Promise.all([own.close(), stranger.close()]);
    },
  };
}

function originFrom(text: string): string {
  const url = checkUrl('evidence.origins', text);
  if (url.origin === text) return text;
  throw new HoldfastError('usage', 'evidence.origins must be https://host:port, nothing more');
}
