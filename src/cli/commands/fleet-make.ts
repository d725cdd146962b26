/** `holdfast fleet`, as far as it makes keys, tokens or signatures: not loaded for what only runs a fleet. */

import { rmSync } from 'node:fs';
import { loadWitnessConfiguration } from '../../configuration/index.ts';
import { asHoldfastError, HoldfastError } from '../../core/index.ts';
import type { SoftwarePredicate } from '../../evidence/index.ts';
import {
  announceFleet,
  createFleet,
  FleetFolder,
  readPlan,
  replaceNode,
  retireFleet,
  revokeFleet,
  runJson,
} from '../../fleet/index.ts';
import { DEFAULT_POLICY, type TakeoverPolicy } from '../../protocol/index.ts';
import { initialiseWitness } from '../../service/index.ts';
import { built } from '../built.ts';
import { counted, say, shellWord } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { version } from '../version.ts';
import { clientFileOf, ownCommand } from './fleet-common.ts';

/** Before the module is first used in this process. */
const useSoftHsm = (configuration: string): void => {
  process.env.SOFTHSM2_CONF = configuration;
};

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
    initialiseWitness: (file) => initialiseWitness(loadWitnessConfiguration({ file, environment: process.env })),
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
      `A fleet of ${counted(flags.nodes, 'node')} is made in ${folder.path} (${seconds} s). Its clients use ${clientFileOf(folder)}.`,
      `Start it with: holdfast fleet up ${shellWord(directory)}`,
    ],
  };
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
  const folder = new FleetFolder(directory);
  const done = await announceFleet({
    folder,
    useSoftHsm,
    command: ownCommand(),
    software: softwareOfThis(),
    onStep: (step) => say(`  ${step}`),
    signal,
  });
  // What an attempt before this one has failed with is over: fleet status would go on saying it.
  rmSync(folder.announcement, { force: true });
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
