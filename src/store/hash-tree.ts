/**
 * A binary Merkle tree of fixed shape over 65,536 leaf hashes, held in memory; inner nodes are domain-separated from
 * leaves as in RFC 6962 section 2.1.
 */

import { equalBytes, sha256, utf8 } from '../core/index.ts';

/** Bytes of one hash. */
export const HASH_SIZE = 32;
export const LEAF_COUNT = 65_536;

/** The hashes of a batch that has not been committed: position of the node, its 32 bytes. */
export type TreeChanges = ReadonlyMap<number, Uint8Array>;

/**
 * Makes a hash function with its own label: SHA-256 over `prefix` (0 leaf, 1 node), the length-prefixed label, and each
 * field length-prefixed (32 bits, big-endian).
 */
export function labelledHash(prefix: 0 | 1, label: string): (...fields: readonly Uint8Array[]) => Uint8Array {
  const start = labelStart(prefix, label);
  return (...fields) => {
    let length = start.length;
    for (const field of fields) length += 4 + field.length;
    const input = new Uint8Array(length);
    const view = new DataView(input.buffer);
    input.set(start);
    let at = start.length;
    for (const field of fields) {
      view.setUint32(at, field.length);
      input.set(field, at + 4);
      at += 4 + field.length;
    }
    return sha256(input);
  };
}

function labelStart(prefix: 0 | 1, label: string): Uint8Array {
  const text = utf8(label);
  const start = new Uint8Array(5 + text.length);
  start[0] = prefix;
  new DataView(start.buffer).setUint32(1, text.length);
  start.set(text, 5);
  return start;
}

/** Hash of an inner node. One buffer is used again and again: a start with many records computes 130,000 of these. */
function nodeHash(label: string): (left: Uint8Array, right: Uint8Array) => Uint8Array {
  const start = labelStart(1, label);
  const input = new Uint8Array(start.length + 2 * (4 + HASH_SIZE));
  input.set(start);
  input[start.length + 3] = HASH_SIZE;
  input[start.length + 4 + HASH_SIZE + 3] = HASH_SIZE;
  return (left, right) => {
    input.set(left, start.length + 4);
    input.set(right, start.length + 8 + HASH_SIZE);
    return sha256(input);
  };
}

/** One kind of tree: what an empty one looks like and how its nodes are hashed. */
export class TreeKind {
  readonly node: (left: Uint8Array, right: Uint8Array) => Uint8Array;
  /** All positions of a tree without content; copied, never changed. */
  readonly empty: Uint8Array;

  constructor(label: string, emptyLeaf: Uint8Array) {
    this.node = nodeHash(label);
    this.empty = new Uint8Array(2 * LEAF_COUNT * HASH_SIZE);
    let hash = emptyLeaf;
    for (let first = LEAF_COUNT; first >= 1; first >>= 1) {
      for (let i = first; i < 2 * first; i++) this.empty.set(hash, i * HASH_SIZE);
      hash = this.node(hash, hash);
    }
  }
}

/** 4 MiB outside the JavaScript heap. Position 1 is the root, `2i` and `2i + 1` are the children of `i`. */
export class HashTree {
  readonly #kind: TreeKind;
  readonly #hashes: Uint8Array;
  /** Marks the inner nodes above leaves that were set since the last `rebuild`. */
  #stale: Uint8Array | undefined;

  constructor(kind: TreeKind) {
    this.#kind = kind;
    this.#hashes = kind.empty.slice();
  }

  /** The 32 bytes at a position, as a view: valid until the next `apply`. */
  at(position: number): Uint8Array {
    return this.#hashes.subarray(position * HASH_SIZE, (position + 1) * HASH_SIZE);
  }

  /** The hash of leaf `index`, as a view. */
  leaf(index: number): Uint8Array {
    return this.at(LEAF_COUNT + index);
  }

  /** The indexes of all leaves that are not empty, ascending, lazily. */
  *occupied(position = 1): Iterable<number> {
    const empty = this.#kind.empty.subarray(position * HASH_SIZE, (position + 1) * HASH_SIZE);
    if (equalBytes(this.at(position), empty)) return;
    if (position >= LEAF_COUNT) yield position - LEAF_COUNT;
    else {
      yield* this.occupied(2 * position);
      yield* this.occupied(2 * position + 1);
    }
  }

  /** Copies of the 256 nodes that lie eight levels below the node at `position`. */
  below(position: number): Uint8Array[] {
    return Array.from({ length: 256 }, (_, i) => this.at(position * 256 + i).slice());
  }

  root(): Uint8Array {
    return this.at(1).slice();
  }

  /** Sets a leaf of a tree that is being rebuilt: the nodes above are wrong until `rebuild` is called. */
  setLeaf(index: number, hash: Uint8Array): void {
    this.#hashes.set(hash, (LEAF_COUNT + index) * HASH_SIZE);
    this.#stale ??= new Uint8Array(LEAF_COUNT);
    this.#stale[(LEAF_COUNT + index) >> 1] = 1;
  }

  /** Computes the nodes above the leaves that were set, in place: `changesFor` would keep 130,000 small byte strings. */
  rebuild(): void {
    const stale = this.#stale;
    if (stale === undefined) return;
    for (let position = LEAF_COUNT - 1; position >= 1; position--) {
      if (stale[position] === 0) continue;
      stale[position >> 1] = 1;
      this.#hashes.set(this.#kind.node(this.at(2 * position), this.at(2 * position + 1)), position * HASH_SIZE);
    }
    this.#stale = undefined;
  }

  /** Every node that changes with these leaves, the root included, without changing the tree. */
  changesFor(leaves: ReadonlyMap<number, Uint8Array>): TreeChanges {
    const changes = new Map<number, Uint8Array>();
    let level: number[] = [];
    for (const [index, hash] of leaves) {
      changes.set(LEAF_COUNT + index, hash);
      level.push(LEAF_COUNT + index);
    }
    const now = (position: number) => changes.get(position) ?? this.at(position);
    while (level.length > 0 && level[0] !== 1) {
      const parents = new Set<number>();
      for (const position of level) parents.add(position >> 1);
      for (const parent of parents) changes.set(parent, this.#kind.node(now(2 * parent), now(2 * parent + 1)));
      level = [...parents];
    }
    return changes;
  }

  /** The root that the tree would have with `changes`. */
  rootWith(changes: TreeChanges): Uint8Array {
    return (changes.get(1) ?? this.at(1)).slice();
  }

  apply(changes: TreeChanges): void {
    for (const [position, hash] of changes) this.#hashes.set(hash, position * HASH_SIZE);
  }
}
