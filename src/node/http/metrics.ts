/** The node's metrics (Prometheus), and the observer that feeds them and the log. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import type { Logger } from '../../http/index.ts';
import { TOKEN_SECONDS, type Token, type TokenUsage } from '../../token/port.ts';
import type { NodeCounter, NodeObserver } from '../ports.ts';

/** What is read from the node at each scrape. */
export interface NodeFigures {
  readonly phase: 'repairing' | 'serving' | 'stopped';
  readonly queueDepth: number;
  readonly incarnation: number;
  readonly records: number;
  readonly sequence: number;
}

const HELP: Readonly<Record<NodeCounter, string>> = {
  attempts: 'Votes for attempts signed.',
  evaluations: 'OPRF evaluations answered.',
  confirmations: 'Confirmations taken.',
  activations: 'Generations activated.',
  destructions: 'Records destroyed.',
  refusals: 'Requests refused, by error code.',
  batches: 'Group commits.',
  anchor_writes: 'Writes of the anchor to the token.',
  repairs: 'Repairs finished since the process began.',
  overrides: 'Starts by operator override, without the heads of the other nodes.',
};
const PHASES = ['repairing', 'serving', 'stopped'] as const;
const STEP_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const BATCH_SIZES = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

export class NodeMetrics {
  readonly registry = new Registry();
  readonly observer: NodeObserver;
  readonly requests: Counter<'kind' | 'code'>;
  readonly inFlight: Gauge;
  readonly epoch: Gauge;
  #figures: (() => NodeFigures | Promise<NodeFigures>) | undefined;

  constructor(token: Token, log: Logger, now: () => number) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const counters = new Map(
      (Object.keys(HELP) as NodeCounter[]).map((name) => [
        name,
        new Counter({
          name: `holdfast_node_${name}_total`,
          help: HELP[name],
          registers,
          ...(name === 'refusals' && { labelNames: ['code'] }),
        }),
      ]),
    );
    const steps = new Histogram({
      name: 'holdfast_node_batch_step_seconds',
      help: 'Seconds that a step of a group commit took; an anchor with the signature that followed it in the same turn.',
      labelNames: ['step'],
      buckets: STEP_SECONDS,
      registers,
    });
    const sizes = new Histogram({
      name: 'holdfast_node_batch_statements',
      help: 'Statements under one signature of the token.',
      buckets: BATCH_SIZES,
      registers,
    });
    this.requests = new Counter({
      name: 'holdfast_node_requests_total',
      help: 'Requests of coordinators answered, by kind and code.',
      labelNames: ['kind', 'code'],
      registers,
    });
    this.inFlight = new Gauge({ name: 'holdfast_node_requests_in_flight', help: 'Requests begun.', registers });
    this.epoch = new Gauge({ name: 'holdfast_node_epoch', help: 'Epoch of the fleet that the node is in.', registers });
    this.#token(token, now);
    this.#state();
    this.observer = {
      count: (name, label) => {
        const counter = counters.get(name)!;
        if (name === 'refusals') counter.inc({ code: label ?? 'unexpected' });
        else counter.inc();
      },
      batch: (step, seconds) => steps.observe({ step }, Math.max(0, seconds)),
      signed: (statements) => sizes.observe(statements),
      event: (level, event, fields) => log[level]({ event, ...fields }, event),
    };
  }

  /** Where the gauges of the node's state are read from; before this is set they are absent. */
  observe(figures: () => NodeFigures | Promise<NodeFigures>): void {
    this.#figures = figures;
  }

  #token(token: Token, now: () => number): void {
    const registers = [this.registry];
    const { manufacturer, model, serial, label, firmware } = token.description;
    new Gauge({
      name: 'holdfast_token_info',
      help: 'The token, as it describes itself; always 1.',
      labelNames: ['manufacturer', 'model', 'serial', 'label', 'firmware'],
      registers,
    }).set({ manufacturer, model, serial, label, firmware }, 1);
    new Counter({
      name: 'holdfast_token_operations_total',
      help: 'Uses of keys and objects on the token, by operation.',
      labelNames: ['operation'],
      registers,
      collect() {
        this.reset();
        for (const { operation, count } of token.usage()) this.inc({ operation }, count);
      },
    });
    new Counter({
      name: 'holdfast_token_seconds_total',
      help: 'Seconds spent inside the token’s module, by operation.',
      labelNames: ['operation'],
      registers,
      collect() {
        this.reset();
        for (const { operation, seconds } of token.usage()) this.inc({ operation }, seconds);
      },
    });
    this.registry.registerMetric(new TokenDurations(() => token.usage()) as unknown as Metric);
    const { keysCreatedAt } = token;
    if (keysCreatedAt === undefined) return;
    new Gauge({
      name: 'holdfast_token_key_age_seconds',
      help: 'Seconds since the node’s keys were generated.',
      registers,
      collect() {
        this.set(Math.max(0, (now() - keysCreatedAt) / 1000));
      },
    });
  }

  #state(): void {
    const registers = [this.registry];
    const figures = () => this.#figures?.();
    const gauge = (name: string, help: string, figure: (now: NodeFigures) => number) =>
      new Gauge({
        name: `holdfast_node_${name}`,
        help,
        registers,
        async collect() {
          const now = await figures();
          if (now) this.set(figure(now));
        },
      });
    gauge('queue_depth', 'Requests waiting for a group commit.', (now) => now.queueDepth);
    gauge('incarnation', 'How often the node has rejoined its fleet.', (now) => now.incarnation);
    gauge('records', 'Entries in the store.', (now) => now.records);
    gauge('batch_sequence', 'Number of the newest durable group commit.', (now) => now.sequence);
    new Gauge({
      name: 'holdfast_node_phase',
      help: '1 for the phase that the node is in.',
      labelNames: ['phase'],
      registers,
      async collect() {
        const now = await figures();
        if (now) for (const phase of PHASES) this.set({ phase }, phase === now.phase ? 1 : 0);
      },
    });
  }
}

/**
 * A histogram that the token keeps itself: the module's calls are too many and too short to be told one by one. Only what a
 * registry asks of a metric.
 */
class TokenDurations {
  readonly name = 'holdfast_token_operation_seconds';
  readonly help = 'Seconds that one operation took inside the token’s module.';
  readonly type = 'histogram';
  readonly aggregator = 'sum';
  readonly #usage: () => readonly TokenUsage[];

  constructor(usage: () => readonly TokenUsage[]) {
    this.#usage = usage;
  }

  async get() {
    const { name, help, type, aggregator } = this;
    return { name, help, type, aggregator, values: this.#usage().flatMap((usage) => this.#values(usage)) };
  }

  reset(): void {}

  #values({ operation, seconds, durations }: TokenUsage) {
    if (!durations) return [];
    let count = 0;
    const buckets = durations.map((more, i) => {
      count += more;
      const labels = { operation, le: i < TOKEN_SECONDS.length ? String(TOKEN_SECONDS[i]) : '+Inf' };
      return { labels, value: count, metricName: `${this.name}_bucket` };
    });
    const labels = { operation };
    return [
      ...buckets,
      { labels, value: seconds, metricName: `${this.name}_sum` },
      { labels, value: count, metricName: `${this.name}_count` },
    ];
  }
}
