/** A fleet that is well, for tests to make unwell. */

import {
  type AlarmFacts,
  CLIENT_OPERATIONS,
  type Condition,
  type LogView,
  type NodeView,
  TOKEN_OPERATIONS,
} from '../../src/dashboard/index.ts';

export const NOW = 1_800_000_000_000;
export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const none = <O extends string>(operations: readonly O[]) =>
  Object.fromEntries(operations.map((operation) => [operation, null])) as Record<O, null>;

export const node = (number: number, changes: Partial<NodeView> = {}): NodeView => ({
  node: number,
  name: `node-${number}`,
  condition: 'serving',
  since: NOW - DAY,
  reason: '',
  figuresAt: NOW,
  startedAt: NOW - DAY,
  epoch: 1,
  queueDepth: 0,
  inFlight: 0,
  records: 10,
  sequence: 20,
  repair: { incarnation: 1, acceptedBy: 4, headsKnown: 4, headsNeeded: 3, bars: false, lagging: 0 },
  latency: none(TOKEN_OPERATIONS),
  ...changes,
});

export const log = (changes: Partial<NonNullable<LogView['bundle']>> = {}, signed: number | null = NOW): LogView => ({
  fetchedAt: NOW,
  bundle: {
    ...{ serial: 3, epoch: 1, kind: 'deploy', revoked: false, digest: 'ab'.repeat(32) },
    ...{ notBefore: NOW - DAY, notAfter: NOW + 300 * DAY, successor: null, sunset: null },
    ...changes,
  },
  checkpoint: { origin: 'log.example', size: 9, cosignatures: [], majorityAt: signed },
});

/** Five nodes, each in the condition given, all serving by default. */
export function facts(conditions: readonly Condition[] = [], changes: Partial<AlarmFacts> = {}): AlarmFacts {
  const nodes = [1, 2, 3, 4, 5].map((number, i) => node(number, { condition: conditions[i] ?? 'serving' }));
  const serving = nodes.filter(({ condition }) => condition === 'serving').length;
  return {
    fleet: 'fleet-a',
    epoch: 1,
    time: NOW,
    view: {
      coordinator: 'coordinator-1',
      since: NOW - DAY,
      coordinators: 2,
      lookedAt: NOW,
      latency: none(CLIENT_OPERATIONS),
    },
    quorum: { nodes: 5, needed: 3, serving, mayFail: serving - 3 },
    nodes,
    lastHour: { attempts: 0, confirmations: 0, activations: 0, destructions: 0, anchorWrites: 0 },
    log: log(),
    expiries: [{ what: 'The fleet’s trust file', at: NOW + 900 * DAY }],
    recent: new Map(),
    ...changes,
  };
}
