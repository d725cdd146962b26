/** The bench's results in words and tables. */

import type { FleetResult } from './fleet.ts';
import type { LogResult, Times } from './log.ts';
import { cpuSeconds, isNode, type ProcessFigures, tokenTotals } from './observe.ts';
import type { ProcessMemory } from './processes.ts';
import { SCALE_GOALS, type ScaleResult, type ScaleSide, type ScaleTurn } from './scale.ts';
import { median, sum } from './statistics.ts';
import type { Window } from './throughput.ts';
import { ceilingOf, type TokenResult } from './token.ts';
import { TRUST_GOAL, type TrustResult } from './trust.ts';

const fixed = (number: number, digits = 1): string => (Number.isFinite(number) ? number.toFixed(digits) : '-');

/** Columns as wide as their widest cell, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]!.length)));
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!))).join('  ');
  return [head, widths.map((width) => '-'.repeat(width)), ...rows].map((row) => `  ${line(row).trimEnd()}`).join('\n');
}

/** The window whose rate is the median of all. */
export function medianWindow(windows: readonly Window[]): Window {
  const rate = median(windows.map(({ perSecond }) => perSecond));
  return windows.find(({ perSecond }) => perSecond === rate)!;
}

export function printFleet(result: FleetResult, cores: number): void {
  const window = medianWindow(result.loaded);
  const rates = result.loaded.map(({ perSecond }) => fixed(perSecond)).join(', ');
  console.log(`\nWhole fleet: ${result.nodes} nodes on SoftHSM, ${result.coordinators} coordinator(s)`);
  console.log(`  ${fixed(window.perSecond)} recoveries/s (median of ${rates}), ${window.concurrency} at a time`);
  const share = (seconds: number) => `${fixed(seconds / window.workSeconds, 2)} cores`;
  const own = cpuSeconds(window.processes);
  console.log(
    `  CPU: fleet ${share(own)}, load generator ${share(window.generatorSeconds)}, everything else ${share(window.othersSeconds)}; load average ${fixed(window.loadAverage, 2)}`,
  );
  const each = (1000 * own) / window.completed;
  console.log(
    `  ${fixed(each)} ms of CPU per recovery, client left out: ${cores} cores of which nobody else takes any would do ${fixed((1000 * cores) / each)}/s`,
  );
  console.log(
    `  failed ${sum(result.loaded.map(({ failed }) => failed))}, checked in full ${sum(result.loaded.map(({ verified }) => verified))}`,
  );
  for (const { failures } of result.loaded) for (const failure of failures) console.log(`  failure: ${failure}`);
  console.log('\nMilliseconds per request');
  console.log(
    table(
      ['step', 'alone: median', 'p95', 'under load: median', 'p95 '],
      (['status', 'attempt', 'confirm', 'recovery'] as const).map((step) => [
        step,
        fixed(result.single.times[step].median),
        fixed(result.single.times[step].p95),
        fixed(window.times[step].median),
        fixed(window.times[step].p95),
      ]),
    ),
  );
  console.log(`  a whole recovery by the SDK, its own cryptography included: ${fixed(result.sdkRecovery)} ms`);
  console.log('\nProcesses under load: CPU milliseconds per recovery, by thread');
  console.log(
    table(
      ['process', 'all', 'main', 'token', 'other', 'token %', 'batches/s', 'statements', 'RSS MiB', 'anon MiB'],
      window.processes.map((one) => processRow(one, window)),
    ),
  );
  printOperations(window);
}

function processRow(one: ProcessFigures, { completed, workSeconds }: Window): string[] {
  const each = (value: number) => fixed((1000 * value) / completed, 2);
  const { cpu, memory } = one;
  return [
    one.name,
    ...[each(cpu.total), each(cpu.main), each(cpu.token), each(cpu.other)],
    isNode(one) ? fixed((100 * cpu.token) / cpu.total) : '',
    ...(isNode(one) ? [fixed(one.batches / workSeconds), fixed(one.statements / one.batches)] : ['', '']),
    ...[fixed(memory.resident, 0), fixed(memory.anonymous, 0)],
  ];
}

function printOperations({ processes, completed }: Window): void {
  const totals = [...tokenTotals(processes)].sort(([, a], [, b]) => b.seconds - a.seconds);
  console.log('\nToken operations of one recovery, all nodes together');
  console.log(
    table(
      ['operation', 'count', 'module ms', 'us each'],
      totals.map(([operation, { count, seconds }]) => [
        operation,
        fixed(count / completed, 2),
        fixed((1000 * seconds) / completed, 2),
        fixed((1e6 * seconds) / count, 0),
      ]),
    ),
  );
  const nodes = processes.filter(isNode);
  const steps = ['store', 'anchor', 'sign'].map(
    (step) => `${step} ${fixed(median(nodes.map((one) => one.steps[step] ?? Number.NaN)), 2)}`,
  );
  console.log(`  milliseconds of a group commit's steps (mean): ${steps.join(', ')}`);
}

