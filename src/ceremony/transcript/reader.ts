/** Reading a transcript: the chain, and that its records tell a ceremony that can have happened. What is to be done next. */

import { fromUtf8, HoldfastError } from '../../core/index.ts';
import type { CanonicalValue, Digest } from '../../trust/index.ts';
import type { CeremonyPlan } from './plan.ts';
import {
  type Entry,
  lineDigest,
  MAXIMUM_LINE,
  MAXIMUM_TRANSCRIPT,
  NOTHING_BEFORE,
  parseRecord,
  type TranscriptRecord,
} from './record.ts';
import { type Step, scriptDigest, stepsOf } from './steps.ts';

export interface StepOutcome {
  readonly step: Step;
  readonly began: number;
  readonly ended: number;
  readonly finding: string;
  readonly facts: CanonicalValue;
  /** Number and digest of the record that says so: what was true up to here. */
  readonly record: number;
  readonly head: Digest;
}

/** How far a ceremony has come, by its records. */
export class Progress {
  readonly records: TranscriptRecord[] = [];
  readonly done: StepOutcome[] = [];
  #plan: CeremonyPlan | undefined;
  #version = '';
  #steps: readonly Step[] = [];
  #running: { readonly step: Step; readonly began: number } | undefined;
  #attempts = 0;
  #closed = false;
  /** Whether a process has ended in the middle, and no `resumed` was written since. */
  #interrupted = false;
  #head: Digest = NOTHING_BEFORE;

  /** Digest of the last line. */
  get head(): Digest {
    return this.#head;
  }

  get plan(): CeremonyPlan {
    if (!this.#plan) throw damaged(1, 'is missing');
    return this.#plan;
  }

  get version(): string {
    return this.#version;
  }

  get isEmpty(): boolean {
    return this.records.length === 0;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get steps(): readonly Step[] {
    return this.#steps;
  }

  /** The step that began and has not ended. */
  get running(): Step | undefined {
    return this.#running?.step;
  }

  /** The next step; undefined when all are done. */
  get next(): Step | undefined {
    return this.#steps[this.done.length];
  }

  /** How often the next step has begun before. */
  get attempts(): number {
    return this.#attempts;
  }

  /** What a step that is done has found. @throws HoldfastError `ceremony_damaged` for one that is not done. */
  outcome(name: Step['name']): StepOutcome {
    const found = this.done.find(({ step }) => step.name === name);
    if (found) return found;
    throw new HoldfastError('ceremony_damaged', `the ceremony has not done its step ${name}; go on with it first`);
  }

  /**
   * Takes a record, if it can follow on those before.
   * @throws HoldfastError `ceremony_damaged`; then the record does not count.
   */
  add(record: TranscriptRecord, line: string): void {
    const number = this.records.length + 1;
    const refuse = (problem: string) => damaged(number, problem);
    if (record.number !== number) throw refuse(`has the number ${record.number}`);
    if (this.#closed) throw refuse('comes after the end');
    const { entry } = record;
    if ((entry.kind === 'opened') !== (number === 1)) throw refuse('must be the plan exactly if it is the first');
    const head = lineDigest(line);
    this.#apply(entry, record, head, refuse);
    this.records.push(record);
    this.#head = head;
  }

  /** What a process finds when it opens a transcript again: anything may have ended in the middle. */
  reopen(): void {
    this.#interrupted = !this.isEmpty && !this.#closed;
  }

  #apply(
    entry: Entry,
    { time, number }: TranscriptRecord,
    head: Digest,
    refuse: (problem: string) => HoldfastError,
  ): void {
    switch (entry.kind) {
      case 'opened':
        if (entry.script !== scriptDigest(entry.plan)) {
          throw refuse('has another script; read it with the version of Holdfast that it names');
        }
        this.#plan = entry.plan;
        this.#version = entry.version;
        this.#steps = stepsOf(entry.plan);
        return;
      case 'resumed':
        if (entry.interrupted !== (this.#running?.step.name ?? null))
          throw refuse('names another step than was interrupted');
        this.#running = undefined;
        this.#interrupted = false;
        return;
      case 'began': {
        const step = this.next;
        if (this.#running) throw refuse('begins a step before the last one ended');
        if (!step || step.name !== entry.step) throw refuse(`begins ${entry.step}, which is not the next step`);
        if (entry.command !== step.command) throw refuse('runs something else than the script says');
        if (entry.attempt !== this.#attempts + 1) throw refuse('has the wrong attempt');
        this.#attempts = entry.attempt;
        this.#running = { step, began: time };
        return;
      }
      case 'answered':
        if (this.#running?.step.name !== entry.step) throw refuse('answers in a step that has not begun');
        return;
      case 'ended': {
        const running = this.#running;
        if (running?.step.name !== entry.step) throw refuse('ends a step that has not begun');
        this.#running = undefined;
        if (entry.result === 'failed') return;
        const { finding, facts } = entry;
        this.done.push({ ...running, ended: time, finding, facts, record: number, head });
        this.#attempts = 0;
        return;
      }
      case 'closed':
        if (this.next || this.#running) throw refuse('ends the ceremony before all its steps are done');
        this.#closed = true;
    }
  }

  /** Whether whoever goes on must say so first. */
  get mustResume(): boolean {
    return this.#interrupted;
  }
}

/**
 * Reads a transcript whole. A last line without its newline was being written when the machine stopped: `torn` is how many
 * bytes that is, and it says nothing.
 * @throws HoldfastError `ceremony_damaged` naming the record.
 */
export function readTranscript(bytes: Uint8Array): { readonly progress: Progress; readonly torn: number } {
  if (bytes.length > MAXIMUM_TRANSCRIPT) throw damaged(1, `begins a file of more than ${MAXIMUM_TRANSCRIPT} bytes`);
  const end = bytes.lastIndexOf(0x0a) + 1;
  const progress = new Progress();
  let text: string;
  try {
    text = fromUtf8(bytes.subarray(0, end));
  } catch (cause) {
    throw damaged(1, 'or a later one is no text', cause);
  }
  for (const line of text.split('\n').slice(0, -1)) addLine(progress, line);
  return { progress, torn: bytes.length - end };
}

function addLine(progress: Progress, line: string): void {
  const number = progress.records.length + 1;
  if (line.length > MAXIMUM_LINE) throw damaged(number, `has more than ${MAXIMUM_LINE} bytes`);
  let parsed: ReturnType<typeof parseRecord>;
  try {
    parsed = parseRecord(line);
  } catch (error) {
    throw damaged(number, `is not valid (${error instanceof Error ? error.message : 'unreadable'})`, error);
  }
  if (parsed.previous !== progress.head) throw damaged(number, 'does not follow from the line before it');
  progress.add(parsed.record, line);
}

function damaged(record: number, problem: string, cause?: unknown): HoldfastError {
  return new HoldfastError(
    'ceremony_damaged',
    `record ${record} of the transcript ${problem}; keep the file as it is and find out who changed it`,
    { cause, details: { record } },
  );
}
