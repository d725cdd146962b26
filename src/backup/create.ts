/** Writes a backup: a tar archive inside a standard age file (C2SP age.md, version 1), streaming, for one X25519 recipient. */

import { lstat } from 'node:fs/promises';
import { Encrypter } from 'age-encryption';
import { HoldfastError } from '../core/index.ts';
import { methodsStanza } from '../recovery/index.ts';
import { HardLinks } from './hard-links.ts';
import { nativePath } from './names.ts';
import { OutputFile } from './output-file.ts';
import { type DescriptorStream, OutputStream } from './output-stream.ts';
import { type OnProgress, systemReason, throwIfCancelled, Warnings } from './report.ts';
import { fromWebStream, toWebStream } from './streams.ts';
import { namesOf, unreadable, walk } from './walk.ts';
import { type Stored, tarStream } from './writer.ts';

export interface CreateBackupOptions {
  /** Files and folders; each is stored under the last part of its path. */
  readonly paths: readonly string[];
  /** The age file to write, or a stream that takes it. */
  readonly out: string | DescriptorStream;
  /** `age1...`, X25519. */
  readonly recipient: string;
  /** The sealed list of recovery ways that the file is to carry (src/recovery). */
  readonly methods?: Uint8Array | undefined;
  /** Whether `out` may be replaced. */
  readonly overwrite?: boolean;
  /** Leaves out what cannot be read, with a warning, instead of failing. */
  readonly skipUnreadable?: boolean;
  /** Called for each entry and each piece of a file (256 KiB). Makes a first pass over `paths` to know the total. */
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface CreatedBackup {
  readonly file: string;
  /** Size of the age file, bytes. */
  readonly bytes: number;
  /** Size of the files stored in it, bytes. */
  readonly contentBytes: number;
  readonly files: number;
  readonly directories: number;
  readonly symbolicLinks: number;
  /** What was skipped or changed while it was read: the first 1000, and how many there were. */
  readonly warnings: readonly string[];
  readonly warningCount: number;
}

/**
 * Stores files, folders and links (as links) with modes and times, and names in any encoding.
 * Memory does not grow with the size of the data, only with the largest folder's number of entries and that of hard links.
 * Whatever goes wrong, nothing half-done stands under a name in `out`.
 * @throws HoldfastError `usage` for paths or an output that cannot be used; `bad_input` naming what cannot be read or
 *   changed under the reader; `cancelled`.
 */
export async function createBackup(options: CreateBackupOptions): Promise<CreatedBackup> {
  const { paths, out, overwrite = false, signal } = options;
  const encrypter = encrypterFor(options.recipient);
  if (options.methods) encrypter.addRecipient(methodsStanza(options.methods));
  namesOf(paths);
  throwIfCancelled(signal);
  const warnings = new Warnings();
  const walking = { skipUnreadable: options.skipUnreadable ?? false, warnings, signal };
  const totalBytes = options.onProgress && (await totalOf(paths, signal));

  await using output = typeof out === 'string' ? await OutputFile.create(out, overwrite) : new OutputStream(out);
  const stored: Stored = { files: 0, directories: 0, symbolicLinks: 0, contentBytes: 0 };
  const archive = tarStream(walk(paths, walking), stored, {
    ...walking,
    exclude: new Set(await output.keys()),
    onContent: ({ contentBytes, files, directories, symbolicLinks }) =>
      options.onProgress?.({
        bytes: contentBytes,
        entries: files + directories + symbolicLinks,
        ...(totalBytes !== undefined && { totalBytes }),
      }),
  });
  let bytes = 0;
  for await (const chunk of fromWebStream(await encrypter.encrypt(toWebStream(archive)))) {
    throwIfCancelled(signal);
    await output.write(chunk);
    bytes += chunk.length;
  }
  throwIfCancelled(signal);
  await output.commit();
  return { file: output.path, bytes, ...stored, warnings: warnings.kept, warningCount: warnings.count };
}

/**
 * Looks, before a PIN is asked for, at whether a backup of `paths` could begin: `createBackup` checks the same again.
 * @throws HoldfastError `usage` for paths or an output that cannot be used; `bad_input` naming a path that cannot be read.
 */
export async function checkCreate(
  options: Pick<CreateBackupOptions, 'paths' | 'out' | 'overwrite' | 'skipUnreadable'>,
): Promise<void> {
  const warnings = new Warnings();
  const walking = { skipUnreadable: options.skipUnreadable ?? false, warnings, signal: undefined };
  for (const { path } of namesOf(options.paths)) {
    await lstat(nativePath(path)).catch((error: unknown) => unreadable(walking, path, systemReason(error), error));
  }
  if (typeof options.out !== 'string') return;
  await using _ = await OutputFile.create(options.out, options.overwrite ?? false);
}

function encrypterFor(recipient: string): Encrypter {
  const encrypter = new Encrypter();
  try {
    // The library would take other kinds of recipient too; a record's secret is always an X25519 identity.
    if (!/^age1[0-9a-z]{58}$/.test(recipient)) throw new Error('not an X25519 recipient');
    encrypter.addRecipient(recipient);
  } catch (cause) {
    throw new HoldfastError('usage', 'the recipient is not an age X25519 recipient (age1 and 58 characters)', {
      cause,
    });
  }
  return encrypter;
}

/** The size of all files to store, for the percentage only: it fails at nothing, the real pass says what is wrong. */
async function totalOf(paths: readonly string[], signal: AbortSignal | undefined): Promise<number> {
  const hardLinks = new HardLinks();
  let total = 0;
  for await (const found of walk(paths, { skipUnreadable: true, warnings: new Warnings(), signal })) {
    if (!found.stats.isFile() || hardLinks.storedAs(found.stats) !== undefined) continue;
    total += Number(found.stats.size);
    hardLinks.add(found.name, found.stats);
  }
  return total;
}
