/** A bounded history in memory: each range in its own resolution, so that the longest costs no more than the shortest. */

import type { Figures } from './figures.ts';
import { COORDINATOR_SERIES, NODE_SERIES, type Series } from './series.ts';
import { type Look, Track } from './track.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

/** Milliseconds: how far back a range goes, and its step where looks are not rarer. */
export const RANGES = {
  '15m': { length: 15 * MINUTE, step: 5 * SECOND },
  '1h': { length: HOUR, step: 20 * SECOND },
  '6h': { length: 6 * HOUR, step: 2 * MINUTE },
  '24h': { length: 24 * HOUR, step: 8 * MINUTE },
  '7d': { length: 7 * 24 * HOUR, step: HOUR },
} as const;
export type Range = keyof typeof RANGES;
export const RANGE_NAMES = Object.keys(RANGES) as readonly Range[];

export type Lines = Readonly<Record<string, readonly (number | null)[]>>;

export interface HistoryView {
  readonly range: Range;
  /** Milliseconds that one value stands for. */
  readonly step: number;
  /** Milliseconds since 1970 at which the first value's step begins. */
  readonly start: number;
  /** How many values each line has. */
  readonly points: number;
  readonly nodes: readonly { readonly node: number; readonly series: Lines }[];
  readonly coordinator: Lines;
}

/** Looks at all nodes, node i at index i - 1, and at the coordinator itself. */
export interface Round {
  readonly nodes: readonly Look[];
  readonly coordinator: Figures;
}

/** Steps without figures after which growth is not attributed to the step in which it is seen. */
const SILENCE = 2;

interface Given {
  readonly at: number;
  readonly figures: Figures;
}

interface Level {
  readonly range: Range;
  readonly step: number;
  readonly points: number;
  readonly nodes: readonly Track[];
  readonly coordinator: Track;
}

export class History {
  readonly #levels: readonly Level[];
  /** What each node gave last, and the coordinator in the last place, however long ago. */
  readonly #before: (Given | undefined)[];

  /** @param interval milliseconds between two rounds. */
  constructor(nodes: number, interval: number) {
    this.#before = new Array<undefined>(nodes + 1).fill(undefined);
    this.#levels = RANGE_NAMES.map((range) => {
      const { length, step: wanted } = RANGES[range];
      const step = Math.max(wanted, interval);
      const points = Math.ceil(length / step);
      return {
        range,
        step,
        points,
        nodes: Array.from({ length: nodes }, () => new Track(NODE_SERIES, points)),
        coordinator: new Track(COORDINATOR_SERIES, points),
      };
    });
  }

  /** Bytes that the values take from the beginning, and never more. */
  get bytes(): number {
    return this.#levels
      .flatMap(({ nodes, coordinator }) => [...nodes, coordinator])
      .reduce((sum, track) => sum + track.bytes, 0);
  }

  /** @param now milliseconds since 1970. */
  record(now: number, { nodes, coordinator }: Round): void {
    const looks: readonly Look[] = [...nodes, { condition: 'serving', figures: coordinator }];
    for (const level of this.#levels) {
      const stepOf = (time: number) => Math.max(0, Math.floor(time / level.step));
      const step = stepOf(now);
      const before = (i: number) => {
        const given = this.#before[i];
        // What came in a longer silence belongs to no step of this length.
        return given && step - stepOf(given.at) <= SILENCE ? given.figures : undefined;
      };
      for (const [i, track] of level.nodes.entries()) track.record(step, looks[i]!, before(i));
      level.coordinator.record(step, looks.at(-1)!, before(nodes.length));
    }
    for (const [i, { figures }] of looks.entries()) if (figures) this.#before[i] = { at: now, figures };
  }

  /** @param now milliseconds since 1970. */
  view(range: Range, now: number): HistoryView {
    const level = this.#levels.find((one) => one.range === range)!;
    const { step, points } = level;
    const last = Math.max(0, Math.floor(now / step));
    const lines = (track: Track, series: readonly Series[]): Lines =>
      Object.fromEntries(series.map(({ name }, i) => [name, track.read(i, last, points).map(rounded)]));
    return {
      range,
      step,
      start: (last - points + 1) * step,
      points,
      nodes: level.nodes.map((track, i) => ({ node: i + 1, series: lines(track, NODE_SERIES) })),
      coordinator: lines(level.coordinator, COORDINATOR_SERIES),
    };
  }
}

/** Four digits are more than a plot shows, and half of what would be sent. */
function rounded(value: number | null): number | null {
  return value === null || Number.isInteger(value) ? value : Number(value.toPrecision(4));
}
