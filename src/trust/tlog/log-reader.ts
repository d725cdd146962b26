/** Reading a log by HTTP: its checkpoint and its leaves (C2SP tlog-tiles), from a server that may be hostile. */

import { HoldfastError } from '../../core/index.ts';
import { maximumBundleBytes, parseEntryBundle } from './entry-bundle.ts';
import { MAXIMUM_NOTE_BYTES } from './note.ts';
import { TILE_WIDTH, tilePath } from './tile.ts';

/** What fetches for it: never more bytes, nor longer, than allowed. */
export interface LogFetcher {
  /** The answer to one GET, whatever its status. @throws HoldfastError `not_ready`, `too_large`, `cancelled`. */
  get(
    url: URL,
    options: {
      readonly maximumBytes: number;
      /** Milliseconds for the whole exchange. */
      readonly timeout: number;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<{ readonly status: number; readonly body: Uint8Array }>;
}

export interface LogReaderLimits {
  /** Milliseconds for each answer. */
  readonly timeout: number;
  /** Bytes of leaves that one reading may take. */
  readonly maximumBytes: number;
  /** Leaves that one reading may take. */
  readonly maximumLeaves: number;
}

export const READER_LIMITS: LogReaderLimits = {
  timeout: 10_000,
  maximumBytes: 256 * 2 ** 20,
  maximumLeaves: 1_000_000,
};

export class LogReader {
  readonly #url: URL;
  readonly #fetcher: LogFetcher;
  readonly #limits: LogReaderLimits;

  /** @param url the log's prefix; what is read stands below it. */
  constructor(url: URL, fetcher: LogFetcher, limits: LogReaderLimits = READER_LIMITS) {
    this.#url = url;
    this.#fetcher = fetcher;
    this.#limits = limits;
  }

  /** The checkpoint that the log serves, unverified. @throws HoldfastError `not_ready`, `too_large`. */
  async checkpoint(signal?: AbortSignal): Promise<Uint8Array> {
    const found = await this.#get('checkpoint', MAXIMUM_NOTE_BYTES, signal);
    if (!found) throw new HoldfastError('not_ready', `${this.#url.href} serves no checkpoint`);
    return found;
  }

  /**
   * Leaves from `from` up to `to` as the server has them: they are the log's only if they give its root.
   * @throws HoldfastError `not_ready` where the server lacks some or is too slow, `malformed` for what is no bundle of
   * leaves, `too_large` beyond the limits.
   */
  async leaves(from: number, to: number, signal?: AbortSignal): Promise<Uint8Array[]> {
    if (to - from > this.#limits.maximumLeaves) {
      throw new HoldfastError('too_large', `${this.#url.href} has ${to - from} new leaves, more than are read at once`);
    }
    const leaves: Uint8Array[] = [];
    let bytes = 0;
    for (let bundle = Math.floor(from / TILE_WIDTH); bundle * TILE_WIDTH < to; bundle++) {
      const width = Math.min(TILE_WIDTH, to - bundle * TILE_WIDTH);
      const read = await this.#bundle(bundle, width, signal);
      const wanted = read.slice(Math.max(0, from - bundle * TILE_WIDTH), width);
      bytes += wanted.reduce((sum, leaf) => sum + leaf.length, 0);
      if (bytes > this.#limits.maximumBytes) {
        throw new HoldfastError('too_large', `${this.#url.href} has more new bytes of leaves than are read at once`);
      }
      leaves.push(...wanted);
    }
    return leaves;
  }

  /** At least `width` leaves. A partial bundle may have given way to the full one (tlog-tiles, "Partial Tiles"). */
  async #bundle(index: number, width: number, signal: AbortSignal | undefined): Promise<readonly Uint8Array[]> {
    for (const one of new Set([width, TILE_WIDTH])) {
      const path = tilePath({ level: 'entries', index, width: one });
      const found = await this.#get(path, maximumBundleBytes(one), signal);
      if (found) return parseEntryBundle(found, one);
    }
    throw new HoldfastError('not_ready', `${this.#url.href} does not serve the leaves from ${index * TILE_WIDTH} on`);
  }

  async #get(path: string, maximumBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const url = new URL(this.#url);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`;
    const { status, body } = await this.#fetcher.get(url, { maximumBytes, timeout: this.#limits.timeout, signal });
    if (status === 200) return body;
    if (status === 404 || status === 410) return undefined;
    throw new HoldfastError('not_ready', `${url.href} answered with status ${status}`);
  }
}
