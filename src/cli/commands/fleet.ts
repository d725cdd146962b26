/** `holdfast fleet`: runs a whole fleet on one machine, for development and demonstrations. */

import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { ERROR_KINDS, HoldfastError } from '../../core/index.ts';
import {
  endProcess,
  FleetFolder,
  type FleetStatus,
  fleetStatus,
  identityOf,
  isAlive,
  keepAnnounced,
  killProcess,
  readPlan,
  readState,
  roleOf,
  Supervisor,
  startProcesses,
  stopFleet,
  type WaitOptions,
  waitForFleet,
} from '../../fleet/index.ts';
import { counted, say, shellWord } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { clientFileOf, ownCommand } from './fleet-common.ts';

/** Milliseconds for a fleet, or some of its processes, to come up on a slow machine. What cannot come up is seen sooner. */
const UP_TIMEOUT = 300_000;

/** Milliseconds between looks at processes that start: what somebody waits for, and what only goes into a log meanwhile. */
const WATCHED_POLL = 100;
const UNWATCHED_POLL = 500;

/** Milliseconds that a supervisor in the background gets to end. */
const CHILD_GRACE = 35_000;

/** And for its bundle to be accepted. */
const BUNDLE_TIMEOUT = 180_000;

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
  if (flags.detach) return upDetached(directory, folder, flags, signal);
  const supervisor = new Supervisor({
    folder,
    plan,
    coordinators: flags.coordinators,
    command: ownCommand(),
    onEvent: say,
  });
  let started = false;
  const onReload = () => {
    if (started) supervisor.reload();
  };
  const ending = new AbortController();
  const onHangUp = () => ending.abort();
  // Before others can read whom to signal: by default these end a process.
  process.on('SIGUSR2', onReload).once('SIGHUP', onHangUp);
  await supervisor.start();
  started = true;
  const stop = AbortSignal.any([signal, ending.signal]);
  const clients = `Clients use ${clientFileOf(folder)}.`;
  let serves = false;
  let isVerifiable = plan.log.kind === 'none';
  const onAnnounced = () => {
    isVerifiable = true;
    if (serves) say(clients);
  };
  // In a process of its own, because that opens a token; beside the wait, because nodes need no bundle.
  const announced = keepAnnounced({ folder, command: ownCommand(), onEvent: say, onAnnounced, signal: stop });
  try {
    await waitWithProgress(folder, stop, { poll: process.stderr.isTTY ? WATCHED_POLL : UNWATCHED_POLL });
    serves = true;
    const next = isVerifiable ? clients : 'New clients can verify it as soon as the log shows its bundle.';
    say(`The fleet serves. ${next} Stop it with Ctrl-C or holdfast fleet down ${shellWord(directory)}`);
    await Promise.all([
      announced,
      new Promise<void>((resolve) => stop.addEventListener('abort', () => resolve(), { once: true })),
    ]);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'cancelled') throw error;
  } finally {
    say('Stopping the fleet …');
    // Whatever ended it, nobody goes on announcing a fleet that is not there.
    ending.abort();
    await Promise.all([supervisor.stop(), announced]);
    process.off('SIGUSR2', onReload);
  }
  return { value: { stopped: true }, lines: ['The fleet is down.'] };
}

/** Waits until a majority serves, and says each process's change of state. */
function waitWithProgress(
  folder: FleetFolder,
  signal: AbortSignal,
  options: Pick<WaitOptions, 'check' | 'poll'>,
): Promise<FleetStatus> {
  const shown = new Map<string, string>();
  return waitForFleet(folder, ({ serving }) => serving, {
    timeout: UP_TIMEOUT,
    signal,
    parts: { counters: false, bundle: false },
    ...options,
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

async function upDetached(
  directory: string,
  folder: FleetFolder,
  flags: UpFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  const before = readState(folder);
  if (before && isAlive(before.supervisor)) {
    throw new HoldfastError('conflict', `this fleet is up already (process ${before.supervisor.pid})`);
  }
  folder.makeRunFolders();
  const { executable, prefix, environment } = ownCommand();
  const log = openSync(folder.log('supervisor'), 'a', 0o600);
  const words = ['fleet', 'up', folder.path, '--coordinators', String(flags.coordinators)];
  const child = spawn(executable, [...prefix('supervisor'), ...words], {
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
  let status: FleetStatus;
  const isMine = (status: FleetStatus) => status.supervisor === child.pid;
  try {
    const check = () => {
      if (ended) throw didNotStart(folder.log('supervisor'), ended.code);
    };
    const first = await waitWithProgress(folder, signal, { check, poll: WATCHED_POLL });
    if (!isMine(first)) throw new HoldfastError('conflict', 'this fleet was started by somebody else meanwhile');
    announced = await waitForBundle(folder, signal);
    status = await fleetStatus(folder, { counters: false, bundle: false });
  } catch (error) {
    // Also where it has ended by itself: what it started and noted down must not stay.
    if (readState(folder)?.supervisor.pid === child.pid) await stopFleet(folder);
    // It may not have noted down anything yet, or the fleet that runs here may be somebody else's.
    else await endProcess(own, CHILD_GRACE);
    throw error;
  }
  child.unref();
  const { nodesServing, processes } = status;
  const nodes = processes.filter(({ name }) => roleOf(name) === 'node').length;
  return {
    value: { supervisor: child.pid, client: clientFileOf(folder), trust: folder.trust, announced, nodes, nodesServing },
    lines: [
      `The fleet serves in the background. Clients use ${clientFileOf(folder)}.`,
      ...(nodesServing === nodes
        ? []
        : [`${nodesServing} of its ${nodes} nodes serve by now; see holdfast fleet status`]),
      ...(announced ? [] : [`But new clients cannot verify it: no bundle was accepted yet; see ${folder.logs}`]),
      ...(announced && readPlan(folder).log.kind !== 'none'
        ? [
            'What its nodes say of themselves gets into the log next, where audits look for it;',
            `to wait for that: holdfast evidence record --fleet ${shellWord(directory)}`,
          ]
        : []),
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
      { timeout: BUNDLE_TIMEOUT, signal, parts: { counters: false }, log: true },
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
    ? new HoldfastError('not_ready', said, { details: { final: true } })
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
    if (one.restarts > 0) parts.push(`restarted ${counted(one.restarts, 'time')}`);
    lines.push(`  ${parts.join('  ')}`);
  }
  const urls = Object.values(dashboards?.urls ?? {});
  if (dashboards && urls.length > 0) {
    lines.push(`  dashboard: ${urls.join(' or ')}, which asks for what is in ${dashboards.credentialFile}`);
  }
  if (!isUp) lines.push(`Start it with: holdfast fleet up ${shellWord(directory)}`);
  return { value: { ...found }, lines };
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
  const started = await startProcesses(folder, names, { timeout: UP_TIMEOUT, signal });
  return {
    value: { started },
    lines: started.map(
      ({ name, pid, ready, phase }) => `${name} (process ${pid}) ${ready ? 'serves' : (phase ?? 'starts')}.`,
    ),
  };
}
