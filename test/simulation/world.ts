/**
 * Virtual time: one queue of events, run one at a time. Between two events every promise that can settle has settled,
 * so what runs is decided by the seed alone.
 */

import type { Clock } from '../../src/core/index.ts';
import { Chance } from './random.ts';

interface Scheduled {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** Ends a run; the message says which property broke. */
export class Violation extends Error {
  override readonly name = 'Violation';
}

/** An error that is waited for nowhere: a process that died, an answer that never comes. */
export const never: Promise<never> = new Promise<never>(() => {});

export class World {
  readonly chance: Chance;
  /** Milliseconds. Starts far from zero, so that clocks can step back. */
  now = 1_700_000_000_000;
  events = 0;
  violation: Violation | undefined;
  readonly verbose: ((line: string) => void) | undefined;
  readonly #heap: Scheduled[] = [];
  #order = 0;
  #hash = 0xcbf29ce4;
  #hash2 = 0x84222325;
  readonly #recent: string[] = [];
  readonly #kept: number;

  constructor(seed: number, options: { kept?: number; verbose?: (line: string) => void } = {}) {
    this.chance = new Chance(seed);
    this.verbose = options.verbose;
    this.#kept = options.kept ?? 60;
  }

  /** Runs `run` after `delay` milliseconds, unless the returned function was called before. */
  after(delay: number, run: () => void): () => void {
    const scheduled: Scheduled = { at: this.now + Math.max(0, Math.ceil(delay)), order: this.#order++, run };
    this.#push(scheduled);
    return () => {
      scheduled.run = undefined;
    };
  }

  sleep(delay: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = () => {
        cancel();
        reject(signal?.reason);
      };
      const cancel = this.after(delay, () => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** A party's clock: as fast as the world's, and off by whatever `offset` says now. */
  clock(offset: () => number): Clock {
    return {
      now: () => Math.max(1, Math.floor(this.now) + offset()),
      sleep: (delay, signal) => this.sleep(delay, signal),
    };
  }

  /** Notes what happened; the hash over all notes is the run's identity. */
  note(line: string): void {
    const text = `${this.now} ${line}`;
    for (let i = 0; i < text.length; i++) {
      this.#hash = Math.imul(this.#hash ^ text.charCodeAt(i), 0x01000193);
      this.#hash2 = Math.imul(this.#hash2 + text.charCodeAt(i), 0x85ebca6b) ^ (this.#hash2 >>> 13);
    }
    const shown = `${(this.now - 1_700_000_000_000).toString().padStart(8)} ${line}`;
    if (this.verbose) this.verbose(shown);
    this.#recent.push(shown);
    if (this.#recent.length > this.#kept) this.#recent.shift();
  }

  get hash(): string {
    return `${(this.#hash >>> 0).toString(16).padStart(8, '0')}${(this.#hash2 >>> 0).toString(16).padStart(8, '0')}`;
  }

  get recent(): readonly string[] {
    return this.#recent;
  }

  /** The first violation counts; it ends the run at the next event. */
  violate(what: string): void {
    this.note(`VIOLATION ${what}`);
    this.violation ??= new Violation(what);
  }

  /** Runs events until `main` has settled. @throws Violation, or what `main` throws. */
  async run(main: Promise<void>, maximumEvents: number): Promise<void> {
    let settled = false;
    let failure: unknown;
    main.then(
      () => {
        settled = true;
      },
      (error: unknown) => {
        settled = true;
        failure = error;
      },
    );
    await drained();
    while (!settled && !this.violation) {
      const next = this.#pop();
      if (!next) throw new Violation('liveness: nothing is left to happen, but the run has not ended');
      if (!next.run) continue;
      if (++this.events > maximumEvents) throw new Violation(`liveness: no end after ${maximumEvents} events`);
      this.now = Math.max(this.now, next.at);
      next.run();
      await drained();
    }
    if (this.violation) throw this.violation;
    if (failure !== undefined) throw failure;
  }

  #push(entry: Scheduled): void {
    const heap = this.#heap;
    let i = heap.length;
    heap.push(entry);
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!earlier(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  #pop(): Scheduled | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && earlier(heap[child + 1]!, heap[child]!)) child++;
      if (!earlier(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return first;
  }
}

function earlier(a: Scheduled, b: Scheduled): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Resolves once no promise can settle any more without another event. */
function drained(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
