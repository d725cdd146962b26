/** The whole fleet under load, and at one request at a time. */

import { loadavg } from 'node:os';
import type { BenchFleet } from './holdfast.ts';
import type { LoadGenerator, LoadResult, RecoveryTimes } from './load.ts';
import { observe, type ProcessFigures } from './observe.ts';
import { prepareRecoveries } from './prepare.ts';
import type { BenchRecord, Tenancy } from './records.ts';
import { median, quantile } from './statistics.ts';
import { verifySample } from './verify.ts';

export interface Window {
  readonly concurrency: number;
  readonly seconds: number;
  readonly recoveries: number;
  /** With those that were under way at the end, and the seconds until they were done: the processes' figures cover both. */
  readonly completed: number;
  readonly workSeconds: number;
  readonly perSecond: number;
  readonly failed: number;
  readonly failures: readonly string[];
  readonly ranOut: boolean;
  /** CPU seconds of the load generator. */
  readonly generatorSeconds: number;
  /** Milliseconds. */
  readonly times: Readonly<Record<keyof RecoveryTimes, { readonly median: number; readonly p95: number }>>;
  readonly processes: readonly ProcessFigures[];
  /** Recoveries whose answers were checked as a client checks them. */
  readonly verified: number;
  /** The machine's load average over one minute, at the end. */
  readonly loadAverage: number;
}

export interface WindowOptions {
  readonly fleet: BenchFleet;
  readonly tenancy: Tenancy;
  readonly records: readonly BenchRecord[];
  readonly generator: LoadGenerator;
  readonly concurrency: number;
  readonly seconds: number;
  /** How many recoveries a second to prepare for. */
  readonly expectedRate: number;
}

/** One recovery in this many is checked in full. */
const SAMPLE_EVERY = 50;

export async function measureWindow(options: WindowOptions): Promise<Window> {
  const { fleet, tenancy, records, generator, concurrency, seconds, expectedRate } = options;
  const count = Math.ceil(expectedRate * seconds) + 2 * concurrency;
  const prepared = await prepareRecoveries(tenancy, records, count, SAMPLE_EVERY);
  const finish = await observe(fleet.processes());
  const result = await generator.run(prepared, concurrency, seconds);
  const processes = await finish();
  const loadAverage = loadavg()[0]!;
  for (const sample of result.samples) await verifySample(tenancy.trust.fleet, sample);
  return { ...summary(result), concurrency, processes, verified: result.samples.length, loadAverage };
}

function summary({ times, samples: _, ...result }: LoadResult) {
  const of = (step: keyof RecoveryTimes) => {
    const numbers = times.map((time) => time[step]);
    return { median: median(numbers), p95: quantile(numbers, 0.95) };
  };
  return {
    ...result,
    perSecond: result.recoveries / result.seconds,
    times: { status: of('status'), attempt: of('attempt'), confirm: of('confirm'), recovery: of('recovery') },
  };
}
