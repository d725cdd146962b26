/**
 * Appending to a Merkle tree that is kept in tiles of height 8 (C2SP tlog-tiles): a tile at level L has the hashes of
 * complete subtrees of 256^L leaves. A partial tile is never hashed into the level above, and there is no empty tile.
 */

import { type Frontier, HASH_BYTES, TILE_BYTES, TILE_HEIGHT, TILE_WIDTH } from '../../trust/index.ts';

/** A tile as it stands after an append: full, or partial with 1 to 255 hashes. */
export interface ChangedTile {
  readonly level: number;
  readonly tile: number;
  readonly hashes: Uint8Array;
}

/** The tree after appending, and what that changed. */
export interface Appended {
  readonly frontier: Frontier;
  readonly root: Uint8Array;
  readonly tiles: readonly ChangedTile[];
}

/**
 * Appends `leaves` (their hashes) to the tree whose right edge is `frontier`, which stays as it is.
 * @param read gives the partial tiles of the tree before.
 */
export function appendLeaves(
  frontier: Frontier,
  leaves: readonly Uint8Array[],
  read: (level: number, tile: number) => Uint8Array | undefined,
): Appended {
  const next = frontier.clone();
  const tiles = new Map<string, GrowingTile>();
  for (const leaf of leaves) {
    next.append(leaf, ({ level, index }, hash) => {
      if (level % TILE_HEIGHT !== 0) return;
      const at = { level: level / TILE_HEIGHT, tile: Math.floor(index / TILE_WIDTH) };
      const name = `${at.level}/${at.tile}`;
      let tile = tiles.get(name);
      if (!tile) {
        tile = new GrowingTile(index % TILE_WIDTH === 0 ? undefined : read(at.level, at.tile));
        tiles.set(name, tile);
      }
      tile.put(index % TILE_WIDTH, hash);
    });
  }
  const changed = [...tiles].map(([name, tile]) => {
    const [level, number] = name.split('/').map(Number) as [number, number];
    return { level, tile: number, hashes: tile.hashes };
  });
  return { frontier: next, root: next.root(), tiles: changed };
}

class GrowingTile {
  readonly #bytes = new Uint8Array(TILE_BYTES);
  #length: number;

  constructor(before: Uint8Array | undefined) {
    this.#bytes.set(before ?? new Uint8Array());
    this.#length = before?.length ?? 0;
  }

  put(offset: number, hash: Uint8Array): void {
    // A stored tile that is narrower than its tree would otherwise be filled up with zeroes.
    if (this.#length !== offset * HASH_BYTES) throw new RangeError('a stored tile does not fit its tree');
    this.#bytes.set(hash, this.#length);
    this.#length += HASH_BYTES;
  }

  get hashes(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}
