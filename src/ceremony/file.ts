/**
 * The transcript as a file: a record is on stable storage before what it announces is done. It is only ever appended to; a
 * last line without its newline was never acted on, and is cut off.
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, HoldfastError, utf8 } from '../core/index.ts';
import { type Lock, lockFile } from '../lock/index.ts';
import { type Entry, MAXIMUM_TRANSCRIPT, type Progress, readTranscript, recordLine } from './transcript/index.ts';

/** Milliseconds to wait for another process, such as one that is about to end. */
const PATIENCE = 2000;

export class TranscriptFile {
  readonly path: string;
  readonly progress: Progress;
  readonly #file: FileHandle;
  readonly #lock: Lock;
  readonly #clock: Clock;
  /** Bytes that the file must have: another writer would break the chain. */
  #size: number;
  #broken: HoldfastError | undefined;

  private constructor(
    path: string,
    { file, lock }: { readonly file: FileHandle; readonly lock: Lock },
    clock: Clock,
    progress: Progress,
    size: number,
  ) {
    this.path = path;
    this.#file = file;
    this.#lock = lock;
    this.#clock = clock;
    this.progress = progress;
    this.#size = size;
  }

  /**
   * Opens the transcript, and makes it (mode 600) if it is not there. One process at a time has it open: two would each do
   * steps on the token that the other knows nothing of, before the second record told them.
   * @throws HoldfastError `ceremony_damaged`; `usage` if the file cannot be opened; `not_ready` while another process leads it.
   */
  static async open(path: string, clock: Clock): Promise<TranscriptFile> {
    const lock = await lockFile(path, PATIENCE).catch((cause: unknown) => {
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('usage', `cannot open the transcript ${JSON.stringify(path)}; check the folder`, {
        cause,
      });
    });
    let file: FileHandle;
    try {
      file = await openFile(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND);
    } catch (error) {
      lock.release();
      throw error;
    }
    try {
      const bytes = await readBounded(file);
      const { progress, torn } = readTranscript(bytes);
      if (torn > 0) await file.truncate(bytes.length - torn);
      await file.sync();
      await syncFolder(dirname(path));
      progress.reopen();
      return new TranscriptFile(path, { file, lock }, clock, progress, bytes.length - torn);
    } catch (error) {
      await file.close();
      lock.release();
      throw error;
    }
  }

  /** Resolves when the record is on stable storage. @throws HoldfastError `ceremony_damaged`; then nothing more is written. */
  async append(entry: Entry): Promise<void> {
    if (this.#broken) throw this.#broken;
    const record = { number: this.progress.records.length + 1, time: this.#clock.now(), entry };
    const line = recordLine(record, this.progress.head);
    try {
      const bytes = utf8(`${line}\n`);
      if (this.#size + bytes.length > MAXIMUM_TRANSCRIPT) throw unusable('is as long as a transcript may be');
      const { size } = await this.#file.stat();
      if (size !== this.#size) throw unusable('was written to by another process; only one may lead a ceremony');
      this.progress.add(record, line);
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
      this.#size += bytes.length;
    } catch (error) {
      this.#broken = error instanceof HoldfastError ? error : unusable('could not be written; check its disk', error);
      throw this.#broken;
    }
  }

  async close(): Promise<void> {
    this.#broken ??= unusable('has been closed; open it again');
    await this.#file.close().finally(() => this.#lock.release());
  }
}

/** Reads a transcript and changes nothing. @throws HoldfastError `usage`, `ceremony_damaged`. */
export async function readTranscriptFile(path: string) {
  const file = await openFile(path, constants.O_RDONLY);
  try {
    const bytes = await readBounded(file);
    return { bytes, ...readTranscript(bytes) };
  } finally {
    await file.close();
  }
}

const unusable = (problem: string, cause?: unknown) =>
  new HoldfastError('ceremony_damaged', `the ceremony’s transcript ${problem}`, { cause });

async function openFile(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags, 0o600);
  } catch (cause) {
    throw new HoldfastError('usage', `cannot open the transcript ${JSON.stringify(path)}; check the folder`, { cause });
  }
}

async function readBounded(file: FileHandle): Promise<Uint8Array> {
  const { size } = await file.stat();
  if (size > MAXIMUM_TRANSCRIPT) throw unusable(`has more than ${MAXIMUM_TRANSCRIPT} bytes; it is none of a ceremony`);
  const bytes = Buffer.alloc(size);
  let at = 0;
  while (at < size) {
    const { bytesRead } = await file.read(bytes, at, size - at, at);
    if (bytesRead === 0) break;
    at += bytesRead;
  }
  return Uint8Array.from(bytes.subarray(0, at));
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