export function printToken(token: TokenResult, fleet: FleetResult | undefined, cores: number): void {
  console.log(`\nToken's own ceiling: ${token.tokens} fresh SoftHSM tokens at once, best rounds`);
  console.log(
    table(
      ['operation', 'module us'],
      Object.entries(token.microseconds).map(([operation, time]) => [operation, fixed(time, 0)]),
    ),
  );
  const rates = Object.entries(token.rates).map(([operation, rate]) => `${operation} ${rate}/s`);
  console.log(`  through one worker thread: ${rates.join(', ')}`);
  if (!fleet) return;
  const window = medianWindow(fleet.loaded);
  const ceiling = ceilingOf(token, operationsPerRecovery(window), cores);
  const nodes = window.processes.filter(isNode);
  const share = sum(nodes.map(({ cpu }) => cpu.token)) / cpuSeconds(nodes);
  console.log(
    `  one recovery takes ${fixed(sum(Object.values(operationsPerRecovery(window))), 1)} token operations, ${fixed(ceiling.millisecondsPerRecovery, 2)} ms by these costs`,
  );
  console.log(`  ceiling on ${cores} cores: ${fixed(ceiling.recoveriesPerSecond)} recoveries/s`);
  console.log(`  achieved: ${fixed((100 * window.perSecond) / ceiling.recoveriesPerSecond)} % of it`);
  console.log(`  the token's thread has ${fixed(100 * share)} % of the nodes' CPU`);
}

/** By operation, all nodes together. */
export function operationsPerRecovery({ processes, completed }: Window): Record<string, number> {
  return Object.fromEntries(
    [...tokenTotals(processes)].map(([operation, { count }]) => [operation, count / completed]),
  );
}

export function printScale({ few, many, ratio }: ScaleResult): void {
  console.log('\nOne node, few and many records');
  const row = (name: string, of: (side: ScaleSide) => string) => [name, of(few), of(many)];
  const turns = (of: (turn: ScaleTurn) => number, digits: number) => (side: ScaleSide) =>
    fixed(median(side.turns.map(of)), digits);
  const memoryRows = (when: string, of: (turn: ScaleTurn) => ProcessMemory) => [
    row(
      `resident ${when}, MiB`,
      turns((turn) => of(turn).resident, 0),
    ),
    row(
      'of that anonymous, MiB',
      turns((turn) => of(turn).anonymous, 0),
    ),
  ];
  console.log(
    table(
      ['', 'few', 'many'],
      [
        row('records', ({ filled }) => String(filled.records)),
        row('bytes of a record', ({ filled }) => String(filled.recordBytes)),
        row('store, MiB', ({ filled }) => fixed(filled.storeBytes / 2 ** 20, 0)),
        row('recoveries/s', ({ perSecond }) => fixed(perSecond)),
        row('node CPU ms per recovery', (side) => fixed(side.nodeMillisecondsPerRecovery, 2)),
        row(
          'start, s',
          turns((turn) => turn.startSeconds, 1),
        ),
        ...memoryRows('after start', ({ atStart }) => atStart),
        ...memoryRows('after load', ({ afterLoad }) => afterLoad),
      ],
    ),
  );
  console.log(`  rate with many records: ${fixed(100 * ratio)} % of that with few`);
  for (const line of judgeScale({ few, many, ratio })) console.log(`  ${line}`);
}

/** The goals for a store of many records, each with the worst that was measured. */
export function judgeScale({ many, ratio }: ScaleResult): string[] {
  const { resident, start, ratio: least } = SCALE_GOALS;
  const most = Math.max(...many.turns.flatMap(({ atStart, afterLoad }) => [atStart.resident, afterLoad.resident]));
  const slowest = Math.max(...many.turns.map(({ startSeconds }) => startSeconds));
  const line = (goal: string, met: boolean, worst: string) => `goal: ${goal}: ${met ? 'met' : 'missed'} (${worst})`;
  return [
    line(`resident under ${resident} MiB, after start and load`, most < resident, `${fixed(most, 0)} at most`),
    line(`start under ${start} s`, slowest < start, `${fixed(slowest)} at most`),
    line(`at least ${fixed(100 * least, 0)} % of the rate`, ratio >= least, `${fixed(100 * ratio)} %`),
  ];
}

export function printLog(result: LogResult): void {
  const { entries, perSecond, batches, cpuPerThousand, size } = result;
  const mebibytes = (bytes: number) => fixed(bytes / 2 ** 20, 0);
  console.log(`\nTransparency log: ${entries} entries, ${result.concurrency} at a time`);
  console.log(
    `  ${fixed(perSecond, 0)} entries/s, each acknowledged once a published checkpoint has it; ${batches} batches`,
  );
  console.log(`  ${fixed(cpuPerThousand, 3)} s of CPU per 1,000 entries`);
  const row = (name: string, { median, p95 }: Times) => [name, fixed(median, 2), fixed(p95, 2)];
  console.log(
    table(
      ['milliseconds', 'median', 'p95'],
      [
        row('acknowledged, under load', result.acknowledged),
        row('acknowledged, alone', result.alone),
        row('inclusion proof', result.inclusion),
        row('consistency proof', result.consistency),
      ],
    ),
  );
  console.log(
    `  ${size} leaves: store ${mebibytes(result.storeBytes)} MiB, files ${mebibytes(result.fileBytes)} MiB, opened in ${fixed(result.openSeconds, 2)} s`,
  );
}

export function printTrust({ setBytes, cosignatures, first, again }: TrustResult): void {
  console.log(
    `\nVerifying a fleet: bundle, two proofs, ${cosignatures} cosignatures; a trust set of ${setBytes} bytes`,
  );
  const row = (name: string, { median, p95 }: TrustResult['first']) => [name, fixed(median, 2), fixed(p95, 2)];
  console.log(table(['milliseconds', 'median', 'p95'], [row('first use', first), row('later use', again)]));
  const met = first.median < TRUST_GOAL ? 'met' : 'missed';
  console.log(`  goal: less than ${TRUST_GOAL} ms: ${met}`);
}
