/** The coordinator's metrics (Prometheus), and the observer that feeds them and the log. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Logger } from '../../http/index.ts';
import type { NodeInfo } from '../maintenance.ts';
import type { CoordinatorObserver } from '../ports.ts';

const SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const PHASES = ['repairing', 'serving', 'stopped', 'unreachable'] as const;

export class CoordinatorMetrics {
  readonly registry = new Registry();
  readonly observer: CoordinatorObserver;
  /** By operation and code ("ok" or an error code). */
  readonly answers: Counter<'operation' | 'code'>;
  readonly seconds: Histogram<'operation'>;
  readonly rounds: Histogram<'task'>;
  readonly #phases: Gauge<'node' | 'phase'>;
  readonly #incarnations: Gauge<'node'>;

  constructor(log: Logger) {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const counter = (name: string, help: string, label?: string) =>
      new Counter({
        name: `holdfast_coordinator_${name}_total`,
        help,
        registers,
        ...(label !== undefined && { labelNames: [label] }),
      });
    const counters = {
      requests: counter('requests', 'Client operations begun, by operation.', 'operation'),
      unreachable: counter('unreachable', 'Requests to a node that got no answer.', 'node'),
      carried: counter('carried', 'Records carried between nodes, by outcome.', 'outcome'),
      repair_rounds: counter('repair_rounds', 'Rounds of repair traffic carried for a node.', 'node'),
      destroyed: counter('destroyed', 'Spent records destroyed.'),
    };
    const labels = { requests: 'operation', unreachable: 'node', carried: 'outcome', repair_rounds: 'node' } as const;
    this.answers = new Counter({
      name: 'holdfast_coordinator_answers_total',
      help: 'Answers to clients, by operation and code.',
      labelNames: ['operation', 'code'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'holdfast_coordinator_request_seconds',
      help: 'Seconds that a client operation took.',
      labelNames: ['operation'],
      buckets: SECONDS,
      registers,
    });
    this.rounds = new Histogram({
      name: 'holdfast_coordinator_maintenance_seconds',
      help: 'Seconds that one round of background work took.',
      labelNames: ['task'],
      buckets: SECONDS,
      registers,
    });
    this.#phases = new Gauge({
      name: 'holdfast_coordinator_node_phase',
      help: '1 for the phase in which each node was last seen.',
      labelNames: ['node', 'phase'],
      registers,
    });
    this.#incarnations = new Gauge({
      name: 'holdfast_coordinator_node_incarnation',
      help: 'The incarnation in which each node was last seen.',
      labelNames: ['node'],
      registers,
    });
    this.observer = {
      count: (name, label) => {
        if (name === 'destroyed') counters.destroyed.inc();
        else counters[name].inc({ [labels[name]]: label ?? 'unknown' });
      },
      event: (level, event, fields) => log[level]({ event, ...fields }, event),
    };
  }

  /** What the last round saw of node `node`; undefined where it did not answer. */
  seen(node: number, info: NodeInfo | undefined): void {
    const phase = info?.phase ?? 'unreachable';
    for (const known of PHASES) this.#phases.set({ node: String(node), phase: known }, known === phase ? 1 : 0);
    if (info) this.#incarnations.set({ node: String(node) }, info.incarnation);
  }
}
