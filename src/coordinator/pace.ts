/** How long nodes usually take, so that under load slowness is not taken for failure and doubled by asking more of them. */

import type { Clock } from '../core/index.ts';

/** Milliseconds beyond which nobody waits for a node that was usual lately. */
const LONGEST = 1000;
/** Weight of one answer in the running means. */
const WEIGHT = 1 / 16;
/** How many mean deviations above the mean are still usual, as for TCP's timeout (RFC 6298). */
const DEVIATIONS = 4;

export class Pace {
  readonly #clock: Clock;
  readonly #least: number;
  /** Running mean of milliseconds, and of how far off it answers are. */
  #usual = 0;
  #deviation = 0;

  /** @param least milliseconds that are always waited before more nodes are asked. */
  constructor(clock: Clock, least: number) {
    this.#clock = clock;
    this.#least = least;
  }

  /** Milliseconds after which a node that has not answered counts as slow: twice the usual or well above it, within limits. */
  get patience(): number {
    const slow = this.#usual + Math.max(this.#usual, DEVIATIONS * this.#deviation);
    return Math.min(Math.max(this.#least, slow), Math.max(this.#least, LONGEST));
  }

  /** Passes an answer on and takes note of how long it took. Failures do not count: they are no answers. */
  async measured<T>(answer: Promise<T>): Promise<T> {
    const begun = this.#clock.now();
    const result = await answer;
    // A clock that stepped tells nothing.
    const took = Math.min(Math.max(0, this.#clock.now() - begun), LONGEST);
    this.#deviation += (Math.abs(took - this.#usual) - this.#deviation) * WEIGHT;
    this.#usual += (took - this.#usual) * WEIGHT;
    return result;
  }
}
