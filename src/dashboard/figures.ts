/** What is kept of one look at a node, or at the coordinator itself: the figures that the dashboard shows, and no others. */

import { parseExposition, type Sample } from './exposition.ts';

/** A histogram: how many were at most each bound, one after the other, and the last without a bound. Not cumulative. */
export interface Distribution {
  readonly bounds: readonly number[];
  /** One more than the bounds. */
  readonly counts: readonly number[];
}

/** One look: everything is undefined that was not said, or not as it should be. */
export interface Figures {
  /** Ever growing while the process lives. */
  readonly counters: Readonly<Record<string, number | undefined>>;
  readonly gauges: Readonly<Record<string, number | undefined>>;
  readonly distributions: Readonly<Record<string, Distribution | undefined>>;
}

/** Uses of the token whose durations are shown, as src/token names them. */
export const TOKEN_OPERATIONS = ['sign', 'ecdh', 'prf', 'anchor_write', 'anchor_read'] as const;
export type TokenOperation = (typeof TOKEN_OPERATIONS)[number];

/** Operations of clients whose durations are shown. */
export const CLIENT_OPERATIONS = ['attempt', 'confirm', 'open', 'activate', 'status', 'delete'] as const;
export type ClientOperation = (typeof CLIENT_OPERATIONS)[number];

const NODE_COUNTERS = {
  attempts: 'holdfast_node_attempts_total',
  evaluations: 'holdfast_node_evaluations_total',
  confirmations: 'holdfast_node_confirmations_total',
  activations: 'holdfast_node_activations_total',
  destructions: 'holdfast_node_destructions_total',
  refusals: 'holdfast_node_refusals_total',
  batches: 'holdfast_node_batches_total',
  anchorWrites: 'holdfast_node_anchor_writes_total',
  repairs: 'holdfast_node_repairs_total',
  overrides: 'holdfast_node_overrides_total',
} as const;
const NODE_GAUGES = {
  queueDepth: 'holdfast_node_queue_depth',
  inFlight: 'holdfast_node_requests_in_flight',
  incarnation: 'holdfast_node_incarnation',
  records: 'holdfast_node_records',
  sequence: 'holdfast_node_batch_sequence',
  epoch: 'holdfast_node_epoch',
  keyAge: 'holdfast_token_key_age_seconds',
  startedAt: 'process_start_time_seconds',
} as const;
const TOKEN_SECONDS = 'holdfast_token_operation_seconds';
const REFUSALS = 'holdfast_node_refusals_total';

const COORDINATOR_COUNTERS = {
  answered: 'holdfast_coordinator_answers_total',
  unreachable: 'holdfast_coordinator_unreachable_total',
  carried: 'holdfast_coordinator_carried_total',
  repairRounds: 'holdfast_coordinator_repair_rounds_total',
  destroyed: 'holdfast_coordinator_destroyed_total',
} as const;
const REQUEST_SECONDS = 'holdfast_coordinator_request_seconds';

export type NodeCounter = keyof typeof NODE_COUNTERS | 'overloaded';
export type NodeGauge = keyof typeof NODE_GAUGES;
export type CoordinatorCounter = keyof typeof COORDINATOR_COUNTERS | 'refused';

/** Of a node's metrics, as Prometheus would read them. Never throws. */
export function nodeFigures(text: string): Figures {
  const samples = read(text, [...Object.values(NODE_COUNTERS), ...Object.values(NODE_GAUGES)], TOKEN_SECONDS);
  const overloaded = samples.has(REFUSALS)
    ? total(samples.get(REFUSALS), ({ code }) => code === 'overloaded')
    : undefined;
  return {
    counters: { ...totals(samples, NODE_COUNTERS), overloaded },
    gauges: totals(samples, NODE_GAUGES),
    distributions: distributions(samples, TOKEN_SECONDS, TOKEN_OPERATIONS),
  };
}

/** Of the coordinator's own metrics. Never throws. */
export function coordinatorFigures(text: string): Figures {
  const samples = read(text, Object.values(COORDINATOR_COUNTERS), REQUEST_SECONDS);
  const answers = samples.get(COORDINATOR_COUNTERS.answered);
  const { answered, ...counters } = totals(samples, COORDINATOR_COUNTERS);
  return {
    counters: {
      ...counters,
      answered: answered === undefined ? 0 : total(answers, ({ code }) => code === 'ok'),
      refused: answered === undefined ? 0 : total(answers, ({ code }) => code !== 'ok'),
    },
    gauges: {},
    distributions: distributions(samples, REQUEST_SECONDS, CLIENT_OPERATIONS),
  };
}

type ByName = ReadonlyMap<string, readonly Sample[]>;

function read(text: string, names: readonly string[], histogram: string): ByName {
  const wanted = new Set([...names, `${histogram}_bucket`]);
  return Map.groupBy(
    parseExposition(text, (name) => wanted.has(name)),
    ({ name }) => name,
  );
}

/** The sum over all labels; undefined where one of them is below zero, which nothing that is counted here can be. */
function total(
  samples: readonly Sample[] | undefined,
  takes: (labels: Sample['labels']) => boolean = () => true,
): number | undefined {
  if (samples === undefined || samples.some(({ value }) => value < 0)) return undefined;
  return samples.reduce((sum, { labels, value }) => (takes(labels) ? sum + value : sum), 0);
}

function totals<N extends string>(samples: ByName, names: Readonly<Record<N, string>>) {
  const entries = (Object.entries(names) as [N, string][]).map(
    ([key, name]) => [key, total(samples.get(name))] as const,
  );
  return Object.fromEntries(entries) as Record<N, number | undefined>;
}

function distributions(samples: ByName, name: string, operations: readonly string[]): Figures['distributions'] {
  const buckets = Map.groupBy(samples.get(`${name}_bucket`) ?? [], ({ labels }) => labels.operation ?? '');
  return Object.fromEntries(operations.map((operation) => [operation, distribution(buckets.get(operation) ?? [])]));
}

/** Undefined unless bounds and cumulative counts both grow, and the last bound is infinite. */
function distribution(buckets: readonly Sample[]): Distribution | undefined {
  const bounds: number[] = [];
  const counts: number[] = [];
  let before = 0;
  for (const [i, { labels, value }] of buckets.entries()) {
    const last = i === buckets.length - 1;
    const bound = Number(labels.le);
    if (last ? labels.le !== '+Inf' : !Number.isFinite(bound) || bound <= (bounds.at(-1) ?? 0)) return undefined;
    if (value < before) return undefined;
    if (!last) bounds.push(bound);
    counts.push(value - before);
    before = value;
  }
  return counts.length < 2 ? undefined : { bounds, counts };
}
