/** What others than the supervisor do to a running fleet: wait for it, stop it, kill one process and start it again. */

import { rmSync, writeFileSync } from 'node:fs';
import { type Clock, HoldfastError, systemClock } from '../core/index.ts';
import { type FleetFolder, type ProcessRole, processNames, readPlan, roleOf } from './folder.ts';
import { isAlive, signalProcess, waitUntilGone } from './process.ts';
import { readState } from './state.ts';
import { type FleetStatus, fleetStatus, lastWords, type ProcessStatus, type StatusParts } from './status.ts';
import { endProcess, GRACE, KILLED_GRACE, lockRun } from './supervisor.ts';

/** Milliseconds for the supervisor to stop everything: one group of processes after the other, each of which has its own time. */
const DOWN_GRACE = 2 * GRACE + 10_000;
const POLL = 100;

export interface WaitOptions {
  /** Milliseconds. */
  readonly timeout: number;
  readonly signal?: AbortSignal | undefined;
  readonly onStatus?: (status: FleetStatus) => void;
  /** Throws where waiting has become pointless. */
  readonly check?: () => void;
  readonly clock?: Clock;
  /** Milliseconds between two looks; default 100. */
  readonly poll?: number;
  /** What of the fleet's state is looked at; default all. */
  readonly parts?: StatusParts;
  /** Whether there is nothing to wait for without the cosigner either; default false: nobody needs it to recover. */
  readonly log?: boolean;
}

/**
 * Waits until the fleet is up and `isDone`. Where no counters are wanted, processes that are ready are asked again only at the
 * end: they have better to do, with all the others starting beside them.
 * @throws HoldfastError `not_ready` after the timeout, `cancelled`.
 */
export async function waitForFleet(
  folder: FleetFolder,
  isDone: (status: FleetStatus) => boolean,
  { timeout, signal, onStatus, check, clock = systemClock, poll = POLL, parts, log = false }: WaitOptions,
): Promise<FleetStatus> {
  const end = performance.now() + timeout;
  let seen: readonly ProcessStatus[] = [];
  const hope = new Hope(folder, log ? ['coordinator', 'cosigner'] : ['coordinator']);
  for (;;) {
    if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause: signal.reason });
    const status = await fleetStatus(folder, { ...parts, seen });
    onStatus?.(status);
    // Processes of a supervisor that was killed go on answering until they have ended.
    if (status.up && isDone(status)) {
      if (seen.length === 0) return status;
      seen = [];
      continue;
    }
    if (parts?.counters === false) seen = status.processes;
    check?.();
    hope.require(status);
    if (performance.now() > end) {
      const { nodesServing, nodesNeeded } = status;
      const message = `after ${timeout / 1000} s ${nodesServing} nodes serve, ${nodesNeeded} are needed; see ${folder.logs}`;
      throw new HoldfastError('not_ready', message);
    }
    await clock.sleep(poll, signal).catch(() => {});
  }
}

/** Starts in a row after which a process counts as one that will not come up by itself. */
const HOPELESS = 4;

/** Whether a fleet is worth waiting for, by what happens meanwhile: before, any process may have been restarted for another reason. */
class Hope {
  readonly #folder: FleetFolder;
  readonly #roles: readonly ProcessRole[];
  /** How often each had been restarted when it was last seen ready, or first. */
  readonly #before = new Map<string, number>();

  /** @param roles beside nodes, those of which one has to come up. */
  constructor(folder: FleetFolder, roles: readonly ProcessRole[]) {
    this.#folder = folder;
    this.#roles = roles;
  }

