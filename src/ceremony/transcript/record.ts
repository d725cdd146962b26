/** The records of a ceremony's transcript: one line of canonical JSON each, chained by SHA-256 to the line before it. */

import { bytesToHex, type JsonValue, parseJson, sha256, utf8 } from '../../core/index.ts';
import { type CanonicalValue, canonicalJson, type Digest } from '../../trust/index.ts';
import { type CeremonyPlan, readPlan, writePlan } from './plan.ts';

export const TRANSCRIPT_FORMAT = 'holdfast/ceremony-transcript/v1';
/** Bytes of a line without its newline. */
export const MAXIMUM_LINE = 262_144;
/** Bytes of a transcript. */
export const MAXIMUM_TRANSCRIPT = 4_194_304;
/** What the first record has in the place of the line before it. */
export const NOTHING_BEFORE: Digest = '0'.repeat(64);

export type Entry =
  /** First of all. */
  | {
      readonly kind: 'opened';
      readonly plan: CeremonyPlan;
      /** Of Holdfast. */
      readonly version: string;
      /** SHA-256 of the script that the plan stands for. */
      readonly script: Digest;
    }
  /** Written, and on stable storage, before anything of the step is done. */
  | { readonly kind: 'began'; readonly step: string; readonly attempt: number; readonly command: string }
  /** Of a person, at the ceremony machine. */
  | { readonly kind: 'answered'; readonly step: string; readonly question: string; readonly answer: string }
  | {
      readonly kind: 'ended';
      readonly step: string;
      readonly result: 'done' | 'failed';
      /** What came of it, for people: one line. */
      readonly finding: string;
      /** The same for programs. */
      readonly facts: CanonicalValue;
      readonly milliseconds: number;
    }
  /** The process had ended in the middle, and a new one goes on. `interrupted`: the step that it was in, if any. */
  | { readonly kind: 'resumed'; readonly interrupted: string | null }
  /** Last of all. */
  | { readonly kind: 'closed' };

export interface TranscriptRecord {
  /** From 1. */
  readonly number: number;
  /** Milliseconds since 1970, by the ceremony machine's clock. */
  readonly time: number;
  readonly entry: Entry;
}

/** The line of a record, without its newline. @throws HoldfastError `bad_input` for what has no canonical form. */
export function recordLine({ number, time, entry }: TranscriptRecord, previous: Digest): string {
  return canonicalJson({ number, previous, time: new Date(time).toISOString(), ...membersOf(entry) });
}

export const lineDigest = (line: string): Digest => bytesToHex(sha256(utf8(line)));

/** One line, unchecked but for its shape. Throws as `JsonValue` does, with `bad_input`. */
export function parseRecord(line: string): { readonly record: TranscriptRecord; readonly previous: Digest } {
  const json = parseJson(line, 'bad_input');
  const kind = json.object(ALL_MEMBERS).required('kind').word(KINDS);
  const file = json.object([...COMMON, ...MEMBERS[kind]]);
  const previous = file.required('previous').text(64);
  const record = {
    number: file.required('number').integer(1),
    time: timeOf(file.required('time')),
    entry: readEntry(kind, file),
  };
  if (recordLine(record, previous) !== line) json.fail('is not in its one form (RFC 8785)');
  return { record, previous };
}

const COMMON = ['number', 'previous', 'time', 'kind'] as const;
const MEMBERS = {
  opened: ['format', 'plan', 'version', 'script'],
  began: ['step', 'attempt', 'command'],
  answered: ['step', 'question', 'answer'],
  ended: ['step', 'result', 'finding', 'facts', 'milliseconds'],
  resumed: ['interrupted'],
  closed: [],
} as const satisfies Record<Entry['kind'], readonly string[]>;
const KINDS = Object.keys(MEMBERS) as Entry['kind'][];
const ALL_MEMBERS = [...COMMON, ...KINDS.flatMap((kind) => MEMBERS[kind])];

type Member = (typeof ALL_MEMBERS)[number];

function membersOf(entry: Entry): { readonly [name: string]: CanonicalValue } {
  if (entry.kind !== 'opened') return { ...entry };
  const { kind, plan, version, script } = entry;
  return { kind, format: TRANSCRIPT_FORMAT, plan: writePlan(plan), version, script };
}

function readEntry(kind: Entry['kind'], file: { required(name: Member): JsonValue }): Entry {
  const line = (name: Member, maximum: number) => oneLine(file.required(name), maximum);
  switch (kind) {
    case 'opened':
      file.required('format').word([TRANSCRIPT_FORMAT]);
      return { kind, plan: readPlan(file.required('plan')), version: line('version', 64), script: line('script', 64) };
    case 'began':
      return {
        kind,
        step: line('step', 32),
        attempt: file.required('attempt').integer(1, 10_000),
        command: line('command', 2000),
      };
    case 'answered':
      return { kind, step: line('step', 32), question: line('question', 500), answer: line('answer', 500) };
    case 'ended':
      return {
        kind,
        step: line('step', 32),
        result: file.required('result').word(['done', 'failed']),
        finding: line('finding', 2000),
        facts: factsOf(file.required('facts')),
        milliseconds: file.required('milliseconds').integer(0),
      };
    case 'resumed': {
      const interrupted = file.required('interrupted');
      return { kind, interrupted: interrupted.value === null ? null : line('interrupted', 32) };
    }
    case 'closed':
      return { kind };
  }
}

/** What JSON it is was decided by whoever wrote it; that it has one form only, `parseRecord` compares. */
function factsOf(value: JsonValue): CanonicalValue {
  return value.value as CanonicalValue;
}

/** One line for people, in which nothing moves a cursor or turns the direction of writing. */
function oneLine(value: JsonValue, maximum: number): string {
  const text = value.text(maximum);
  return /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(text)
    ? text
    : value.fail('must be one line without control characters');
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function timeOf(value: JsonValue): number {
  const text = value.text(24);
  const time = TIME.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(time) ? value.fail('must be a time in UTC') : time;
}
