/** Reading metrics of nodes that may say anything. */

import fc from 'fast-check';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { coordinatorFigures, MAXIMUM_EXPOSITION, nodeFigures, parseExposition } from '../../src/dashboard/index.ts';

const all = () => true;

describe('the text format', () => {
  it('is read as its own writer means it, whatever the labels hold', async () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(text, text, fc.double({ noNaN: true, noDefaultInfinity: true })), { maxLength: 8 }),
        async (rows) => {
          const registry = new Registry();
          const gauge = new Gauge({ name: 'g', help: 'a\nb', labelNames: ['a', 'b'], registers: [registry] });
          const expected = new Map<string, number>();
          for (const [a, b, value] of rows) {
            gauge.set({ a, b }, value);
            // The format has no negative zero.
            expected.set(JSON.stringify([a, b]), value === 0 ? 0 : value);
          }
          const samples = parseExposition(await registry.metrics(), all);
          expect(new Map(samples.map(({ labels, value }) => [JSON.stringify([labels.a, labels.b]), value]))).toEqual(
            expected,
          );
        },
      ),
    );
  });

  it.each([
    ['no value', 'a'],
    ['no number', 'a x'],
    ['not a number', 'a NaN'],
    ['infinity', 'a +Inf'],
    ['a hexadecimal number', 'a 0x10'],
    ['a label without a quote', 'a{b=c} 1'],
    ['an open label', 'a{b="c} 1'],
    ['no comma', 'a{b="c"d="e"} 1'],
    ['one label twice', 'a{b="c",b="d"} 1'],
    ['an unknown escape', 'a{b="\\x"} 1'],
    ['more after the time', 'a 1 2 3'],
    ['too many labels', `a{${Array.from({ length: 9 }, (_, i) => `b${i}="c"`).join(',')}} 1`],
    ['a line too long', `a{b="${'c'.repeat(2000)}"} 1`],
  ])('passes over a line with %s, and reads on', (_, line) => {
    expect(parseExposition(`${line}\nb 2\n`, all)).toEqual([{ name: 'b', labels: {}, value: 2 }]);
  });

  it('takes what is optional: times, trailing commas, spaces, exponents', () => {
    const read = (line: string) => parseExposition(line, all)[0];
    expect(read('a{b="c",} 1.5e3 1700000000000')).toEqual({ name: 'a', labels: { b: 'c' }, value: 1500 });
    expect(read('a{}\t-.5 ')).toEqual({ name: 'a', labels: {}, value: -0.5 });
  });

  it('never throws, and gives finite numbers only, for any text', () => {
    const piece = fc.constantFrom(
      'a',
      '{',
      '}',
      '"',
      '\\',
      '=',
      ',',
      '\n',
      ' ',
      '1',
      '+Inf',
      'NaN',
      '1e999',
      '#',
      'le',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(piece, { maxLength: 60 }).map((parts) => parts.join('')),
        ),
        (text) => {
          for (const { value } of parseExposition(text, all)) expect(Number.isFinite(value)).toBe(true);
          nodeFigures(text);
          coordinatorFigures(text);
        },
      ),
    );
  });

  it('is bounded in what it reads and keeps', () => {
    const many = 'a 1\n'.repeat(100_000);
    expect(parseExposition(many, all)).toHaveLength(4096);
    const late = `${'#'.repeat(MAXIMUM_EXPOSITION)}\na 1\n`;
    expect(parseExposition(late, all)).toEqual([]);
  });
});

describe('a node’s figures', () => {
  it('are its counters, gauges and durations', async () => {
    const registry = new Registry();
    const registers = [registry];
    new Counter({ name: 'holdfast_node_attempts_total', help: 'h', registers }).inc(7);
    const refusals = new Counter({ name: 'holdfast_node_refusals_total', help: 'h', labelNames: ['code'], registers });
    refusals.inc({ code: 'overloaded' }, 2);
    refusals.inc({ code: 'waiting' }, 3);
    new Gauge({ name: 'holdfast_node_queue_depth', help: 'h', registers }).set(4);
    const seconds = new Histogram({
      name: 'holdfast_token_operation_seconds',
      help: 'h',
      labelNames: ['operation'],
      buckets: [0.1, 1],
      registers,
    });
    for (const value of [0.05, 0.5, 0.5, 5]) seconds.observe({ operation: 'sign' }, value);
    const { counters, gauges, distributions } = nodeFigures(await registry.metrics());
    expect(counters).toMatchObject({ attempts: 7, refusals: 5, overloaded: 2 });
    expect(counters.destructions).toBeUndefined();
    expect(gauges.queueDepth).toBe(4);
    expect(distributions.sign).toEqual({ bounds: [0.1, 1], counts: [1, 2, 1] });
    expect(distributions.ecdh).toBeUndefined();
  });

  it.each([
    [
      'counts that shrink',
      [
        ['0.1', 5],
        ['1', 4],
        ['+Inf', 6],
      ],
    ],
    [
      'bounds out of order',
      [
        ['1', 1],
        ['0.1', 2],
        ['+Inf', 3],
      ],
    ],
    [
      'no last bound',
      [
        ['0.1', 1],
        ['1', 2],
      ],
    ],
    [
      'a bound that is no number',
      [
        ['x', 1],
        ['+Inf', 2],
      ],
    ],
    [
      'an infinite bound in the middle',
      [
        ['+Inf', 1],
        ['+Inf', 2],
      ],
    ],
  ] as const)('have no durations with %s', (_, buckets) => {
    const lines = buckets.map(([le, n]) => `holdfast_token_operation_seconds_bucket{operation="sign",le="${le}"} ${n}`);
    expect(nodeFigures(lines.join('\n')).distributions.sign).toBeUndefined();
  });

  it('have no counter that is below zero', () => {
    expect(nodeFigures('holdfast_node_attempts_total -1\n').counters.attempts).toBeUndefined();
  });

  it('have no label’s name that could stand for something else', () => {
    const text = 'holdfast_token_operation_seconds_bucket{__proto__="a",operation="sign",le="+Inf"} 1';
    expect(nodeFigures(text).distributions.sign).toBeUndefined();
    expect(({} as Record<string, unknown>).a).toBeUndefined();
  });
});

describe('the coordinator’s figures', () => {
  it('tell answers from refusals, and are zero before the first', () => {
    const text = [
      '# TYPE holdfast_coordinator_answers_total counter',
      'holdfast_coordinator_answers_total{operation="attempt",code="ok"} 3',
      'holdfast_coordinator_answers_total{operation="attempt",code="no_majority"} 2',
    ].join('\n');
    expect(coordinatorFigures(text).counters).toMatchObject({ answered: 3, refused: 2 });
    expect(coordinatorFigures('').counters).toMatchObject({ answered: 0, refused: 0 });
  });
});
