/** The bounded history: what it keeps, what it forgets, and that silence is no zero. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CONDITIONS,
  type Figures,
  History,
  type Look,
  quantile,
  RANGE_NAMES,
  RANGES,
} from '../../src/dashboard/index.ts';

const SECOND = 1000;
const HOUR = 3_600_000;
/** At the beginning of a step of every range. */
const BEGIN = 2_000_000 * HOUR;
const NONE: Figures = { counters: {}, gauges: {}, distributions: {} };
const figures = (attempts: number, more: Partial<Figures> = {}): Figures => ({
  ...NONE,
  counters: { attempts },
  ...more,
});
const looked = (given: Figures | undefined, condition: Look['condition'] = 'serving'): Look => ({
  condition,
  figures: given,
});

function recorded(looks: readonly (readonly [at: number, Look])[], nodes = 1): History {
  const history = new History(nodes, 5 * SECOND);
  for (const [at, look] of looks) history.record(BEGIN + at, { nodes: [look], coordinator: NONE });
  return history;
}
const line = (history: History, name: string, now: number, range: (typeof RANGE_NAMES)[number] = '15m') =>
  history.view(range, BEGIN + now).nodes[0]!.series[name]!;

describe('a counter over time', () => {
  it('shows how much it grew in each step, and nothing where nobody looked', () => {
    const history = recorded([
      [0, looked(figures(100))],
      [5 * SECOND, looked(figures(103))],
      [15 * SECOND, looked(figures(110))],
    ]);
    expect(line(history, 'attempts', 15 * SECOND).slice(-4)).toEqual([null, 3, null, 7]);
  });

  it('counts from zero where its process began anew, and again from what is there after a silence', () => {
    const history = recorded([
      [0, looked(figures(100))],
      [5 * SECOND, looked(undefined, 'unreachable')],
      [10 * SECOND, looked(figures(4))],
    ]);
    expect(line(history, 'attempts', 10 * SECOND).slice(-3)).toEqual([null, null, 4]);
    const stages = line(history, 'condition', 10 * SECOND).slice(-3);
    expect(stages.map((stage) => CONDITIONS[stage!])).toEqual(['serving', 'unreachable', 'serving']);
  });

  it('attributes to no step what came in a silence that is longer than steps', () => {
    const history = recorded([
      [0, looked(figures(100))],
      [60 * SECOND, looked(figures(900))],
      [65 * SECOND, looked(figures(901))],
    ]);
    const sum = (range: (typeof RANGE_NAMES)[number]) =>
      line(history, 'attempts', 65 * SECOND, range).reduce<number>((total, one) => total + (one ?? 0), 0);
    expect([sum('15m'), sum('1h'), sum('24h')]).toEqual([1, 1, 801]);
  });

  it('adds up to the same in every range, whatever is looked at when, while the clock goes forward', () => {
    const steps = fc.array(
      fc.record({ after: fc.integer({ min: 1, max: 10 }), more: fc.nat(1000), anew: fc.boolean() }),
      {
        maxLength: 25,
      },
    );
    fc.assert(
      fc.property(steps, (all) => {
        let at = 0;
        let value = 0;
        let expected = 0;
        const looks: [number, Look][] = [[0, looked(figures(0))]];
        for (const { after, more, anew } of all) {
          at += after * SECOND;
          // A process that begins anew and counts further than before cannot be told from one that went on.
          const restarts = anew && more < value;
          expected += more;
          value = restarts ? more : value + more;
          looks.push([at, looked(figures(value))]);
        }
        const history = recorded(looks);
        for (const range of RANGE_NAMES) {
          const sum = line(history, 'attempts', at, range).reduce<number>((total, one) => total + (one ?? 0), 0);
          expect(sum).toBe(expected);
        }
      }),
    );
  });
});

