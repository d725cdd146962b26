/**
 * Makes everything that a fleet on one machine needs, for development: tokens in SoftHSM, keys, certificates, stores, a
 * tenant, configurations and the trust file. Everything serves on loopback only.
 */

import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateTenantKey } from '../access/index.ts';
import { HoldfastError, Secret, systemRandom, toBase64Url, utf8 } from '../core/index.ts';
import { createAuthority, type PeerRole } from '../pki/index.ts';
import { checkFleet, type Fleet, type NodeKeys, type Policy, threshold } from '../protocol/index.ts';
import { createTokenSigner, findSoftHsm, initialiseToken } from '../token/index.ts';
import { serialiseTrustFile } from '../trust/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import {
  CERTIFICATE_FILES,
  CERTIFICATE_YEARS,
  HOST,
  issueTo,
  json,
  listeners,
  makeNodeToken,
  nodeConfiguration,
  randomPin,
  write,
  YEAR,
} from './files.ts';
import { coordinatorName, FleetFolder, type FleetPlan, nodeName, planText, portsOf, processNames } from './folder.ts';
import { findFreePorts } from './ports.ts';

export interface CreateFleetOptions {
  /** Must not exist, or be empty. */
  readonly directory: string;
  readonly name: string;
  readonly environment: string;
  readonly nodes: number;
  readonly coordinators: number;
  /** Undefined takes free ones. */
  readonly basePort: number | undefined;
  readonly policy: Omit<Policy, 'minimumShares'>;
  readonly command: HoldfastCommand;
  /** Makes this process's SoftHSM use that configuration (SOFTHSM2_CONF). */
  readonly useSoftHsm: (configuration: string) => void;
  readonly onProgress: (step: string) => void;
  readonly signal?: AbortSignal;
}

const DAY = 86_400_000;
/** Marks a folder as one of ours that was not finished, which may be removed. */
const MARKER = 'unfinished-fleet';
const ISSUER = 'https://tenant.invalid/development';

/** @throws HoldfastError `usage` where the folder or the numbers cannot be used, `token_*`, `cancelled`. */
export async function createFleet(options: CreateFleetOptions): Promise<FleetFolder> {
  const module = findSoftHsm();
  if (!module) throw new HoldfastError('usage', 'SoftHSM 2 is not installed; run scripts/setup, or install softhsm2');
  const target = new FleetFolder(options.directory);
  await requireEmpty(target.path);
  const folder = await makePartial(target.path);
  try {
    const { name, nodes, coordinators } = options;
    const plan = { name, nodes, coordinators, basePort: options.basePort ?? (await findFreePorts()) };
    const keys = await makeTokens(folder, plan, module, options);
    options.onProgress('certificates');
    const authorityPem = await makeCertificates(folder, plan, module, options);
    await makeTenant(folder);
    await write(folder.trust, trustText(plan, keys, authorityPem, options), 0o644);
    await makeConfigurations(folder, plan, module);
    await initialiseNodes(folder, plan, options);
    await write(folder.plan, planText(plan), 0o644);
    await rm(join(folder.path, MARKER));
    await rename(folder.path, target.path);
  } catch (error) {
    await rm(folder.path, { recursive: true, force: true });
    throw error;
  }
  for (const name of processNames({ ...options, basePort: 0 }, 0)) target.softHsm(name);
  target.softHsm('authority');
  return target;
}

async function requireEmpty(path: string): Promise<void> {
  const entries = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw new HoldfastError('usage', `${path} cannot be used: ${error.code}`, { cause: error });
  });
  if (entries.length > 0) throw new HoldfastError('usage', `${path} is not empty; name a new folder`);
}

