/** The bench's first part: five nodes on SoftHSM tokens, a coordinator, and recoveries. */

import { BenchFleet } from './holdfast.ts';
import { LoadGenerator } from './load.ts';
import { type BenchRecord, enrolRecords, openTenancy, recoverWithSdk, type Tenancy } from './records.ts';
import { median } from './statistics.ts';
import { measureWindow, type Window } from './throughput.ts';

export interface FleetOptions {
  readonly directory: string;
  readonly seconds: number;
  readonly windows: number;
  readonly concurrency: number;
  readonly records: number;
  readonly coordinators: number;
  readonly nodeOptions: string | undefined;
  readonly say: (line: string) => void;
}

export interface FleetResult {
  readonly nodes: number;
  readonly coordinators: number;
  readonly startSeconds: number;
  /** One recovery at a time. */
  readonly single: Window;
  readonly loaded: readonly Window[];
  /** Milliseconds: a whole recovery by the SDK, the client's cryptography included, one at a time. */
  readonly sdkRecovery: number;
}

const NODES = 5;

export async function measureFleet(options: FleetOptions): Promise<FleetResult> {
  const { directory, coordinators, nodeOptions, say } = options;
  say('fleet: making five tokens and a fleet');
  const fleet = await BenchFleet.create({ directory, nodes: NODES, coordinators, nodeOptions });
  const startSeconds = await fleet.up();
  const tenancy = await openTenancy(fleet);
  try {
    const records = await enrolAll(tenancy, options);
    return { nodes: NODES, coordinators, startSeconds, ...(await windows(fleet, tenancy, records, options)) };
  } finally {
    await tenancy.close();
    await fleet.down();
  }
}

async function enrolAll(tenancy: Tenancy, { records, concurrency, say }: FleetOptions): Promise<BenchRecord[]> {
  // A record must have come to rest before its turn comes again.
  const count = Math.max(records, 2 * concurrency);
  const begun = performance.now();
  const enrolled = await enrolRecords(tenancy, count);
  say(`fleet: enrolled ${count} records in ${((performance.now() - begun) / 1000).toFixed(1)} s`);
  return enrolled;
}

async function windows(
  fleet: BenchFleet,
  tenancy: Tenancy,
  records: readonly BenchRecord[],
  { coordinators, concurrency, seconds, windows: count, say }: FleetOptions,
) {
  const generator = new LoadGenerator(tenancy.trust, coordinators);
  const common = { fleet, tenancy, records, generator };
  // The runtime's compiler is done with most of its work after some hundred recoveries.
  let expectedRate = 100;
  const warm = await measureWindow({ ...common, concurrency, seconds: 5, expectedRate });
  expectedRate = Math.max(20, warm.perSecond * 1.5);
  say(`fleet: warmed up; ${warm.perSecond.toFixed(0)} recoveries/s`);
  const loaded: Window[] = [];
  for (let i = 0; i < count; i++) {
    const window = await measureWindow({ ...common, concurrency, seconds, expectedRate });
    expectedRate = Math.max(expectedRate, window.perSecond * 1.4);
    loaded.push(window);
    say(`fleet: window ${i + 1}: ${window.perSecond.toFixed(1)} recoveries/s, ${window.failed} failed`);
  }
  const single = await measureWindow({ ...common, concurrency: 1, seconds: Math.min(seconds, 8), expectedRate: 60 });
  const times: number[] = [];
  for (const record of records.filter(({ usable }) => usable).slice(0, 8)) {
    times.push(await recoverWithSdk(tenancy, record));
  }
  return { single, loaded, sdkRecovery: median(times) };
}
