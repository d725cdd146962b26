/**
 * Trust sets: for each fleet the one file that a client verifies (docs/trust.md section 3), made anew whenever the log's
 * checkpoint has a quorum of witnesses. Kept under their SHA-256; a fleet's newest is switched in one step.
 */

import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, HoldfastError, utf8 } from '../../core/index.ts';
import {
  MAXIMUM_LATER_POLICIES,
  parseCheckpoint,
  parseLeaf,
  parseNote,
  type RosterEntry,
  type SignedNote,
  serialiseNote,
  serialiseTlogProof,
  serialiseTrustSet,
  trustSetDigest,
} from '../../trust/index.ts';
import type { CosignedCheckpoint, TileFiles, TransparencyLog } from '../log/index.ts';
import type { Ledger } from './ledger.ts';

export interface TrustSetsOptions {
  readonly log: Pick<TransparencyLog, 'entry' | 'proveInclusion'>;
  readonly ledger: Ledger;
  readonly files: TileFiles;
  /** The folder of `files`. */
  readonly folder: string;
  readonly clock: Clock;
  /** Milliseconds after which a set that is no longer the newest is removed. */
  readonly keep: number;
}

export const CHECKPOINT = 'checkpoint';
export const setPath = (digest: string) => `trust/sets/${digest}`;
export const fleetPath = (fleet: string) => `trust/fleets/${fleet}`;

/** Publishes what follows from a checkpoint with a quorum: the sets first, then the checkpoint itself. */
export class TrustSets {
  readonly #options: TrustSetsOptions;
  #last: Promise<unknown> = Promise.resolve();
  /** Digests of the newest sets: whoever serves them may do so until those that follow are all in place. */
  #newest: ReadonlyMap<string, string> = new Map();

  constructor(options: TrustSetsOptions) {
    this.#options = options;
  }

  /** Calls run one after another. @returns the digest of each fleet's set. */
  publish(checkpoint: CosignedCheckpoint): Promise<ReadonlyMap<string, string>> {
    const result = this.#last.then(() => this.#publish(checkpoint));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #publish(checkpoint: CosignedCheckpoint): Promise<ReadonlyMap<string, string>> {
    const { files } = this.#options;
    const note = parseNote(checkpoint.note);
    const { size } = parseCheckpoint(note.text);
    const roster = this.#leafAt(size - 1);
    if (roster.type !== 'roster') throw new HoldfastError('unexpected', 'a checkpoint does not end in a roster');
    const digests = new Map<string, string>();
    for (const entry of roster.roster.fleets) {
      const bytes = await this.#setOf(entry, note, size);
      const digest = trustSetDigest(bytes);
      await files.replace(setPath(digest), bytes);
      await files.replace(fleetPath(entry.fleet), bytes);
      digests.set(entry.fleet, digest);
    }
    await files.replace(CHECKPOINT, utf8(checkpoint.note));
    await this.#prune(new Set([...digests.values(), ...this.#newest.values()]));
    this.#newest = digests;
    return digests;
  }

  async #setOf(entry: RosterEntry, checkpoint: SignedNote, size: number): Promise<Uint8Array> {
    const { ledger } = this.#options;
    const proof = async (index: number) => serialiseTlogProof({ ...(await this.#inclusion(index, size)), checkpoint });
    const revocation = ledger.fleet(entry.fleet).revocations.findLast(({ index }) => index < size);
    return serialiseTrustSet({
      bundle: this.#noteAt(entry.index),
      acceptance: await proof(entry.index),
      roster: this.#noteAt(size - 1),
      rosterProof: await proof(size - 1),
      revocation: entry.state === 'revoked' && revocation ? this.#noteAt(revocation.index) : undefined,
      // Clients of older applications than these need a newer application; all others must go on.
      policies: ledger.policies
        .filter((index) => index < size)
        .slice(-MAXIMUM_LATER_POLICIES)
        .map((index) => this.#noteAt(index)),
    });
  }

  async #inclusion(index: number, size: number) {
    const { hashes } = await this.#options.log.proveInclusion(index, size);
    return { index, hashes };
  }

  #leafAt(index: number) {
    const entry = this.#options.log.entry(index);
    if (!entry) throw new HoldfastError('unexpected', `leaf ${index} is not in the log`);
    return parseLeaf(entry);
  }

  /** The signed note in a leaf. */
  #noteAt(index: number): string {
    const leaf = this.#leafAt(index);
    if (leaf.type === 'evidence') throw new HoldfastError('unexpected', `leaf ${index} is no note`);
    return serialiseNote(leaf.note);
  }

  /** Whoever has begun to fetch an older set finds it for a while. */
  async #prune(current: ReadonlySet<string>): Promise<void> {
    const { folder, clock, keep } = this.#options;
    const sets = join(folder, 'trust', 'sets');
    const names = await readdir(sets).catch(() => []);
    for (const name of names) {
      if (current.has(name)) continue;
      const { mtimeMs } = await stat(join(sets, name));
      if (mtimeMs + keep < clock.now()) await rm(join(sets, name), { force: true });
    }
  }
}
