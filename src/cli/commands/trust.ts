/** `holdfast trust`: trust files of the pinned mode, made out of the public keys that nodes' operators send. */

import { bytesToHex, HoldfastError, parseJson } from '../../core/index.ts';
import {
  DEFAULT_POLICY,
  endangeredEpochs,
  type Fleet,
  isRetained,
  membershipDigest,
  type NodeKeys,
  successorOf,
  type TakeoverPolicy,
  threshold,
} from '../../protocol/index.ts';
import { MAXIMUM_TRUST_FILE, type PinnedTrust, parseTrustFile, serialiseTrustFile } from '../../trust/index.ts';
import { quote, readParsed, readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

const MAXIMUM_KEYS_FILE = 16_384;
const ANY_TIME = { now: Number.NEGATIVE_INFINITY };

interface OutFlags {
  readonly out: string;
  readonly overwrite?: boolean;
}

export interface AssembleFlags extends OutFlags {
  readonly fleet: string;
  readonly environment: string;
  readonly coordinator: readonly string[];
  /** Milliseconds since 1970. */
  readonly expires: number;
  readonly authority?: string;
  readonly limit: number;
  readonly lifetimeLimit: number;
  readonly waits?: readonly number[];
  readonly destroyAfter?: number;
  readonly takeover?: TakeoverPolicy;
}

export async function assemble(files: readonly string[], flags: AssembleFlags): Promise<CommandResult> {
  const nodes = await Promise.all(files.map(readKeys));
  const n = nodes.length;
  const fleet: Fleet = {
    fleet: flags.fleet,
    epoch: 1,
    nodes: nodes.map(({ keys }) => keys),
    policy: {
      ...DEFAULT_POLICY,
      limit: flags.limit,
      lifetimeLimit: Math.max(flags.lifetimeLimit, flags.limit),
      waits: flags.waits ?? DEFAULT_POLICY.waits,
      destroyAfter: flags.destroyAfter ?? DEFAULT_POLICY.destroyAfter,
      takeover: flags.takeover ?? DEFAULT_POLICY.takeover,
      minimumShares: n >= 5 ? threshold({ nodes: nodes.map(({ keys }) => keys) }) + 1 : n,
    },
  };
  const authority =
    flags.authority === undefined
      ? undefined
      : await readTextFile(flags.authority, 'the authority’s certificate', MAXIMUM_KEYS_FILE);
  const { environment, expires, coordinator: coordinators } = flags;
  const trust = { fleet, environment, expires, names: nodes.map(({ name }) => name), coordinators, authority };
  return written(trust, flags, [`Each operator compares it with their own token: holdfast node info.`]);
}

export interface NextFlags extends OutFlags {
  readonly replace?: readonly string[];
  readonly acceptLoss?: boolean;
}

export async function next(file: string, flags: NextFlags): Promise<CommandResult> {
  const trust = await readTrust(file);
  const replaced = new Map<number, NodeKeys>();
  const names = [...trust.names];
  for (const text of flags.replace ?? []) {
    const [, number, path] = /^([1-9])=(.+)$/s.exec(text) ?? [];
    if (!number || !path)
      throw new HoldfastError('usage', '--replace wants a node’s number and a file, such as 2=node-2.json');
    const { name, keys } = await readKeys(path);
    if (replaced.has(Number(number))) throw new HoldfastError('usage', `node ${number} is replaced twice`);
    replaced.set(Number(number), keys);
    names[Number(number) - 1] = name;
  }
  if (replaced.size === 0) throw new HoldfastError('usage', 'say which node has a new token: --replace 2=keys.json');
  const fleet = successorOf(trust.fleet, replaced);
  const endangered = endangeredEpochs(fleet);
  if (endangered.length > 0 && !flags.acceptLoss) {
    throw new HoldfastError(
      'usage',
      `records of epoch ${endangered.join(', ')} whose owners have not used their PIN since may be lost; wait for them, or say --accept-loss`,
    );
  }
  return written({ ...trust, fleet, names }, flags, [
    'Each node’s operator that stays: holdfast node leave --next FILE. Then clients and coordinators get it too.',
  ]);
}

export async function show(file: string): Promise<CommandResult> {
  const trust = await readTrust(file);
  return { value: facts(trust), lines: lines(trust) };
}

async function written(trust: PinnedTrust, { out, overwrite }: OutFlags, advice: string[]): Promise<CommandResult> {
  await writeWholeFile(out, serialiseTrustFile(trust), { mode: 0o644, overwrite: overwrite ?? false });
  return { value: { out, ...facts(trust) }, lines: [`${out} is written.`, ...lines(trust), ...advice] };
}

function facts({ fleet, environment, expires, names }: PinnedTrust) {
  return {
    fleet: fleet.fleet,
    environment,
    epoch: fleet.epoch,
    expires: new Date(expires).toISOString(),
    nodes: names,
    earlier: (fleet.earlier ?? []).map(({ epoch }) => epoch),
    membership: bytesToHex(membershipDigest(fleet)),
  };
}

function lines(trust: PinnedTrust): string[] {
  const { fleet, epoch, nodes, membership, expires } = facts(trust);
  const said = [`Fleet ${fleet}, epoch ${epoch}, until ${expires}: ${nodes.join(', ')}.`, `Membership ${membership}`];
  for (const earlier of trust.fleet.earlier ?? []) {
    const gone = nodes.filter((_, i) => !isRetained(trust.fleet, earlier.epoch, i + 1));
    said.push(`Since epoch ${earlier.epoch} replaced: ${gone.join(', ')}.`);
  }
  return said;
}

async function readTrust(file: string): Promise<PinnedTrust> {
  return await readParsed(file, 'the trust file', MAXIMUM_TRUST_FILE, (text) => parseTrustFile(text, ANY_TIME));
}

/** What `holdfast node keys --json` printed. */
async function readKeys(path: string): Promise<{ readonly name: string; readonly keys: NodeKeys }> {
  const text = await readTextFile(path, 'the node’s keys', MAXIMUM_KEYS_FILE);
  // The last four are for the bundle (docs/bundles.md), and no part of a trust file.
  const described = ['operator', 'region', 'tokenClass', 'endpoint'] as const;
  const members = ['name', 'identity', 'session', 'oprf', 'profile', 'code', 'exitCode', ...described] as const;
  try {
    const file = parseJson(text, 'bad_input').object(members);
    const key = (which: 'identity' | 'session' | 'oprf') => file.required(which).bytes(65, 65);
    const keys = { identity: key('identity'), session: key('session'), oprf: key('oprf') };
    return { name: file.required('name').text(64), keys };
  } catch (cause) {
    if (!(cause instanceof HoldfastError) || cause.code !== 'bad_input') throw cause;
    throw new HoldfastError(
      'bad_input',
      `${quote(path)} is not what holdfast node keys --json prints: ${cause.message}`,
      {
        cause,
      },
    );
  }
}