async function makePartial(path: string): Promise<FleetFolder> {
  const partial = `${path}.partial`;
  if (existsSync(partial)) {
    if (!existsSync(join(partial, MARKER))) {
      throw new HoldfastError('usage', `${partial} is in the way; move it elsewhere`);
    }
    await rm(partial, { recursive: true, force: true });
  }
  try {
    await mkdir(dirname(partial), { recursive: true });
    await mkdir(partial, { mode: 0o700 });
    await write(join(partial, MARKER), '', 0o600);
  } catch (cause) {
    throw new HoldfastError('usage', `${partial} cannot be made: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  return new FleetFolder(partial);
}

/** Runs `work` for each item, two at a time: children are busy with cryptography, not with waiting. */
async function twoAtATime<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  const results = await Promise.allSettled([worker(), worker()]);
  const failed = results.find((result) => result.status === 'rejected');
  if (failed) throw failed.reason;
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

async function makeTokens(
  folder: FleetFolder,
  plan: FleetPlan,
  module: string,
  { command, signal, onProgress }: CreateFleetOptions,
): Promise<NodeKeys[]> {
  const keys: NodeKeys[] = [];
  await twoAtATime(numbers(plan.nodes), async (node) => {
    const name = nodeName(node);
    keys[node - 1] = await makeNodeToken({ own: folder.of(name), name, fleet: plan.name, module, command, signal });
    onProgress(`${name}: token and keys`);
  });
  return keys;
}

async function makeCertificates(
  folder: FleetFolder,
  plan: FleetPlan,
  module: string,
  { useSoftHsm }: CreateFleetOptions,
): Promise<string> {
  await mkdir(folder.authority, { mode: 0o700 });
  const [soPin, pin] = [randomPin(), randomPin()];
  await write(join(folder.authority, 'so-pin'), `${soPin}\n`, 0o600);
  await write(join(folder.authority, 'pin'), `${pin}\n`, 0o600);
  useSoftHsm(folder.softHsm('authority'));
  const label = 'authority';
  await initialiseToken({ module, label, soPin: new Secret(utf8(soPin)), userPin: new Secret(utf8(pin)) });
  const signer = await createTokenSigner({ module, label, key: 'authority', pin: new Secret(utf8(pin)) });
  try {
    const now = Date.now();
    const notBefore = now - DAY;
    const authority = await createAuthority({ signer, fleet: plan.name, notBefore, notAfter: now + 10 * YEAR });
    const authorityPem = authority.certificatePem;
    await write(join(folder.authority, 'authority.pem'), authorityPem, 0o644);
    const validity = { notBefore, notAfter: now + CERTIFICATE_YEARS * YEAR };
    const issue = (role: PeerRole, name: string, file: string) =>
      issueTo(folder.of(name), file, { authorityPem, signer, subject: { fleet: plan.name, role, name }, ...validity });
    for (const node of numbers(plan.nodes)) await issue('node', nodeName(node), 'certificate');
    for (const coordinator of numbers(plan.coordinators)) {
      await mkdir(folder.of(coordinatorName(coordinator)), { mode: 0o700 });
      await issue('coordinator', coordinatorName(coordinator), 'certificate');
      await issue('public', coordinatorName(coordinator), 'public');
    }
    return authorityPem;
  } finally {
    await signer.close();
  }
}

async function makeTenant(folder: FleetFolder): Promise<void> {
  const algorithm = 'Ed25519';
  const { privateKey, publicKey } = await generateTenantKey(algorithm);
  const recordIdKey = toBase64Url(systemRandom(32));
  const tenant = { issuer: ISSUER, algorithm, keys: [publicKey], recordIdKey, maximumAgeSeconds: 86_400 };
  await mkdir(dirname(folder.tenantKey), { mode: 0o700 });
  await write(folder.tenantKey, json({ issuer: ISSUER, privateKey, recordIdKey }), 0o600);
  await write(folder.tenants, json({ tenants: [tenant] }), 0o600);
}

function trustText(
  plan: FleetPlan,
  keys: readonly NodeKeys[],
  authority: string,
  { policy, environment }: CreateFleetOptions,
): string {
  const t = threshold({ nodes: keys });
  const minimumShares = plan.nodes >= 5 ? t + 1 : plan.nodes;
  const fleet: Fleet = { fleet: plan.name, epoch: 1, nodes: keys, policy: { ...policy, minimumShares } };
  checkFleet(fleet);
  return serialiseTrustFile({
    fleet,
    environment,
    expires: Math.floor((Date.now() + 5 * YEAR) / 1000) * 1000,
    names: numbers(plan.nodes).map(nodeName),
    coordinators: numbers(plan.coordinators).map(
      (coordinator) => `https://127.0.0.1:${portsOf(plan, coordinatorName(coordinator)).service}`,
    ),
    authority,
  });
}

/** Paths in a configuration are relative to its file, so the whole folder can be moved. */
async function makeConfigurations(folder: FleetFolder, plan: FleetPlan, module: string): Promise<void> {
  for (const node of numbers(plan.nodes)) {
    await write(folder.configuration(nodeName(node)), nodeConfiguration(plan, node, module), 0o600);
  }
  const nodes = numbers(plan.nodes).map((node) => ({
    node,
    url: `https://${HOST}:${portsOf(plan, nodeName(node)).service}`,
    name: nodeName(node),
  }));
  for (const coordinator of numbers(plan.coordinators)) {
    const name = coordinatorName(coordinator);
    const configuration = {
      trustFile: '../trust.json',
      nodes,
      ...listeners(plan, name),
      tls: { certificate: 'public.pem', key: 'public.key' },
      nodeTls: CERTIFICATE_FILES,
      // All clients of a fleet on one machine have one address.
      rateLimit: { requests: 0 },
    };
    await write(folder.configuration(name), json(configuration), 0o600);
  }
}

async function initialiseNodes(
  folder: FleetFolder,
  plan: FleetPlan,
  { command, signal, onProgress }: CreateFleetOptions,
): Promise<void> {
  await twoAtATime(numbers(plan.nodes), async (node) => {
    const name = nodeName(node);
    await runJson(command, ['node', 'init', '--config', folder.configuration(name)], signal);
    onProgress(`${name}: store and anchor`);
  });
}

/** The development tenant, to issue user tokens with. @throws HoldfastError `usage` where there is none. */
export async function readTenantKey(folder: FleetFolder): Promise<string> {
  try {
    return await readFile(folder.tenantKey, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `${folder.path} has no development tenant; make user tokens with your own`, {
      cause,
    });
  }
}
