/** Running steps: each ends in a finding, or in the error that becomes its failure; none stops those after it. */

import { asHoldfastError, type ErrorDetails, HoldfastError } from '../core/index.ts';
import { AUDIT_STEPS, type AuditState, type AuditStep, type AuditStepId } from './types.ts';

/** What a step found. */
export interface Finding<T> {
  /** Default `passed`. */
  readonly state?: Exclude<AuditState, 'failed'>;
  readonly message: string;
  readonly facts?: ErrorDetails;
  /** For the steps after it. */
  readonly value: T;
}

export interface Ran<T> {
  readonly step: AuditStep;
  /** Undefined where the step failed. */
  readonly value: T | undefined;
}

/** A step without a finding, because one before it failed or there is nothing to look at. */
export class NotChecked extends Error {}

export class Runner {
  readonly #onBegin: ((id: AuditStepId, fleet: string | undefined) => void) | undefined;
  readonly #signal: AbortSignal | undefined;

  constructor(
    onBegin: ((id: AuditStepId, fleet: string | undefined) => void) | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.#onBegin = onBegin;
    this.#signal = signal;
  }

  /** @throws HoldfastError `cancelled`; all other errors become the step's failure. */
  async run<T>(id: AuditStepId, fleet: string | undefined, work: () => Promise<Finding<T>>): Promise<Ran<T>> {
    if (this.#signal?.aborted) throw new HoldfastError('cancelled', 'the audit was cancelled');
    this.#onBegin?.(id, fleet);
    const number = AUDIT_STEPS.indexOf(id) + 1;
    try {
      const { state = 'passed', message, facts = {}, value } = await work();
      return { step: { id, number, fleet, state, code: undefined, message, facts }, value };
    } catch (thrown) {
      if (thrown instanceof NotChecked) {
        const { message } = thrown;
        return {
          step: { id, number, fleet, state: 'not_checked', code: undefined, message, facts: {} },
          value: undefined,
        };
      }
      const { code, message, details } = asHoldfastError(thrown);
      if (code === 'cancelled') throw thrown;
      if (this.#signal?.aborted) throw new HoldfastError('cancelled', 'the audit was cancelled', { cause: thrown });
      return { step: { id, number, fleet, state: 'failed', code, message, facts: details }, value: undefined };
    }
  }
}

/** `value`, or the end of a step that cannot do without it. */
export function needed<T>(value: T | undefined, id: AuditStepId): T {
  if (value !== undefined) return value;
  throw new NotChecked(`Step ${AUDIT_STEPS.indexOf(id) + 1} has no result, and this step needs it.`);
}

/** `2 nodes`, `1 node`. */
export function count(number: number, what: string, plural = `${what}s`): string {
  return `${number} ${number === 1 ? what : plural}`;
}

/** A time for people, to the minute, in UTC. */
export function timeText(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** How long ago something was, for people. */
export function ageText(seconds: number): string {
  if (seconds < 120) return count(Math.max(0, Math.round(seconds)), 'second');
  if (seconds < 7200) return count(Math.floor(seconds / 60), 'minute');
  return seconds < 172_800 ? count(Math.floor(seconds / 3600), 'hour') : count(Math.floor(seconds / 86_400), 'day');
}
