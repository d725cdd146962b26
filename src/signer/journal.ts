/**
 * The signing journal: what each key signed, on stable storage before the signature leaves the process.
 *
 * The file is only ever appended to. A line without its newline at the end was being written when the machine stopped:
 * its signature was never released, and it is cut off. Any other fault stops the journal, and with it its keys. A file that
 * has grown is followed by another one, which begins with all that later signatures must not contradict
 * (journal-rotation.ts).
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, HoldfastError, systemClock, utf8 } from '../core/index.ts';
import { type Lock, lockFile } from '../lock/index.ts';
import {
  entryLine,
  headLine,
  type JournalEntry,
  JournalReader,
  lineDigest,
  MAXIMUM_HEAD,
  MAXIMUM_LINE,
  type SignedTree,
  segmentLine,
} from './journal-format.ts';
import { readSegment, unusable } from './journal-read.ts';
import { type JournalFiles, realFiles, rotate, settle } from './journal-rotation.ts';
import { SignedTrees } from './journal-trees.ts';
import type { SigningSubject } from './purposes.ts';

/** What is to be written of one signature. */
export interface Signed extends Omit<JournalEntry, 'number' | 'time'> {
  /** With it, a signature on another root for the same size, or on a smaller size, is refused for the same key. */
  readonly tree?: SigningSubject['tree'];
}

interface Waiting {
  readonly signed: Signed;
  readonly resolve: (entry: JournalEntry) => void;
  readonly reject: (error: unknown) => void;
}

/** Milliseconds to wait for another process that signs by the same journal. */
const PATIENCE = 15_000;

/** Bytes of a segment before another one begins: some 40,000 signatures, a month of a witness that signs each minute. */
const SEGMENT_BYTES = 16 * 1024 * 1024;

export interface JournalOptions {
  readonly clock?: Clock;
  /** Milliseconds to wait for another process. */
  readonly patience?: number;
  /** Ends that wait. */
  readonly signal?: AbortSignal | undefined;
  /** Bytes after which another segment begins; default 16 MiB. */
  readonly segmentBytes?: number;
  /** For tests. */
  readonly files?: JournalFiles;
}

interface OpenJournal {
  readonly file: FileHandle;
  readonly lock: Lock;
  readonly reader: JournalReader;
  readonly trees: SignedTrees;
  readonly torn: number;
  readonly size: number;
}

