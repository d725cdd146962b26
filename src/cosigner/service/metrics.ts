/** The cosigner's metrics (Prometheus). */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

const SECONDS = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class CosignerMetrics {
  readonly registry = new Registry();
  readonly submissions: Counter<'kind' | 'code'>;
  readonly seconds: Histogram<'kind'>;
  readonly witnesses: Counter<'witness' | 'code'>;
  readonly size: Gauge;
  readonly quorumSize: Gauge;
  /** Seconds since 1970 of the last round that ended in a quorum. */
  readonly quorumTime: Gauge;
  readonly alarm: Gauge;
  readonly waiting: Gauge;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    const gauge = (name: string, help: string) => new Gauge({ name: `holdfast_cosigner_${name}`, help, registers });
    this.submissions = new Counter({
      name: 'holdfast_cosigner_submissions_total',
      help: 'Submissions, by kind and by code of the answer.',
      labelNames: ['kind', 'code'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'holdfast_cosigner_submission_seconds',
      help: 'Seconds that a submission took.',
      labelNames: ['kind'],
      buckets: SECONDS,
      registers,
    });
    this.witnesses = new Counter({
      name: 'holdfast_cosigner_witness_answers_total',
      help: 'Answers of witnesses, by witness and code.',
      labelNames: ['witness', 'code'],
      registers,
    });
    this.size = gauge('log_size', 'Leaves of the newest checkpoint.');
    this.quorumSize = gauge('quorum_size', 'Leaves of the newest checkpoint with a quorum of witnesses.');
    this.quorumTime = gauge('quorum_timestamp_seconds', 'When witnesses last made a quorum.');
    this.alarm = gauge('alarm', '1 where a witness knows another history of this log, else 0.');
    this.waiting = gauge('waiting_proposals', 'Proposals that wait for a person.');
  }
}
