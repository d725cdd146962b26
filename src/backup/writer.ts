/** Turns found files into a tar stream (POSIX.1-2017, pax interchange format), holding one piece of one file at a time. */

import { isUtf8 } from 'node:buffer';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, readlink } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HoldfastError } from '../core/index.ts';
import { HardLinks } from './hard-links.ts';
import { type ByteString, nativePath, printablePath } from './names.ts';
import { rawNameBlocks } from './raw-names.ts';
import { systemCode, systemReason, throwIfCancelled } from './report.ts';
import { type EntryHeader, isBackpressured, type PaxRecords, packTar, type TarPack } from './tar.ts';
import { type Found, fileKey, unreadable, type WalkOptions } from './walk.ts';

/** Bytes read from a file at once. */
const PIECE = 256 * 1024;
/** The largest number that fits an octal field of 7 digits (uid, gid) and of 11 (modification time, seconds). */
const LARGEST_ID = 0o777777;
const LARGEST_TIME = 2 ** 31 - 1;

/** What has been stored. Sizes are in bytes. */
export interface Stored {
  files: number;
  directories: number;
  symbolicLinks: number;
  contentBytes: number;
}

export interface WriterOptions extends WalkOptions {
  /** Device and inode of files that must not be stored: the backup itself. */
  readonly exclude: ReadonlySet<string>;
  readonly onContent: (stored: Stored) => void;
}

/** The tar archive of `found`, made as it is read. Its errors are those of the walk, of `unreadable`, and of reading. */
export async function* tarStream(
  found: AsyncIterable<Found>,
  stored: Stored,
  options: WriterOptions,
): AsyncGenerator<Uint8Array> {
  const archive = packTar();
  const drained = new Turnstile();
  const producing = produce(archive, drained, found, stored, options).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)));
    throw error;
  });
  // The archive's own error is the producer's; the producer's is the one reported, below.
  producing.catch(() => undefined);
  archive.on('error', () => undefined);
  archive.on('close', () => drained.pass());
  try {
    for await (const chunk of archive as AsyncIterable<Uint8Array>) {
      drained.pass();
      yield chunk;
    }
  } catch (error) {
    await producing;
    throw error;
  } finally {
    archive.destroy();
    await producing.catch(() => undefined);
  }
  await producing;
}

