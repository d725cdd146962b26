/**
 * The append path of a tiled log: entries in, tiles out (C2SP tlog-tiles).
 *
 * Only the right edge is held: at each level the one tile that is not full. A tile is hashed into the level above only
 * when it is full, because only complete subtrees have hashes there; and a level without hashes has no tile.
 */

import { equalBytes, HoldfastError } from '../../core/index.ts';
import { checkEntry, encodeEntryBundle, parseEntryBundle } from './entry-bundle.ts';
import { Frontier, type TreeNode } from './frontier.ts';
import { hashEntry, type TreeHead } from './merkle.ts';
import { HASH_BYTES } from './text.ts';
import { type ReadTile, readPeaks, TILE_BYTES, TILE_HEIGHT, TILE_WIDTH, type Tile, tileAt } from './tile.ts';

export interface TileContent {
  readonly tile: Tile;
  readonly data: Uint8Array;
}

/** The tile of one level that is not full yet. */
interface OpenTile {
  index: number;
  width: number;
  readonly data: Uint8Array;
  /** Whether it has grown since it was last taken. */
  changed: boolean;
}

export class TileWriter {
  #frontier = new Frontier();
  /** By level. */
  readonly #open: OpenTile[] = [];
  /** Entries of the bundle that is not full yet. */
  #entries: Uint8Array[] = [];
  #entriesChanged = false;
  /** Full since the last `take`. */
  #full: TileContent[] = [];

  /**
   * Goes on with a log of which the tiles are stored. Reads the partial tiles of its right edge, one per level, and the
   * partial entry bundle.
   * @throws HoldfastError `untrusted` if they do not have the head's root, or the bundle's entries not their hashes; and
   * whatever `readTile` throws.
   */
  static async load(head: TreeHead, readTile: ReadTile): Promise<TileWriter> {
    const { size, root } = head;
    const writer = new TileWriter();
    writer.#frontier = new Frontier(size, await readPeaks(size, readTile));
    if (!equalBytes(writer.#frontier.root(), root)) throw inconsistent(size);
    for (let level = 0; TILE_WIDTH ** level <= size; level++) {
      writer.#open.push(await readOpen(level, size, readTile));
    }
    const last = tileAt('entries', Math.floor(size / TILE_WIDTH), size);
    if (last === undefined) return writer;
    writer.#entries = parseEntryBundle(await readTile(last), last.width);
    const { data } = writer.#open[0]!;
    for (const [i, entry] of writer.#entries.entries()) {
      const hash = data.subarray(i * HASH_BYTES, (i + 1) * HASH_BYTES);
      if (!equalBytes(hashEntry(entry), hash)) throw inconsistent(size);
    }
    return writer;
  }

  /** Number of entries. */
  get size(): number {
    return this.#frontier.size;
  }

  /** The tree's head as it is now: what the next checkpoint says. */
  head(): TreeHead {
    return { size: this.size, root: this.#frontier.root() };
  }

  /**
   * Appends an entry, about 4 µs. Keeps a reference to it until its bundle is full.
   * @returns the entry's index.
   * @throws HoldfastError `too_large` beyond 65,535 bytes; nothing has been appended then.
   */
  append(entry: Uint8Array): number {
    checkEntry(entry);
    const index = this.size;
    this.#frontier.append(hashEntry(entry), this.#place);
    this.#entries.push(entry);
    this.#entriesChanged = true;
    if (this.#entries.length === TILE_WIDTH) {
      this.#full.push(this.#bundle(Math.floor(index / TILE_WIDTH)));
      this.#entries = [];
      this.#entriesChanged = false;
    }
    return index;
  }

  readonly #place = ({ level, index }: TreeNode, hash: Uint8Array): void => {
    if (level % TILE_HEIGHT !== 0) return;
    const tileLevel = level / TILE_HEIGHT;
    this.#open[tileLevel] ??= emptyTile(0);
    const open = this.#open[tileLevel];
    open.data.set(hash, (index % TILE_WIDTH) * HASH_BYTES);
    open.width++;
    open.changed = true;
    if (open.width < TILE_WIDTH) return;
    this.#full.push({ tile: { level: tileLevel, index: open.index, width: TILE_WIDTH }, data: open.data });
    this.#open[tileLevel] = emptyTile(open.index + 1);
  };

  #bundle(index: number): TileContent {
    return {
      tile: { level: 'entries', index, width: this.#entries.length },
      data: encodeEntryBundle(this.#entries),
    };
  }

  /**
   * The tiles and bundles to store before a checkpoint of the present size may be published: all that became full since
   * the last call, and the partial ones that grew.
   */
  take(): TileContent[] {
    const taken = this.#full;
    this.#full = [];
    for (const [level, open] of this.#open.entries()) {
      if (!open.changed) continue;
      open.changed = false;
      const { index, width } = open;
      taken.push({ tile: { level, index, width }, data: open.data.slice(0, width * HASH_BYTES) });
    }
    if (this.#entriesChanged) taken.push(this.#bundle(Math.floor(this.size / TILE_WIDTH)));
    this.#entriesChanged = false;
    return taken;
  }
}

function emptyTile(index: number): OpenTile {
  return { index, width: 0, data: new Uint8Array(TILE_BYTES), changed: false };
}

async function readOpen(level: number, size: number, readTile: ReadTile): Promise<OpenTile> {
  const index = Math.floor(size / TILE_WIDTH ** (level + 1));
  const tile = tileAt(level, index, size);
  const open = emptyTile(index);
  if (tile !== undefined) {
    open.data.set((await readTile(tile)).subarray(0, tile.width * HASH_BYTES));
    open.width = tile.width;
  }
  return open;
}

function inconsistent(size: number): HoldfastError {
  return new HoldfastError('untrusted', `the stored tiles are not those of the checkpoint of ${size} entries`);
}
