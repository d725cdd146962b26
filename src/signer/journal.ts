/**
 * The signing journal: what each key signed, on stable storage before the signature leaves the process.
 *
 * The file is only ever appended to. A line without its newline at the end was being written when the machine stopped:
 * its signature was never released, and it is cut off. Any other fault stops the journal, and with it its keys.
 */

import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Clock, equalBytes, fromUtf8, HoldfastError, systemClock, utf8 } from '../core/index.ts';
import { type Lock, lockFile } from '../lock/index.ts';
import { fromBase64 } from '../trust/index.ts';
import { entryLine, headLine, type JournalEntry, JournalReader, lineDigest, MAXIMUM_LINE } from './journal-format.ts';
import type { SigningSubject } from './purposes.ts';

/** What is to be written of one signature. */
export interface Signed extends Omit<JournalEntry, 'number' | 'time'> {
  /** With it, a signature on another root for the same size, or on a smaller size, is refused for the same key. */
  readonly tree?: SigningSubject['tree'];
}

export interface JournalState {
  /** Number of signatures. */
  readonly entries: number;
  /** SHA-256 of the last line: whoever keeps it notices later if the journal was cut. */
  readonly head: string;
  /** Bytes after the last whole line, of a write that did not end. */
  readonly torn: number;
}

interface Waiting {
  readonly signed: Signed;
  readonly resolve: (entry: JournalEntry) => void;
  readonly reject: (error: unknown) => void;
}

interface Tree {
  readonly size: number;
  readonly root: Uint8Array;
}

const CHUNK = 65_536;
/** Milliseconds to wait for another process that signs by the same journal. */
const PATIENCE = 15_000;

const unusable = (problem: string, cause?: unknown) =>
  new HoldfastError('journal_damaged', `the signing journal ${problem}`, { cause });

/**
 * Reads and verifies a journal from its beginning, and calls `onEntry` for each signature. Changes nothing.
 * @throws HoldfastError `journal_damaged` with the line, `usage` if the file cannot be read.
 */
export async function readJournal(path: string, onEntry: (entry: JournalEntry) => void): Promise<JournalState> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    throw new HoldfastError('usage', `cannot read the signing journal ${JSON.stringify(path)}; check the path`, {
      cause,
    });
  }
  try {
    const { reader, torn } = await readAll(file, onEntry);
    if (reader.lines === 0) throw unusable('has no first line; it is empty or no journal');
    return { entries: reader.lines - 1, head: reader.digest, torn };
  } finally {
    await file.close();
  }
}

/** Reads line by line, so that a journal may be longer than memory. `end` is where the last whole line ends. */
async function readAll(file: FileHandle, onEntry: (entry: JournalEntry) => void) {
  const reader = new JournalReader();
  const chunk = Buffer.alloc(CHUNK);
  let rest = Buffer.alloc(0);
  let end = 0;
  for (let at = 0; ; ) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK, at);
    if (bytesRead === 0) return { reader, end, torn: rest.length };
    at += bytesRead;
    rest = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    for (let newline = rest.indexOf(0x0a); newline >= 0; newline = rest.indexOf(0x0a)) {
      const entry = reader.read(lineOf(rest.subarray(0, newline), reader.lines + 1));
      if (entry) onEntry(entry);
      end += newline + 1;
      rest = rest.subarray(newline + 1);
    }
    if (rest.length > MAXIMUM_LINE) throw unusable(`has a line of more than ${MAXIMUM_LINE} bytes`);
  }
}

function lineOf(bytes: Uint8Array, number: number): string {
  if (bytes.length > MAXIMUM_LINE) throw unusable(`has more than ${MAXIMUM_LINE} bytes in line ${number}`);
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw unusable(`has no text in line ${number}`, cause);
  }
}

export class SigningJournal {
  readonly path: string;
  /** Bytes of an unfinished line that were cut off when the journal was opened. */
  readonly recovered: number;
  readonly #file: FileHandle;
  readonly #lock: Lock;
  readonly #clock: Clock;
  readonly #trees = new Map<string, Tree>();
  #entries: number;
  #head: string;
  /** Bytes that the file must have: another writer would break the chain. */
  #size: number;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #broken: HoldfastError | undefined;
  #closed: Promise<void> | undefined;

  private constructor(
    path: string,
    { file, lock }: { readonly file: FileHandle; readonly lock: Lock },
    clock: Clock,
    state: JournalState,
    size: number,
  ) {
    this.path = path;
    this.recovered = state.torn;
    this.#file = file;
    this.#lock = lock;
    this.#clock = clock;
    this.#entries = state.entries;
    this.#head = state.head;
    this.#size = size;
  }

