/** Messages in virtual time: delayed, lost, doubled, out of order, and cut off by partitions. */

import { HoldfastError } from '../../src/core/index.ts';
import type { World } from './world.ts';

export interface NetworkRates {
  loss: number;
  duplicate: number;
  /** Of messages that take very long. */
  slow: number;
}

export const CALM: NetworkRates = { loss: 0, duplicate: 0, slow: 0 };

export class Network {
  readonly #world: World;
  rates: NetworkRates;
  /** Links that are cut, as "from>to". */
  readonly cut = new Set<string>();

  constructor(world: World, rates: NetworkRates) {
    this.#world = world;
    this.rates = rates;
  }

  /** Cuts or mends the link both ways. */
  setCut(a: string, b: string, cut: boolean): void {
    for (const link of [`${a}>${b}`, `${b}>${a}`]) {
      if (cut) this.cut.add(link);
      else this.cut.delete(link);
    }
  }

  /** Carries a call; `serve` may run twice. Rejects with `no_majority` after `timeout` ms. */
  call<T>(from: string, to: string, serve: () => Promise<T>, timeout: number): Promise<T> {
    const world = this.#world;
    return new Promise((resolve, reject) => {
      const lost = () => {
        giveUp();
        reject(new HoldfastError('no_majority', `${to} did not answer`));
      };
      const giveUp = world.after(timeout, lost);
      const answered = (answer: T) => {
        // Nobody waits any longer: one event less for the world to run.
        giveUp();
        resolve(answer);
      };
      const deliver = () => {
        serve().then(
          (answer) => this.#send(to, from, () => answered(answer)),
          () => this.#send(to, from, lost),
        );
      };
      this.#send(from, to, deliver);
      if (world.chance.happens(this.rates.duplicate)) this.#send(from, to, deliver);
    });
  }

  #send(from: string, to: string, deliver: () => void): void {
    const { chance } = this.#world;
    const slow = chance.happens(this.rates.slow);
    const delay = slow ? chance.between(100, 4000) : chance.between(1, 15);
    if (chance.happens(this.rates.loss)) return;
    this.#world.after(delay, () => {
      if (!this.cut.has(`${from}>${to}`)) deliver();
    });
  }
}
