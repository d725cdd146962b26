/**
 * Guesses that were counted and not answered (docs/protocol.md, section 6). Whoever tries the same PIN again sends the same
 * element for the same number, which costs nothing: else a coordinator that withholds answers would use up a budget with
 * one person's patience. In memory only: whoever reads it can test PINs offline, by the input's hash or by blind and answers.
 * So it is wiped when its time is over, whether or not anybody calls again.
 */

import { bytesToHex, type Clock, equalBytes, sha256 } from '../core/index.ts';
import type { Guess } from './counting.ts';

/** Milliseconds after which a guess is forgotten. */
const KEPT = 600_000;

interface Unanswered {
  readonly guess: Guess;
  readonly generation: number;
  readonly number: number;
  /** Of the OPRF input: it tells the same PIN from another one, and cannot be evaluated with. */
  readonly inputHash: Uint8Array;
  readonly until: number;
  /** Ends the timer that wipes it. */
  readonly stop: (() => void) | undefined;
}

/** What a guess is for. */
export interface GuessPlace {
  readonly fleet: string;
  readonly record: Uint8Array;
  readonly generation: number;
}

/** At most one guess for each record. */
export class UnansweredGuesses {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Unanswered>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether a guess on this record waits for its answers. */
  has(place: GuessPlace): boolean {
    return this.#current(place) !== undefined;
  }

  /** The guess with this input and its number; any other one is forgotten. It is the caller's to wipe, or to keep again. */
  take(place: GuessPlace, input: Uint8Array): { readonly guess: Guess; readonly number: number } | undefined {
    const known = this.#current(place);
    if (!known) return undefined;
    if (!equalBytes(known.inputHash, sha256(input))) {
      this.#forget(nameOf(place));
      return undefined;
    }
    this.#remove(nameOf(place));
    return { guess: { ...known.guess, input }, number: known.number };
  }

  /** Keeps a guess that was counted under `number`; from here on its blind is wiped here, at the latest after `KEPT`. */
  keep(place: GuessPlace, guess: Guess, number: number): void {
    const name = nameOf(place);
    if (this.#kept.get(name)?.guess.blind === guess.blind) this.#remove(name);
    else this.#forget(name);
    this.#kept.set(name, {
      guess: { ...guess, input: new Uint8Array(0) },
      generation: place.generation,
      number,
      inputHash: sha256(guess.input),
      until: this.#clock.now() + KEPT,
      stop: this.#clock.later?.(KEPT, () => this.#forget(name)),
    });
  }

  /** Wipes and forgets all guesses. */
  clear(): void {
    for (const name of [...this.#kept.keys()]) this.#forget(name);
  }

  #current(place: GuessPlace): Unanswered | undefined {
    const name = nameOf(place);
    const known = this.#kept.get(name);
    if (known && known.generation === place.generation && this.#clock.now() < known.until) return known;
    this.#forget(name);
    return undefined;
  }

  #forget(name: string): void {
    const known = this.#remove(name);
    known?.guess.blind.wipe();
    known?.inputHash.fill(0);
  }

  #remove(name: string): Unanswered | undefined {
    const known = this.#kept.get(name);
    known?.stop?.();
    this.#kept.delete(name);
    return known;
  }
}

const nameOf = ({ fleet, record }: GuessPlace): string => `${fleet}:${bytesToHex(record)}`;