  /**
   * @throws HoldfastError `not_ready` with what a process last said, where too many nodes, or all processes of another role,
   *   end as soon as they are started.
   */
  require({ up, processes, nodesNeeded }: FleetStatus): void {
    // What is known of the fleet's last time up says nothing of this one.
    if (!up) return;
    for (const { name, ready, restarts } of processes) {
      if (ready || !this.#before.has(name)) this.#before.set(name, restarts);
    }
    const those = (role: ProcessRole) => processes.filter(({ name }) => roleOf(name) === role);
    this.#requireOf(those('node'), nodesNeeded);
    for (const role of this.#roles) this.#requireOf(those(role), 1);
  }

  #requireOf(processes: readonly ProcessStatus[], needed: number): void {
    const failing = processes.filter(
      ({ name, ready, restarts }) => !ready && restarts - this.#before.get(name)! >= HOPELESS,
    );
    const [first] = failing;
    if (!first || processes.length - failing.length >= needed) return;
    const message = `${first.name} does not start; its log says: ${lastWords(this.#folder, first.name)}`;
    throw new HoldfastError('not_ready', message, { details: { final: true } });
  }
}

/** Stops a fleet and waits for its end. @returns whether anything ran. */
export async function stopFleet(folder: FleetFolder): Promise<boolean> {
  readPlan(folder);
  const state = readState(folder);
  if (!state) return false;
  const ran = isAlive(state.supervisor) || state.processes.some((one) => isAlive(one.process));
  await endProcess(state.supervisor, DOWN_GRACE);
  const lock = await lockRun(folder).catch((error: unknown) => {
    if (error instanceof HoldfastError && error.code === 'conflict') return undefined;
    throw error;
  });
  // Somebody has brought it up again meanwhile: those are no leftovers.
  if (!lock) return ran;
  try {
    // Whatever an unclean end left behind.
    await Promise.all((readState(folder)?.processes ?? []).map((one) => endProcess(one.process, DOWN_GRACE)));
    rmSync(folder.state, { force: true });
    for (const name of processNames(readPlan(folder))) rmSync(folder.held(name), { force: true });
  } finally {
    lock.release();
  }
  return ran;
}

/** SIGKILL, as a power cut would end it, and not started again. @throws HoldfastError `not_found`, `usage`. */
export async function killProcess(folder: FleetFolder, name: string): Promise<number> {
  requireKnown(requireUp(folder).processes, name);
  writeFileSync(folder.held(name), '', { mode: 0o600 });
  const known = await untilSettled(folder, name);
  if (!signalProcess(known.process, 'SIGKILL')) {
    throw new HoldfastError('usage', `${name} was not running; it stays down until holdfast fleet start`);
  }
  await waitUntilGone(known.process, KILLED_GRACE);
  return known.process!.pid;
}

/** Milliseconds for the supervisor to say how a process stands. */
const SUPERVISOR_TIME = 60_000;

/**
 * How a process stands that is to be held: it runs, or the supervisor knows that it is not to be started. One that ended by
 * itself may have been started again just before, and be in no state file yet.
 */
async function untilSettled(folder: FleetFolder, name: string) {
  const end = performance.now() + SUPERVISOR_TIME;
  for (let asked = false; ; asked = true) {
    const { supervisor, processes } = requireUp(folder);
    const known = requireKnown(processes, name);
    if (isAlive(known.process) || known.condition === 'held' || performance.now() > end) return known;
    if (!asked) signalProcess(supervisor, 'SIGUSR2');
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
}

/**
 * Starts processes that were killed, and waits until each runs.
 * @returns how each stands, in their order.
 * @throws HoldfastError `not_found`, `usage`, `not_ready`.
 */
export async function startProcesses(
  folder: FleetFolder,
  names: readonly string[],
  wait: WaitOptions,
): Promise<ProcessStatus[]> {
  const state = requireUp(folder);
  for (const name of names) requireKnown(state.processes, name);
  for (const name of names) rmSync(folder.held(name), { force: true });
  signalProcess(state.supervisor, 'SIGUSR2');
  // Alone one cannot repair, and waits for others: running and answering is all that can be promised.
  const stands = (one: ProcessStatus, { nodesServing, nodesNeeded }: FleetStatus) =>
    one.ready || (one.phase === 'repairing' && nodesServing < nodesNeeded);
  const named = ({ processes }: FleetStatus) => names.map((name) => processes.find((one) => one.name === name)!);
  const done = (status: FleetStatus) => named(status).every((one) => stands(one, status));
  await waitForFleet(folder, done, { ...wait, parts: { counters: false, bundle: false } });
  return named(await fleetStatus(folder, { bundle: false }));
}

function requireUp(folder: FleetFolder) {
  readPlan(folder);
  const state = readState(folder);
  if (state && isAlive(state.supervisor)) return state;
  throw new HoldfastError('usage', 'this fleet is down; start it with holdfast fleet up');
}

function requireKnown<T extends { readonly name: string }>(processes: readonly T[], name: string): T {
  const known = processes.find((one) => one.name === name);
  if (known) return known;
  const names = processes.map((one) => one.name).join(', ');
  throw new HoldfastError('not_found', `there is no process ${JSON.stringify(name)} here, but ${names}`);
}