describe('other figures', () => {
  it('are the greatest of a step, and the worst condition', () => {
    const depth = (queueDepth: number) => ({ ...NONE, gauges: { queueDepth } });
    const history = recorded([
      [0, looked(depth(3))],
      [1 * SECOND, looked(depth(9), 'repairing')],
      [2 * SECOND, looked(depth(1))],
    ]);
    expect(line(history, 'queueDepth', 2 * SECOND).at(-1)).toBe(9);
    expect(CONDITIONS[line(history, 'condition', 2 * SECOND).at(-1)!]).toBe('repairing');
  });

  it('are quantiles of what was added in a step, not of all time', () => {
    const durations = (counts: number[]): Figures => ({
      ...NONE,
      distributions: { sign: { bounds: [1, 2, 4], counts } },
    });
    const history = recorded([
      [0, looked(durations([1000, 0, 0, 0]))],
      [5 * SECOND, looked(durations([1000, 0, 10, 0]))],
      [10 * SECOND, looked(durations([1000, 0, 10, 0]))],
    ]);
    expect(line(history, 'sign.p50', 10 * SECOND).slice(-3)).toEqual([null, 3, null]);
    expect(line(history, 'sign.p95', 10 * SECOND).at(-2)).toBe(3.9);
    // In an hour’s step all of it is one.
    expect(line(history, 'sign.p50', 10 * SECOND, '7d').at(-1)).toBe(3);
  });
});

describe('what is forgotten', () => {
  it('is whatever is older than the range, and its place is taken', () => {
    const looks = Array.from({ length: 400 }, (_, i): [number, Look] => [i * 5 * SECOND, looked(figures(i))]);
    const history = recorded(looks);
    const shown = line(history, 'attempts', 399 * 5 * SECOND);
    expect(shown).toHaveLength(180);
    expect(shown.every((value) => value === 1)).toBe(true);
    expect(line(history, 'attempts', 399 * 5 * SECOND + RANGES['15m'].length).every((value) => value === null)).toBe(
      true,
    );
  });

  it('never takes more memory than at the beginning, for the largest fleet less than 3 MB', () => {
    const history = new History(9, 5 * SECOND);
    const { bytes } = history;
    for (let i = 0; i < 500; i++) {
      const nodes = Array.from({ length: 9 }, () => looked(figures(i)));
      history.record(BEGIN + i * HOUR, { nodes, coordinator: NONE });
    }
    expect(history.bytes).toBe(bytes);
    expect(bytes).toBeLessThan(3_000_000);
  });
});

describe('a clock that steps', () => {
  it('back a little goes on in the newest step; far back begins anew', () => {
    const little = recorded([
      [60 * SECOND, looked(figures(0))],
      [65 * SECOND, looked(figures(1))],
      [58 * SECOND, looked(figures(3))],
    ]);
    expect(line(little, 'attempts', 65 * SECOND).at(-1)).toBe(3);
    const far = recorded([
      [20 * HOUR, looked(figures(0))],
      [20 * HOUR + 5 * SECOND, looked(figures(5))],
      [0, looked(figures(6))],
    ]);
    expect(line(far, 'attempts', 0).at(-1)).toBe(1);
    expect(
      line(far, 'attempts', 0)
        .slice(0, -1)
        .every((value) => value === null),
    ).toBe(true);
  });

  it('in any way never throws and always answers lines of one length', () => {
    const times = fc.array(fc.integer({ min: -1_000_000, max: 5_000_000_000_000 }), { maxLength: 20 });
    fc.assert(
      fc.property(times, fc.integer({ min: -5, max: 5_000_000_000_000 }), (all, now) => {
        const history = new History(1, 5 * SECOND);
        for (const [i, at] of all.entries()) history.record(at, { nodes: [looked(figures(i))], coordinator: NONE });
        for (const range of RANGE_NAMES) {
          const { points, nodes, coordinator } = history.view(range, now);
          for (const lines of [nodes[0]!.series, coordinator]) {
            for (const values of Object.values(lines)) expect(values).toHaveLength(points);
          }
        }
      }),
    );
  });
});

describe('a quantile', () => {
  it('lies between the bounds of the bucket that holds it, and grows with q', () => {
    const counts = fc.array(fc.nat(50), { minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(counts, (of) => {
        const bounds = [1, 2, 5];
        const [half, most] = [quantile(0.5, bounds, of), quantile(0.95, bounds, of)];
        if (of.every((count) => count === 0)) return expect([half, most]).toEqual([undefined, undefined]);
        expect(most!).toBeGreaterThanOrEqual(half!);
        expect(half!).toBeGreaterThanOrEqual(0);
        expect(most!).toBeLessThanOrEqual(5);
      }),
    );
    expect(quantile(0.5, [1, 2], [0, 4, 0])).toBe(1.5);
    expect(quantile(0.95, [1, 2], [0, 0, 4])).toBe(2);
  });
});
