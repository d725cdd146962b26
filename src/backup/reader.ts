/** Opens an age file (C2SP age.md, version 1) as a stream of authenticated plaintext; refuses anything else in plain words. */

import { type FileHandle, open, stat } from 'node:fs/promises';
import { Decrypter } from 'age-encryption';
import { HoldfastError, utf8 } from '../core/index.ts';
import { methodsIn } from '../recovery/index.ts';
import { parseIdentity } from './identity.ts';
import { printable, systemReason, throwIfCancelled } from './report.ts';
import { fromWebStream, toWebStream } from './streams.ts';

/** Bytes read at once. */
const PIECE = 256 * 1024;
/** The age format sets no limit to its header and the library buffers all of it: 1 MiB is some 8000 recipients. */
const MAXIMUM_HEADER = 1024 * 1024;
const INTRO = utf8('age-encryption.org/v1\n');
const ARMOUR = utf8('-----BEGIN AGE ENCRYPTED FILE-----');

/** An encrypted file open for reading. */
export class EncryptedFile {
  /** Bytes, when it was opened. */
  readonly size: number;
  readonly #handle: FileHandle;
  readonly #path: string;
  #read = 0;

  private constructor(path: string, handle: FileHandle, size: number) {
    this.#path = path;
    this.#handle = handle;
    this.size = size;
  }

  /** @throws HoldfastError `bad_input` if it cannot be read, or is not an age file in the binary form. */
  static async open(path: string): Promise<EncryptedFile> {
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (cause) {
      throw new HoldfastError('bad_input', `cannot read ${printable(path)}: ${systemReason(cause)}`, { cause });
    }
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new HoldfastError('bad_input', `${printable(path)} is not a file`);
      await checkIntro(handle, path);
      return new EncryptedFile(path, handle, stats.size);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** Whether its name leads to the same content still: another process may have replaced the file, or written to it. */
  async isCurrent(): Promise<boolean> {
    const now = await stat(this.#path, { bigint: true }).catch(() => undefined);
    const { dev, ino, size } = await this.#handle.stat({ bigint: true });
    return now?.dev === dev && now.ino === ino && size === BigInt(this.size);
  }

  /** Encrypted bytes read so far. */
  get bytesRead(): number {
    return this.#read;
  }

  /**
   * The decrypted bytes. Each chunk is authenticated before it comes out; that the end is the end is known at the end.
   * @throws HoldfastError `bad_input` if the identity is not the file's, or if the file was damaged or cut short.
   */
  async *plaintext(identity: string, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void, undefined> {
    const decrypter = new Decrypter();
    try {
      decrypter.addIdentity(parseIdentity(identity));
    } catch (error) {
      // Neither the cause nor its message goes on: both are about the secret.
      if (error instanceof HoldfastError) throw error;
      throw new HoldfastError('bad_input', 'the age identity has a wrong checksum; it was mistyped or damaged');
    }
    const state = { inHeader: true };
    try {
      const plaintext = await decrypter.decrypt(toWebStream(this.#pieces(state, signal)));
      state.inHeader = false;
      yield* fromWebStream(plaintext);
    } catch (cause) {
      throw this.#explain(cause, state.inHeader);
    }
  }

  /** The sealed list of recovery ways in its header, not verified. @throws HoldfastError `bad_input`, `too_large`. */
  async methods(): Promise<Uint8Array | undefined> {
    const start = new Uint8Array(Math.min(this.size, MAXIMUM_HEADER));
    const { bytesRead } = await this.#handle.read(start, 0, start.length, 0);
    return methodsIn(start.subarray(0, bytesRead));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }

  async *#pieces(state: { inHeader: boolean }, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    for (;;) {
      throwIfCancelled(signal);
      if (state.inHeader && this.#read > MAXIMUM_HEADER) {
        throw new HoldfastError('bad_input', `${printable(this.#path)} is not an age file: its header has no end`);
      }
      const piece = new Uint8Array(PIECE);
      const { bytesRead } = await this.#handle.read(piece, 0, PIECE, this.#read);
      if (bytesRead === 0) return;
      this.#read += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }

  #explain(cause: unknown, inHeader: boolean): HoldfastError {
    if (cause instanceof HoldfastError) return cause;
    const file = printable(this.#path);
    const message = cause instanceof Error ? cause.message : '';
    if (message.startsWith('no identity matched')) {
      return new HoldfastError('bad_input', `${file} was encrypted for another key; is it another record’s backup?`);
    }
    const what = inHeader ? 'has a damaged header' : 'is damaged or cut short';
    return new HoldfastError('bad_input', `${file} ${what}; use another copy of it`, { cause });
  }
}

/** The sealed list of recovery ways that a backup carries, not verified. @throws HoldfastError `bad_input`, `too_large`. */
export async function methodsOf(path: string): Promise<Uint8Array | undefined> {
  await using file = await EncryptedFile.open(path);
  return await file.methods();
}

/** Whether a backup's key is this identity's. @throws HoldfastError `bad_input` where it is no age file, or damaged. */
export async function isOpenedBy(path: string, identity: string): Promise<boolean> {
  await using file = await EncryptedFile.open(path);
  try {
    for await (const _ of file.plaintext(identity, undefined)) return true;
    return true;
  } catch (error) {
    const other = error instanceof HoldfastError && error.message.includes('was encrypted for another key');
    if (other) return false;
    throw error;
  }
}

async function checkIntro(handle: FileHandle, path: string): Promise<void> {
  const start = new Uint8Array(ARMOUR.length);
  const { bytesRead } = await handle.read(start, 0, start.length, 0);
  const startsWith = (prefix: Uint8Array) =>
    bytesRead >= prefix.length && prefix.every((byte, index) => start[index] === byte);
  if (startsWith(INTRO)) return;
  const hint = startsWith(ARMOUR)
    ? 'it is the armoured text form; convert it to the binary form with stock age'
    : 'is it the right file?';
  throw new HoldfastError('bad_input', `${printable(path)} is not an age file: ${hint}`);
}
