/**
 * Replacing one node of a fleet on one machine: new token and keys, a new epoch that the others leave for, and the new node
 * in it. What has been done is told by the files that are there, so it can be run again wherever it was interrupted.
 */

import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, parseJson, Secret, utf8 } from '../core/index.ts';
import { lockFile } from '../lock/index.ts';
import { endangeredEpochs, successorOf, threshold } from '../protocol/index.ts';
import { findSoftHsm, openTokenSigner } from '../token/index.ts';
import { type PinnedTrust, parseTrustFile, serialiseTrustFile } from '../trust/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { killProcess, startProcesses, waitForFleet } from './control.ts';
import {
  CERTIFICATE_YEARS,
  issueTo,
  json,
  makeNodeToken,
  nodeConfiguration,
  write,
  writeWhole,
  YEAR,
} from './files.ts';
import { type FleetFolder, type FleetPlan, nodeName, readPlan, roleOf } from './folder.ts';
import { isAlive, signalProcess } from './process.ts';
import { readState } from './state.ts';
import { type FleetStatus, fleetStatus, type ProcessStatus } from './status.ts';

export interface ReplaceNodeOptions {
  readonly folder: FleetFolder;
  /** 1 to n. */
  readonly node: number;
  /** Whether to go on where records may be lost that nobody has used since an earlier replacement. */
  readonly acceptLoss: boolean;
  readonly command: HoldfastCommand;
  readonly useSoftHsm: (configuration: string) => void;
  readonly onProgress: (step: string) => void;
  readonly signal?: AbortSignal;
}

export interface Replaced {
  readonly node: number;
  readonly epoch: number;
  /** Where the old node's files are now. */
  readonly old: string;
  readonly nodesServing: number;
}

const FORMAT = 'holdfast/replacement/v1';
const sinceEpoch = (epoch: number) => `since-epoch-${epoch}`;
/** Milliseconds for the others to leave, and for the new node to come up, on a slow machine. */
const LEAVE_TIMEOUT = 180_000;
const SERVE_TIMEOUT = 180_000;

/**
 * @throws HoldfastError `usage` where the fleet is down or a step cannot be made, `conflict` where another node's replacement
 *   is under way, `not_ready` where too few nodes leave in time: then run it again.
 */
export async function replaceNode(options: ReplaceNodeOptions): Promise<Replaced> {
  const { folder, node } = options;
  const plan = readPlan(folder);
  if (plan.nodes < 3)
    throw new HoldfastError('usage', 'a fleet of one node has no others to go on with; make a new fleet');
  if (node > plan.nodes) throw new HoldfastError('usage', `the fleet has no node ${node}`);
  requireUp(folder);
  const paths = new ReplacementPaths(folder, node);
  const lock = await lockFile(paths.marker, 0).catch((cause: unknown) => {
    if (!(cause instanceof HoldfastError) || cause.code !== 'not_ready') throw cause;
    throw new HoldfastError('conflict', 'another process replaces a node of this fleet now; wait for it', { cause });
  });
  try {
    return await replaced(options, plan, paths);
  } finally {
    lock.release();
  }
}

/** Whoever does this has the lock: the steps that are done are told by files, which nobody else makes meanwhile. */
async function replaced(options: ReplaceNodeOptions, plan: FleetPlan, paths: ReplacementPaths): Promise<Replaced> {
  const { folder, node, signal, onProgress } = options;
  const epoch = await begin(options, paths, plan);
  if (!existsSync(paths.swapped(epoch))) {
    await stopOld(folder, nodeName(node));
    onProgress('the other nodes leave');
    await untilLeft(options, plan, epoch);
    await swap(paths, epoch);
  }
  onProgress(`${nodeName(node)}: store and anchor`);
  await initialise(options, paths);
  const ended = await restartLate(folder, node, epoch);
  const wait = { timeout: SERVE_TIMEOUT, ...(signal && { signal }) };
  onProgress(`${nodeName(node)}: joins epoch ${epoch}`);
  await startProcesses(folder, [nodeName(node)], wait);
  const { nodesServing } = await waitForFleet(folder, (status) => allServe(status, ended), wait);
  await rm(paths.marker);
  return { node, epoch, old: paths.old(epoch), nodesServing };
}

const isOfFleet = (name: string): boolean => ['node', 'coordinator'].includes(roleOf(name));

