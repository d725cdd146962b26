/**
 * A durable copy of a log's leaves, with the tree over them: only what hashes to a root that was signed gets in. From it
 * follow the root of every smaller size, and whatever rules have to look at.
 */

import { codec, concatBytes, equalBytes, HoldfastError, sha256, utf8 } from '../../core/index.ts';
import type { KeyValueStore, Write } from '../../store/port.ts';
import { EMPTY_ROOT, Frontier, hashEntry, joinPeaks, peaks, type TreeHead, type TreeNode } from '../../trust/index.ts';

/**
 * `mirror`: the size by origin. `entry`: leaves by origin and index. `node`: hashes by origin, level and index. `replay`:
 * what the leaves come to, by origin.
 */
export const MIRROR_TABLES = ['mirror', 'entry', 'node', 'replay'] as const;
export type MirrorTable = (typeof MIRROR_TABLES)[number];
export type MirrorDisk = Pick<KeyValueStore<MirrorTable>, 'get' | 'commit'>;

const { fixed, message, text, uint } = codec;
const HEAD = message('holdfast/mirror-head/v1', { origin: text(4096), size: uint, root: fixed(32) });

export class Mirror {
  readonly #disk: MirrorDisk;
  readonly #origin: string;
  readonly #prefix: Uint8Array;
  #head: TreeHead;

  /** @throws HoldfastError `store_refused` where what is stored is not a mirror of `origin`. */
  constructor(disk: MirrorDisk, origin: string) {
    this.#disk = disk;
    this.#origin = origin;
    this.#prefix = sha256(utf8(origin));
    const stored = disk.get('mirror', this.#prefix);
    this.#head = stored ? this.#decode(stored) : { size: 0, root: EMPTY_ROOT };
    if (!equalBytes(this.root(this.size), this.#head.root)) throw this.#damaged('its root');
  }

  get size(): number {
    return this.#head.size;
  }

  get head(): TreeHead {
    return this.#head;
  }

  /** The root of the first `size` leaves, 32 bytes. @throws HoldfastError `store_refused`. */
  root(size: number): Uint8Array {
    if (size > this.size) throw new HoldfastError('unexpected', `the mirror has ${this.size} leaves, not ${size}`);
    const nodes = peaks(size);
    return nodes.length === 0 ? EMPTY_ROOT : joinPeaks(nodes.map((node) => this.#node(node)));
  }

  /** For proofs (`HashReader` of src/trust). */
  readHashes(nodes: readonly TreeNode[]): Promise<readonly Uint8Array[]> {
    return Promise.resolve(nodes.map((node) => this.#node(node)));
  }

  /** Leaf `index`, as the log served it. */
  entry(index: number): Uint8Array {
    const entry = index < this.size ? this.#disk.get('entry', this.#key(index)) : undefined;
    if (!entry) throw this.#damaged(`leaf ${index}`);
    return entry;
  }

  *entries(from = 0, to = this.size): Iterable<Uint8Array> {
    for (let index = from; index < to; index++) yield this.entry(index);
  }

  /**
   * Appends leaves that must give the tree `to`, and `also`, all or nothing, and resolves once it is on stable storage.
   * @throws HoldfastError `untrusted` if they give another.
   */
  async extend(leaves: readonly Uint8Array[], to: TreeHead, also: readonly Write<MirrorTable>[] = []): Promise<void> {
    const frontier = this.#frontier();
    const writes: Write<MirrorTable>[] = [...also];
    leaves.forEach((leaf, i) => {
      writes.push({ table: 'entry', key: this.#key(this.size + i), value: leaf });
      frontier.append(hashEntry(leaf), ({ level, index }, hash) => {
        writes.push({ table: 'node', key: this.#key(index, level), value: hash });
      });
    });
    if (frontier.size !== to.size || !equalBytes(frontier.root(), to.root)) {
      throw new HoldfastError('untrusted', `the leaves of ${this.#origin} do not give the root that it has signed`);
    }
    const head = { size: to.size, root: to.root };
    writes.push({ table: 'mirror', key: this.#prefix, value: HEAD.encode({ origin: this.#origin, ...head }) });
    await this.#disk.commit(writes);
    this.#head = head;
  }

  #frontier(): Frontier {
    return new Frontier(
      this.size,
      peaks(this.size).map((node) => this.#node(node)),
    );
  }

  #node({ level, index }: TreeNode): Uint8Array {
    return this.#disk.get('node', this.#key(index, level)) ?? this.#raise(`the hash ${index} of level ${level}`);
  }

  /** The origin's hash (32 bytes), the level of a node (1), the index (8, big-endian). */
  #key(index: number, level?: number): Uint8Array {
    const number = new Uint8Array(8);
    new DataView(number.buffer).setBigUint64(0, BigInt(index));
    return concatBytes(this.#prefix, level === undefined ? new Uint8Array() : Uint8Array.of(level), number);
  }

  #decode(stored: Uint8Array): TreeHead {
    try {
      const { origin, size, root } = HEAD.decode(stored);
      if (origin === this.#origin) return { size, root };
    } catch (cause) {
      this.#raise('its head', cause);
    }
    return this.#raise('its head');
  }

  #raise(what: string, cause?: unknown): never {
    throw this.#damaged(what, cause);
  }

  #damaged(what: string, cause?: unknown): HoldfastError {
    return new HoldfastError(
      'store_refused',
      `the copy of the log ${this.#origin} has lost ${what}; move its folder away, and it is fetched anew`,
      { cause },
    );
  }
}
