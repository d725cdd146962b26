/** Runs a fleet's processes: starts each, starts it again when it ends unasked, and stops all in good order. */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { HoldfastError } from '../core/index.ts';
import { type Lock, lockFile } from '../lock/index.ts';
import type { HoldfastCommand } from './command.ts';
import { type FleetFolder, type FleetPlan, type ProcessRole, processNames, roleOf } from './folder.ts';
import { identityOf, isAlive, type ProcessIdentity, signalProcess, waitUntilGone } from './process.ts';
import { type ProcessCondition, readState, writeState } from './state.ts';

export interface SupervisorOptions {
  readonly folder: FleetFolder;
  readonly plan: FleetPlan;
  /** How many of the coordinators run. */
  readonly coordinators: number;
  readonly command: HoldfastCommand;
  readonly onEvent: (line: string) => void;
}

/** Milliseconds before a process that ended is started again, doubled each time; and after which it counts as stable. */
const FIRST_PAUSE = 200;
const LONGEST_PAUSE = 15_000;
const STABLE = 20_000;
/** Milliseconds that a process gets to finish what it has begun. */
export const GRACE = 30_000;
/** And that the system gets to end one that it was told to. */
export const KILLED_GRACE = 60_000;
const VERB: Readonly<Record<ProcessRole, string>> = {
  node: 'run',
  coordinator: 'run',
  cosigner: 'serve',
  witness: 'serve',
};

export class Supervisor {
  readonly #options: SupervisorOptions;
  readonly #own: ProcessIdentity;
  readonly #processes: readonly Supervised[];
  #stopping = false;
  #lock: Lock | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
    this.#own = identityOf(process.pid)!;
    const { plan, coordinators } = options;
    if (coordinators > plan.coordinators) {
      throw new HoldfastError(
        'usage',
        `this fleet was made with ${plan.coordinators} coordinators, not ${coordinators}`,
      );
    }
    this.#processes = processNames(plan, coordinators).map(
      (name) => new Supervised(name, options, () => this.#changed()),
    );
  }

  /** @throws HoldfastError `conflict` where another supervisor runs this fleet, or a stopped one's processes are being ended. */
  async start(): Promise<void> {
    const { folder } = this.#options;
    folder.makeRunFolders();
    this.#lock = await lockRun(folder);
    try {
      const before = readState(folder);
      // One of a version that took no lock.
      if (before && isAlive(before.supervisor)) throw isUp(before.supervisor.pid);
      // Processes of a supervisor that was killed end by themselves; a node's store must be free before it is opened.
      for (const { process: left } of before?.processes ?? []) await endProcess(left, GRACE);
    } catch (error) {
      this.#lock.release();
      throw error;
    }
    for (const supervised of this.#processes) supervised.start();
    this.#changed();
  }

  /** Starts what is not running and no longer held. */
  reload(): void {
    if (this.#stopping) return;
    for (const supervised of this.#processes) supervised.start();
    this.#changed();
  }

  /** Coordinators and the cosigner first, so that no request meets a stopping node or witness. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const asking = ({ name }: Supervised) => ['coordinator', 'cosigner'].includes(roleOf(name));
    for (const group of [this.#processes.filter(asking), this.#processes.filter((one) => !asking(one))]) {
      await Promise.all(group.map((supervised) => supervised.stop()));
    }
    this.#lock?.release();
    this.#lock = undefined;
  }

  #changed(): void {
    writeState(this.#options.folder, {
      supervisor: this.#own,
      processes: this.#processes.map((supervised) => supervised.state),
    });
  }
}

/**
 * Who holds this starts and ends the fleet's processes, and writes its state. The system drops it with its holder.
 * @throws HoldfastError `conflict` where somebody else does.
 */
export async function lockRun(folder: FleetFolder): Promise<Lock> {
  return await lockFile(folder.state, 0).catch((error: unknown) => {
    if (!(error instanceof HoldfastError) || error.code !== 'not_ready') throw error;
    throw isUp(readState(folder)?.supervisor.pid, error);
  });
}

const isUp = (pid: number | undefined, cause?: unknown) =>
  new HoldfastError(
    'conflict',
    pid === undefined
      ? 'this fleet is being started or stopped by another process'
      : `this fleet is up already (process ${pid})`,
    { cause },
  );

/** Asks a process to end, and ends it after `grace` milliseconds. */
export async function endProcess(identity: ProcessIdentity | undefined, grace: number): Promise<void> {
  if (!signalProcess(identity, 'SIGTERM')) return;
  if (await waitUntilGone(identity, grace)) return;
  signalProcess(identity, 'SIGKILL');
  await waitUntilGone(identity, KILLED_GRACE);
}

class Supervised {
  readonly name: string;
  readonly #options: SupervisorOptions;
  readonly #onChange: () => void;
  #child: ChildProcess | undefined;
  #identity: ProcessIdentity | undefined;
  #condition: ProcessCondition = 'restarting';
  #restarts = 0;
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(name: string, options: SupervisorOptions, onChange: () => void) {
    this.name = name;
    this.#options = options;
    this.#onChange = onChange;
  }

  get state() {
    return { name: this.name, condition: this.#condition, process: this.#identity, restarts: this.#restarts };
  }

  start(): void {
    clearTimeout(this.#timer);
    if (this.#child || this.#stopped) return;
    const { folder, command } = this.#options;
    if (existsSync(folder.held(this.name))) {
      this.#condition = 'held';
      return;
    }
    const role = roleOf(this.name);
    if (role !== 'coordinator') folder.softHsm(this.name);
    const log = openSync(folder.log(this.name), 'a', 0o600);
    const words = [role, VERB[role], '--config', folder.configuration(this.name), '--stop-with-stdin'];
    // In a session of its own, so that Ctrl-C reaches the supervisor alone. Should that die, the pipe ends and so do they.
    const child = spawn(command.executable, [...command.prefix(role), ...words], {
      env: { ...command.environment },
      stdio: ['pipe', log, log],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    this.#condition = 'running';
    this.#identity = child.pid === undefined ? undefined : identityOf(child.pid);
    const began = performance.now();
    child.stdin?.on('error', () => {});
    child.once('error', () => this.#ended('could not be started', 0));
    child.once('exit', (code, signal) =>
      this.#ended(signal ? `was ended by ${signal}` : `ended with code ${code}`, performance.now() - began),
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), GRACE);
    await gone;
    clearTimeout(timer);
  }

  #ended(how: string, milliseconds: number): void {
    if (!this.#child) return;
    this.#child = undefined;
    this.#identity = undefined;
    if (this.#stopped) return;
    const { folder, onEvent } = this.#options;
    if (existsSync(folder.held(this.name))) {
      this.#condition = 'held';
      onEvent(`${this.name} ${how}; it stays down until holdfast fleet start`);
    } else {
      if (milliseconds >= STABLE) this.#pause = FIRST_PAUSE;
      this.#condition = 'restarting';
      this.#restarts++;
      onEvent(`${this.name} ${how}; starting it again in ${this.#pause} ms (${folder.log(this.name)})`);
      this.#timer = setTimeout(() => {
        this.start();
        this.#onChange();
      }, this.#pause);
      this.#pause = Math.min(LONGEST_PAUSE, this.#pause * 2);
    }
    this.#onChange();
  }
}
