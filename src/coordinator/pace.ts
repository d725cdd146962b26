/** How long nodes usually take, so that under load slowness is not taken for failure and doubled by asking more of them. */

import type { Clock } from '../core/index.ts';

/** Milliseconds beyond which nobody waits for a node that was usual lately. */
const LONGEST = 1000;
/** Weight of one answer in the running means. */
const WEIGHT = 1 / 16;
/** How many mean deviations above the mean are still usual, as for TCP's timeout (RFC 6298). */
const DEVIATIONS = 4;

/** Of one node: running mean of milliseconds, and of how far off it answers are. */
interface Usual {
  mean: number;
  deviation: number;
}

export class Pace {
  readonly #clock: Clock;
  readonly #least: number;
  readonly #majority: number;
  readonly #nodes = new Map<number, Usual>();

  /**
   * @param least milliseconds that are always waited before more nodes are asked.
   * @param majority how many nodes have to be as slow as that before anybody waits for longer: fewer may be malicious.
   */
  constructor(clock: Clock, least: number, majority: number) {
    this.#clock = clock;
    this.#least = least;
    this.#majority = majority;
  }

  /**
   * Milliseconds after which a node that has not answered counts as slow: twice the usual or well above it, within limits, as
   * the quickest majority of the nodes has it.
   */
  get patience(): number {
    const slow = [...this.#nodes.values()].map(({ mean, deviation }) => mean + Math.max(mean, DEVIATIONS * deviation));
    const usual = slow.sort((a, b) => a - b)[this.#majority - 1] ?? 0;
    return Math.min(Math.max(this.#least, usual), Math.max(this.#least, LONGEST));
  }

  /** Passes a node's answer on and takes note of how long it took. Failures do not count: they are no answers. */
  async measured<T>(node: number, answer: Promise<T>): Promise<T> {
    const begun = this.#clock.now();
    const result = await answer;
    // A clock that stepped tells nothing.
    const took = Math.min(Math.max(0, this.#clock.now() - begun), LONGEST);
    const usual = this.#nodes.get(node) ?? { mean: 0, deviation: 0 };
    this.#nodes.set(node, usual);
    usual.deviation += (Math.abs(took - usual.mean) - usual.deviation) * WEIGHT;
    usual.mean += (took - usual.mean) * WEIGHT;
    return result;
  }
}
