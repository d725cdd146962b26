/**
 * A disk in memory and a dictionary over it with the semantics of `AuthenticatedDictionary`, cheap enough for thousands
 * of runs. Hashes of sets are sums, so that a commit costs what it changes; nobody here looks for collisions.
 */

import { concatBytes } from '../../src/core/bytes.ts';
import { bytesToHex, equalBytes, HoldfastError, sha256 } from '../../src/core/index.ts';
import type { AuthenticatedDictionary, BatchHead, DictionaryChange, PreparedBatch } from '../../src/store/port.ts';

export interface Entry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly syncHash: Uint8Array;
}

/** All that a disk holds; immutable. */
export interface DiskImage {
  readonly head: BatchHead;
  readonly mac: Uint8Array | undefined;
  readonly entries: ReadonlyMap<string, Entry>;
  readonly sum: Uint8Array;
}

const ZERO = new Uint8Array(32);
const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ b[i]!);
const entryHash = ({ key, value }: Entry): Uint8Array => sha256(concatBytes(key, value));

export const emptyImage: DiskImage = {
  head: { sequence: 0, parent: ZERO, root: ZERO },
  mac: undefined,
  entries: new Map(),
  sum: ZERO,
};

export class Disk {
  image: DiskImage = emptyImage;
}

interface Prepared extends PreparedBatch {
  readonly image: Omit<DiskImage, 'mac'>;
}

/** One process's view of a disk. `write` lets time pass, makes the image durable, or fails or never returns. */
export class SimulatedDictionary implements AuthenticatedDictionary {
  #image: DiskImage;
  readonly #write: (image: DiskImage) => Promise<void>;
  #busy = false;

  constructor(image: DiskImage, write: (image: DiskImage) => Promise<void>) {
    this.#image = image;
    this.#write = write;
  }

  get head(): BatchHead {
    return this.#image.head;
  }

  get size(): number {
    return this.#image.entries.size;
  }

  get mac(): Uint8Array | undefined {
    return this.#image.mac;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#image.entries.get(bytesToHex(key))?.value;
  }

  prepare(changes: readonly DictionaryChange[], sequenceFloor = 0): PreparedBatch {
    const entries = new Map(this.#image.entries);
    let { sum } = this.#image;
    for (const { key, value, syncHash } of changes) {
      const name = bytesToHex(key);
      const before = entries.get(name);
      const after = { key, value, syncHash };
      if (before) sum = xor(sum, entryHash(before));
      sum = xor(sum, entryHash(after));
      entries.set(name, after);
    }
    const { head } = this.#image;
    const next = { sequence: Math.max(head.sequence, sequenceFloor) + 1, parent: head.root, root: sum };
    return { head: next, changes, image: { head: next, entries, sum } } as Prepared;
  }

  async commit(batch: PreparedBatch, mac: Uint8Array): Promise<void> {
    if (this.#busy || !equalBytes(batch.head.parent, this.head.root) || batch.head.sequence <= this.head.sequence) {
      throw new HoldfastError('conflict', 'prepared on an older head');
    }
    this.#busy = true;
    try {
      const image = { ...(batch as Prepared).image, mac };
      await this.#write(image);
      this.#image = image;
    } finally {
      this.#busy = false;
    }
  }

  syncRoot(): Uint8Array {
    return this.#sync(new Uint8Array(0));
  }

  syncChildren(prefix: Uint8Array): Uint8Array[] {
    const children = new Array<Uint8Array>(256).fill(ZERO);
    for (const { key } of this.#image.entries.values()) {
      if (!prefix.every((byte, i) => byte === key[i])) continue;
      const child = key[prefix.length]!;
      children[child] = this.#sync(Uint8Array.of(...prefix, child));
    }
    return children;
  }

  crowd(): number {
    return 0;
  }

  syncHash(key: Uint8Array): Uint8Array | undefined {
    return this.#image.entries.get(bytesToHex(key))?.syncHash;
  }

  syncBucket(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[] {
    const entries = [...this.#image.entries.values()].filter(({ key }) => prefix.every((byte, i) => byte === key[i]));
    return entries.sort((a, b) => (bytesToHex(a.key) < bytesToHex(b.key) ? -1 : 1));
  }

  *keys(): Iterable<Uint8Array> {
    for (const { key } of this.#image.entries.values()) yield key;
  }

  async close(): Promise<void> {}

  #sync(prefix: Uint8Array): Uint8Array {
    let sum: Uint8Array = ZERO;
    for (const { key, syncHash } of this.#image.entries.values()) {
      if (prefix.every((byte, i) => byte === key[i])) sum = xor(sum, sha256(concatBytes(key, syncHash)));
    }
    return sum;
  }
}
