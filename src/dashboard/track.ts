/** One node's (or the coordinator's) values over time at one resolution: a ring of fixed size, filled from cumulative figures. */

import type { Distribution, Figures } from './figures.ts';
import { quantile } from './quantile.ts';
import { CONDITIONS, type Condition, type Series } from './series.ts';

/** One look. Undefined figures: it gave none. */
export interface Look {
  readonly condition: Condition;
  readonly figures: Figures | undefined;
}

/** Of values that are not there, as in a node's silence. */
const NOTHING = Number.NaN;

export class Track {
  readonly #series: readonly Series[];
  readonly #points: number;
  /** Point by point, in each the values of all series. */
  readonly #values: Float64Array;
  /** What was added to each distribution in the present step. */
  #added = new Map<string, Distribution>();
  /** The step in the newest point; undefined before the first look. */
  #newest: number | undefined;

  constructor(series: readonly Series[], points: number) {
    this.#series = series;
    this.#points = points;
    this.#values = new Float64Array(points * series.length).fill(NOTHING);
  }

  /** Bytes that its values take, whatever happens. */
  get bytes(): number {
    return this.#values.byteLength;
  }

  /**
   * Takes note of a look in step `step` (a whole number that counts steps since 1970).
   * @param before the last figures that were given, in this step or an earlier one.
   */
  record(step: number, look: Look, before: Figures | undefined): void {
    this.#advance(step);
    const { figures, condition } = look;
    if (figures) this.#addDistributions(figures, before);
    const at = (this.#newest! % this.#points) * this.#series.length;
    for (const [i, { source }] of this.#series.entries()) {
      const value = this.#value(source, condition, figures, before);
      if (value === undefined) continue;
      const known = this.#values[at + i]!;
      this.#values[at + i] = Number.isNaN(known) ? value : combined(source.kind, known, value);
    }
  }

  /** The values of series number `index` in the `count` steps that end with `last`, the oldest first; null where there is none. */
  read(index: number, last: number, count: number): (number | null)[] {
    const newest = this.#newest;
    return Array.from({ length: count }, (_, i) => {
      const step = last - count + 1 + i;
      if (newest === undefined || step > newest || step <= newest - this.#points || step < 0) return null;
      const value = this.#values[(step % this.#points) * this.#series.length + index]!;
      return Number.isNaN(value) ? null : value;
    });
  }

  #advance(step: number): void {
    const newest = this.#newest;
    if (newest !== undefined && step <= newest) {
      // A clock that stepped back a little goes on in the newest step; one that was far ahead has left nothing of use.
      if (newest - step <= 2) return;
      this.#values.fill(NOTHING);
    }
    const first = newest === undefined || step < newest ? step : Math.max(newest + 1, step - this.#points + 1);
    for (let one = first; one <= step; one++) {
      const at = (one % this.#points) * this.#series.length;
      this.#values.fill(NOTHING, at, at + this.#series.length);
    }
    this.#newest = step;
    this.#added = new Map();
  }

  #value(
    source: Series['source'],
    condition: Condition,
    figures: Figures | undefined,
    before: Figures | undefined,
  ): number | undefined {
    switch (source.kind) {
      case 'condition':
        return CONDITIONS.indexOf(condition);
      case 'greatest':
        return figures?.gauges[source.gauge];
      case 'growth':
        return growth(before?.counters[source.counter], figures?.counters[source.counter]);
      case 'quantile': {
        const added = this.#added.get(source.distribution);
        return added && quantile(source.q, added.bounds, added.counts);
      }
    }
  }

  #addDistributions(figures: Figures, before: Figures | undefined): void {
    for (const [name, now] of Object.entries(figures.distributions)) {
      if (!now) continue;
      const grown = grownDistribution(before?.distributions[name], now);
      if (!grown) continue;
      const known = this.#added.get(name);
      const same = known && sameBounds(known, now);
      const counts = same ? known.counts.map((count, i) => count + grown[i]!) : grown;
      this.#added.set(name, { bounds: now.bounds, counts });
    }
  }
}

/** The newest quantile is that of the whole step; counts of looks in one step add up. */
function combined(kind: Series['source']['kind'], known: number, value: number): number {
  if (kind === 'growth') return known + value;
  if (kind === 'greatest') return Math.max(known, value);
  return kind === 'condition' ? Math.min(known, value) : value;
}

/** A counter below what it was belongs to a process that began anew, and counts from zero. */
export function growth(before: number | undefined, now: number | undefined): number | undefined {
  if (before === undefined || now === undefined) return undefined;
  return now < before ? now : now - before;
}

function grownDistribution(before: Distribution | undefined, now: Distribution): readonly number[] | undefined {
  if (!before) return undefined;
  const anew = !sameBounds(before, now) || now.counts.some((count, i) => count < before.counts[i]!);
  return anew ? now.counts : now.counts.map((count, i) => count - before.counts[i]!);
}

const sameBounds = (a: Distribution, b: Distribution): boolean =>
  a.bounds.length === b.bounds.length && a.bounds.every((bound, i) => bound === b.bounds[i]);
