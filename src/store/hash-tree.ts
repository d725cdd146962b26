/**
 * A Merkle tree of fixed shape over 65,536 leaf hashes, held in memory; inner nodes are domain-separated from leaves as
 * in RFC 6962 section 2.1.
 *
 * Nodes have 16 children, not two: a changed leaf then costs 4 hashes of 512 bytes (7 microseconds) instead of 16 of 64
 * (22 microseconds), and nobody needs the shorter audit paths of a binary tree.
 */

import { equalBytes, sha256, utf8 } from '../core/index.ts';

/** Bytes of one hash. */
export const HASH_SIZE = 32;
export const LEAF_COUNT = 65_536;
/** Children of a node. Node `i` has the children `16i + 1` to `16i + 16`, side by side in memory; the root is node 0. */
const FAN = 16;
/** Positions of the first leaf, of the first of the 256 nodes two levels below the root, and behind the last leaf. */
const FIRST_LEAF = 1 + FAN + FAN ** 2 + FAN ** 3;
const FIRST_GROUP = 1 + FAN;
const POSITIONS = FIRST_LEAF + LEAF_COUNT;
/** Position of the first node of each level, from the root to the leaves. */
const LEVELS = [0, 1, FIRST_GROUP, FIRST_GROUP + FAN ** 2, FIRST_LEAF];

const parentOf = (position: number) => (position - 1) >> 4;

/** The hashes of a batch that has not been committed: position of the node, its 32 bytes. */
export type TreeChanges = ReadonlyMap<number, Uint8Array>;

interface Change {
  readonly position: number;
  readonly hash: Uint8Array;
}

/** Where the children of one node are put together: memory of its own for each would cost as much as its hash. */
const together = new Uint8Array(FAN * HASH_SIZE);

/**
 * Makes a hash function with its own label: SHA-256 over `prefix` (0 leaf, 1 node), the length-prefixed label, and each
 * field length-prefixed (32 bits, big-endian).
 */
export function labelledHash(prefix: 0 | 1, label: string): (...fields: readonly Uint8Array[]) => Uint8Array {
  const start = labelStart(prefix, label);
  return (...fields) => sha256(start, ...fields.flatMap((field) => [fourBytes(field.length), field]));
}

function fourBytes(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  bytes[0] = value >>> 24;
  bytes[1] = value >>> 16;
  bytes[2] = value >>> 8;
  bytes[3] = value;
  return bytes;
}

function labelStart(prefix: 0 | 1, label: string): Uint8Array {
  const text = utf8(label);
  const start = new Uint8Array(5 + text.length);
  start[0] = prefix;
  new DataView(start.buffer).setUint32(1, text.length);
  start.set(text, 5);
  return start;
}

/** Hash of an inner node. One buffer is used again and again: a start with many records computes thousands of these. */
function nodeHash(label: string): (children: Uint8Array) => Uint8Array {
  const start = labelStart(1, label);
  const input = new Uint8Array(start.length + 4 + FAN * HASH_SIZE);
  input.set(start);
  new DataView(input.buffer).setUint32(start.length, FAN * HASH_SIZE);
  return (children) => {
    input.set(children, start.length + 4);
    return sha256(input);
  };
}

/** One kind of tree: what an empty one looks like and how its nodes are hashed. */
export class TreeKind {
  /** Hash of a node, of the 16 hashes of its children one after another. */
  readonly node: (children: Uint8Array) => Uint8Array;
  /** The hash of every node of a level without content: the root's first, the leaves' last. */
  readonly empty: readonly Uint8Array[];

  constructor(label: string, emptyLeaf: Uint8Array) {
    this.node = nodeHash(label);
    const empty = [emptyLeaf];
    for (let above = LEVELS.length - 1; above > 0; above--) {
      const children = new Uint8Array(FAN * HASH_SIZE);
      for (let i = 0; i < FAN; i++) children.set(empty[0]!, i * HASH_SIZE);
      empty.unshift(this.node(children));
    }
    this.empty = empty;
  }
}

/** 2.2 MB outside the JavaScript heap. */
export class HashTree {
  readonly #kind: TreeKind;
  readonly #hashes = new Uint8Array(POSITIONS * HASH_SIZE);
  /** Marks the inner nodes above leaves that were set since the last `rebuild`. */
  #stale: Uint8Array | undefined;

