/** Restores a backup: decrypts an age file, unpacks its tar archive in a private folder, then moves the result into place. */

import { mkdtemp, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { asHoldfastError, HoldfastError } from '../core/index.ts';
import { merge } from './merge.ts';
import { syncDirectory } from './output-file.ts';
import { EncryptedFile } from './reader.ts';
import {
  type OnProgress,
  printable,
  requirePath,
  systemCode,
  systemReason,
  throwIfCancelled,
  Warnings,
} from './report.ts';
import { Stage } from './stage.ts';

export interface RestoreBackupOptions {
  /** The age file; one made by `tar | age -r` will do. */
  readonly file: string;
  /** Where to: made if it does not exist (its parent must). */
  readonly directory: string;
  /** `AGE-SECRET-KEY-1...`. */
  readonly identity: string;
  /** Whether `directory` may hold something already: folders are joined, files of the same name replaced. */
  readonly overwrite?: boolean;
  /** When the backup turns out to be damaged, moves what was whole before the damage into place, and still fails. */
  readonly keepPartial?: boolean;
  /** Called for each entry and each 256 KiB; its bytes are those of the encrypted file. */
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoredBackup {
  readonly directory: string;
  /** Size of the files restored, bytes. */
  readonly contentBytes: number;
  readonly files: number;
  readonly directories: number;
  readonly symbolicLinks: number;
  /** What was skipped: the first 1000, and how many there were. */
  readonly warnings: readonly string[];
  readonly warningCount: number;
}

/**
 * Restores names, permissions (no set-id bits) and modification times (to about a microsecond). Memory does not grow with
 * the size of the data, only with the number of folders and symbolic links. Nothing appears in `directory` before the
 * whole backup has been verified.
 * @throws HoldfastError `bad_input` for a file that is not an age file, is for another key, is damaged, or holds unsafe
 *   names; its details say how much was whole (`files`, `contentBytes`) and whether it was kept (`kept`). `usage` for a
 *   directory that cannot be used; `cancelled`.
 */
export async function restoreBackup(options: RestoreBackupOptions): Promise<RestoredBackup> {
  throwIfCancelled(options.signal);
  const destination = await Destination.prepare(options.directory, options.overwrite ?? false);
  await using source = await EncryptedFile.open(options.file);
  const warnings = new Warnings();
  await using place = await destination.open();
  for (const left of await destination.others(place.path)) {
    warnings.add(
      `${printable(left)} is of another restore; remove it if none is running, since it holds decrypted files`,
    );
  }
  const stage = new Stage(place.path, warnings, options.signal);

  let entries = 0;
  const report = () => options.onProgress?.({ bytes: source.bytesRead, totalBytes: source.size, entries });
  async function* plaintext(): AsyncGenerator<Uint8Array> {
    for await (const chunk of source.plaintext(options.identity, options.signal)) {
      report();
      yield chunk;
    }
  }
  try {
    await stage.unpack(plaintext(), () => {
      entries++;
      report();
    });
  } catch (thrown) {
    throw await explainDamage(asHoldfastError(thrown), stage, destination, place.path, options.keepPartial ?? false);
  }
  await finish(stage, destination, place.path);
  return { directory: destination.path, ...stage.restored, warnings: warnings.kept, warningCount: warnings.count };
}

/**
 * Looks, before a PIN is asked for, at whether a restore could begin: `restoreBackup` checks the same again.
 * @throws HoldfastError `bad_input` for what is no age file, `usage` for a directory that cannot be used.
 */
export async function checkRestore(
  options: Pick<RestoreBackupOptions, 'file' | 'directory' | 'overwrite'>,
): Promise<void> {
  const destination = await Destination.prepare(options.directory, options.overwrite ?? false);
  await using _source = await EncryptedFile.open(options.file);
  await using _place = await destination.open();
}

async function finish(stage: Stage, destination: Destination, staged: string): Promise<void> {
  await stage.placeLinks();
  if (destination.exists) {
    await merge(staged, destination.path);
    await stage.finishDirectories(destination.path, false);
    return;
  }
  await stage.finishDirectories(staged, true);
  try {
    await rename(staged, destination.path);
  } catch (cause) {
    const code = systemCode(cause) === 'ENOTEMPTY' || systemCode(cause) === 'EEXIST' ? 'usage' : 'unexpected';
    const message = `cannot put the result at ${printable(destination.path)}: ${systemReason(cause)}`;
    throw new HoldfastError(code, message, { cause });
  }
  await syncDirectory(dirname(destination.path));
}

async function explainDamage(
  error: HoldfastError,
  stage: Stage,
  destination: Destination,
  staged: string,
  keepPartial: boolean,
): Promise<HoldfastError> {
  if (error.code !== 'bad_input') return error;
  const { files, contentBytes } = stage.restored;
  const keep = keepPartial && files > 0;
  if (keep) await finish(stage, destination, staged);
  const whole = `${files} ${files === 1 ? 'file' : 'files'} before that`;
  const outcome = keep
    ? `${whole} were whole and are in ${printable(destination.path)}`
    : `nothing was restored${files > 0 ? ` (${whole} were whole; --keep-partial keeps them)` : ''}`;
  const details = { files, contentBytes, kept: keep };
  return new HoldfastError('bad_input', `${error.message}; ${outcome}`, { cause: error, details });
}

/** The folder to restore into, and whether it is there yet. */
class Destination {
  readonly path: string;
  readonly exists: boolean;

  private constructor(path: string, exists: boolean) {
    this.path = path;
    this.exists = exists;
  }

  static async prepare(directory: string, overwrite: boolean): Promise<Destination> {
    requirePath(directory, 'the folder to restore to');
    const path = resolve(directory);
    try {
      const parent = await realpath(dirname(path));
      const stats = await stat(path).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
        return undefined;
      });
      if (stats === undefined) return new Destination(join(parent, basename(path)), false);
      if (!stats.isDirectory()) throw new HoldfastError('usage', `${printable(path)} is not a folder`);
      if (!overwrite && (await readdir(path)).length > 0) {
        throw new HoldfastError('usage', `${printable(path)} is not empty; choose a new folder or use --overwrite`);
      }
      return new Destination(await realpath(path), true);
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('usage', `cannot restore to ${printable(path)}: ${systemReason(cause)}`, { cause });
    }
  }

  /** Folders of restores to the same place that were killed, or that run at the same time. */
  async others(own: string): Promise<string[]> {
    const [folder, start] = [dirname(this.#prefix), basename(this.#prefix)];
    const names = await readdir(folder).catch((): string[] => []);
    return names.filter((name) => name.startsWith(start) && name !== basename(own)).map((name) => join(folder, name));
  }

  get #prefix(): string {
    return this.exists
      ? join(this.path, '.holdfast-restore-')
      : join(dirname(this.path), `.${basename(this.path).slice(0, 80)}.holdfast-restore-`);
  }

  /** A private folder (mode 0700) on the destination's own file system, removed afterwards with what is left in it. */
  async open(): Promise<{ path: string; [Symbol.asyncDispose](): Promise<void> }> {
    const prefix = this.#prefix;
    try {
      const path = await mkdtemp(prefix);
      return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
    } catch (cause) {
      throw new HoldfastError('usage', `cannot write to ${printable(dirname(prefix))}: ${systemReason(cause)}`, {
        cause,
      });
    }
  }
}