export class SigningJournal {
  readonly path: string;
  /** Bytes of an unfinished line that were cut off when the journal was opened. */
  readonly recovered: number;
  readonly #lock: Lock;
  readonly #clock: Clock;
  readonly #files: JournalFiles;
  readonly #segmentBytes: number;
  readonly #trees: SignedTrees;
  #file: FileHandle;
  #segment: number;
  #entries: number;
  #head: string;
  /** Bytes that the file must have: another writer would break the chain. */
  #size: number;
  /** Bytes beyond which another segment is begun. */
  #rotateAt: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #broken: HoldfastError | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    path: string,
    opened: OpenJournal,
    options: Required<Omit<JournalOptions, 'patience' | 'signal'>>,
  ) {
    const { file, lock, reader, trees, torn, size } = opened;
    this.path = path;
    this.recovered = torn;
    this.#file = file;
    this.#lock = lock;
    this.#clock = options.clock;
    this.#files = options.files;
    this.#segmentBytes = options.segmentBytes;
    this.#trees = trees;
    this.#segment = reader.head!.segment;
    this.#entries = reader.entries;
    this.#head = reader.digest;
    this.#size = size;
    this.#rotateAt = options.segmentBytes;
  }

  /**
   * Opens the journal for writing, and makes it (mode 600) if it is not there. Verifies all of its newest segment: about 20 µs
   * a line. One process at a time has it open: another one waits, since two writers would break its chain.
   * @throws HoldfastError `journal_damaged`; `usage` if the file cannot be opened; `not_ready` if it stays in use; `cancelled`.
   */
  static async open(path: string, options: JournalOptions = {}): Promise<SigningJournal> {
    const { clock = systemClock, patience = PATIENCE, signal } = options;
    const { segmentBytes = SEGMENT_BYTES, files = realFiles } = options;
    let file: FileHandle;
    let lock: Lock | undefined;
    try {
      lock = await lockFile(path, patience, signal);
      file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
    } catch (cause) {
      lock?.release();
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('usage', `cannot open the signing journal ${JSON.stringify(path)}; check its folder`, {
        cause,
      });
    }
    try {
      const read = await readToWrite(path, file, { clock, files });
      return new SigningJournal(path, { file, lock, ...read }, { clock, files, segmentBytes });
    } catch (error) {
      await file.close();
      lock.release();
      throw error;
    }
  }

  /** Number of signatures, those of earlier segments too. */
  get entries(): number {
    return this.#entries;
  }

  /** SHA-256 of the last line. */
  get head(): string {
    return this.#head;
  }

  /** The largest tree of each log that each key has signed, those of earlier segments too. */
  get trees(): readonly SignedTree[] {
    return this.#trees.all();
  }

  /**
   * Writes one line; resolves when it is on stable storage. Those that wait share one write and one sync.
   * @throws HoldfastError `signing_refused` for a fork (see `Signed.tree`), `journal_damaged` after any failure to write:
   *   then nothing more is written.
   */
  append(signed: Signed): Promise<JournalEntry> {
    if (this.#broken) return Promise.reject(this.#broken);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ signed, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  /** Ends when what was begun is written. Further calls reject. */
  async close(): Promise<void> {
    this.#broken ??= unusable('has been closed; open it again');
    await this.#writing;
    this.#closed ??= this.#file.close().finally(() => this.#lock.release());
    await this.#closed;
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeBatch(this.#waiting.splice(0));
    // At once, so that whoever comes next begins anew.
    this.#writing = undefined;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      if (this.#size >= this.#rotateAt) await this.#rotate();
    } catch (error) {
      this.#break(error, batch);
      return;
    }
    const accepted: { waiting: Waiting; entry: JournalEntry }[] = [];
    let text = '';
    let head = this.#head;
    for (const waiting of batch) {
      try {
        const { tree, ...signed } = waiting.signed;
        this.#trees.refuseFork(signed.key, tree);
        const entry = { ...signed, number: this.#entries + accepted.length + 1, time: this.#clock.now() };
        const line = checkLine(entryLine(entry, head));
        text += `${line}\n`;
        head = lineDigest(line);
        accepted.push({ waiting, entry });
        this.#trees.remember(signed, tree);
      } catch (error) {
        waiting.reject(error);
      }
    }
    try {
      await this.#append(text);
    } catch (error) {
      const waiting = accepted.map((each) => each.waiting);
      this.#break(error, waiting);
      return;
    }
    this.#entries += accepted.length;
    this.#head = head;
    for (const { waiting, entry } of accepted) waiting.resolve(entry);
  }

  /** Whatever was being written: nothing more is. */
  #break(error: unknown, waiting: readonly Waiting[]): void {
    this.#broken ??= error instanceof HoldfastError ? error : unusable('could not be written; check its disk', error);
    for (const each of [...waiting, ...this.#waiting.splice(0)]) each.reject(this.#broken);
  }

  /** All that was appended is on stable storage, and nothing is appended meanwhile. */
  async #rotate(): Promise<void> {
    const next = this.#segment + 1;
    const line = segmentLine({
      created: this.#clock.now(),
      ...{ segment: next, entries: this.#entries, previous: this.#head },
      trees: this.#trees.all(),
    });
    const bytes = utf8(`${line}\n`);
    const fits = bytes.length <= Math.min(MAXIMUM_HEAD, this.#segmentBytes / 2);
    await this.#requireUnchanged();
    if (!fits || !(await rotate(this.path, this.#segment, bytes, this.#files))) {
      // Tried again when it has grown by as much once more.
      this.#rotateAt = this.#size + this.#segmentBytes;
      return;
    }
    const file = await open(this.path, constants.O_RDWR | constants.O_APPEND);
    const old = this.#file;
    this.#file = file;
    await old.close();
    this.#segment = next;
    this.#head = lineDigest(line);
    this.#size = bytes.length;
    this.#rotateAt = this.#segmentBytes;
    await this.#requireUnchanged();
  }

  async #requireUnchanged(): Promise<void> {
    const { size } = await this.#file.stat();
    if (size !== this.#size) throw unusable('was written to by somebody else; only one process may use it');
  }

  async #append(text: string): Promise<void> {
    if (text === '') return;
    await this.#requireUnchanged();
    const bytes = utf8(text);
    await this.#file.appendFile(bytes);
    await this.#file.datasync();
    this.#size += bytes.length;
  }
}

/** All of the newest segment, ready to be appended to. */
async function readToWrite(
  path: string,
  file: FileHandle,
  { clock, files }: Required<Pick<JournalOptions, 'clock' | 'files'>>,
): Promise<Omit<OpenJournal, 'file' | 'lock'>> {
  let trees: SignedTrees | undefined;
  const reader = new JournalReader();
  const onEntry = (entry: JournalEntry) => {
    trees ??= new SignedTrees(reader.head!.trees);
    trees.remember(entry);
  };
  const { end, torn } = await readSegment(file, onEntry, reader);
  await settle(path, file, reader.head, files);
  if (torn > 0) await file.truncate(end);
  let size = end;
  if (reader.lines === 0) {
    const line = headLine(clock.now());
    await file.appendFile(`${line}\n`);
    reader.read(line);
    size = utf8(line).length + 1;
  }
  await file.sync();
  await files.syncFolder(dirname(path));
  return { reader, torn, size, trees: trees ?? new SignedTrees(reader.head!.trees) };
}

/** What could not be read back must not be written. */
function checkLine(line: string): string {
  if (utf8(line).length <= MAXIMUM_LINE) return line;
  throw new HoldfastError('signing_refused', 'what is to be signed has a name that is too long for the journal');
}
