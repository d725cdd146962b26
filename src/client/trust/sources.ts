/** Where trust sets, tiles and bundles are fetched from (C2SP tlog-tiles; docs/trust.md, section 5). Nobody here is trusted. */

import { fromUtf8, HoldfastError } from '../../core/index.ts';
import {
  type Digest,
  digestOf,
  MAXIMUM_BUNDLE_TEXT,
  MAXIMUM_TRUST_SET,
  TILE_BYTES,
  TILE_WIDTH,
  type Tile,
  type TrustReader,
  tilePath,
  tileTrustReader,
} from '../../trust/index.ts';
import { readBounded } from '../download.ts';
import type { Fetch } from '../http.ts';

export interface TrustDownloadOptions {
  readonly fetch: Fetch;
  /** Milliseconds for one answer. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Fetches one small file.
 * @throws HoldfastError `trust_unavailable` where it does not come; `bundle_malformed` where it is longer than `maximum`
 * bytes; `cancelled`.
 */
export async function download(
  url: string,
  maximum: number,
  { fetch, timeout, signal }: TrustDownloadOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const limit = AbortSignal.timeout(timeout);
  try {
    const response = await fetch(url, {
      method: 'GET',
      headers: { accept: 'application/json, text/plain, application/octet-stream' },
      signal: signal ? AbortSignal.any([signal, limit]) : limit,
      redirect: 'error',
      credentials: 'omit',
      // What a cache gives is verified like everything else, but an old set would only be refused.
      cache: 'no-cache',
      referrerPolicy: 'no-referrer',
    });
    if (response.status !== 200) {
      await response.body?.cancel();
      throw unavailable(url, `it answered ${response.status}`);
    }
    const tooLarge = () =>
      new HoldfastError('bundle_malformed', `${url} sends more than the ${maximum} bytes that there can be`);
    return await readBounded(response, maximum, tooLarge);
  } catch (thrown) {
    if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause: signal.reason });
    if (thrown instanceof HoldfastError) throw thrown;
    throw unavailable(url, limit.aborted ? 'it did not answer in time' : reasonOf(thrown), thrown);
  }
}

function unavailable(url: string, reason: string, cause?: unknown): HoldfastError {
  return new HoldfastError('trust_unavailable', `${url} cannot be had (${reason}); nothing was sent to any fleet`, {
    cause,
  });
}

function reasonOf(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  if (cause instanceof HoldfastError) return cause.message;
  const code = (cause as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : 'no connection';
}

/** The origins of a trust anchor. */
export class TrustSources {
  readonly urls: readonly string[];
  readonly #options: TrustDownloadOptions;

  constructor(urls: readonly string[], options: TrustDownloadOptions) {
    this.urls = urls;
    this.#options = options;
  }

  /** The newest trust set of a fleet that this source has. Throws as `download`. */
  async set(url: string, fleet: string): Promise<Uint8Array> {
    return await download(`${url}/trust/${fleet}`, MAXIMUM_TRUST_SET, this.#options);
  }

  /**
   * Reads what else verification needs from all sources in turn, beginning with `first`. Wrong tiles make a proof that
   * fails, wrong bundles are noticed here.
   */
  reader(first: string): TrustReader {
    const order = [first, ...this.urls.filter((url) => url !== first)].filter((url) => this.urls.includes(url));
    return tileTrustReader(
      (tile) => inTurn(order, (url) => this.#tile(url, tile)),
      (digest) => inTurn(order, (url) => this.#bundle(url, digest)),
    );
  }

  async #tile(url: string, tile: Tile): Promise<Uint8Array> {
    try {
      return await download(`${url}/${tilePath(tile)}`, TILE_BYTES, this.#options);
    } catch (error) {
      const gone = error instanceof HoldfastError && error.code === 'trust_unavailable';
      if (!gone || tile.width === TILE_WIDTH) throw error;
      // A server may drop a partial tile once the full one is there.
      return await download(`${url}/${tilePath({ ...tile, width: TILE_WIDTH })}`, TILE_BYTES, this.#options);
    }
  }

  async #bundle(url: string, digest: Digest): Promise<string> {
    const text = fromUtf8(await download(`${url}/trust/bundles/${digest}`, MAXIMUM_BUNDLE_TEXT, this.#options));
    if (digestOf(text) === digest) return text;
    throw new HoldfastError('chain_broken', `${url} gives another bundle than the one that was asked for`);
  }
}

/** The first that succeeds, or the first failure. */
async function inTurn<T>(urls: readonly string[], ask: (url: string) => Promise<T>): Promise<T> {
  let failure: unknown;
  for (const url of urls) {
    try {
      return await ask(url);
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'cancelled') throw error;
      failure ??= error;
    }
  }
  throw failure;
}