  constructor(kind: TreeKind) {
    this.#kind = kind;
    for (const [level, first] of LEVELS.entries()) {
      const end = LEVELS[level + 1] ?? POSITIONS;
      const hashes = this.#hashes.subarray(first * HASH_SIZE, end * HASH_SIZE);
      hashes.set(kind.empty[level]!);
      // What is there is doubled, a level being a power of two: a call for each position takes 15 ms.
      for (let filled = HASH_SIZE; filled < hashes.length; filled *= 2) hashes.copyWithin(filled, 0, filled);
    }
  }

  /** The hash of leaf `index`, as a view: valid until the tree changes. */
  leaf(index: number): Uint8Array {
    return this.#at(FIRST_LEAF + index);
  }

  root(): Uint8Array {
    return this.#at(0).slice();
  }

  /** Copies of the 256 nodes half-way down; group `g` covers the leaves `256g` to `256g + 255`. */
  groups(): Uint8Array[] {
    return Array.from({ length: 256 }, (_, group) => this.#at(FIRST_GROUP + group).slice());
  }

  /** Copies of the 256 leaves of a group. */
  leavesOf(group: number): Uint8Array[] {
    return Array.from({ length: 256 }, (_, i) => this.leaf(group * 256 + i).slice());
  }

  /** The indexes of all leaves that are not empty, ascending, lazily. */
  *occupied(position = 0, level = 0): Iterable<number> {
    if (equalBytes(this.#at(position), this.#kind.empty[level]!)) return;
    if (position >= FIRST_LEAF) yield position - FIRST_LEAF;
    else for (let child = 1; child <= FAN; child++) yield* this.occupied(FAN * position + child, level + 1);
  }

  /** Sets a leaf of a tree that is being rebuilt: the nodes above are wrong until `rebuild` is called. */
  setLeaf(index: number, hash: Uint8Array): void {
    const position = FIRST_LEAF + index;
    this.#hashes.set(hash, position * HASH_SIZE);
    this.#stale ??= new Uint8Array(FIRST_LEAF);
    this.#stale[parentOf(position)] = 1;
  }

  /** Computes the nodes above the leaves that were set, in place. */
  rebuild(): void {
    const stale = this.#stale;
    if (stale === undefined) return;
    for (let position = FIRST_LEAF - 1; position >= 0; position--) {
      if (stale[position] === 0) continue;
      this.#hashes.set(this.#kind.node(this.#children(position)), position * HASH_SIZE);
      if (position > 0) stale[parentOf(position)] = 1;
    }
    this.#stale = undefined;
  }

  /** Every node that changes with these leaves, the root included, without changing the tree. */
  changesFor(leaves: ReadonlyMap<number, Uint8Array>): TreeChanges {
    const changes = new Map<number, Uint8Array>();
    // In order, so that those with one parent stand side by side.
    const indexes = [...leaves.keys()].sort((a, b) => a - b);
    let level = indexes.map((index): Change => ({ position: FIRST_LEAF + index, hash: leaves.get(index)! }));
    while (level.length > 0) {
      const above: Change[] = [];
      for (let i = 0; i < level.length; ) {
        const parent = parentOf(level[i]!.position);
        if (level[i]!.position > 0) together.set(this.#children(parent));
        for (; i < level.length && parentOf(level[i]!.position) === parent; i++) {
          const { position, hash } = level[i]!;
          changes.set(position, hash);
          if (position === 0) return changes;
          together.set(hash, ((position - 1) % FAN) * HASH_SIZE);
        }
        above.push({ position: parent, hash: this.#kind.node(together) });
      }
      level = above;
    }
    return changes;
  }

  /** The root that the tree would have with `changes`. */
  rootWith(changes: TreeChanges): Uint8Array {
    return (changes.get(0) ?? this.#at(0)).slice();
  }

  apply(changes: TreeChanges): void {
    for (const [position, hash] of changes) this.#hashes.set(hash, position * HASH_SIZE);
  }

  #at(position: number): Uint8Array {
    return this.#hashes.subarray(position * HASH_SIZE, (position + 1) * HASH_SIZE);
  }

  #children(position: number): Uint8Array {
    const first = FAN * position + 1;
    return this.#hashes.subarray(first * HASH_SIZE, (first + FAN) * HASH_SIZE);
  }
}
