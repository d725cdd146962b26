/** `holdfast fleet`: a whole fleet on one machine, for development and demonstrations. */

import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { ERROR_KINDS, HoldfastError } from '../../core/index.ts';
import {
  createFleet,
  FleetFolder,
  type FleetStatus,
  fleetStatus,
  type HoldfastCommand,
  identityOf,
  isAlive,
  killProcess,
  readPlan,
  readState,
  replaceNode,
  Supervisor,
  startProcess,
  stopFleet,
  waitForFleet,
} from '../../fleet/index.ts';
import { DEFAULT_POLICY, type TakeoverPolicy } from '../../protocol/index.ts';
import type { CommandResult } from '../run.ts';

/** Milliseconds for a fleet to come up on a slow machine. */
const UP_TIMEOUT = 90_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** `holdfast` itself, for child processes: the same runtime and the same entry. */
function ownCommand(): HoldfastCommand {
  // A small nursery costs no speed here and spares memory under load (docs/performance.md).
  const prefix = ['--max-semi-space-size=4', process.argv[1]!];
  return { executable: process.execPath, prefix, environment: process.env };
}

export interface CreateFlags {
  readonly nodes: number;
  readonly coordinators: number;
  readonly name: string;
  readonly environment: string;
  readonly basePort?: number;
  readonly limit: number;
  readonly lifetimeLimit: number;
  readonly waits?: readonly number[];
  readonly destroyAfter?: number;
  readonly takeover?: TakeoverPolicy;
  readonly argon2MemoryKib?: number;
  readonly argon2Passes?: number;
}

export async function create(directory: string, flags: CreateFlags, signal: AbortSignal): Promise<CommandResult> {
  const { keyStretching } = DEFAULT_POLICY;
  const memoryKiB = flags.argon2MemoryKib ?? keyStretching.memoryKiB;
  const passes = flags.argon2Passes ?? keyStretching.passes;
  if (memoryKiB < keyStretching.memoryKiB || passes < keyStretching.passes) {
    say(`warning: PINs are stretched less than the ${keyStretching.memoryKiB} KiB and ${keyStretching.passes} passes`);
    say('         that protect them should a majority of nodes fall; for development only');
  }
  const began = performance.now();
  const folder = await createFleet({
    directory,
    name: flags.name,
    environment: flags.environment,
    nodes: flags.nodes,
    coordinators: flags.coordinators,
    basePort: flags.basePort,
    policy: {
      limit: flags.limit,
      lifetimeLimit: Math.max(flags.lifetimeLimit, flags.limit),
      waits: flags.waits ?? DEFAULT_POLICY.waits,
      takeover: flags.takeover ?? DEFAULT_POLICY.takeover,
      destroyAfter: flags.destroyAfter ?? DEFAULT_POLICY.destroyAfter,
      keyStretching: { memoryKiB, passes, parallelism: keyStretching.parallelism },
    },
    command: ownCommand(),
    useSoftHsm: (configuration) => {
      process.env.SOFTHSM2_CONF = configuration;
    },
    onProgress: (step) => say(`  ${step}`),
    signal,
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  return {
    value: { directory: folder.path, trust: folder.trust, nodes: flags.nodes, coordinators: flags.coordinators },
    lines: [
      `A fleet of ${flags.nodes} nodes is made in ${folder.path} (${seconds} s). Its trust file is ${folder.trust}.`,
      `Start it with: holdfast fleet up ${directory}`,
    ],
  };
}

export interface UpFlags {
  readonly detach?: boolean;
  readonly coordinators: number;
}

export async function up(directory: string, flags: UpFlags, signal: AbortSignal): Promise<CommandResult> {
  const folder = new FleetFolder(directory);
  const plan = readPlan(folder);
  if (flags.detach) return upDetached(folder, flags, signal);
  const supervisor = new Supervisor({
    folder,
    plan,
    coordinators: flags.coordinators,
    command: ownCommand(),
    onEvent: say,
  });
  await supervisor.start();
  const onReload = () => supervisor.reload();
  const hangUp = new AbortController();
  const onHangUp = () => hangUp.abort();
  process.on('SIGUSR2', onReload).once('SIGHUP', onHangUp);
  const stop = AbortSignal.any([signal, hangUp.signal]);
  try {
    await waitWithProgress(folder, stop);
    say(`The fleet serves. Clients use ${folder.trust}. Stop it with Ctrl-C or holdfast fleet down ${directory}`);
    await new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true }));
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'cancelled') throw error;
  } finally {
    say('Stopping the fleet …');
    await supervisor.stop();
    process.off('SIGUSR2', onReload);
  }
  return { value: { stopped: true }, lines: ['The fleet is down.'] };
}

/** Waits until a majority serves, and says each process's change of state. */
function waitWithProgress(folder: FleetFolder, signal: AbortSignal, check?: () => void): Promise<FleetStatus> {
  const shown = new Map<string, string>();
  return waitForFleet(folder, ({ serving }) => serving, {
    timeout: UP_TIMEOUT,
    signal,
    ...(check && { check }),
    onStatus: ({ processes }) => {
      for (const { name, ready, phase, condition } of processes) {
        const word = ready ? 'serving' : (phase ?? (condition === 'running' ? 'starting' : condition));
        if (shown.get(name) === word || (word === 'down' && !shown.has(name))) continue;
        shown.set(name, word);
        say(`  ${name}: ${word}`);
      }
    },
  });
}