  /**
   * Opens the journal for writing, and makes it (mode 600) if it is not there. Verifies all of it: about 20 µs a line.
   * One process at a time has it open: another one waits, since two writers would break its chain.
   * @param patience milliseconds to wait for another process.
   * @throws HoldfastError `journal_damaged`; `usage` if the file cannot be opened; `not_ready` if it stays in use.
   */
  static async open(
    path: string,
    { clock = systemClock, patience = PATIENCE }: { readonly clock?: Clock; readonly patience?: number } = {},
  ): Promise<SigningJournal> {
    let file: FileHandle;
    let lock: Lock | undefined;
    try {
      lock = await lockFile(path, patience);
      file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_APPEND, 0o600);
    } catch (cause) {
      lock?.release();
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('usage', `cannot open the signing journal ${JSON.stringify(path)}; check its folder`, {
        cause,
      });
    }
    try {
      const trees = new Map<string, Tree>();
      const { reader, end, torn } = await readAll(file, (entry) => remember(trees, entry.key, treeOf(entry)));
      if (torn > 0) await file.truncate(end);
      let size = end;
      let head = reader.digest;
      if (reader.lines === 0) {
        const line = headLine(clock.now());
        await file.appendFile(`${line}\n`);
        size = utf8(line).length + 1;
        head = lineDigest(line);
      }
      await file.sync();
      await syncFolder(dirname(path));
      const entries = Math.max(0, reader.lines - 1);
      const journal = new SigningJournal(path, { file, lock }, clock, { entries, head, torn }, size);
      for (const [key, tree] of trees) journal.#trees.set(key, tree);
      return journal;
    } catch (error) {
      await file.close();
      lock.release();
      throw error;
    }
  }

  get entries(): number {
    return this.#entries;
  }

  /** SHA-256 of the last line. */
  get head(): string {
    return this.#head;
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
    const accepted: { waiting: Waiting; entry: JournalEntry }[] = [];
    let text = '';
    let head = this.#head;
    for (const waiting of batch) {
      try {
        const { tree, ...signed } = waiting.signed;
        this.#refuseFork(signed.key, tree);
        const entry = { ...signed, number: this.#entries + accepted.length + 1, time: this.#clock.now() };
        const line = checkLine(entryLine(entry, head));
        text += `${line}\n`;
        head = lineDigest(line);
        accepted.push({ waiting, entry });
        remember(this.#trees, signed.key, tree);
      } catch (error) {
        waiting.reject(error);
      }
    }
    try {
      await this.#append(text);
    } catch (error) {
      this.#broken ??= error instanceof HoldfastError ? error : unusable('could not be written; check its disk', error);
      for (const { waiting } of accepted) waiting.reject(this.#broken);
      for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#broken);
      return;
    }
    this.#entries += accepted.length;
    this.#head = head;
    for (const { waiting, entry } of accepted) waiting.resolve(entry);
  }

  async #append(text: string): Promise<void> {
    if (text === '') return;
    const { size } = await this.#file.stat();
    if (size !== this.#size) throw unusable('was written to by somebody else; only one process may use it');
    const bytes = utf8(text);
    await this.#file.appendFile(bytes);
    await this.#file.datasync();
    this.#size += bytes.length;
  }

  #refuseFork(key: string, tree: Signed['tree']): void {
    const before = tree && this.#trees.get(`${key} ${tree.origin}`);
    if (!tree || !before) return;
    if (tree.size > before.size || (tree.size === before.size && equalBytes(tree.root, before.root))) return;
    throw new HoldfastError(
      'signing_refused',
      `this key signed another tree of ${tree.origin} before, of size ${before.size}; find out how its history changed`,
      { details: { size: tree.size, signed: before.size } },
    );
  }
}

const TREE = /^(?:checkpoint|cosignature) of (.+), size (\d+), root ([A-Za-z0-9+/]{43}=)$/;

/** The tree that an entry is about, where it is about one. */
function treeOf({ purpose, about }: JournalEntry): Signed['tree'] {
  const [, origin, size, root] = TREE.exec(about) ?? [];
  if (!['checkpoint', 'witness', 'audit'].includes(purpose) || origin === undefined) return undefined;
  return { origin, size: Number(size), root: fromBase64(root!) };
}

function remember(trees: Map<string, Tree>, key: string, tree: Signed['tree']): void {
  if (!tree) return;
  const name = `${key} ${tree.origin}`;
  const before = trees.get(name);
  // Where forks are allowed, a smaller tree must not make the journal forget the larger one.
  if (!before || tree.size >= before.size) trees.set(name, { size: tree.size, root: tree.root });
}

/** What could not be read back must not be written. */
function checkLine(line: string): string {
  if (utf8(line).length <= MAXIMUM_LINE) return line;
  throw new HoldfastError('signing_refused', 'what is to be signed has a name that is too long for the journal');
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
