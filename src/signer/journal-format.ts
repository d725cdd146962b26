/**
 * The signing journal's format: JSON lines (RFC 8785, RFC 8259), each bound to the one before it by SHA-256.
 *
 * The first line names the format; of a segment after the first, it also has what the segments before it come to. Every other
 * line is one signature: its number, when, which key and purpose, the SHA-256
 * of the message that was signed, and what it was about. `previous` is the SHA-256 of the line before, without its newline.
 * Who changes, removes or reorders lines breaks the chain; who cuts off the end does not, which is why the log and the
 * journal are compared (`compareJournal`).
 */

import { bytesToHex, HoldfastError, type JsonValue, parseJson, sha256, utf8 } from '../core/index.ts';
import { canonicalJson, fromBase64, toBase64 } from '../trust/index.ts';
import { PURPOSES, type Purpose } from './purposes.ts';

export const JOURNAL_FORMAT = 'holdfast/signing-journal/v1';
/** Of the segments after the first. */
export const SEGMENT_FORMAT = 'holdfast/signing-journal-segment/v1';
/** Bytes of a line without its newline. */
export const MAXIMUM_LINE = 8192;
/** Bytes of a segment's first line, without its newline: some 4,000 trees. */
export const MAXIMUM_HEAD = 1_048_576;

export interface JournalEntry {
  /** Counts the journal's signatures, from 1. */
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly purpose: Purpose;
  /** Name and ID of the key, `<name>+<id>`, as a verifier key begins. */
  readonly key: string;
  /** SHA-256 of the message that was signed, 64 hex digits. */
  readonly digest: string;
  /** For people, one line. */
  readonly about: string;
}

/** The largest tree that a key has signed of an origin: what later signatures must not contradict. */
export interface SignedTree {
  /** As in `JournalEntry`. */
  readonly key: string;
  readonly origin: string;
  readonly size: number;
  /** 32 bytes. */
  readonly root: Uint8Array;
}

/** What a segment begins with. */
export interface SegmentHead {
  /** Milliseconds since 1970. */
  readonly created: number;
  /** From 1. */
  readonly segment: number;
  /** Signatures in the segments before it. */
  readonly entries: number;
  /** SHA-256 of the last line of the segment before it; empty in the first. */
  readonly previous: string;
  /** What the segments before it come to, in the order of `sortedTrees`. */
  readonly trees: readonly SignedTree[];
}

const DIGEST = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export const lineDigest = (line: string): string => bytesToHex(sha256(utf8(line)));

/** The first line of a journal that begins. */
export function headLine(time: number): string {
  return canonicalJson({ created: new Date(time).toISOString(), format: JOURNAL_FORMAT });
}

/** The first line of a segment after the first. */
export function segmentLine({ created, segment, entries, previous, trees }: SegmentHead): string {
  return canonicalJson({
    format: SEGMENT_FORMAT,
    created: new Date(created).toISOString(),
    ...{ segment, entries, previous },
    trees: sortedTrees(trees).map(({ key, origin, size, root }) => ({ key, origin, size, root: toBase64(root) })),
  });
}

/** By key and origin, so that the same trees are the same text. */
export function sortedTrees(trees: Iterable<SignedTree>): SignedTree[] {
  const name = ({ key, origin }: SignedTree) => `${key} ${origin}`;
  return [...trees].sort((a, b) => (name(a) < name(b) ? -1 : 1));
}

export function entryLine(entry: JournalEntry, previous: string): string {
  const { time, ...rest } = entry;
  return canonicalJson({ ...rest, previous, time: new Date(time).toISOString() });
}

const damaged = (line: number, problem: string, cause?: unknown) =>
  new HoldfastError(
    'journal_damaged',
    `line ${line} of the signing journal ${problem}; keep the file as it is and find out who changed it`,
    { cause, details: { line } },
  );

/** Reads lines in their order, and holds each against the one before it. */
export class JournalReader {
  #line = 0;
  #digest = '';
  #head: SegmentHead | undefined;

  /** What the first line says; undefined before it was read. */
  get head(): SegmentHead | undefined {
    return this.#head;
  }

  /** Signatures up to the last line read, those of earlier segments too. */
  get entries(): number {
    return this.#head === undefined ? 0 : this.#head.entries + this.#line - 1;
  }

  /** Lines read so far. */
  get lines(): number {
    return this.#line;
  }

  /** Digest of the last line read, which the next one must name. */
  get digest(): string {
    return this.#digest;
  }

  /** @returns the line's entry, or undefined for the first line. @throws HoldfastError `journal_damaged`. */
  read(line: string): JournalEntry | undefined {
    this.#line++;
    try {
      const entry = this.#line === 1 ? this.#begin(line) : this.#entry(line);
      this.#digest = lineDigest(line);
      return entry;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'journal_damaged') throw error;
      throw damaged(this.#line, `is not valid (${error instanceof Error ? error.message : 'unreadable'})`, error);
    }
  }

  #begin(line: string): undefined {
    const json = parseJson(line, 'journal_damaged');
    const any = json.object(['created', 'format', 'segment', 'entries', 'previous', 'trees']);
    const format = any.required('format').word([JOURNAL_FORMAT, SEGMENT_FORMAT]);
    const created = timeOf(any.required('created'));
    if (format === JOURNAL_FORMAT) {
      if (headLine(created) !== line) throw damaged(1, 'is not in its one form');
      this.#head = { created, segment: 1, entries: 0, previous: '', trees: [] };
      return undefined;
    }
    const previous = any.required('previous').text(64);
    if (!DIGEST.test(previous)) any.required('previous').fail('must be 64 hex digits');
    const head = {
      ...{ created, previous },
      segment: any.required('segment').integer(2),
      entries: any.required('entries').integer(0),
      trees: any.required('trees').array(0, 100_000).map(readTree),
    };
    if (segmentLine(head) !== line) throw damaged(1, 'is not in its one form');
    const names = new Set(head.trees.map(({ key, origin }) => `${key} ${origin}`));
    if (names.size !== head.trees.length) throw damaged(1, 'has a tree twice');
    this.#head = head;
    return undefined;
  }

  #entry(line: string): JournalEntry {
    const json = parseJson(line, 'bad_input').object([
      'about',
      'digest',
      'key',
      'number',
      'previous',
      'purpose',
      'time',
    ]);
    const digest = json.required('digest').text(64);
    if (!DIGEST.test(digest)) json.required('digest').fail('must be 64 hex digits');
    const entry: JournalEntry = {
      number: json.required('number').integer(1),
      time: timeOf(json.required('time')),
      purpose: json.required('purpose').word(PURPOSES),
      key: json.required('key').text(1024),
      digest,
      about: json.required('about').text(4096),
    };
    const previous = json.required('previous').text(64);
    if (entryLine(entry, previous) !== line) throw damaged(this.#line, 'is not in its one form');
    if (entry.number !== this.entries) throw damaged(this.#line, `has the number ${entry.number}`);
    if (previous !== this.#digest) throw damaged(this.#line, 'does not follow from the line before it');
    return entry;
  }
}

function readTree(value: JsonValue): SignedTree {
  const tree = value.object(['key', 'origin', 'size', 'root']);
  const root = fromBase64(tree.required('root').text(44));
  if (root.length !== 32) tree.required('root').fail('must be 32 bytes');
  return {
    key: tree.required('key').text(1024),
    origin: tree.required('origin').text(4096),
    size: tree.required('size').integer(0),
    root,
  };
}

function timeOf(json: JsonValue): number {
  const text = json.text(24);
  const time = TIME.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? json.fail('must be a time in UTC') : time;
}
