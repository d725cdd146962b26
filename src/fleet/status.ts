/** How a fleet stands: what its supervisor wrote, and what each process says of itself on its monitoring port. */

import { threshold } from '../protocol/index.ts';
import { type FleetFolder, portsOf, processNames, readPlan } from './folder.ts';
import { isAlive } from './process.ts';
import { readState } from './state.ts';

export interface ProcessStatus {
  readonly name: string;
  readonly condition: 'running' | 'restarting' | 'held' | 'down';
  readonly pid: number | null;
  readonly restarts: number;
  readonly port: number;
  readonly monitoringPort: number;
  readonly ready: boolean;
  /** Why it is not ready, for people. */
  readonly reason: string;
  /** Of nodes that answer: `repairing`, `serving` or `stopped`. */
  readonly phase: string | null;
  /** Of nodes that answer: how often they have rejoined. */
  readonly incarnation: number | null;
  /** Of nodes that answer. */
  readonly epoch: number | null;
}

export interface FleetStatus {
  readonly fleet: string;
  readonly up: boolean;
  /** Whether a majority of nodes serves and a coordinator sees it. */
  readonly serving: boolean;
  readonly nodesServing: number;
  readonly nodesNeeded: number;
  readonly supervisor: number | null;
  readonly processes: readonly ProcessStatus[];
}

/** @throws HoldfastError `usage` where there is no fleet. */
export async function fleetStatus(folder: FleetFolder): Promise<FleetStatus> {
  const plan = readPlan(folder);
  const state = readState(folder);
  const up = isAlive(state?.supervisor);
  const names = up ? state!.processes.map(({ name }) => name) : processNames(plan);
  const processes = await Promise.all(
    names.map(async (name): Promise<ProcessStatus> => {
      const known = state?.processes.find((one) => one.name === name);
      const alive = isAlive(known?.process);
      const { service, monitoring } = portsOf(plan, name);
      const said = alive ? await ask(monitoring, name.startsWith('node')) : SILENT;
      return {
        name,
        condition: up ? (known?.condition ?? 'down') : alive ? 'running' : 'down',
        pid: alive ? known!.process!.pid : null,
        restarts: known?.restarts ?? 0,
        port: service,
        monitoringPort: monitoring,
        ...said,
      };
    }),
  );
  const isNode = ({ name }: ProcessStatus) => name.startsWith('node');
  const nodesServing = processes.filter((one) => isNode(one) && one.ready).length;
  const nodesNeeded = threshold({ nodes: Array.from({ length: plan.nodes }) } as unknown as Parameters<
    typeof threshold
  >[0]);
  return {
    fleet: plan.name,
    up,
    serving: nodesServing >= nodesNeeded && processes.some((one) => !isNode(one) && one.ready),
    nodesServing,
    nodesNeeded,
    supervisor: up ? state!.supervisor.pid : null,
    processes,
  };
}

type Said = Pick<ProcessStatus, 'ready' | 'reason' | 'phase' | 'incarnation' | 'epoch'>;

const UNKNOWN = { phase: null, incarnation: null, epoch: null };
const SILENT: Said = { ready: false, reason: 'it does not run', ...UNKNOWN };

async function ask(port: number, isNode: boolean): Promise<Said> {
  try {
    const response = await get(port, '/readyz');
    const { reason } = (await response.json()) as { reason?: unknown };
    const said = { ready: response.ok, reason: typeof reason === 'string' ? reason : '' };
    if (!isNode) return { ...said, ...UNKNOWN };
    const metrics = await (await get(port, '/metrics')).text();
    const phase = /^holdfast_node_phase\{phase="(\w+)"\} 1$/m.exec(metrics)?.[1] ?? null;
    const number = (name: string) => {
      const value = new RegExp(`^holdfast_node_${name} (\\d+)$`, 'm').exec(metrics)?.[1];
      return value === undefined ? null : Number(value);
    };
    return { ...said, phase, incarnation: number('incarnation'), epoch: number('epoch') };
  } catch {
    return { ready: false, reason: 'it does not answer yet', ...UNKNOWN };
  }
}

const get = (port: number, path: string) =>
  fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(2000) });
