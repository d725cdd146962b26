/** What a cosigner, or a mirror of it, shows everybody: its log, trust sets and policies, over HTTP. */

import { fromUtf8, HoldfastError, utf8 } from '../core/index.ts';
import { checkUrl, Fetcher, LogReader } from '../cosigner/replay/index.ts';
import {
  type CheckpointKind,
  type LogSource,
  MAXIMUM_BUNDLE_TEXT,
  MAXIMUM_NOTE_BYTES,
  MAXIMUM_POLICY_NOTE,
  MAXIMUM_TRUST_SET,
  TILE_BYTES,
  TILE_WIDTH,
  type Tile,
  type TrustReader,
  tilePath,
  tileTrustReader,
} from '../trust/index.ts';
import { type Logged, MAXIMUM_ANSWER, problemFrom, readSubmitted } from './answers.ts';

export interface SiteOptions {
  /** Origin of the site, HTTPS; plain HTTP on loopback. */
  readonly url: string;
  /** PEM certificates of authorities that are trusted besides the system's. */
  readonly authority?: string | undefined;
  /** Milliseconds for each answer; default 10,000. */
  readonly timeout?: number;
}

const TEXT = { 'content-type': 'text/plain' } as const;

export class CosignerSite implements LogSource, AsyncDisposable {
  readonly url: string;
  readonly #base: URL;
  readonly #fetcher: Fetcher;
  readonly #reader: LogReader;
  readonly #timeout: number;

  /** @throws HoldfastError `usage` for an address that cannot be one. */
  constructor({ url, authority, timeout = 10_000 }: SiteOptions) {
    this.#base = checkUrl('the address of a log', url);
    this.url = this.#base.href.replace(/\/$/, '');
    this.#fetcher = new Fetcher({ authority });
    this.#timeout = timeout;
    this.#reader = new LogReader(this.#base, this.#fetcher);
  }

  async checkpoint(which: CheckpointKind, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    const newest = which === 'newest' ? await this.#get('latest-checkpoint', MAXIMUM_NOTE_BYTES, signal) : undefined;
    // A mirror may have only the one that clients use.
    return newest ?? (await this.#get('checkpoint', MAXIMUM_NOTE_BYTES, signal));
  }

  leaves(from: number, to: number, signal?: AbortSignal): Promise<readonly Uint8Array[]> {
    return this.#reader.leaves(from, to, signal);
  }

  async policy(version: number, signal?: AbortSignal): Promise<string | undefined> {
    const found = await this.#get(`policies/${version}`, MAXIMUM_POLICY_NOTE, signal);
    return found && fromUtf8(found);
  }

  /** The newest trust set of a fleet, unverified; undefined while it has none. */
  trustSet(fleet: string, signal?: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#get(`trust/${encodeURIComponent(fleet)}`, MAXIMUM_TRUST_SET, signal);
  }

  /** What a client verifies with besides the trust set. */
  readonly trustReader: TrustReader = tileTrustReader(
    (tile) => this.#tile(tile),
    async (digest) => {
      const found = await this.#get(`trust/bundles/${digest}`, MAXIMUM_BUNDLE_TEXT, undefined);
      if (found) return fromUtf8(found);
      throw new HoldfastError('not_ready', `${this.url} does not serve the bundle ${digest}`);
    },
  );

  /** Sends an acceptance or a revocation, which anybody may. */
  async submit(kind: 'acceptance' | 'revocation', note: string, signal?: AbortSignal): Promise<Logged> {
    const url = this.#at(`submit/${kind}`);
    const options = { maximumBytes: MAXIMUM_ANSWER, timeout: this.#timeout, signal };
    const { status, body } = await this.#fetcher.post(url, utf8(note), TEXT, options);
    if (status !== 200) throw problemFrom(url.href, status, body);
    const result = readSubmitted(body);
    if (result.status === 'logged') return result;
    throw new HoldfastError('malformed', `${url.href} lets a signed note wait, which it never may`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#fetcher.close();
  }

  async #tile(tile: Tile): Promise<Uint8Array> {
    const get = (width: number) => this.#get(tilePath({ ...tile, width }), TILE_BYTES, undefined);
    // A partial tile may have given way to the full one (tlog-tiles, "Partial Tiles").
    const found = (await get(tile.width)) ?? (await get(TILE_WIDTH));
    if (found) return found;
    throw new HoldfastError('not_ready', `${this.url} does not serve the tile ${tilePath(tile)}`);
  }

  #at(path: string): URL {
    const url = new URL(this.#base);
    url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`;
    return url;
  }

  async #get(path: string, maximumBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array | undefined> {
    const url = this.#at(path);
    const { status, body } = await this.#fetcher.get(url, { maximumBytes, timeout: this.#timeout, signal });
    if (status === 200) return body;
    if (status === 404 || status === 410) return undefined;
    throw problemFrom(url.href, status, body);
  }
}
