/** `holdfast fleet`: a whole fleet on one machine, for development and demonstrations. */

import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { asHoldfastError, ERROR_KINDS, HoldfastError } from '../../core/index.ts';
import type { SoftwarePredicate } from '../../evidence/index.ts';
import {
  announceFleet,
  createFleet,
  FleetFolder,
  type FleetStatus,
  fleetStatus,
  type HoldfastCommand,
  identityOf,
  isAlive,
  keepAnnounced,
  killProcess,
  readPlan,
  readState,
  replaceNode,
  retireFleet,
  revokeFleet,
  runJson,
  Supervisor,
  startProcess,
  stopFleet,
  waitForFleet,
} from '../../fleet/index.ts';
import { DEFAULT_POLICY, type TakeoverPolicy } from '../../protocol/index.ts';
import { built } from '../built.ts';
import type { CommandResult } from '../run.ts';
import { version } from '../version.ts';

/** Milliseconds for a fleet to come up on a slow machine. */
const UP_TIMEOUT = 90_000;

/** And for its bundle to be accepted. */
const BUNDLE_TIMEOUT = 60_000;

const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** `holdfast` itself, for child processes: the same runtime and the same entry. */
function ownCommand(): HoldfastCommand {
  // The engine's own threads cost a process that shares its cores with others more than they spare its main thread; a
  // nursery of 4 MiB spares 25 MiB of memory and costs a tenth more time (docs/performance.md).
  const prefix = ['--single-threaded', '--max-semi-space-size=16', process.argv[1]!];
  return { executable: process.execPath, prefix, environment: process.env };
}

/** Before the module is first used in this process. */
const useSoftHsm = (configuration: string): void => {
  process.env.SOFTHSM2_CONF = configuration;
};

/** What its clients are given. */
const clientFileOf = (folder: FleetFolder): string =>
  readPlan(folder).log.kind === 'none' ? folder.trust : folder.client;

export interface CreateFlags {
  readonly nodes: number;
  readonly coordinators: number;
  readonly name: string;
  readonly environment: string;
  readonly basePort?: number;
  /** Processes are reached by their names. */
  readonly named?: boolean;
  readonly limit: number;
  readonly lifetimeLimit: number;
  readonly waits?: readonly number[];
  readonly destroyAfter?: number;
  readonly takeover?: TakeoverPolicy;
  readonly argon2MemoryKib?: number;
  readonly argon2Passes?: number;
  /** False for pinned mode only. */
  readonly log: boolean;
  readonly join?: string;
  readonly vault: string;
}