/**
 * Whether all serve that shall. Whoever keeps the log is not asked: a fleet changes its nodes while no cosigner is there.
 * @param ended numbers of processes that were told to end: a slow one says for a moment longer that it is ready, in the old epoch.
 */
export const allServe = (
  { processes }: { readonly processes: readonly Pick<ProcessStatus, 'name' | 'ready' | 'condition' | 'pid'>[] },
  ended: ReadonlyMap<string, number>,
): boolean =>
  processes.every(
    ({ name, ready, condition, pid }) => condition === 'held' || !isOfFleet(name) || (ready && pid !== ended.get(name)),
  );

/** Where the parts of a replacement are while it is under way. */
class ReplacementPaths {
  readonly folder: FleetFolder;
  readonly node: number;

  constructor(folder: FleetFolder, node: number) {
    this.folder = folder;
    this.node = node;
  }

  /** There from the beginning to the end. */
  get marker(): string {
    return join(this.folder.path, 'replacement.json');
  }

  get current(): string {
    return this.folder.of(nodeName(this.node));
  }

  get fresh(): string {
    return `${this.current}.new`;
  }

  /** In the new node's folder: that it has taken the place of the old one. */
  swapped(epoch: number): string {
    return join(this.current, sinceEpoch(epoch));
  }

  get next(): string {
    return `${this.folder.trust}.next`;
  }

  old(epoch: number): string {
    return join(this.folder.path, 'replaced', `${nodeName(this.node)}-before-epoch-${epoch}`);
  }
}

/** Makes the new node's files and the next trust file, unless that has been done. @returns the new epoch. */
async function begin(options: ReplaceNodeOptions, paths: ReplacementPaths, plan: FleetPlan): Promise<number> {
  const { folder, node, acceptLoss, command, signal, onProgress } = options;
  const trust = parseTrustFile(await readFile(folder.trust, 'utf8'), { now: Number.NEGATIVE_INFINITY });
  const underWay = await readMarker(paths.marker);
  if (underWay && underWay.node !== node) {
    throw new HoldfastError(
      'conflict',
      `node ${underWay.node} is being replaced; finish that first, with --node ${underWay.node}`,
    );
  }
  const epoch = underWay?.epoch ?? trust.fleet.epoch + 1;
  if (trust.fleet.epoch === epoch || existsSync(paths.next)) return epoch;
  const module = findSoftHsm();
  if (!module) throw new HoldfastError('usage', 'SoftHSM 2 is not installed; run scripts/setup, or install softhsm2');
  // Of no use to anybody before the next trust file names its keys.
  await rm(paths.fresh, { recursive: true, force: true });
  if (!underWay) await write(paths.marker, json({ format: FORMAT, node, epoch }), 0o600);
  try {
    onProgress(`${nodeName(node)}: token and keys`);
    const own = paths.fresh;
    const keys = await makeNodeToken({ own, name: nodeName(node), fleet: plan.name, module, command, signal });
    await write(join(own, 'config.json'), nodeConfiguration(plan, node, module), 0o600);
    await certify(options, own, module, trust);
    await write(join(own, sinceEpoch(epoch)), '', 0o600);
    const next = successorOf(trust.fleet, new Map([[node, keys]]));
    const endangered = endangeredEpochs(next);
    if (endangered.length > 0 && !acceptLoss) {
      throw new HoldfastError(
        'usage',
        `records of epoch ${endangered.join(', ')} whose owners have not used their PIN since may be lost; wait for them, or say --accept-loss`,
      );
    }
    // Nodes look for this file at any moment.
    await writeWhole(paths.next, serialiseTrustFile({ ...trust, fleet: next }), 0o644);
  } catch (error) {
    await rm(paths.fresh, { recursive: true, force: true });
    await rm(paths.marker, { force: true });
    throw error;
  }
  return epoch;
}

async function certify(
  { folder, node, useSoftHsm }: ReplaceNodeOptions,
  own: string,
  module: string,
  { fleet }: PinnedTrust,
): Promise<void> {
  useSoftHsm(folder.softHsm('authority'));
  const pin = new Secret(utf8((await readFile(join(folder.authority, 'pin'), 'utf8')).trimEnd()));
  const signer = await openTokenSigner({ module, label: 'authority', key: 'authority', pin });
  try {
    const authorityPem = await readFile(join(folder.authority, 'authority.pem'), 'utf8');
    const subject = { fleet: fleet.fleet, role: 'node' as const, name: nodeName(node) };
    const now = Date.now();
    const validity = { notBefore: now - 3_600_000, notAfter: now + CERTIFICATE_YEARS * YEAR };
    await issueTo(own, 'certificate', { authorityPem, signer, subject, ...validity });
  } finally {
    await signer.close();
  }
}

