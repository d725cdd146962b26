/**
 * The log as static files (C2SP tlog-tiles): hash tiles and entry bundles, made from the store after each batch and before
 * its checkpoint is published. Each is written beside its place, synchronised, renamed, and its folder synchronised.
 *
 * A file once in place says the same for ever: what is found there and differs is refused. Making the files of a batch
 * again is harmless, so a process that died in between makes them again; a folder that was lost is made anew.
 */

import { link, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { equalBytes, fromUtf8, HoldfastError, utf8 } from '../../core/index.ts';
import { encodeEntryBundle, HASH_BYTES, TILE_WIDTH, type Tile, tilePath, tilesBetween } from '../../trust/index.ts';
import type { LogRows } from './store.ts';

/** Name of the file that says how much of the log is in the folder. It is never served. */
const MARKER = '.published';

/** Where the files of a log go. Tests put faults between the steps. */
export interface TileFilesOptions {
  readonly folder: string;
  readonly rows: Pick<LogRows, 'entry' | 'tile'>;
  /** Called before each step that changes the folder. */
  readonly onStep?: (step: 'temporary' | 'rename' | 'marker') => void;
}

export class TileFiles {
  readonly #options: TileFilesOptions;
  #sequence = 0;

  constructor(options: TileFilesOptions) {
    this.#options = options;
  }

  /** Leaves whose files are known to be in the folder. */
  async published(): Promise<number> {
    try {
      const text = await readFile(join(this.#options.folder, MARKER), 'utf8');
      return /^(0|[1-9]\d{0,15})\n$/.test(text) ? Number(text) : 0;
    } catch {
      return 0;
    }
  }

  /** Brings the folder from `from` leaves to `size`: every tile and bundle that a checkpoint of `size` needs. */
  async publish(from: number, size: number): Promise<void> {
    const folders = new Set<string>();
    for (const tile of tilesBetween(from, size)) {
      await this.#place(tilePath(tile), this.#content(tile), folders);
      if (tile.width === TILE_WIDTH && tile.index > 0) await this.#dropPartial({ ...tile, index: tile.index - 1 });
    }
    for (const folder of folders) await syncFolder(folder);
  }

  /** Notes that everything up to `size` leaves is in the folder, the checkpoint too. */
  async mark(size: number): Promise<void> {
    await this.replace(MARKER, utf8(`${size}\n`), 'marker');
  }

  /** Puts a file that may change in its place in one step, durably. @param name path below the folder. */
  async replace(name: string, content: Uint8Array, step: 'rename' | 'marker' = 'rename'): Promise<void> {
    const path = join(this.#options.folder, name);
    const temporary = await this.#temporary(path, content);
    this.#options.onStep?.(step);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  }

  /** A file of the folder, or undefined. For tests and for pointers such as the newest trust set. */
  async read(name: string): Promise<string | undefined> {
    return readFile(join(this.#options.folder, name)).then(fromUtf8, () => undefined);
  }

  #content({ level, index, width }: Tile): Uint8Array {
    const { rows } = this.#options;
    if (level !== 'entries') {
      const hashes = rows.tile(level, index);
      if (!hashes || hashes.length < width * HASH_BYTES) throw missing(`tile ${index} of level ${level}`);
      return hashes.subarray(0, width * HASH_BYTES);
    }
    const entries = Array.from({ length: width }, (_, i) => {
      const entry = rows.entry(index * TILE_WIDTH + i);
      if (!entry) throw missing(`entry ${index * TILE_WIDTH + i}`);
      return entry;
    });
    return encodeEntryBundle(entries);
  }

  /** Puts an immutable file in its place; leaves one with the same content alone. */
  async #place(name: string, content: Uint8Array, folders: Set<string>): Promise<void> {
    const path = join(this.#options.folder, name);
    const temporary = await this.#temporary(path, content);
    this.#options.onStep?.('rename');
    try {
      // Unlike rename, link never replaces.
      await link(temporary, path);
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      if (!equalBytes(await readFile(path), content)) {
        throw new HoldfastError(
          'store_refused',
          `the file ${path} is not what the log’s store says; find out why, then move the folder of static files away: it is made anew`,
          { details: { file: name } },
        );
      }
    } finally {
      await rm(temporary, { force: true });
    }
    folders.add(dirname(path));
  }

  async #temporary(path: string, content: Uint8Array): Promise<string> {
    await makeFolder(dirname(path), this.#options.folder);
    const temporary = join(this.#options.folder, `.new-${process.pid}-${this.#sequence++}`);
    this.#options.onStep?.('temporary');
    await using file = await open(temporary, 'w', 0o644);
    await file.writeFile(content);
    await file.sync();
    return temporary;
  }

  /** Partial tiles serve checkpoints of that time; one full tile later nobody needs them (tlog-tiles, Partial Tiles). */
  async #dropPartial(tile: Tile): Promise<void> {
    const path = join(this.#options.folder, dirname(tilePath({ ...tile, width: 1 })));
    await rm(path, { recursive: true, force: true });
  }
}

/** Makes `folder` and what is above it up to `top`, each durable in the folder that holds it. */
async function makeFolder(folder: string, top: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true, mode: 0o755 });
  if (first === undefined) return;
  const stop = dirname(first.length < top.length ? first : top);
  for (let at = dirname(folder); ; at = dirname(at)) {
    await syncFolder(at);
    if (at === dirname(first) || at === stop || at === dirname(at)) break;
  }
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

function missing(what: string): HoldfastError {
  return new HoldfastError(
    'store_refused',
    `the log’s store has lost ${what}; restore the newest backup of the store, and never sign from an older one`,
    {},
  );
}
