/** What an audit reads of a site: its log (C2SP tlog-tiles), trust sets, policies and evidence, within limits. */

import { fromUtf8, HoldfastError, utf8 } from '../core/index.ts';
import { type EvidenceFile, isContentOf } from '../evidence/index.ts';
import {
  type CheckpointKind,
  LogReader,
  type LogSource,
  MAXIMUM_NOTE_BYTES,
  MAXIMUM_POLICY_NOTE,
  MAXIMUM_TRUST_ANCHOR,
  MAXIMUM_TRUST_SET,
  TILE_BYTES,
  TILE_WIDTH,
  type Tile,
  tilePath,
} from '../trust/index.ts';
import type { AuditSource } from './types.ts';

const LEAF_BYTES = 64 * 2 ** 20;
/** Bytes of one of Plexi's answers. */
const MAXIMUM_PLEXI = 16_384;

export class AuditedSite implements LogSource {
  /** Without a slash at its end. */
  readonly address: string;
  readonly #source: AuditSource;
  readonly #signal: AbortSignal | undefined;
  readonly #reader: LogReader;

  /** @throws HoldfastError `usage` for what is no address. */
  constructor(source: AuditSource, address: string, maximumLeaves: number, signal: AbortSignal | undefined) {
    if (!URL.canParse(address))
      throw new HoldfastError('usage', 'the site must be an address such as https://vault.example');
    this.address = address.replace(/\/+$/, '');
    this.#source = source;
    this.#signal = signal;
    const get = async (url: URL, { maximumBytes }: { readonly maximumBytes: number }) => {
      const body = await this.#fetch(url.href, maximumBytes);
      return body === undefined ? { status: 404, body: utf8('') } : { status: 200, body };
    };
    const limits = { timeout: 60_000, maximumBytes: LEAF_BYTES, maximumLeaves };
    this.#reader = new LogReader(new URL(`${this.address}/`), { get }, limits);
  }

  /** The site's own trust anchor; undefined where it has none. */
  async anchor(): Promise<string | undefined> {
    const found = await this.#get('anchor.json', MAXIMUM_TRUST_ANCHOR);
    return found && fromUtf8(found);
  }

  checkpoint(_which: CheckpointKind): Promise<Uint8Array | undefined> {
    return this.#get('checkpoint', MAXIMUM_NOTE_BYTES);
  }

  leaves(from: number, to: number): Promise<readonly Uint8Array[]> {
    return this.#reader.leaves(from, to, this.#signal);
  }

  async policy(version: number): Promise<string | undefined> {
    const found = await this.#get(`policies/${version}`, MAXIMUM_POLICY_NOTE);
    return found && fromUtf8(found);
  }

  /** The newest trust set of a fleet. */
  trustSet(fleet: string): Promise<Uint8Array | undefined> {
    return this.#get(`trust/${fleet}`, MAXIMUM_TRUST_SET);
  }

  /** A signed statement of the Plexi view. */
  plexi(namespace: string, epoch: number): Promise<Uint8Array | undefined> {
    return this.#get(`namespaces/${namespace}/audits/${epoch}`, MAXIMUM_PLEXI);
  }

  /** A tile; a partial one may have given way to the full one (tlog-tiles, "Partial Tiles"). */
  async tile(tile: Tile): Promise<Uint8Array> {
    for (const width of new Set([tile.width, TILE_WIDTH])) {
      const found = await this.#get(tilePath({ ...tile, width }), TILE_BYTES);
      if (found) return found;
    }
    throw new HoldfastError('not_ready', `${this.address} does not serve the tile ${tilePath(tile)}`);
  }

  /**
   * A file of the evidence: from the site itself by its digest, or else from where it is said to be.
   * @param beside the absolute address of the file that names it, for addresses relative to that.
   * @throws HoldfastError `evidence_wrong` where only other content is to be had, `evidence_missing`, `too_large`; and
   * whatever the source throws of the site itself.
   */
  async evidence(file: EvidenceFile, maximumBytes: number, beside: string): Promise<Uint8Array> {
    if (file.size > maximumBytes) {
      throw new HoldfastError('too_large', `a file of the evidence has ${file.size} bytes, more than ${maximumBytes}`);
    }
    let failure: unknown;
    for (const address of this.#placesOf(file, beside)) {
      try {
        const content = await this.#fetch(address, maximumBytes);
        if (content === undefined) {
          failure ??= new HoldfastError('evidence_missing', `${address} is not there`, {
            details: { sha256: file.sha256 },
          });
        } else if (isContentOf({ ...file, size: file.size || content.length }, content)) {
          return content;
        } else {
          failure = new HoldfastError('evidence_wrong', `${address} is not the file that is named by its SHA-256`, {
            details: { sha256: file.sha256 },
          });
        }
      } catch (error) {
        if (error instanceof HoldfastError && error.code === 'cancelled') throw error;
        // What the site itself says counts, not whether an address of its choice can be reached.
        failure ??= error;
      }
    }
    throw failure;
  }

  #placesOf({ sha256, address }: EvidenceFile, beside: string): Set<string> {
    const absolute = URL.canParse(address, beside) ? new URL(address, beside) : undefined;
    const name = absolute?.pathname.split('/').at(-1) ?? '';
    const own = name.startsWith(sha256) && /^[0-9a-f]{64}(?:\.[a-z0-9]{1,8})?$/.test(name) ? name : `${sha256}.json`;
    return new Set([`${this.address}/evidence/${own}`, ...(absolute ? [absolute.href] : [])]);
  }

  #get(path: string, maximumBytes: number): Promise<Uint8Array | undefined> {
    return this.#fetch(`${this.address}/${path}`, maximumBytes);
  }

  async #fetch(address: string, maximumBytes: number): Promise<Uint8Array | undefined> {
    try {
      const body = await this.#source.fetch(address, maximumBytes, this.#signal);
      if (body.length <= maximumBytes) return body;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'not_found') return undefined;
      throw error;
    }
    throw new HoldfastError('too_large', `${address} has more than ${maximumBytes} bytes`);
  }
}
