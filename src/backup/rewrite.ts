/** Writes a backup again: the same content for another key, or with another list of ways, as an age file of its own. */

import { resolve } from 'node:path';
import { Encrypter } from 'age-encryption';
import { HoldfastError } from '../core/index.ts';
import { methodsStanza } from '../recovery/index.ts';
import { OutputFile } from './output-file.ts';
import { EncryptedFile } from './reader.ts';
import { type OnProgress, throwIfCancelled } from './report.ts';
import { fromWebStream, toWebStream } from './streams.ts';

export interface RewriteBackupOptions {
  /** The age file as it is. */
  readonly file: string;
  /** `AGE-SECRET-KEY-1...`, which opens it. */
  readonly identity: string;
  /** The age file to write, which may be `file` itself: it is replaced once the other is whole. */
  readonly out: string;
  /** Whether `out` may be replaced. */
  readonly overwrite: boolean;
  /** `age1...`, X25519. */
  readonly recipient: string;
  /** The sealed list of ways that it is to carry. */
  readonly methods: Uint8Array;
  /** Its bytes are those of the encrypted file. */
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Decrypts and encrypts as a stream, so that memory does not grow with the file. Nothing stands under `out` before all of
 * `file` was authenticated.
 * @returns the path that was written.
 * @throws HoldfastError `bad_input` for a file that is damaged or for another key, `usage` for an output that cannot be
 *   used, `conflict` where another process has replaced a `file` that is itself to be replaced, `cancelled`.
 */
export async function rewriteBackup(options: RewriteBackupOptions): Promise<string> {
  const { file, identity, recipient, methods, signal, onProgress } = options;
  const encrypter = new Encrypter();
  try {
    encrypter.addRecipient(recipient);
  } catch (cause) {
    throw new HoldfastError('usage', 'the recipient is not an age X25519 recipient', { cause });
  }
  encrypter.addRecipient(methodsStanza(methods));
  await using source = await EncryptedFile.open(file);
  await using output = await OutputFile.create(options.out, options.overwrite);
  const plaintext = source.plaintext(identity, signal);
  for await (const chunk of fromWebStream(await encrypter.encrypt(toWebStream(plaintext)))) {
    throwIfCancelled(signal);
    await output.write(chunk);
    onProgress?.({ bytes: source.bytesRead, totalBytes: source.size, entries: 0 });
  }
  throwIfCancelled(signal);
  if (output.path === resolve(file) && !(await source.isCurrent())) {
    throw new HoldfastError(
      'conflict',
      'the backup was changed by another command meanwhile; nothing was written, try again',
    );
  }
  await output.commit();
  return output.path;
}
