/**
 * Leads through a ceremony: each step is recorded before it begins and when it ends. After an interruption, wherever it was,
 * the token itself is asked how far the step had come; what destroys is never done again without a person's word.
 */

import { asHoldfastError, HoldfastError } from '../core/index.ts';
import type { CanonicalValue } from '../trust/index.ts';
import type { CeremonyPlan, Entry, Progress, Step } from './transcript/index.ts';
import { scriptDigest } from './transcript/index.ts';

export interface Outcome {
  /** One line for people. */
  readonly finding: string;
  /** The same for programs. */
  readonly facts?: CanonicalValue;
}

/** What an earlier attempt at a step has left. */
export type Left =
  /** Nothing, or nothing that is in the way of another attempt. */
  | { readonly state: 'nothing' }
  /** All of it: the step need not be done again. */
  | { readonly state: 'all'; readonly outcome: Outcome }
  /** A part, which must go first. */
  | { readonly state: 'part'; readonly what: string; readonly remove: () => Promise<void> };

export interface Work {
  /** Asks the token, after an attempt that was interrupted or failed. Changes nothing. */
  left(): Promise<Left>;
  run(record: Recorder): Promise<Outcome>;
}

/** For what people say during a step: it is in the transcript before it counts. */
export interface Recorder {
  answered(question: string, answer: string): Promise<void>;
}

export type Question =
  /** Before a step that destroys nothing. */
  | { readonly kind: 'proceed'; readonly step: Step; readonly number: number; readonly of: number }
  /** Before something is destroyed: the person types exactly `expected`. */
  | { readonly kind: 'destroy'; readonly id: string; readonly what: string; readonly expected: string }
  /** One line of text. */
  | { readonly kind: 'line'; readonly id: string; readonly text: string };

export interface People {
  /** @throws HoldfastError `cancelled`; `usage` where nobody is there to answer. */
  ask(question: Question): Promise<string>;
}

/** Where records go; `TranscriptFile` is one. */
export interface Transcript {
  readonly progress: Progress;
  append(entry: Entry): Promise<void>;
}

export interface ConductOptions {
  readonly transcript: Transcript;
  readonly people: People;
  readonly work: (step: Step) => Work;
  /** Milliseconds that never go back. */
  readonly elapsed: () => number;
  readonly onStep?: (step: Step, number: number, of: number) => void;
  readonly onEnd?: (step: Step, finding: string) => void;
  readonly signal?: AbortSignal;
}

/** The first record. @throws HoldfastError `usage` where the transcript has another plan already. */
export async function openCeremony(transcript: Transcript, plan: CeremonyPlan, version: string): Promise<void> {
  if (!transcript.progress.isEmpty)
    throw new HoldfastError('usage', 'this folder holds a ceremony already; go on with it');
  await transcript.append({ kind: 'opened', plan, version, script: scriptDigest(plan) });
}

/**
 * Does all steps that are left, and closes the transcript.
 * @throws HoldfastError whatever a step throws, after it was recorded; the ceremony can be gone on with later.
 */
export async function conduct(options: ConductOptions): Promise<void> {
  const { transcript, signal } = options;
  const { progress } = transcript;
  if (progress.closed) return;
  if (progress.mustResume) {
    await transcript.append({ kind: 'resumed', interrupted: progress.running?.name ?? null });
  }
  for (let step = progress.next; step; step = progress.next) {
    signal?.throwIfAborted();
    await conductStep(options, step);
  }
  await transcript.append({ kind: 'closed' });
}

async function conductStep(options: ConductOptions, step: Step): Promise<void> {
  const { transcript, people, elapsed, onStep, onEnd } = options;
  const { progress } = transcript;
  const [number, of] = [progress.done.length + 1, progress.steps.length];
  const attempt = progress.attempts + 1;
  onStep?.(step, number, of);
  if (step.destroys === undefined) await people.ask({ kind: 'proceed', step, number, of });
  await transcript.append({ kind: 'began', step: step.name, attempt, command: step.command });
  const started = elapsed();
  const ended = (result: 'done' | 'failed', { finding, facts = null }: Outcome) =>
    transcript.append({
      kind: 'ended',
      ...{ step: step.name, result, finding: oneLine(finding), facts },
      milliseconds: Math.max(0, Math.round(elapsed() - started)),
    });
  let outcome: Outcome;
  try {
    outcome = await attemptStep(options, step, attempt);
  } catch (thrown) {
    const error = asHoldfastError(thrown);
    // A person who stops is no failure of the step, which is then interrupted like any other.
    if (error.code === 'cancelled' || error.code === 'ceremony_damaged') throw error;
    await ended('failed', { finding: withoutFolders(`${error.code}: ${error.message}`) });
    throw error;
  }
  await ended('done', outcome);
  onEnd?.(step, oneLine(outcome.finding));
}

async function attemptStep(options: ConductOptions, step: Step, attempt: number): Promise<Outcome> {
  const { people, transcript } = options;
  const work = options.work(step);
  const record: Recorder = {
    answered: (question, answer) =>
      transcript.append({
        kind: 'answered',
        step: step.name,
        question: oneLine(question),
        answer: withoutFolders(oneLine(answer)),
      }),
  };
  const confirm = async (id: string, what: string) => {
    const expected = transcript.progress.plan.token.label;
    const question: Question = { kind: 'destroy', id, what, expected };
    const answer = await people.ask(question);
    if (answer !== expected) {
      throw new HoldfastError(
        'not_approved',
        `${step.title}: not done, because nobody confirmed it with the token’s label`,
      );
    }
    await record.answered(`This destroys: ${what}`, answer);
  };
  if (attempt > 1) {
    const left = await work.left();
    if (left.state === 'all') {
      const { finding, facts = null } = left.outcome;
      return { finding: `found done by an earlier attempt: ${finding}`, facts };
    }
    if (left.state === 'part') {
      await confirm(`remove:${step.name}`, left.what);
      await left.remove();
    }
  }
  if (step.destroys !== undefined) await confirm(`destroy:${step.name}`, step.destroys);
  return await work.run(record);
}

/** A transcript is published: where this machine keeps its files is nobody's business. */
function withoutFolders(text: string): string {
  return text.replace(/(?:\/[^/\s"]+)+\/(?=[^/\s"])/g, '');
}

/** What a record can hold: the one line that a person reads. */
export function oneLine(text: string): string {
  const line = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu, ' ').trim();
  const whole = line === '' ? '(nothing)' : line.toWellFormed();
  return whole.length > 500 ? `${whole.slice(0, 499).toWellFormed()}…` : whole;
}
