/** Reading a signing journal: one segment line by line, and all segments that are there as one chain. */

import { type FileHandle, open } from 'node:fs/promises';
import { fromUtf8, HoldfastError } from '../core/index.ts';
import {
  type JournalEntry,
  JournalReader,
  MAXIMUM_HEAD,
  MAXIMUM_LINE,
  type SegmentHead,
  type SignedTree,
  segmentLine,
} from './journal-format.ts';
import { SignedTrees } from './journal-trees.ts';

export interface JournalState {
  /** Number of signatures, those of earlier segments too. */
  readonly entries: number;
  /** SHA-256 of the last line: whoever keeps it notices later if the journal was cut. */
  readonly head: string;
  /** Bytes after the last whole line, of a write that did not end. */
  readonly torn: number;
  /** Number of the segment that is written to, from 1. */
  readonly segment: number;
  /** Number of the first segment that was read: those before it were moved away. */
  readonly first: number;
}

const CHUNK = 65_536;

export const unusable = (problem: string, cause?: unknown) =>
  new HoldfastError('journal_damaged', `the signing journal ${problem}`, { cause });

/** Where a finished segment lies: beside the journal. */
export const segmentPath = (path: string, segment: number): string => `${path}.${segment}`;

/** Reads line by line, so that a segment may be longer than memory. `end` is where the last whole line ends. */
export async function readSegment(
  file: FileHandle,
  onEntry: (entry: JournalEntry) => void,
  reader = new JournalReader(),
) {
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
    const maximum = maximumOf(reader.lines + 1);
    if (rest.length > maximum) throw unusable(`has a line of more than ${maximum} bytes`);
  }
}

const maximumOf = (line: number) => (line === 1 ? MAXIMUM_HEAD : MAXIMUM_LINE);

function lineOf(bytes: Uint8Array, number: number): string {
  if (bytes.length > maximumOf(number)) throw unusable(`has more than ${maximumOf(number)} bytes in line ${number}`);
  try {
    return fromUtf8(bytes);
  } catch (cause) {
    throw unusable(`has no text in line ${number}`, cause);
  }
}

/** What a journal says, from its beginning or as far back as its segments are there. */
export interface JournalVisitor {
  onEntry?(entry: JournalEntry): void;
  /** Called first, for each tree that was signed in segments that are not there. */
  onCarried?(tree: SignedTree): void;
}

/**
 * Reads and verifies a journal from its beginning, all segments that lie beside each other. Changes nothing, and needs no
 * lock: the newest segment is opened first, and those before it do not change.
 * @throws HoldfastError `journal_damaged` with the line, `usage` if the file cannot be read.
 */
export async function readJournal(path: string, visitor: JournalVisitor): Promise<JournalState> {
  const opened: FileHandle[] = [];
  try {
    const newest = await openToRead(path);
    if (newest === undefined) {
      throw new HoldfastError('usage', `cannot read the signing journal ${JSON.stringify(path)}; check the path`);
    }
    opened.push(newest);
    const { segment } = await headOf(newest);
    for (let number = segment - 1; number > 0; number--) {
      const file = await openToRead(segmentPath(path, number));
      if (file === undefined) break;
      opened.push(file);
    }
    return await readChain(opened.toReversed(), segment, visitor);
  } finally {
    for (const file of opened) await file.close();
  }
}

/** @param files the newest last, which is number `segment`. */
async function readChain(
  files: readonly FileHandle[],
  segment: number,
  visitor: JournalVisitor,
): Promise<JournalState> {
  let before: { readonly entries: number; readonly digest: string; readonly trees: SignedTrees } | undefined;
  const first = segment - files.length + 1;
  for (const [i, file] of files.entries()) {
    const number = first + i;
    const head = await headOf(file);
    if (head.segment !== number) throw unusable(`has segment ${head.segment} where segment ${number} should be`);
    if (before === undefined) for (const tree of head.trees) visitor.onCarried?.(tree);
    else requireContinued(head, before);
    const trees = new SignedTrees(head.trees);
    const { reader, torn } = await readSegment(file, (entry) => {
      trees.remember(entry);
      visitor.onEntry?.(entry);
    });
    if (number === segment) return { entries: reader.entries, head: reader.digest, torn, segment, first };
    if (torn > 0) throw unusable(`has ${torn} bytes after the last line of segment ${number}, which was finished`);
    before = { entries: reader.entries, digest: reader.digest, trees };
  }
  throw unusable('has no segments');
}

/** A segment begins with exactly what those before it come to. */
function requireContinued(
  head: SegmentHead,
  { entries, digest, trees }: { readonly entries: number; readonly digest: string; readonly trees: SignedTrees },
): void {
  if (segmentLine({ ...head, entries, previous: digest, trees: trees.all() }) === segmentLine(head)) return;
  throw unusable(
    `does not follow in segment ${head.segment} from the one before it; keep the files as they are and find out who changed them`,
  );
}

/** The first line's content. @throws HoldfastError `journal_damaged`. */
async function headOf(file: FileHandle): Promise<SegmentHead> {
  const reader = new JournalReader();
  const chunk = Buffer.alloc(CHUNK);
  let start = Buffer.alloc(0);
  for (;;) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK, start.length);
    const before = start.length;
    start = Buffer.concat([start, chunk.subarray(0, bytesRead)]);
    const newline = start.indexOf(0x0a, before);
    if (newline >= 0) {
      reader.read(lineOf(start.subarray(0, newline), 1));
      return reader.head!;
    }
    if (bytesRead === 0) throw unusable('has no first line; it is empty or no journal');
    if (start.length > MAXIMUM_HEAD) throw unusable(`has a line of more than ${MAXIMUM_HEAD} bytes`);
  }
}

async function openToRead(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new HoldfastError('usage', `cannot read the signing journal ${JSON.stringify(path)}; check the path`, {
      cause,
    });
  }
}
