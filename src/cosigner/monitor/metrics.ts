/** A monitor's metrics (Prometheus). */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { RULES, type Rule } from './findings.ts';
import type { Looked } from './look.ts';

export class MonitorMetrics {
  readonly registry = new Registry();
  /** By outcome: `ok`, `alerts` or `failed`. */
  readonly looks: Counter<'outcome'>;
  readonly #alerts: Gauge<'rule' | 'severity'>;
  readonly #size: Gauge;
  readonly #quorum: Gauge;
  readonly #last: Gauge;
  /** Messages to the webhook, by outcome. */
  readonly webhook: Counter<'outcome'>;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const gauge = <L extends string = never>(name: string, help: string, labelNames: L[] = []) =>
      new Gauge({ name: `holdfast_monitor_${name}`, help, labelNames, registers });
    this.#alerts = gauge('alerts', 'Alerts and warnings in force, by rule.', ['rule', 'severity']);
    this.#size = gauge('log_size', 'Leaves of the log that were read and replayed.');
    this.#quorum = gauge('quorum_timestamp_seconds', 'Newest quorum of cosignatures, in seconds since 1970.');
    this.#last = gauge('last_look_timestamp_seconds', 'Last look that came to its end, in seconds since 1970.');
    this.looks = new Counter({
      name: 'holdfast_monitor_looks_total',
      help: 'Looks at the log, by outcome.',
      labelNames: ['outcome'],
      registers,
    });
    this.webhook = new Counter({
      name: 'holdfast_monitor_webhook_total',
      help: 'Messages to the webhook, by outcome.',
      labelNames: ['outcome'],
      registers,
    });
    for (const [rule, severity] of Object.entries(RULES)) this.#alerts.set({ rule, severity }, 0);
  }

  /** `now` in milliseconds since 1970. */
  looked({ alerts, size, quorum }: Looked, now: number): void {
    for (const rule of Object.keys(RULES) as Rule[]) {
      this.#alerts.set({ rule, severity: RULES[rule] }, alerts.filter((alert) => alert.rule === rule).length);
    }
    this.#size.set(size);
    if (quorum !== undefined) this.#quorum.set(quorum / 1000);
    this.#last.set(now / 1000);
    this.looks.inc({ outcome: alerts.some(({ severity }) => severity === 'alert') ? 'alerts' : 'ok' });
  }
}
