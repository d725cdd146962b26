/**
 * Unpacks a hostile tar stream (ustar, pax and GNU forms) into a private, fresh folder.
 *
 * The attack to stop is an archive that makes us write elsewhere: through `..`, an absolute name, or a symbolic link that
 * an earlier entry placed on the way. Names are checked (`names.ts`), the folder belongs to us alone (mode 0700) and
 * starts empty, and **no symbolic link exists in it until every file is written**, so none can be followed.
 */

import { constants } from 'node:fs';
import {
  chmod,
  copyFile,
  type FileHandle,
  link,
  lstat,
  lutimes,
  mkdir,
  open,
  symlink,
  unlink,
  utimes,
} from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { HoldfastError } from '../core/index.ts';
import { type ByteString, byteString, nativePath, parentsOf, printablePath, relativePath } from './names.ts';
import { writeUnlessZero } from './positioned.ts';
import { systemCode, systemReason, throwIfCancelled, type Warnings } from './report.ts';
import { type EntryHeader, extractTar } from './tar.ts';

/** Permissions only: set-user-id, set-group-id and the sticky bit of an archive are never honoured. */
const PERMISSIONS = 0o777;

interface Metadata {
  readonly mode: number;
  /** As Node's `utimes` takes it; undefined leaves the time of restoring. */
  readonly time: number | Date | undefined;
}

interface StagedLink {
  readonly target: ByteString;
  readonly time: number | Date | undefined;
}

/** What has been restored completely. */
export interface Restored {
  files: number;
  directories: number;
  symbolicLinks: number;
  contentBytes: number;
}

export class Stage {
  readonly restored: Restored = { files: 0, directories: 0, symbolicLinks: 0, contentBytes: 0 };
  readonly #root: ByteString;
  readonly #warnings: Warnings;
  readonly #signal: AbortSignal | undefined;
  /** Every folder made here. A name that is not in it has no folder of ours. */
  readonly #directories = new Map<ByteString, Metadata>();
  readonly #links = new Map<ByteString, StagedLink>();
  #rootMetadata: Metadata | undefined;

  /** `root` is an existing empty folder that nobody else may write into. */
  constructor(root: string, warnings: Warnings, signal: AbortSignal | undefined) {
    this.#root = byteString(root);
    this.#warnings = warnings;
    this.#signal = signal;
  }

  /**
   * Unpacks all of `archive`. When it throws, what `restored` counts is whole; a file that was not finished is gone.
   * @throws HoldfastError `bad_input` for a malformed or unsafe archive, and whatever `archive` throws.
   */
  async unpack(archive: AsyncIterable<Uint8Array>, onEntry: () => void): Promise<void> {
    let handling: Promise<void> = Promise.resolve();
    const parser = extractTar((header, content, next) => {
      content.on('error', () => undefined);
      handling = this.#entry(header, content).then(onEntry);
      handling.then(() => next(), next);
    });
    const tail = new EndMark();
    try {
      await pipeline(tail.watch(archive), parser);
      await handling;
    } catch (error) {
      // What went wrong with an entry, such as a full disk, ends its content too, which then is all that the stream knows of.
      const own: unknown = await handling.then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      for (const thrown of [error, own]) if (thrown instanceof HoldfastError) throw thrown;
      throw new HoldfastError('bad_input', 'the backup does not hold a valid tar archive, or not all of one', {
        cause: error,
      });
    }
    if (!tail.seen)
      throw new HoldfastError('bad_input', 'the archive in the backup was cut short: its end mark is missing');
  }