export async function create(directory: string, flags: CreateFlags, signal: AbortSignal): Promise<CommandResult> {
  const { keyStretching } = DEFAULT_POLICY;
  const memoryKiB = flags.argon2MemoryKib ?? keyStretching.memoryKiB;
  const passes = flags.argon2Passes ?? keyStretching.passes;
  if (memoryKiB < keyStretching.memoryKiB || passes < keyStretching.passes) {
    say(`warning: PINs are stretched less than the ${keyStretching.memoryKiB} KiB and ${keyStretching.passes} passes`);
    say('         that protect them should a majority of nodes fall; for development only');
  }
  if (!flags.log && flags.join !== undefined) throw new HoldfastError('usage', 'name --join or --no-log, not both');
  const began = performance.now();
  const folder = await createFleet({
    log: flags.join !== undefined ? { join: flags.join } : flags.log ? 'own' : 'none',
    vault: flags.vault,
    directory,
    name: flags.name,
    environment: flags.environment,
    nodes: flags.nodes,
    coordinators: flags.coordinators,
    basePort: flags.basePort,
    named: flags.named ?? false,
    policy: {
      limit: flags.limit,
      lifetimeLimit: Math.max(flags.lifetimeLimit, flags.limit),
      waits: flags.waits ?? DEFAULT_POLICY.waits,
      takeover: flags.takeover ?? DEFAULT_POLICY.takeover,
      destroyAfter: flags.destroyAfter ?? DEFAULT_POLICY.destroyAfter,
      keyStretching: { memoryKiB, passes, parallelism: keyStretching.parallelism },
    },
    command: ownCommand(),
    useSoftHsm,
    onProgress: (step) => say(`  ${step}`),
    signal,
  });
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  return {
    value: {
      directory: folder.path,
      client: clientFileOf(folder),
      trust: folder.trust,
      nodes: flags.nodes,
      coordinators: flags.coordinators,
    },
    lines: [
      `A fleet of ${flags.nodes} nodes is made in ${folder.path} (${seconds} s). Its clients use ${clientFileOf(folder)}.`,
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
  if (plan.named) {
    throw new HoldfastError('usage', 'this fleet was made for containers (--named): see compose.yaml, or make another');
  }
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
    // In a process of its own, because that opens a token; beside the wait, because nodes need no bundle.
    const announced = keepAnnounced({ folder, command: ownCommand(), onEvent: say, signal: stop });
    await waitWithProgress(folder, stop);
    say(
      `The fleet serves. Clients use ${clientFileOf(folder)}. Stop it with Ctrl-C or holdfast fleet down ${directory}`,
    );
    await Promise.all([
      announced,
      new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true })),
    ]);
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
  let announced: boolean;
  const isMine = (status: FleetStatus) => status.supervisor === child.pid;
  try {
    const status = await waitWithProgress(folder, signal, () => {
      if (ended) throw didNotStart(folder.log('supervisor'), ended.code);
    });
    if (!isMine(status)) throw new HoldfastError('conflict', 'this fleet was started by somebody else meanwhile');
    announced = await waitForBundle(folder, signal);
  } catch (error) {
    // Also where it has ended by itself: what it started and noted down must not stay.
    if (isAlive(own) || readState(folder)?.supervisor.pid === child.pid) await stopFleet(folder);
    throw error;
  }
  child.unref();
  return {
    value: { supervisor: child.pid, client: clientFileOf(folder), trust: folder.trust, announced },
    lines: [
      `The fleet serves in the background. Clients use ${clientFileOf(folder)}.`,
      ...(announced ? [] : [`But new clients cannot verify it: no bundle was accepted yet; see ${folder.logs}`]),
    ],
  };
}

/**
 * Waits until the log has the fleet as it is now. A cosigner that does not come up stops no fleet: clients that know it
 * recover from it all the same.
 */
async function waitForBundle(folder: FleetFolder, signal: AbortSignal): Promise<boolean> {
  if (readPlan(folder).log.kind === 'none') return true;
  try {
    const { announced } = await waitForFleet(
      folder,
      ({ announced, announcement }) => announced || announcement?.final === true,
      { timeout: BUNDLE_TIMEOUT, signal },
    );
    return announced;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'not_ready') return false;
    throw error;
  }
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
  const { fleet, up: isUp, serving, nodesServing, nodesNeeded, processes, bundle, announcement, dashboards } = found;
  const summary = `Fleet ${fleet} is ${isUp ? (serving ? 'up and serves' : 'up, but does not serve') : 'down'}`;
  const lines = [`${summary}: ${nodesServing} nodes serve, ${nodesNeeded} are needed.`];
  if (bundle) {
    const state = bundle.revoked ? 'revoked' : bundle.kind === 'retire' ? 'retired' : 'accepted';
    lines.push(`  bundle: serial ${bundle.serial} of epoch ${bundle.epoch} is ${state}, as the cosigner says`);
  }
  if (announcement) lines.push(`  its present state is not accepted: ${announcement.message}`);
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
  const urls = Object.values(dashboards?.urls ?? {});
  if (dashboards && urls.length > 0) {
    lines.push(`  dashboard: ${urls.join(' or ')}, which asks for what is in ${dashboards.credentialFile}`);
  }
  return { value: { ...found }, lines };
}

