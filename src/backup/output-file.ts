/** A file that appears under its final name complete and durable, or not at all. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, link, lstat, open, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { HoldfastError } from '../core/index.ts';
import { printable, requirePath, systemCode, systemReason } from './report.ts';
import { fileKey } from './walk.ts';

/** Writes beside `path` under a hidden name, readable by its owner only (mode 0600), until `commit`. */
export class OutputFile {
  readonly path: string;
  readonly handle: FileHandle;
  readonly #temporary: string;
  readonly #overwrite: boolean;
  #done = false;

  private constructor(path: string, temporary: string, handle: FileHandle, overwrite: boolean) {
    this.path = path;
    this.handle = handle;
    this.#temporary = temporary;
    this.#overwrite = overwrite;
  }

  /** @throws HoldfastError `usage` if `path` exists and may not be replaced, or if its folder cannot be written. */
  static async create(path: string, overwrite: boolean): Promise<OutputFile> {
    requirePath(path, 'the name of the age file to write');
    const final = resolve(path);
    if (path.endsWith('/')) throw new HoldfastError('usage', `${printable(path)} names a folder, and not a file in it`);
    const existing = await lstat(final).catch(() => undefined);
    if (existing !== undefined && !overwrite) throw alreadyThere(final);
    if (existing !== undefined && !existing.isFile()) {
      throw new HoldfastError('usage', `${printable(final)} exists and is not a file; choose another name`);
    }
    const temporary = join(
      dirname(final),
      `.${basename(final).slice(0, 80)}.${randomBytes(6).toString('hex')}.partial`,
    );
    try {
      return new OutputFile(final, temporary, await open(temporary, 'wx', 0o600), overwrite);
    } catch (cause) {
      throw new HoldfastError('usage', `cannot write ${printable(final)}: ${systemReason(cause)}`, { cause });
    }
  }

  /** The keys of the file being written and of the one that it will replace (`fileKey`), which must not be stored in it. */
  async keys(): Promise<string[]> {
    const replaced = await lstat(this.path, { bigint: true }).catch(() => undefined);
    return [await this.handle.stat({ bigint: true }), ...(replaced ? [replaced] : [])].map(fileKey);
  }

  /** @throws HoldfastError `unexpected` saying why (a full disk, for one). */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; ) {
        done += (await this.handle.write(bytes, done, bytes.length - done)).bytesWritten;
      }
    } catch (cause) {
      throw new HoldfastError('unexpected', `cannot write ${printable(this.path)}: ${systemReason(cause)}`, { cause });
    }
  }

  /**
   * Makes the contents durable, then the name.
   * @throws HoldfastError `usage` if another file took the name meanwhile and may not be replaced.
   */
  async commit(): Promise<void> {
    try {
      await this.handle.sync();
      await this.handle.close();
      if (this.#overwrite) await rename(this.#temporary, this.path);
      else await this.#take();
      this.#done = true;
      await syncDirectory(dirname(this.path));
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('unexpected', `cannot finish ${printable(this.path)}: ${systemReason(cause)}`, { cause });
    }
  }

  /** Removes the unfinished file; after `commit` it does nothing. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#done) return;
    await this.handle.close().catch(() => undefined);
    await unlink(this.#temporary).catch(() => undefined);
  }

  /** Takes the final name without replacing anything: a hard link fails where a rename would overwrite. */
  async #take(): Promise<void> {
    try {
      await link(this.#temporary, this.path);
    } catch (error) {
      if (systemCode(error) === 'EEXIST') throw alreadyThere(this.path);
      // Memory sticks' file systems have no hard links. Looking first leaves a gap of microseconds, nothing better exists.
      if ((await lstat(this.path).catch(() => undefined)) !== undefined) throw alreadyThere(this.path);
      await rename(this.#temporary, this.path);
      return;
    }
    await unlink(this.#temporary);
  }
}

function alreadyThere(path: string): HoldfastError {
  return new HoldfastError('usage', `${printable(path)} exists already; choose another name or use --overwrite`);
}

/** Makes a name in a folder durable; file systems that cannot do this for folders are left to their own promise. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } catch (error) {
    if (!['EINVAL', 'ENOTSUP', 'EPERM', 'EBADF'].includes(systemCode(error) ?? '')) throw error;
  } finally {
    await directory.close();
  }
}
