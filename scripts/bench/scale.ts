/** The bench's second part: one node with few records and with many, in turns, through its real service. */

import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { syntheticKey } from '../../src/store/index.ts';
import { BenchFleet, benchScript } from './holdfast.ts';
import { LoadGenerator } from './load.ts';
import { isNode } from './observe.ts';
import { prepareStatuses } from './prepare.ts';
import { type ProcessMemory, processMemory, startedAt } from './processes.ts';
import { type BenchRecord, enrolRecords, openTenancy, type Tenancy } from './records.ts';
import { median } from './statistics.ts';
import { measureWindow, type Window } from './throughput.ts';

export interface ScaleOptions {
  readonly directory: string;
  readonly few: number;
  readonly many: number;
  readonly seconds: number;
  readonly concurrency: number;
  readonly say: (line: string) => void;
}

export interface Filled {
  readonly records: number;
  readonly recordBytes: number;
  readonly storeBytes: number;
  readonly seconds: number;
}

export interface ScaleTurn {
  /** Seconds from the start of the node's process until it listened, which it does when it serves. */
  readonly startSeconds: number;
  /** Right after the start, and after the load, which ends with the status of `SPREAD` records from all over the store. */
  readonly atStart: ProcessMemory;
  readonly afterLoad: ProcessMemory;
  readonly window: Window;
}

export interface ScaleSide {
  readonly filled: Filled;
  readonly turns: readonly ScaleTurn[];
  /** Medians of the turns. */
  readonly perSecond: number;
  readonly nodeMillisecondsPerRecovery: number;
}

export interface ScaleResult {
  readonly few: ScaleSide;
  readonly many: ScaleSide;
  /** Rate with many records over the rate with few. */
  readonly ratio: number;
}

/** What a node with the large store must do. */
export const SCALE_GOALS = {
  /** MiB, mapped files included, after the load. */
  resident: 250,
  /** Seconds. */
  start: 10,
  /** Of the rate with few records. */
  ratio: 0.8,
} as const;

/** Records that recoveries use. */
const USED = 48;
/** Others whose status is asked for after them, because memory depends on how many records are touched. */
const SPREAD = 2000;
const TURNS = 3;

export async function measureScale(options: ScaleOptions): Promise<ScaleResult> {
  const { directory, few, many, say } = options;
  say('scale: making a fleet of one node');
  const small = await BenchFleet.create({ directory: join(directory, 'few'), nodes: 1, coordinators: 1 });
  small.allowAnyRecord();
  await small.up();
  const tenancy = await openTenancy(small);
  try {
    const records = await enrolRecords(tenancy, USED).finally(() => small.down());
    const fewFilled = await fill(small, few);
    // The copy has its own token: counts and anchors go separate ways from here on.
    const large = small.copyOf(join(directory, 'many'));
    cpSync(small.folder.path, large.folder.path, { recursive: true });
    say(`scale: filling a store with ${many} records`);
    const manyFilled = await fill(large, many);
    const gigabytes = (manyFilled.storeBytes / 2 ** 30).toFixed(1);
    say(`scale: ${gigabytes} GiB, ${manyFilled.recordBytes} B each, in ${manyFilled.seconds.toFixed(0)} s`);
    const copies = records.map((record) => ({ ...record }));
    const [fewTurns, manyTurns]: [ScaleTurn[], ScaleTurn[]] = [[], []];
    // In turns, so that whatever else the machine does meets both.
    for (let i = 0; i < TURNS; i++) {
      fewTurns.push(await turn(small, tenancy, records, few, options));
      manyTurns.push(await turn(large, tenancy, copies, many, options));
      say(`scale: ${fewTurns[i]!.window.perSecond.toFixed(0)} and ${manyTurns[i]!.window.perSecond.toFixed(0)} /s`);
    }
    const sides = { few: side(fewFilled, fewTurns), many: side(manyFilled, manyTurns) };
    return { ...sides, ratio: sides.many.perSecond / sides.few.perSecond };
  } finally {
    await tenancy.close();
  }
}

async function fill(fleet: BenchFleet, count: number): Promise<Filled> {
  fleet.folder.softHsm('node-1');
  return (await benchScript('fill.ts', [fleet.folder.configuration('node-1'), String(count)], {
    SOFTHSM2_CONF: fleet.folder.softHsm('node-1'),
  })) as Filled;
}

async function turn(
  fleet: BenchFleet,
  tenancy: Tenancy,
  records: readonly BenchRecord[],
  filled: number,
  { seconds, concurrency }: ScaleOptions,
): Promise<ScaleTurn> {
  await fleet.up();
  const generator = new LoadGenerator(tenancy.trust, 1);
  try {
    const node = fleet.processes().find(isNode)!;
    const atStart = processMemory(node.pid);
    const startSeconds = (listeningAt(fleet) - startedAt(node.pid)) / 1000;
    const common = { fleet, tenancy, records, generator, concurrency };
    await measureWindow({ ...common, seconds: 2, expectedRate: 300 });
    const window = await measureWindow({ ...common, seconds, expectedRate: 300 });
    await generator.askStatuses(await prepareStatuses(tenancy, spread(filled)), concurrency);
    return { startSeconds, atStart, afterLoad: processMemory(node.pid), window };
  } finally {
    await fleet.down();
  }
}

/** Copies from all over a store of `records`; which, is drawn anew each time. */
function spread(records: number): Uint8Array[] {
  return Array.from({ length: SPREAD }, () => syntheticKey(USED + Math.floor(Math.random() * (records - USED))));
}

/** When the node last said that it listens, in milliseconds since 1970. */
function listeningAt(fleet: BenchFleet): number {
  const lines = readFileSync(fleet.folder.log('node-1'), 'utf8').split('\n');
  const line = lines.findLast((text) => text.includes('"event":"listening"'));
  if (line === undefined) throw new Error('the node’s log does not say that it listens');
  const { time } = JSON.parse(line) as { time: number | string };
  return typeof time === 'number' ? time : Date.parse(time);
}

function side(filled: Filled, turns: readonly ScaleTurn[]): ScaleSide {
  return {
    filled,
    turns,
    perSecond: median(turns.map(({ window }) => window.perSecond)),
    nodeMillisecondsPerRecovery: median(
      turns.map(({ window }) => (1000 * window.processes.find(isNode)!.cpu.total) / window.completed),
    ),
  };
}
