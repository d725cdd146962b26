/** The whole fleet under load, and at one request at a time. */

import { loadavg } from 'node:os';
import type { BenchFleet } from './holdfast.ts';
import type { LoadGenerator, LoadResult, RecoveryTimes } from './load.ts';
import { cpuSeconds, observe, type ProcessFigures } from './observe.ts';
import { prepareRecoveries, prepareStatuses } from './prepare.ts';
import { machineBusy } from './processes.ts';
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
  /** CPU seconds that the machine spent on anything else than this fleet and its load meanwhile. */
  readonly othersSeconds: number;
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
  const [probe] = await prepareStatuses(tenancy, [records[0]!.record], 'context');
  const contexts = await generator.takesContexts(probe!);
  const prepared = await prepareRecoveries(tenancy, records, count, SAMPLE_EVERY, contexts);
  const finish = await observe(fleet.processes());
  const busy = machineBusy();
  const result = await generator.run(prepared, concurrency, seconds);
  const busySeconds = machineBusy() - busy;
  const processes = await finish();
  const othersSeconds = Math.max(0, busySeconds - cpuSeconds(processes) - result.generatorSeconds);
  const loadAverage = loadavg()[0]!;
  for (const sample of result.samples) await verifySample(tenancy.trust.fleet, sample);
  const verified = result.samples.length;
  return { ...summary(result), concurrency, processes, verified, othersSeconds, loadAverage };
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
