/** Tiles of hashes as the store has them: what proofs and the right edge are made of. */

import { HoldfastError } from '../../core/index.ts';
import { HASH_BYTES, type ReadTile, tilePath } from '../../trust/index.ts';
import type { LogRows } from './store.ts';

/** Reads tiles as a tree had them when it was smaller, too. Throws `store_refused` for one that is missing or too narrow. */
export function storedTiles(rows: Pick<LogRows, 'tile'>): ReadTile {
  return async (tile) => {
    const hashes = tile.level === 'entries' ? undefined : rows.tile(tile.level, tile.index);
    const length = tile.width * HASH_BYTES;
    if (hashes && hashes.length >= length) return hashes.subarray(0, length);
    throw new HoldfastError('store_refused', `the log’s store has lost ${tilePath(tile)}; see docs/cosigner.md`);
  };
}
