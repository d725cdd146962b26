/** How much of the log one operator may fill with evidence: what is in it stays for ever, and everybody reads it. */

import { type Clock, HoldfastError } from '../../core/index.ts';

/** Leaves of one operator in a day. A fleet's evidence has a manifest, at most 32 statements, and as few exchanges. */
export const MAXIMUM_EVIDENCE_A_DAY = 1000;
const DAY = 86_400_000;
/** Operators that are remembered. */
const MAXIMUM_OPERATORS = 4096;

export class EvidencePace {
  readonly #clock: Clock;
  readonly #taken = new Map<string, { readonly since: number; count: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one more leaf. @throws HoldfastError `rate_limited`. */
  take(operator: string): void {
    const now = this.#clock.now();
    const taken = this.#taken.get(operator);
    const age = taken && now - taken.since;
    // A clock that stepped back holds nobody up for longer.
    if (taken === undefined || age === undefined || age >= DAY || age < 0) {
      this.#taken.delete(operator);
      if (this.#taken.size >= MAXIMUM_OPERATORS) this.#taken.delete(this.#taken.keys().next().value!);
      this.#taken.set(operator, { since: now, count: 1 });
      return;
    }
    if (taken.count >= MAXIMUM_EVIDENCE_A_DAY) {
      throw new HoldfastError(
        'rate_limited',
        `this operator has put ${MAXIMUM_EVIDENCE_A_DAY} entries of evidence into the log since ${new Date(taken.since).toISOString()}; go on a day after that`,
      );
    }
    taken.count++;
  }
}