  /** Places the symbolic links. Nothing may be unpacked afterwards. */
  async placeLinks(): Promise<void> {
    for (const [path, { target, time }] of this.#links) {
      throwIfCancelled(this.#signal);
      await this.#attempt(path, async () => {
        await symlink(nativePath(target), this.#native(path));
        if (time !== undefined) await lutimes(this.#native(path), time, time);
      });
      this.restored.symbolicLinks++;
    }
    this.#links.clear();
  }

  /** Gives the folders their modes and times, innermost first, in `base`: here, or wherever they have been moved to. */
  async finishDirectories(base: string, includeRoot: boolean): Promise<void> {
    const root = byteString(base);
    const inner = [...this.#directories].sort(([a], [b]) => b.split('/').length - a.split('/').length);
    const all: [ByteString, Metadata][] = inner.map(([path, metadata]) => [`${root}/${path}`, metadata]);
    if (includeRoot && this.#rootMetadata) all.push([root, this.#rootMetadata]);
    for (const [path, { mode, time }] of all) {
      await this.#attempt(path, async () => {
        if (time !== undefined) await utimes(nativePath(path), time, time);
        await chmod(nativePath(path), mode);
      });
    }
  }

  #native(path: ByteString): Buffer {
    return nativePath(path === '' ? this.#root : `${this.#root}/${path}`);
  }

  /** Runs a system call on `path`; what fails becomes an error that names the path. */
  async #attempt<T>(path: ByteString, action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause;
      const what = `cannot restore ${printablePath(path)}: ${systemReason(cause)}`;
      if (systemCode(cause) !== 'ENAMETOOLONG') throw new HoldfastError('unexpected', what, { cause });
      throw new HoldfastError(
        'bad_input',
        `${what}, at its place here; restore to a folder nearer the root, or elsewhere`,
        {
          cause,
        },
      );
    }
  }

  async #entry(header: EntryHeader, content: Readable): Promise<void> {
    throwIfCancelled(this.#signal);
    // A pax record is UTF-8 by definition and was decoded as such; all other names are still bytes.
    const path = relativePath(header.pax?.path ? byteString(header.pax.path) : header.name);
    // tar-stream 3.2.2 has null for a binary size in no known form, takes it for a number, and waits for ever.
    if (!Number.isSafeInteger(header.size)) throw malformed(path, 'its size is no number');
    const target = header.pax?.linkpath ? byteString(header.pax.linkpath) : (header.linkname ?? '');
    const metadata = { mode: header.mode & PERMISSIONS, time: timeOf(header) };
    const isSparse = Object.keys(header.pax ?? {}).some((key) => key.startsWith('GNU.sparse.'));
    const isFile = header.type === 'file' || header.type === 'contiguous-file';
    if (path === '' && header.type !== 'directory') throw malformed(path, 'it has no name');
    if (isFile && !isSparse) return this.#file(path, header.size, metadata, content);
    content.resume();
    if (header.type === 'directory') await this.#directory(path, metadata);
    else if (header.type === 'symlink') await this.#symbolicLink(path, target, metadata);
    else if (header.type === 'link') await this.#hardLink(path, relativePath(target));
    else {
      const kind = isSparse ? 'GNU sparse file' : (header.type ?? 'kind that is unknown');
      this.#warnings.add(`skipped ${printablePath(path)}: it is a ${kind}, which is not restored`);
    }
  }

  async #directory(path: ByteString, metadata: Metadata): Promise<void> {
    if (path === '') {
      this.#rootMetadata = metadata;
      return;
    }
    await this.#makeDirectory(path);
    this.#directories.set(path, metadata);
    this.restored.directories++;
  }

  async #makeParents(path: ByteString): Promise<void> {
    for (const parent of parentsOf(path)) {
      if (this.#directories.has(parent)) continue;
      await this.#makeDirectory(parent);
      this.#directories.set(parent, { mode: 0o755, time: undefined });
    }
  }

  async #makeDirectory(path: ByteString): Promise<void> {
    if (this.#links.has(path)) throw malformed(path, 'a symbolic link has the name of a folder');
    if (this.#directories.has(path)) return;
    await this.#makeParents(path);
    await this.#attempt(path, async () => {
      try {
        await mkdir(this.#native(path), 0o700);
      } catch (error) {
        if (systemCode(error) !== 'EEXIST') throw error;
        // On a file system that ignores case it may be ours by another name.
        if (!(await lstat(this.#native(path))).isDirectory()) throw malformed(path, 'a file has the name of a folder');
      }
    });
  }

  /** Makes room for `path`: as with every tar, the later of two entries with one name wins. */
  async #replace(path: ByteString): Promise<void> {
    await this.#makeParents(path);
    if (this.#directories.has(path)) throw malformed(path, 'a folder has the name of a file');
    this.#links.delete(path);
    await this.#attempt(path, () =>
      unlink(this.#native(path)).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
      }),
    );
  }

  async #file(path: ByteString, size: number, metadata: Metadata, content: Readable): Promise<void> {
    await this.#replace(path);
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const flags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY;
    const handle = await this.#attempt(path, () => open(this.#native(path), flags, 0o600));
    try {
      const written = await this.#copy(path, content, handle);
      if (written !== size) throw malformed(path, 'it ends too early');
      await this.#attempt(path, async () => {
        if (metadata.time !== undefined) await handle.utimes(metadata.time, metadata.time);
        await handle.chmod(metadata.mode);
      });
      this.restored.files++;
      this.restored.contentBytes += size;
    } catch (error) {
      await unlink(this.#native(path)).catch(() => undefined);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async #copy(path: ByteString, content: Readable, handle: FileHandle): Promise<number> {
    let written = 0;
    for await (const chunk of content as AsyncIterable<Uint8Array>) {
      throwIfCancelled(this.#signal);
      // Zeros are left out: a sparse file that was stored whole takes no more room than it did.
      await this.#attempt(path, () => writeUnlessZero(handle, chunk, written));
      written += chunk.length;
    }
    await this.#attempt(path, () => handle.truncate(written));
    return written;
  }

  async #symbolicLink(path: ByteString, target: ByteString, metadata: Metadata): Promise<void> {
    if (target === '' || target.includes('\0')) throw malformed(path, 'a symbolic link points nowhere');
    await this.#replace(path);
    this.#links.set(path, { target, time: metadata.time });
  }

  async #hardLink(path: ByteString, target: ByteString): Promise<void> {
    const staged = this.#links.get(target);
    if (path === target) throw malformed(path, 'a hard link points to itself');
    await this.#replace(path);
    if (staged) {
      this.#links.set(path, staged);
      return;
    }
    const original = await lstat(this.#native(target)).catch(() => undefined);
    if (!original?.isFile()) throw malformed(path, 'a hard link points to nothing in the archive');
    await this.#attempt(path, () => this.#linkOrCopy(target, path));
    this.restored.files++;
  }

  async #linkOrCopy(target: ByteString, path: ByteString): Promise<void> {
    try {
      await link(this.#native(target), this.#native(path));
    } catch (error) {
      if (!NO_HARD_LINKS.includes(systemCode(error) ?? '')) throw error;
      await copyFile(this.#native(target), this.#native(path), constants.COPYFILE_EXCL);
      const { atime, mtime, mode } = await lstat(this.#native(target));
      await utimes(this.#native(path), atime, mtime);
      await chmod(this.#native(path), mode & PERMISSIONS);
    }
  }
}

/** What file systems without hard links say, such as those of memory sticks, and one whose file has no room for another. */
const NO_HARD_LINKS: readonly string[] = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'];

function malformed(path: ByteString, reason: string): HoldfastError {
  return new HoldfastError('bad_input', `the archive in the backup is not valid at ${printablePath(path)}: ${reason}`);
}

/** The modification time of an entry; the pax record has the fraction. Nonsense is left out rather than fatal. */
function timeOf(header: EntryHeader): number | Date | undefined {
  const exact = header.pax?.mtime;
  const isExact = exact !== undefined && /^-?\d{1,12}(\.\d+)?$/.test(exact);
  let seconds = isExact ? Number(exact) : header.mtime.getTime() / 1000;
  // tar-stream 3.2.2 reads GNU's negative numbers (two's complement) as one too many.
  if (!isExact && seconds < 0) seconds--;
  if (!Number.isFinite(seconds) || Math.abs(seconds) > 2 ** 37) return undefined;
  // Node takes a negative number for "now", a date before 1970 for what it is (then to the millisecond).
  return seconds < 0 ? new Date(seconds * 1000) : seconds;
}

/** Watches for the two blocks of zeros (1024 bytes) that end every tar archive (POSIX.1-2017, pax, "ustar Interchange Format"). */
class EndMark {
  #zeros = 0;

  get seen(): boolean {
    return this.#zeros >= 1024;
  }

  async *watch(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      const last = chunk.findLastIndex((byte) => byte !== 0);
      this.#zeros = last === -1 ? this.#zeros + chunk.length : chunk.length - 1 - last;
      yield chunk;
    }
  }
}
