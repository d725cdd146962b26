/** Tiles: which there are, what they are called and what is in them (C2SP tlog-tiles). */

import { HoldfastError } from '../../core/index.ts';
import { nodeHash } from '../../protocol/index.ts';
import { peaks, type TreeNode } from './frontier.ts';
import type { HashReader } from './prove.ts';
import { HASH_BYTES } from './text.ts';

/** Levels of the tree in one tile. */
export const TILE_HEIGHT = 8;
/** Hashes or entries in a full tile. */
export const TILE_WIDTH = 256;
/** Bytes of a full tile of hashes. */
export const TILE_BYTES = TILE_WIDTH * HASH_BYTES;
/** Levels of tiles that trees of less than 2^53 leaves can have: 0 to 6. */
const LEVELS = 7;

export interface Tile {
  /** 0 for leaf hashes, and so on upward; or `entries` for the entries themselves. */
  readonly level: number | 'entries';
  /** Which tile of its level, from 0. */
  readonly index: number;
  /** How many hashes or entries: 256, or 1 to 255 for a partial one. */
  readonly width: number;
}

/** A tile's address under the log's prefix, for example `tile/0/x001/x234/067.p/112`. */
export function tilePath({ level, index, width }: Tile): string {
  const right =
    (level === 'entries' || isBetween(level, 0, 63)) &&
    isBetween(index, 0, Number.MAX_SAFE_INTEGER) &&
    isBetween(width, 1, TILE_WIDTH);
  if (!right) throw new HoldfastError('malformed', 'there is no such tile');
  const digits = String(index);
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g)!;
  const path = groups.map((group, i) => (i < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${path}${width < TILE_WIDTH ? `.p/${width}` : ''}`;
}

/**
 * The tile at an address.
 * @throws HoldfastError `malformed` for anything that `tilePath` would not have written.
 */
export function parseTilePath(path: string): Tile {
  const [, level, groups, width] =
    /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/.exec(path) ?? [];
  if (level !== undefined && groups !== undefined) {
    const tile: Tile = {
      level: level === 'entries' ? level : Number(level),
      index: Number(groups.replaceAll(/[x/]/g, '')),
      width: width === undefined ? TILE_WIDTH : Number(width),
    };
    const right = isBetween(tile.index, 0, Number.MAX_SAFE_INTEGER) && isBetween(tile.width, 1, TILE_WIDTH);
    if (right && tilePath(tile) === path) return tile;
  }
  throw new HoldfastError('malformed', 'this is no address of a tile');
}

function isBetween(value: number, minimum: number, maximum: number): boolean {
  return Number.isSafeInteger(value) && value >= minimum && value <= maximum;
}

/** How many hashes or entries of all tiles at a level a tree of `size` leaves has. */
function widthOfLevel(level: number | 'entries', size: number): number {
  return level === 'entries' ? size : Math.floor(size / TILE_WIDTH ** level);
}

/** A tile as a tree of `size` leaves has it, or undefined where that has none of it: there are no empty tiles. */
export function tileAt(level: number | 'entries', index: number, size: number): Tile | undefined {
  const width = Math.min(widthOfLevel(level, size) - index * TILE_WIDTH, TILE_WIDTH);
  return width > 0 ? { level, index, width } : undefined;
}

/**
 * The tiles that a tree of `newer` leaves has and that of `older` has not, or has less wide: what an append has to
 * write and a mirror to fetch. From level 0 upward, then the entries.
 */
export function* tilesBetween(older: number, newer: number): Generator<Tile> {
  const levels = Array.from({ length: LEVELS }, (_, level) => level);
  for (const level of [...levels, 'entries' as const]) {
    const [from, to] = [widthOfLevel(level, older), widthOfLevel(level, newer)];
    for (let index = Math.floor(from / TILE_WIDTH); index * TILE_WIDTH < to; index++) {
      const tile = tileAt(level, index, newer);
      if (tile && to > from) yield tile;
    }
  }
}

/** Where a complete subtree's hash is in the tiles of a tree: it is above `count` hashes of the tile from `first` on. */
export function tileOfNode(node: TreeNode, size: number): { tile: Tile; first: number; count: number } {
  const level = Math.floor(node.level / TILE_HEIGHT);
  const count = 2 ** (node.level % TILE_HEIGHT);
  const start = node.index * count;
  const tile = tileAt(level, Math.floor(start / TILE_WIDTH), size);
  const first = start % TILE_WIDTH;
  if (tile === undefined || first + count > tile.width) {
    throw new HoldfastError('malformed', `a tree of ${size} leaves has no node ${node.index} at level ${node.level}`);
  }
  return { tile, first, count };
}

/** A tile's bytes: its hashes, or its entries as `encodeEntryBundle` has them. Throws if there is no such tile. */
export type ReadTile = (tile: Tile) => Promise<Uint8Array>;

/**
 * The hashes of a tree of `size` leaves out of its tiles, each of which is read at most once per call. Where a partial
 * tile is asked for, the full one will do. Nothing says that the hashes are right: proofs made of them do, once verified.
 */
export function tileHashReader(size: number, readTile: ReadTile): HashReader {
  return {
    async readHashes(nodes) {
      const places = nodes.map((node) => tileOfNode(node, size));
      const wanted = new Map(places.map(({ tile }) => [tilePath(tile), tile]));
      const read = new Map(
        await Promise.all(
          [...wanted].map(async ([path, tile]) => [path, checkLength(await readTile(tile), tile)] as const),
        ),
      );
      return places.map(({ tile, first, count }) => subtreeOf(read.get(tilePath(tile))!, first, count));
    },
  };
}

function checkLength(data: Uint8Array, tile: Tile): Uint8Array {
  if (data.length !== tile.width * HASH_BYTES && data.length !== TILE_BYTES) {
    throw new HoldfastError('malformed', `the tile ${tilePath(tile)} has ${data.length} bytes, which is wrong`);
  }
  return data;
}

/** The hash above `count` (a power of two) hashes of a tile. */
function subtreeOf(data: Uint8Array, first: number, count: number): Uint8Array {
  let hashes = Array.from({ length: count }, (_, i) => hashAt(data, first + i));
  while (hashes.length > 1) {
    hashes = Array.from({ length: hashes.length / 2 }, (_, i) => nodeHash(hashes[2 * i]!, hashes[2 * i + 1]!));
  }
  return hashes[0]!;
}

/** One hash of a tile, copied. */
export function hashAt(data: Uint8Array, position: number): Uint8Array {
  return data.slice(position * HASH_BYTES, (position + 1) * HASH_BYTES);
}

/** The hashes of `peaks(size)`, which are all in the partial tiles at the tree's right edge. */
export async function readPeaks(size: number, readTile: ReadTile): Promise<readonly Uint8Array[]> {
  return await tileHashReader(size, readTile).readHashes(peaks(size));
}
