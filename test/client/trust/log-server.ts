/** What a cosigner or a mirror serves of a log in memory, as `fetch` sees it; and what liars on the way make of it. */

import type { Fetch } from '../../../src/client/index.ts';
import { concatBytes, utf8 } from '../../../src/core/index.ts';
import { type LiveManifest, parseTilePath, serialiseBundle, TILE_HEIGHT } from '../../../src/trust/index.ts';
import { digestOfManifest, type TestLog } from '../../trust/fixture.ts';

export const COSIGNER_URL = 'https://cosigner.example';
export const MIRROR_URL = 'https://mirror.example';

type Answer = Response | undefined | Promise<Response | undefined>;

export class LogServer {
  log: TestLog;
  /** When witnesses vouched for the log: the default of `TestLog.trustSet`. */
  witnessed: Readonly<Record<string, number>> | undefined;
  /** Addresses that were asked for, in order. */
  readonly asked: string[] = [];
  /** Answers first, where it answers. Throw to be out of reach. */
  intercept: (url: URL, init: RequestInit) => Answer = () => undefined;
  readonly #bundles = new Map<string, string>();

  constructor(log: TestLog, ...manifests: readonly LiveManifest[]) {
    this.log = log;
    this.add(...manifests);
  }

  /** Makes these bundles be found by their digests. */
  add(...manifests: readonly LiveManifest[]): void {
    for (const manifest of manifests) this.#bundles.set(digestOfManifest(manifest), serialiseBundle(manifest));
  }

  readonly fetch: Fetch = async (address, init) => {
    this.asked.push(address);
    const url = new URL(address);
    return (await this.intercept(url, init)) ?? (await this.answer(url.pathname));
  };

  /** What an honest source answers. */
  async answer(path: string): Promise<Response> {
    const [, first, second, third] = path.split('/');
    if (first === 'tile') return new Response(await this.#tile(path.slice(1)));
    if (first === 'trust' && second === 'bundles') return found(this.#bundles.get(third!));
    if (first === 'trust') return new Response(await this.set(second!));
    return found(undefined);
  }

  async set(fleet: string): Promise<Uint8Array<ArrayBuffer>> {
    return await this.log.trustSet(fleet, this.witnessed && { witnessed: this.witnessed });
  }

  async #tile(path: string): Promise<Uint8Array<ArrayBuffer>> {
    const { level, index, width } = parseTilePath(path);
    if (level === 'entries') throw new Error('no client reads entries');
    const nodes = Array.from({ length: width }, (_, i) => ({ level: level * TILE_HEIGHT, index: index * 256 + i }));
    return Uint8Array.from(concatBytes(...(await this.log.hashReader().readHashes(nodes))));
  }
}

const found = (text: string | undefined) =>
  text === undefined ? new Response('nothing', { status: 404 }) : new Response(utf8(text));

export const unreachable = (): never => {
  throw new TypeError('fetch failed', { cause: Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }) });
};