async function upDetached(folder: FleetFolder, flags: UpFlags, signal: AbortSignal): Promise<CommandResult> {
  const before = readState(folder);
  if (before && isAlive(before.supervisor)) {
    throw new HoldfastError('conflict', `this fleet is up already (process ${before.supervisor.pid})`);
  }
  folder.makeRunFolders();
  const { executable, prefix, environment } = ownCommand();
  const log = openSync(folder.log('supervisor'), 'a', 0o600);
  const words = ['fleet', 'up', folder.path, '--coordinators', String(flags.coordinators)];
  const child = spawn(executable, [...prefix, ...words], {
    env: { ...environment },
    stdio: ['ignore', log, log],
    detached: true,
  });
  let ended: { readonly code: number | null } | undefined;
  child.once('exit', (code) => {
    ended = { code };
  });
  child.once('error', () => {
    ended = { code: null };
  });
  const own = identityOf(child.pid ?? 0);
  const isMine = (status: FleetStatus) => status.supervisor === child.pid;
  try {
    const status = await waitWithProgress(folder, signal, () => {
      if (ended) throw didNotStart(folder.log('supervisor'), ended.code);
    });
    if (!isMine(status)) throw new HoldfastError('conflict', 'this fleet was started by somebody else meanwhile');
  } catch (error) {
    // Also where it has ended by itself: what it started and noted down must not stay.
    if (isAlive(own) || readState(folder)?.supervisor.pid === child.pid) await stopFleet(folder);
    throw error;
  }
  child.unref();
  return {
    value: { supervisor: child.pid, trust: folder.trust },
    lines: [`The fleet serves in the background. Clients use ${folder.trust}.`],
  };
}

/** What the supervisor said last, if it ended by itself: it may have seen what is wrong before this process did. */
function didNotStart(log: string, code: number | null): HoldfastError {
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n');
  const said = lines.findLast((line) => line.startsWith('holdfast: '))?.slice('holdfast: '.length);
  const hopeless = code === ERROR_KINDS.not_ready.exit && said !== undefined;
  return hopeless
    ? new HoldfastError('not_ready', said)
    : new HoldfastError('unexpected', `the fleet did not start; see ${log}`);
}

export async function down(directory: string): Promise<CommandResult> {
  const stopped = await stopFleet(new FleetFolder(directory));
  return { value: { stopped }, lines: [stopped ? 'The fleet is down.' : 'The fleet was not up.'] };
}

export async function status(directory: string): Promise<CommandResult> {
  const found = await fleetStatus(new FleetFolder(directory));
  const { fleet, up: isUp, serving, nodesServing, nodesNeeded, processes } = found;
  const summary = `Fleet ${fleet} is ${isUp ? (serving ? 'up and serves' : 'up, but does not serve') : 'down'}`;
  const lines = [`${summary}: ${nodesServing} nodes serve, ${nodesNeeded} are needed.`];
  for (const one of processes) {
    const parts = [
      one.name.padEnd(14),
      one.condition.padEnd(10),
      (one.pid === null ? '' : `pid ${one.pid}`).padEnd(12),
      `port ${one.port}`,
      one.ready ? 'ready' : one.reason,
    ];
    if (one.incarnation !== null) parts.push(`incarnation ${one.incarnation}`);
    if (one.epoch !== null) parts.push(`epoch ${one.epoch}`);
    if (one.restarts > 0) parts.push(`restarted ${one.restarts} times`);
    lines.push(`  ${parts.join('  ')}`);
  }
  return { value: { ...found }, lines };
}

export interface ReplaceFlags {
  readonly node: number;
  readonly acceptLoss?: boolean;
}

export async function replace(directory: string, flags: ReplaceFlags, signal: AbortSignal): Promise<CommandResult> {
  const replaced = await replaceNode({
    folder: new FleetFolder(directory),
    node: flags.node,
    acceptLoss: flags.acceptLoss ?? false,
    command: ownCommand(),
    useSoftHsm: (configuration) => {
      process.env.SOFTHSM2_CONF = configuration;
    },
    onProgress: (step) => say(`  ${step}`),
    signal,
  });
  const { node, epoch, old, nodesServing } = replaced;
  return {
    value: { ...replaced },
    lines: [
      `node-${node} has a new token; the fleet is in epoch ${epoch}, and ${nodesServing} nodes serve.`,
      'Clients need the new trust file. Records get shares on the new node at the next use of their PIN.',
      `The old node’s files are in ${old}; remove them once you are sure.`,
    ],
  };
}

export async function kill(directory: string, names: readonly string[]): Promise<CommandResult> {
  const folder = new FleetFolder(directory);
  const killed: Record<string, number> = {};
  for (const name of names) killed[name] = await killProcess(folder, name);
  return {
    value: { killed },
    lines: names.map((name) => `${name} (process ${killed[name]}) was killed; it stays down.`),
  };
}

export async function start(directory: string, names: readonly string[], signal: AbortSignal): Promise<CommandResult> {
  const folder = new FleetFolder(directory);
  const started = await Promise.all(names.map((name) => startProcess(folder, name, { timeout: 30_000, signal })));
  return {
    value: { started },
    lines: started.map(
      ({ name, pid, ready, phase }) => `${name} (process ${pid}) ${ready ? 'serves' : (phase ?? 'starts')}.`,
    ),
  };
}
