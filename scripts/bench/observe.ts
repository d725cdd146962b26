/** What a fleet's processes did between two moments: CPU by process and thread, memory, token operations, batches. */

import type { FleetProcess } from './holdfast.ts';
import { byLabel, growth, type Scrape, scrape } from './metrics.ts';
import { type ProcessMemory, type ProcessUsage, processMemory, processUsage, usageBetween } from './processes.ts';
import { sum } from './statistics.ts';

export interface ProcessFigures {
  readonly name: string;
  /** CPU seconds. */
  readonly cpu: ProcessUsage;
  readonly memory: ProcessMemory;
  /** Of nodes: uses of the token and seconds inside its module, by operation. */
  readonly token: Readonly<Record<string, { readonly count: number; readonly seconds: number }>>;
  /** Of nodes. */
  readonly batches: number;
  readonly statements: number;
  /** Of nodes: mean milliseconds of a group commit's steps. */
  readonly steps: Readonly<Record<string, number>>;
}

interface Moment {
  readonly process: FleetProcess;
  readonly cpu: ProcessUsage;
  readonly metrics: Scrape;
}

/** Takes note of where all processes are now. */
export async function observe(processes: readonly FleetProcess[]): Promise<() => Promise<ProcessFigures[]>> {
  const before = await moments(processes);
  return async () => {
    const after = await moments(processes);
    return after.map((now, i) => figures(before[i]!, now));
  };
}

function moments(processes: readonly FleetProcess[]): Promise<Moment[]> {
  return Promise.all(
    processes.map(async (process) => ({
      process,
      metrics: await scrape(process.monitoring),
      cpu: processUsage(process.pid),
    })),
  );
}

function figures(before: Moment, after: Moment): ProcessFigures {
  const { name, pid } = after.process;
  const grown = growth(before.metrics, after.metrics);
  const counts = byLabel(grown, 'holdfast_token_operations_total', 'operation');
  const seconds = byLabel(grown, 'holdfast_token_seconds_total', 'operation');
  const token = Object.fromEntries(
    [...counts]
      .filter(([, count]) => count > 0)
      .map(([operation, count]) => [operation, { count, seconds: seconds.get(operation) ?? 0 }]),
  );
  const stepSeconds = byLabel(grown, 'holdfast_node_batch_step_seconds_sum', 'step');
  const stepCounts = byLabel(grown, 'holdfast_node_batch_step_seconds_count', 'step');
  return {
    name,
    cpu: usageBetween(before.cpu, after.cpu),
    memory: processMemory(pid),
    token,
    batches: grown.get('holdfast_node_batches_total') ?? 0,
    statements: grown.get('holdfast_node_batch_statements_sum') ?? 0,
    steps: Object.fromEntries(
      [...stepSeconds].map(([step, total]) => [step, (1000 * total) / (stepCounts.get(step) || 1)]),
    ),
  };
}

export const isNode = ({ name }: { readonly name: string }): boolean => name.startsWith('node');

/** Token operations of all nodes together, by operation. */
export function tokenTotals(all: readonly ProcessFigures[]): Map<string, { count: number; seconds: number }> {
  const totals = new Map<string, { count: number; seconds: number }>();
  for (const { token } of all) {
    for (const [operation, { count, seconds }] of Object.entries(token)) {
      const known = totals.get(operation) ?? { count: 0, seconds: 0 };
      totals.set(operation, { count: known.count + count, seconds: known.seconds + seconds });
    }
  }
  return totals;
}

export const cpuSeconds = (all: readonly ProcessFigures[]): number => sum(all.map(({ cpu }) => cpu.total));
