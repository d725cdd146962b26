/** A witness's metrics (Prometheus). */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { WitnessObserver } from '../witness.ts';

const SECONDS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class WitnessMetrics {
  readonly registry = new Registry();
  /** By HTTP status. */
  readonly answers: Counter<'status'>;
  readonly seconds: Histogram;
  readonly observer: Pick<WitnessObserver, 'cosigned' | 'misconduct'>;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry });
    this.answers = new Counter({
      name: 'holdfast_witness_answers_total',
      help: 'Answers to add-checkpoint, by HTTP status.',
      labelNames: ['status'],
      registers,
    });
    this.seconds = new Histogram({
      name: 'holdfast_witness_request_seconds',
      help: 'Seconds that an add-checkpoint took.',
      buckets: SECONDS,
      registers,
    });
    const size = new Gauge({
      name: 'holdfast_witness_size',
      help: 'Size of the newest checkpoint that was cosigned, by origin.',
      labelNames: ['origin'],
      registers,
    });
    const time = new Gauge({
      name: 'holdfast_witness_cosigned_timestamp_seconds',
      help: 'Time of the newest cosignature, by origin, in seconds since 1970.',
      labelNames: ['origin'],
      registers,
    });
    const misconduct = new Counter({
      name: 'holdfast_witness_misconduct_total',
      help: 'Signed checkpoints that contradict what the log signed before, or its rules, by origin.',
      labelNames: ['origin'],
      registers,
    });
    this.observer = {
      cosigned: (origin, newSize, seconds) => {
        size.set({ origin }, newSize);
        time.set({ origin }, seconds);
      },
      misconduct: (origin) => misconduct.inc({ origin }),
    };
  }
}
