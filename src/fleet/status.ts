/** How a fleet stands: what its supervisor wrote, and what each process says of itself on its monitoring port. */

import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { parseJson } from '../core/index.ts';
import { threshold } from '../protocol/index.ts';
import { parseBundle, parseNote, parseTrustFile, parseTrustSet, requireLive } from '../trust/index.ts';
import { ask } from './ask.ts';
import {
  COSIGNER,
  dashboardPortOf,
  type FleetFolder,
  type FleetPlan,
  logFolderOf,
  portsOf,
  processNames,
  readPlan,
  roleOf,
} from './folder.ts';
import { isAlive } from './process.ts';
import { type ProcessState, readState } from './state.ts';

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
  /** Of nodes that answer, where that is asked for: how often they have rejoined. */
  readonly incarnation: number | null;
  /** Of nodes that answer, where that is asked for. */
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
  /** What the cosigner serves as the fleet's last accepted bundle, unverified; null where nothing is or no cosigner answers. */
  readonly bundle: FleetBundle | null;
  /** Whether that is the fleet in its present epoch. */
  readonly announced: boolean;
  /** Why it is not, where the last attempt has failed. */
  readonly announcement: { readonly code: string; readonly message: string; readonly final: boolean } | null;
  readonly processes: readonly ProcessStatus[];
  /** Of the coordinators that run; null where the fleet has no dashboards. */
  readonly dashboards: Dashboards | null;
}

export interface Dashboards {
  /** Path of the file with the credential that opens them. */
  readonly credentialFile: string;
  /** By the coordinator's name. */
  readonly urls: Readonly<Record<string, string>>;
}

export interface FleetBundle {
  readonly serial: number;
  readonly epoch: number;
  readonly kind: 'deploy' | 'retire';
  readonly digest: string;
  readonly revoked: boolean;
}

/** What somebody who asks again and again can do without. */
export interface StatusParts {
  /** Of nodes that serve: incarnation and epoch. Default true. */
  readonly counters?: boolean;
  /** What is accepted in the log. Default true. */
  readonly bundle?: boolean;
  /** What was found before: a process that was ready and still runs is not asked again. */
  readonly seen?: readonly ProcessStatus[];
}

/** @throws HoldfastError `usage` where there is no fleet. */
export async function fleetStatus(
  folder: FleetFolder,
  { counters = true, bundle: asksBundle = true, seen = [] }: StatusParts = {},
): Promise<FleetStatus> {
  const plan = readPlan(folder);
  const state = readState(folder);
  const up = isAlive(state?.supervisor);
  const names = up ? state!.processes.map(({ name }) => name) : processNames(plan);
  const asked = asksBundle ? askBundle(folder, plan) : null;
  const processes = await Promise.all(
    names.map(async (name): Promise<ProcessStatus> => {
      const known = state?.processes.find((one) => one.name === name);
      const alive = isAlive(known?.process);
      const { service, monitoring } = portsOf(plan, name);
      const pid = alive ? known!.process!.pid : null;
      const before = seen.find((one) => one.name === name && one.ready && one.pid === pid);
      const ended = up && !alive && conditionOf(folder, name, known, alive) === 'restarting';
      const said = before
        ? saidBefore(before)
        : alive
          ? await sayOf(monitoring, roleOf(name) === 'node', counters)
          : { ...SILENT, ...(ended && { reason: `it ended: ${lastWords(folder, name)}` }) };
      return {
        name,
        condition: up ? conditionOf(folder, name, known, alive) : alive ? 'running' : 'down',
        pid,
        restarts: known?.restarts ?? 0,
        port: service,
        monitoringPort: monitoring,
        ...said,
      };
    }),
  );
  const bundle = await asked;
  const isNode = ({ name }: ProcessStatus) => roleOf(name) === 'node';
  const nodesServing = processes.filter((one) => isNode(one) && one.ready).length;
  const nodesNeeded = threshold({ nodes: Array.from({ length: plan.nodes }) } as unknown as Parameters<
    typeof threshold
  >[0]);
  return {
    fleet: plan.name,
    up,
    serving:
      nodesServing >= nodesNeeded && processes.some(({ name, ready }) => roleOf(name) === 'coordinator' && ready),
    nodesServing,
    nodesNeeded,
    supervisor: up ? state!.supervisor.pid : null,
    bundle,
    announced: bundle !== null && !bundle.revoked && bundle.epoch === epochOf(folder),
    announcement: readAnnouncement(folder),
    processes,
    dashboards: dashboardsOf(folder, plan, processes),
  };
}

