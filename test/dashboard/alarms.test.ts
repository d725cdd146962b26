/** Alarms: in plain words, at the right time, and none while all is well. */

import { describe, expect, it } from 'vitest';
import {
  type AlarmFacts,
  alarmsOf,
  type Condition,
  MANY_FAILURES,
  SEVERITIES,
  span,
} from '../../src/dashboard/index.ts';
import { DAY, facts, HOUR, log, MINUTE, NOW, node } from './facts.ts';

const ids = (given: AlarmFacts) => alarmsOf(given).map(({ id, severity }) => `${severity} ${id}`);
const titled = (given: AlarmFacts) => alarmsOf(given).map(({ title }) => title);
const down: Condition = 'unreachable';
/** All are well, and node 2 is so. */
const second = (changes: Parameters<typeof node>[1]) =>
  facts([], { nodes: facts().nodes.map((one) => (one.node === 2 ? { ...one, ...changes } : one)) });

describe('the quorum', () => {
  it('raises nothing while all is well', () => {
    expect(alarmsOf(facts())).toEqual([]);
  });

  it('tells how near the end is as nodes go down, one by one', () => {
    expect(titled(facts([down]))).toEqual(['node-1 is down']);
    expect(titled(facts([down, down]))[0]).toBe('One more node down and recoveries stop');
    const stopped = alarmsOf(facts([down, down, down]));
    expect(stopped[0]).toMatchObject({ id: 'no_majority', severity: 'critical', title: 'Recoveries have stopped' });
    expect(stopped[0]!.text).toContain('2 of 5 nodes serve, and 3 are needed');
    expect(stopped[0]!.text).toContain('Bring 1 more node back');
  });

  it('of one node is noted and no more', () => {
    const alone = { ...facts(), nodes: [node(1)], quorum: { nodes: 1, needed: 1, serving: 1, mayFail: 0 } };
    expect(ids(alone)).toEqual(['notice no_spare']);
  });
});

describe('one node', () => {
  it.each([
    ['stopped', 'warning node_stopped'],
    ['failing', 'warning node_failing'],
    ['unreachable', 'warning node_unreachable'],
  ] as const)('that is %s is named', (condition, expected) => {
    expect(ids(second({ condition }))).toContain(expected);
    expect(alarmsOf(second({ condition }))[0]).toMatchObject({ node: 2 });
  });

  it('that repairs is a notice, and a warning after ten minutes, with its own words', () => {
    const repairing = { condition: 'repairing', reason: 'has the heads of 1 of 3 nodes' } as const;
    expect(ids(second({ ...repairing, since: NOW - 9 * MINUTE }))).toEqual(['notice node_repairing']);
    expect(ids(second({ ...repairing, since: NOW - 10 * MINUTE }))).toEqual(['warning node_repairing']);
    expect(alarmsOf(second(repairing))[0]!.text).toContain('It says: “has the heads of 1 of 3 nodes”');
  });

  it('that lags, is in another epoch or gives no figures is named', () => {
    const repair = { ...node(2).repair!, lagging: 3 };
    expect(ids(second({ repair }))).toEqual(['warning node_lagging']);
    expect(ids(second({ epoch: 2 }))).toEqual(['warning node_other_epoch']);
    expect(ids(second({ figuresAt: NOW - 2 * MINUTE }))).toEqual(['notice node_without_figures']);
    expect(ids(second({ figuresAt: null }))).toEqual(['notice node_without_figures']);
  });

  it('that turns requests away, or was started by override, is named', () => {
    const recent = (overloaded: number, overrides: number) => new Map([[2, { overloaded, overrides }]]);
    expect(ids(facts([], { recent: recent(4, 0) }))).toEqual(['warning node_overloaded']);
    expect(ids(facts([], { recent: recent(0, 1) }))).toEqual(['warning node_override']);
    expect(ids(facts([], { recent: recent(0, 0) }))).toEqual([]);
  });
});

describe('attempts', () => {
  const lastHour = (attempts: number, confirmations: number) =>
    facts([], { lastHour: { ...facts().lastHour, attempts, confirmations } });

  it('that fail are said when they are many, and most of all', () => {
    expect(ids(lastHour(MANY_FAILURES, 0))).toEqual(['warning many_failures']);
    expect(ids(lastHour(MANY_FAILURES - 1, 0))).toEqual([]);
    expect(ids(lastHour(10_000, 9000))).toEqual([]);
  });
});

describe('bundle and log', () => {
  const given = (view: AlarmFacts['log']) => ids(facts([], { log: view }));

  it('are no matter without a source', () => {
    expect(given(null)).toEqual([]);
  });

  it('are named while nobody shows them', () => {
    expect(given({ fetchedAt: null, bundle: null, checkpoint: null })).toEqual(['warning bundle_unknown']);
  });

  it('near their end are a warning, then critical', () => {
    expect(given(log({ notAfter: NOW + 31 * DAY }))).toEqual([]);
    expect(given(log({ notAfter: NOW + 29 * DAY }))).toEqual(['warning bundle_ending']);
    expect(given(log({ notAfter: NOW + 6 * DAY }))).toEqual(['critical bundle_ending']);
    expect(titled(facts([], { log: log({ notAfter: NOW + 29 * DAY }) }))).toEqual([
      'The fleet’s bundle runs out in 29 days',
    ]);
    expect(titled(facts([], { log: log({ notAfter: NOW }) }))).toEqual(['The fleet’s bundle has run out']);
  });

  it('that end the fleet are said', () => {
    expect(given(log({ revoked: true }))).toEqual(['critical bundle_revoked']);
    expect(given(log({ kind: 'retire', successor: 'fleet-b', sunset: NOW + DAY }))).toEqual(['notice bundle_retired']);
  });

  it('without fresh witnesses are a warning after an hour, critical after a day', () => {
    expect(given(log({}, NOW - 59 * MINUTE))).toEqual([]);
    expect(given(log({}, NOW - 2 * HOUR))).toEqual(['warning log_stale']);
    expect(given(log({}, NOW - 25 * HOUR))).toEqual(['critical log_stale']);
    expect(given(log({}, null))).toEqual(['critical log_stale']);
  });

  it('and what else runs out is said in time', () => {
    const at = (left: number) => titled(facts([], { expiries: [{ what: 'The thing', at: NOW + left }] }));
    expect(at(31 * DAY)).toEqual([]);
    expect(at(3 * DAY)).toEqual(['The thing runs out in 3 days']);
    expect(at(-1)).toEqual(['The thing has run out']);
  });
});

describe('all of them', () => {
  it('come the most severe first, each with words', () => {
    const all = alarmsOf(facts([down, down, down, 'repairing'], { log: log({ notAfter: NOW + 29 * DAY }, null) }));
    const ranks = all.map(({ severity }) => SEVERITIES.indexOf(severity));
    expect(ranks).toEqual(ranks.toSorted());
    expect(all.length).toBe(7);
    for (const { title, text } of all) {
      expect(title).toMatch(/^[A-Z]|^node-/);
      expect(text).toMatch(/\.$/);
    }
  });

  it('say times as people do', () => {
    expect([0, 59_000, 119_000, 120_000, 2 * HOUR, 47 * HOUR, 48 * HOUR].map(span)).toEqual([
      '0 seconds',
      '59 seconds',
      '119 seconds',
      '2 minutes',
      '2 hours',
      '47 hours',
      '2 days',
    ]);
  });
});
