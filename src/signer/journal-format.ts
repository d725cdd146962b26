/**
 * The signing journal's format: JSON lines (RFC 8785, RFC 8259), each bound to the one before it by SHA-256.
 *
 * The first line names the format. Every other line is one signature: its number, when, which key and purpose, the SHA-256
 * of the message that was signed, and what it was about. `previous` is the SHA-256 of the line before, without its newline.
 * Who changes, removes or reorders lines breaks the chain; who cuts off the end does not, which is why the log and the
 * journal are compared (`compareJournal`).
 */

import { bytesToHex, HoldfastError, type JsonValue, parseJson, sha256, utf8 } from '../core/index.ts';
import { canonicalJson } from '../trust/index.ts';
import { PURPOSES, type Purpose } from './purposes.ts';

export const JOURNAL_FORMAT = 'holdfast/signing-journal/v1';
/** Bytes of a line without its newline. */
export const MAXIMUM_LINE = 8192;

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

const DIGEST = /^[0-9a-f]{64}$/;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

export const lineDigest = (line: string): string => bytesToHex(sha256(utf8(line)));

/** The first line. */
export function headLine(time: number): string {
  return canonicalJson({ created: new Date(time).toISOString(), format: JOURNAL_FORMAT });
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
      const entry = this.#line === 1 ? this.#head(line) : this.#entry(line);
      this.#digest = lineDigest(line);
      return entry;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === 'journal_damaged') throw error;
      throw damaged(this.#line, `is not valid (${error instanceof Error ? error.message : 'unreadable'})`, error);
    }
  }

  #head(line: string): undefined {
    const json = parseJson(line, 'journal_damaged').object(['created', 'format']);
    json.required('format').word([JOURNAL_FORMAT]);
    if (headLine(timeOf(json.required('created'))) !== line) throw damaged(1, 'is not in its one form');
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
    if (entry.number !== this.#line - 1) throw damaged(this.#line, `has the number ${entry.number}`);
    if (previous !== this.#digest) throw damaged(this.#line, 'does not follow from the line before it');
    return entry;
  }
}

function timeOf(json: JsonValue): number {
  const text = json.text(24);
  const time = TIME.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? json.fail('must be a time in UTC') : time;
}