/** The supervisor hears of an end, and writes it down, a moment after it: whoever has killed a process looks before that. */
function conditionOf(
  folder: FleetFolder,
  name: string,
  known: ProcessState | undefined,
  alive: boolean,
): ProcessStatus['condition'] {
  if (known?.condition !== 'running' || alive) return known?.condition ?? 'down';
  return existsSync(folder.held(name)) ? 'held' : 'restarting';
}

function dashboardsOf(folder: FleetFolder, plan: FleetPlan, processes: readonly ProcessStatus[]): Dashboards | null {
  if (!existsSync(folder.dashboardCredential)) return null;
  const running = processes.filter(({ name, pid }) => roleOf(name) === 'coordinator' && pid !== null);
  const url = (name: string) => `http://127.0.0.1:${dashboardPortOf(plan, Number(name.split('-').at(-1)))}/`;
  return {
    credentialFile: folder.dashboardCredential,
    urls: Object.fromEntries(running.map(({ name }) => [name, url(name)])),
  };
}

const saidBefore = ({ ready, reason, phase, incarnation, epoch }: ProcessStatus): Said => ({
  ...{ ready, reason, phase, incarnation, epoch },
});

type Said = Pick<ProcessStatus, 'ready' | 'reason' | 'phase' | 'incarnation' | 'epoch'>;

/** The end of a log that is read, bytes. */
const END_OF_LOG = 16_384;

/** What a process that ended said last, as its log has it: at most 400 characters. */
export function lastWords(folder: FleetFolder, name: string): string {
  const lines = endOf(folder.log(name)).trimEnd().split('\n');
  // What the command itself reported, before any advice that follows it.
  const said = lines.findLast((line) => line.startsWith('holdfast: ')) ?? lines.at(-1) ?? '';
  return said.replace(/^holdfast: /, '').slice(0, 400);
}

function endOf(path: string): string {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return '';
  }
  try {
    const end = Buffer.alloc(END_OF_LOG);
    const start = Math.max(0, fstatSync(file).size - END_OF_LOG);
    return end.toString('utf8', 0, readSync(file, end, 0, END_OF_LOG, start));
  } finally {
    closeSync(file);
  }
}

const UNKNOWN = { phase: null, incarnation: null, epoch: null };
const SILENT: Said = { ready: false, reason: 'it does not run', ...UNKNOWN };

async function sayOf(port: number, isNode: boolean, counters: boolean): Promise<Said> {
  try {
    const { status, body } = await ask(port, '/readyz');
    const { reason } = JSON.parse(body.toString('utf8')) as { reason?: unknown };
    const said = { ready: status === 200, reason: typeof reason === 'string' ? reason : '' };
    if (!isNode) return { ...said, ...UNKNOWN };
    if (said.ready && !counters) return { ...said, ...UNKNOWN, phase: 'serving' };
    const metrics = (await ask(port, '/metrics')).body.toString('utf8');
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

/** Nobody waits for a cosigner: what does not come at once is not there. */
async function askBundle(folder: FleetFolder, plan: FleetPlan): Promise<FleetBundle | null> {
  try {
    const home = logFolderOf(folder, plan);
    if (!home) return null;
    const { service } = portsOf(readPlan(home), COSIGNER);
    const { status, body } = await ask(service, `/trust/${plan.name}`);
    if (status !== 200) return null;
    const set = parseTrustSet(new Uint8Array(body));
    const { digest, manifest } = requireLive(parseBundle(parseNote(set.bundle).text));
    const { serial, epoch, kind } = manifest;
    return { serial, epoch, kind, digest, revoked: set.revocation !== undefined };
  } catch {
    return null;
  }
}

const epochOf = (folder: FleetFolder): number =>
  parseTrustFile(readFileSync(folder.trust, 'utf8'), { now: Number.NEGATIVE_INFINITY }).fleet.epoch;

function readAnnouncement(folder: FleetFolder): FleetStatus['announcement'] {
  try {
    const file = parseJson(readFileSync(folder.announcement, 'utf8'), 'bad_input').object(['code', 'message', 'final']);
    const [code, message] = [file.required('code').text(64), file.required('message').text(4096)];
    return { code, message, final: file.required('final').boolean() };
  } catch {
    return null;
  }
}