/** Lets a waiting producer go on each time the consumer has taken something. */
class Turnstile {
  #waiting: (() => void)[] = [];

  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  pass(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}

async function produce(
  archive: TarPack,
  drained: Turnstile,
  found: AsyncIterable<Found>,
  stored: Stored,
  options: WriterOptions,
): Promise<void> {
  const hardLinks = new HardLinks();
  for await (const entry of found) {
    if (options.exclude.has(fileKey(entry.stats))) {
      options.warnings.add(`skipped ${printablePath(entry.path)}: it is the backup itself`);
    } else if (entry.stats.isDirectory()) {
      await addEmpty(archive, { entry, type: 'directory' });
      stored.directories++;
    } else if (entry.stats.isSymbolicLink()) {
      await storeLink(archive, entry, stored, options);
    } else {
      const linkname = hardLinks.storedAs(entry.stats);
      if (linkname === undefined) await storeFile(archive, entry, stored, { ...options, hardLinks });
      else {
        await addEmpty(archive, { entry, type: 'link', linkname });
        stored.files++;
      }
    }
    options.onContent(stored);
    // Entries without content bypass the archive's own backpressure, so a million empty folders would pile up.
    while (!archive.destroyed && isBackpressured(archive)) await drained.wait();
    if (archive.destroyed) return;
  }
  archive.finalize();
}

/** One entry to be added; `stats` are those of `entry` where they are not given. */
interface Addition {
  readonly entry: Found;
  readonly stats?: BigIntStats;
  readonly type: 'file' | 'directory' | 'symlink' | 'link';
  readonly size?: number;
  readonly linkname?: ByteString;
}

/** Adds an entry without content, and waits until it is in the archive: what comes next may write there directly. */
function addEmpty(archive: TarPack, addition: Addition): Promise<void> {
  return new Promise((resolve, reject) => {
    add(archive, addition, (error) => (error ? reject(error) : resolve()));
  });
}

function add(archive: TarPack, addition: Addition, done?: (error: Error | null) => void): Writable {
  const { entry, stats = entry.stats, type, size, linkname } = addition;
  const { header, pax } = metadataOf(stats);
  const common = { ...header, type, ...(size !== undefined && { size }) };
  const name = textOf(entry.name);
  const target = linkname === undefined ? undefined : textOf(linkname);
  const isText = name !== undefined && (linkname === undefined || target !== undefined);
  if (isText) {
    const records = Object.keys(pax).length > 0 && { pax };
    return archive.entry({ ...common, name, ...(target !== undefined && { linkname: target }), ...records }, done);
  }
  archive.push(rawNameBlocks({ name: entry.name, linkname, pax }));
  // The blocks before it say more; those that cannot read them still get a file.
  return archive.entry({ ...common, name: 'name-not-utf-8', ...(linkname !== undefined && { linkname: '-' }) }, done);
}

/** Bytes of a file name as text; undefined where they are not UTF-8. */
function textOf(name: ByteString): string | undefined {
  const bytes = nativePath(name);
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined;
}

function metadataOf(stats: BigIntStats): { header: Partial<EntryHeader>; pax: PaxRecords } {
  const pax: PaxRecords = {};
  const seconds = stats.mtimeNs / 1_000_000_000n;
  if (stats.mtimeNs % 1_000_000_000n !== 0n || seconds < 0n || seconds > LARGEST_TIME) {
    pax.mtime = decimalSeconds(stats.mtimeNs);
  }
  for (const id of ['uid', 'gid'] as const) if (stats[id] > LARGEST_ID) pax[id] = String(stats[id]);
  const header = {
    // With the file type's bits left in: a bare mode of 0 would be taken for "none given" and become 0644.
    mode: Number(stats.mode),
    uid: Math.min(Number(stats.uid), LARGEST_ID),
    gid: Math.min(Number(stats.gid), LARGEST_ID),
    mtime: new Date(Math.min(Math.max(Number(seconds), 0), LARGEST_TIME) * 1000),
  };
  return { header, pax };
}

/** Nanoseconds since 1970 as decimal seconds, as in the pax keyword `mtime`. */
function decimalSeconds(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? '-' : '';
  const magnitude = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = (magnitude % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${sign}${magnitude / 1_000_000_000n}${fraction && `.${fraction}`}`;
}

async function storeLink(archive: TarPack, entry: Found, stored: Stored, options: WriterOptions): Promise<void> {
  let linkname: ByteString;
  try {
    linkname = (await readlink(nativePath(entry.path), { encoding: 'buffer' })).toString('latin1');
  } catch (error) {
    return unreadable(options, entry.path, systemReason(error), error);
  }
  await addEmpty(archive, { entry, type: 'symlink', linkname });
  stored.symbolicLinks++;
}

async function storeFile(
  archive: TarPack,
  entry: Found,
  stored: Stored,
  options: WriterOptions & { readonly hardLinks: HardLinks },
): Promise<void> {
  let handle: FileHandle;
  try {
    // Not following a link and not blocking on a pipe, should the file have been exchanged for one since it was found.
    handle = await open(nativePath(entry.path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') {
      options.warnings.add(`skipped ${printablePath(entry.path)}: it was removed meanwhile`);
      return;
    }
    return unreadable(options, entry.path, systemReason(error), error);
  }
  try {
    const stats = await handle.stat({ bigint: true });
    if (!stats.isFile()) {
      options.warnings.add(`skipped ${printablePath(entry.path)}: it was replaced meanwhile`);
      return;
    }
    const size = Number(stats.size);
    const sink = add(archive, { entry, stats, type: 'file', size });
    await pipeline(contentOf(handle, entry.path, size, stored, options), sink);
    stored.files++;
    options.hardLinks.add(entry.name, stats);
    const after = await handle.stat({ bigint: true });
    if (after.size > stats.size) {
      options.warnings.add(`${printablePath(entry.path)} grew while it was read: its first ${size} bytes are stored`);
    } else if (after.mtimeNs !== stats.mtimeNs || after.size !== stats.size) {
      options.warnings.add(`${printablePath(entry.path)} changed while it was read: what is stored may be a mixture`);
    }
  } finally {
    await handle.close();
  }
}

/** Exactly `size` bytes of the file, as its header has promised. */
async function* contentOf(
  handle: FileHandle,
  path: ByteString,
  size: number,
  stored: Stored,
  options: WriterOptions,
): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < size; ) {
    throwIfCancelled(options.signal);
    const piece = new Uint8Array(Math.min(PIECE, size - position));
    let length = 0;
    try {
      length = (await handle.read(piece, 0, piece.length, position)).bytesRead;
      if (length === 0) throw new HoldfastError('bad_input', `it shrank while it was read`);
    } catch (error) {
      // The header is out, so what is missing can only be filled up; by default there is no such backup at all.
      const reason = error instanceof HoldfastError ? error.message : systemReason(error);
      unreadable(options, path, `${reason} (${position} of ${size} bytes are stored, the rest as zeros)`, error);
      yield* zeros(size - position);
      return;
    }
    position += length;
    stored.contentBytes += length;
    options.onContent(stored);
    yield piece.subarray(0, length);
  }
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= PIECE) yield new Uint8Array(Math.min(PIECE, left));
}
