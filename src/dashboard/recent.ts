/** What has grown lately, in about the last 5 to 10 minutes: two earlier looks are kept, and no more. */

import type { Figures } from './figures.ts';
import type { Latency } from './overview.ts';
import { quantile } from './quantile.ts';
import { growth } from './track.ts';

/** Milliseconds between the two looks that are kept. */
export const WINDOW = 5 * 60_000;

export class Recent {
  #older: Figures | undefined;
  #newer: { readonly at: number; readonly figures: Figures } | undefined;
  #now: Figures | undefined;

  record(now: number, figures: Figures): void {
    this.#now = figures;
    const age = now - (this.#newer?.at ?? Number.NEGATIVE_INFINITY);
    if (age < WINDOW && age >= 0) return;
    this.#older = this.#newer?.figures;
    this.#newer = { at: now, figures };
  }

  /** How much a counter has grown; 0 where that is not known. */
  grown(counter: string): number {
    return growth(this.#base?.counters[counter], this.#now?.counters[counter]) ?? 0;
  }

  gauge(name: string): number | null {
    return this.#now?.gauges[name] ?? null;
  }

  counter(name: string): number | null {
    return this.#now?.counters[name] ?? null;
  }

  /** Null where nothing of the kind happened. */
  latency(name: string): Latency | null {
    const now = this.#now?.distributions[name];
    if (!now) return null;
    const before = this.#base?.distributions[name];
    // A process that began anew counts from zero.
    const anew =
      !before || before.bounds.length !== now.bounds.length || now.counts.some((one, i) => one < before.counts[i]!);
    const counts = anew ? now.counts : now.counts.map((one, i) => one - before.counts[i]!);
    const p50 = quantile(0.5, now.bounds, counts);
    const p95 = quantile(0.95, now.bounds, counts);
    if (p50 === undefined || p95 === undefined) return null;
    return { count: counts.reduce((sum, one) => sum + one, 0), p50, p95 };
  }

  get #base(): Figures | undefined {
    return this.#older ?? this.#newer?.figures;
  }
}