/** Whether it ran or not: from here on it stays down until its successor is in its place. */
async function stopOld(folder: FleetFolder, name: string): Promise<void> {
  try {
    await killProcess(folder, name);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'usage') throw error;
  }
}

/** Waits until `t` nodes have left. They do so by themselves when they see the next trust file. */
async function untilLeft({ folder, node, signal, onProgress }: ReplaceNodeOptions, plan: FleetPlan, epoch: number) {
  const needed = threshold({ nodes: Array.from({ length: plan.nodes }) } as unknown as Parameters<typeof threshold>[0]);
  const gone = new Set<string>();
  const isDone = ({ processes }: FleetStatus) => {
    for (const one of processes) {
      if (one.epoch !== epoch || one.name === nodeName(node) || gone.has(one.name)) continue;
      gone.add(one.name);
      onProgress(`${one.name}: has left, ${gone.size} of ${needed} needed`);
    }
    return gone.size >= needed;
  };
  const check = () => requireUp(folder);
  await waitForFleet(folder, isDone, { timeout: LEAVE_TIMEOUT, check, ...(signal && { signal }) }).catch((error) => {
    if (!(error instanceof HoldfastError) || error.code !== 'not_ready') throw error;
    throw new HoldfastError(
      'not_ready',
      `only ${gone.size} of the ${needed} nodes that are needed have left; look at ${folder.logs}, then run it again`,
    );
  });
}

/** The new node's folder in the old one's place, then the new trust file: each is one rename. */
async function swap(paths: ReplacementPaths, epoch: number): Promise<void> {
  const old = paths.old(epoch);
  if (existsSync(paths.current) && !existsSync(old)) {
    await mkdir(join(paths.folder.path, 'replaced'), { recursive: true, mode: 0o700 });
    await rename(paths.current, old);
  }
  if (existsSync(paths.fresh)) await rename(paths.fresh, paths.current);
}

async function initialise(
  { folder, node, command, signal }: ReplaceNodeOptions,
  paths: ReplacementPaths,
): Promise<void> {
  if (existsSync(paths.next)) await rename(paths.next, folder.trust);
  const name = nodeName(node);
  folder.softHsm(name);
  try {
    await runJson(command, ['node', 'init', '--config', folder.configuration(name)], signal);
  } catch (error) {
    // It was initialised before this was interrupted.
    if (!(error instanceof HoldfastError) || error.code !== 'conflict') throw error;
  }
}

/**
 * Coordinators, and nodes that have not left by now: they start again with the new trust file. Nobody else knows of epochs.
 * @returns whom it told to end, by name.
 */
async function restartLate(folder: FleetFolder, node: number, epoch: number): Promise<ReadonlyMap<string, number>> {
  const { processes } = await fleetStatus(folder);
  const ended = new Map<string, number>();
  for (const { name, epoch: itsEpoch } of processes) {
    const role = roleOf(name);
    const late = role === 'coordinator' || (role === 'node' && name !== nodeName(node) && itsEpoch !== epoch);
    const known = readState(folder)?.processes.find((one) => one.name === name)?.process;
    if (late && known && signalProcess(known, 'SIGTERM')) ended.set(name, known.pid);
  }
  return ended;
}

function requireUp(folder: FleetFolder): void {
  const state = readState(folder);
  if (state && isAlive(state.supervisor)) return;
  throw new HoldfastError(
    'usage',
    'the fleet is down; a node is replaced while the others run: holdfast fleet up --detach',
  );
}

async function readMarker(path: string): Promise<{ readonly node: number; readonly epoch: number } | undefined> {
  if (!existsSync(path)) return undefined;
  const file = parseJson(await readFile(path, 'utf8'), 'bad_input').object(['format', 'node', 'epoch']);
  file.required('format').word([FORMAT]);
  return { node: file.required('node').integer(1, 9), epoch: file.required('epoch').integer(2) };
}