/** What a development fleet's evidence says of this program; undefined where it was not built from a commit. */
function softwareOfThis(): SoftwarePredicate | undefined {
  const { commit, lockfile } = built();
  if (commit === '' || lockfile === '') return undefined;
  const nowhere = 'https://holdfast.invalid/development';
  const artifacts = [{ name: 'package-lock.json', sha256: lockfile }];
  return { version: version(), source: `git+${nowhere}`, commit, lockfile, builder: nowhere, artifacts };
}

/** What `fleet up` runs; also by hand, where a bundle shall be renewed. */
export async function announce(directory: string, signal: AbortSignal): Promise<CommandResult> {
  const done = await announceFleet({
    folder: new FleetFolder(directory),
    useSoftHsm,
    command: ownCommand(),
    software: softwareOfThis(),
    onStep: (step) => say(`  ${step}`),
    signal,
  });
  const { digest, serial, already } = done;
  return {
    value: { digest, serial, already },
    lines: [`Serial ${serial} (${digest}) ${already ? 'was accepted already' : 'is accepted'}: clients can verify it.`],
  };
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
    useSoftHsm,
    onProgress: (step) => say(`  ${step}`),
    signal,
  });
  const { node, epoch, old, nodesServing } = replaced;
  const announced = await announceEpoch(new FleetFolder(directory), signal);
  const news = {
    yes: 'Clients learn of it by themselves.',
    no: 'Clients cannot verify it yet: run holdfast fleet announce when the cosigner can be reached.',
    never: 'Clients need the new trust file.',
  }[announced];
  return {
    value: { ...replaced, announced: announced === 'yes' },
    lines: [
      `node-${node} has a new token; the fleet is in epoch ${epoch}, and ${nodesServing} nodes serve.`,
      `${news} Records get shares on the new node at the next use of their PIN.`,
      `The old node’s files are in ${old}; remove them once you are sure.`,
    ],
  };
}

/** By a process of its own: this one has used another token. */
async function announceEpoch(folder: FleetFolder, signal: AbortSignal): Promise<'yes' | 'no' | 'never'> {
  if (readPlan(folder).log.kind === 'none') return 'never';
  try {
    await runJson(ownCommand(), ['fleet', 'announce', folder.path], signal);
    return 'yes';
  } catch (error) {
    if (signal.aborted) throw error;
    say(`warning: ${asHoldfastError(error).message}`);
    return 'no';
  }
}

export interface RetireFlags {
  readonly successor: string;
  /** RFC 3339. */
  readonly sunset: string;
}

export async function retire(directory: string, flags: RetireFlags, signal: AbortSignal): Promise<CommandResult> {
  const time = Date.parse(flags.sunset);
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(flags.sunset) || Number.isNaN(time) || time <= Date.now()) {
    throw new HoldfastError('usage', '--sunset must be a time to come, such as 2027-01-31T00:00:00Z');
  }
  const successor = new FleetFolder(flags.successor);
  const ended = await retireFleet({ folder: new FleetFolder(directory), successor, sunset: time, useSoftHsm, signal });
  return {
    value: { ...ended, successor: readPlan(successor).name, sunset: flags.sunset },
    lines: [
      `${ended.fleet} is retired by serial ${ended.serial} (${ended.digest}).`,
      `Until ${flags.sunset} records move to ${readPlan(successor).name} at the next use of their PIN.`,
    ],
  };
}

export async function revoke(
  directory: string,
  flags: { readonly reason: string },
  signal: AbortSignal,
): Promise<CommandResult> {
  const { reason } = flags;
  const ended = await revokeFleet({ folder: new FleetFolder(directory), reason, useSoftHsm, signal });
  return {
    value: { ...ended },
    lines: [`Serial ${ended.serial} of ${ended.fleet} is revoked (${ended.digest}): no client uses its keys any more.`],
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
