/**
 * Makes everything that a fleet on one machine needs, for development: tokens in SoftHSM, keys, certificates, stores, a
 * tenant, configurations, the trust file, and the parties of a transparency log. Everything serves on loopback only.
 */

import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { generateTenantKey } from '../access/index.ts';
import { HoldfastError, parseJson, systemRandom, toBase64Url } from '../core/index.ts';
import { createAuthority, type PeerRole } from '../pki/index.ts';
import { checkFleet, type Fleet, type NodeKeys, type Policy, threshold } from '../protocol/index.ts';
import { createTokenSigner, findSoftHsm } from '../token/index.ts';
import { DEVELOPMENT, parseSignedPolicy, parseTrustFile, serialiseTrustFile } from '../trust/index.ts';
import { draftOfFleet, joinedAs } from './announce.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { descriptionOfDraft, keysFile } from './evidence.ts';
import {
  CERTIFICATE_FILES,
  CERTIFICATE_YEARS,
  hostOf,
  issueTo,
  json,
  listeners,
  makeNodeToken,
  nodeConfiguration,
  write,
  YEAR,
} from './files.ts';
import {
  COSIGNER,
  coordinatorName,
  dashboardPortOf,
  FleetFolder,
  type FleetPlan,
  type LogPlan,
  nodeName,
  planText,
  portsOf,
  processNames,
  readPlan,
  WITNESSES,
  witnessName,
} from './folder.ts';
import { HOST } from './host.ts';
import { logUrl, makeParties, OPERATOR, PUBLIC_FILES, partyNames } from './parties.ts';
import { findFreePorts } from './ports.ts';
import { identityOf, isAlive, type ProcessIdentity } from './process.ts';
import { all } from './together.ts';
import { TokenWorkshop } from './workshop.ts';

type TokenSigner = Awaited<ReturnType<typeof createTokenSigner>>;

export interface CreateFleetOptions {
  /** Must not exist, or be empty. */
  readonly directory: string;
  readonly name: string;
  readonly environment: string;
  readonly nodes: number;
  readonly coordinators: number;
  /** Undefined takes free ones. */
  readonly basePort: number | undefined;
  /** For containers, each of which is reached by its name. */
  readonly named: boolean;
  readonly policy: Omit<Policy, 'minimumShares'>;
  /** A cosigner with its log and witnesses of its own, those of the fleet in another folder, or none (pinned mode). */
  readonly log: 'own' | 'none' | { readonly join: string };
  /** Name of the vault, where the fleet has a log of its own. */
  readonly vault: string;
  readonly command: HoldfastCommand;
  /** Makes this process's SoftHSM use that configuration (SOFTHSM2_CONF). */
  readonly useSoftHsm: (configuration: string) => void;
  /** Makes the empty state of the witness with that configuration. */
  readonly initialiseWitness: (configuration: string) => Promise<void>;
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
  if (options.log === 'own' && options.environment !== DEVELOPMENT) {
    throw new HoldfastError(
      'usage',
      `no trust policy can be made for software tokens in the environment ${options.environment}; leave ${DEVELOPMENT}, or make it with --no-log`,
    );
  }
  const target = new FleetFolder(options.directory);
  await requireEmpty(target.path);
  const home = typeof options.log === 'object' ? new FleetFolder(options.log.join) : undefined;
  const settled = home ? await joining(options, home) : options;
  const folder = await makePartial(target.path);
  let made: Promise<Authority> | undefined;
  try {
    const { name, nodes, coordinators } = settled;
    const log: LogPlan = home ? { kind: 'joined', folder: joinedAs(target, home) } : { kind: ownLog(options) };
    const basePort = options.basePort ?? (await findFreePorts());
    const plan: FleetPlan = { name, nodes, coordinators, basePort, log, ...(options.named && { named: true }) };
    const workshop = new TokenWorkshop(folder, module, options.useSoftHsm);
    made = makeAuthorityAndParties(folder, plan, settled, workshop);
    const [keys, authority] = await all([makeTokens(folder, plan, module, settled), made] as const);
    await makeTenant(folder, home);
    await write(folder.dashboardCredential, `${toBase64Url(systemRandom(32))}\n`, 0o600);
    await write(folder.trust, trustText(plan, keys, authority.certificatePem, settled), 0o644);
    if (home) await makeJoined(folder, home);
    await makeConfigurations(folder, plan, module, home ?? folder);
    await write(folder.plan, planText(plan), 0o644);
    // Side by side: a node is initialised before it has a certificate.
    await all([
      finishParties(folder, plan, authority, workshop, settled),
      initialiseNodes(folder, plan, home ?? folder, settled),
    ]);
    await rm(join(folder.path, MARKER));
    await rename(folder.path, target.path);
  } catch (error) {
    // An open token would keep this process from ending.
    await made?.then(({ signer }) => signer.close()).catch(() => {});
    await rm(folder.path, { recursive: true, force: true });
    throw error;
  }
  const plan = readPlan(target);
  for (const name of processNames(plan, 0)) target.softHsm(name);
  for (const name of ['authority', ...(plan.log.kind === 'own' ? partyNames() : [])]) target.softHsm(name);
  return target;
}

const ownLog = ({ log }: CreateFleetOptions) => (log === 'own' ? 'own' : 'none');

/** Users, environment and policy are those of the fleet that is joined: records move between the two. */
async function joining(options: CreateFleetOptions, home: FleetFolder): Promise<CreateFleetOptions> {
  const plan = readPlan(home);
  if (plan.log.kind !== 'own') {
    throw new HoldfastError(
      'usage',
      `${home.path} has no log of its own to join; name the folder of the fleet that has`,
    );
  }
  if (plan.name === options.name) {
    throw new HoldfastError('usage', `the fleet there is called ${plan.name} already; name this one with --name`);
  }
  const { fleet, environment } = parseTrustFile(await readFile(home.trust, 'utf8'), { now: Number.NEGATIVE_INFINITY });
  return { ...options, environment, policy: fleet.policy };
}

async function makeJoined(folder: FleetFolder, home: FleetFolder): Promise<void> {
  await copyFile(home.client, folder.client);
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
    const maker = await makerOf(partial);
    if (isAlive(maker)) {
      throw new HoldfastError('conflict', `process ${maker.pid} is making this fleet now; wait for it`);
    }
    await rm(partial, { recursive: true, force: true });
  }
  try {
    await mkdir(dirname(partial), { recursive: true });
    await mkdir(partial, { mode: 0o700 });
    await write(join(partial, MARKER), json(identityOf(process.pid)), 0o600);
  } catch (cause) {
    throw new HoldfastError('usage', `${partial} cannot be made: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
  return new FleetFolder(partial);
}

/** Who makes the fleet in a folder that is not finished; undefined where the marker does not say. */
async function makerOf(partial: string): Promise<ProcessIdentity | undefined> {
  try {
    const maker = parseJson(await readFile(join(partial, MARKER), 'utf8'), 'bad_input').object(['pid', 'started']);
    return { pid: maker.required('pid').integer(1), started: maker.required('started').text(200) };
  } catch {
    return undefined;
  }
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

interface Authority {
  readonly signer: TokenSigner;
  readonly certificatePem: string;
}

/** The authority stays open, for the certificates of those whose tokens are being made meanwhile. */
async function makeAuthorityAndParties(
  folder: FleetFolder,
  plan: FleetPlan,
  { policy, vault, environment, onProgress }: CreateFleetOptions,
  workshop: TokenWorkshop,
): Promise<Authority> {
  const { module } = workshop;
  const signer = await createTokenSigner({ module, ...(await workshop.make('authority')), key: 'authority' });
  try {
    const now = Date.now();
    const made = await createAuthority({ signer, fleet: plan.name, notBefore: now - DAY, notAfter: now + 10 * YEAR });
    await write(join(folder.authority, 'authority.pem'), made.certificatePem, 0o644);
    if (plan.log.kind === 'own') {
      await makeParties(folder, plan, { vault, environment }, policy, workshop, made.certificatePem);
      onProgress('cosigner, operator, witnesses and trust policy');
    }
    return { signer, certificatePem: made.certificatePem };
  } catch (error) {
    await signer.close();
    throw error;
  }
}

/** Everybody's certificates; then each party gets its token, which lets its store be made. */
async function finishParties(
  folder: FleetFolder,
  plan: FleetPlan,
  authority: Authority,
  workshop: TokenWorkshop,
  options: CreateFleetOptions,
): Promise<void> {
  try {
    await makeCertificates(folder, plan, authority);
    options.onProgress('certificates');
  } finally {
    await authority.signer.close();
  }
  await workshop.deliver();
  if (plan.log.kind === 'own') await initialiseParties(folder, options);
}

async function makeCertificates(
  folder: FleetFolder,
  plan: FleetPlan,
  { signer, certificatePem: authorityPem }: Authority,
): Promise<void> {
  const now = Date.now();
  const validity = { notBefore: now - DAY, notAfter: now + CERTIFICATE_YEARS * YEAR };
  const issue = (role: PeerRole, name: string, file: string) => {
    const request = { authorityPem, signer, subject: { fleet: plan.name, role, name }, ...validity };
    return issueTo(folder.of(name), file, request, ...(plan.named ? [name] : []));
  };
  for (const node of numbers(plan.nodes)) await issue('node', nodeName(node), 'certificate');
  for (const coordinator of numbers(plan.coordinators)) {
    await issue('coordinator', coordinatorName(coordinator), 'certificate');
    await issue('public', coordinatorName(coordinator), 'public');
  }
  if (plan.log.kind === 'own') {
    await issue('cosigner', COSIGNER, 'certificate');
    await issue('operator', OPERATOR, 'certificate');
    const serving = [COSIGNER, ...numbers(WITNESSES).map(witnessName)];
    if (plan.named) for (const name of serving) await issue('public', name, 'public');
  }
}

async function makeTenant(folder: FleetFolder, home: FleetFolder | undefined): Promise<void> {
  await mkdir(dirname(folder.tenantKey), { mode: 0o700 });
  if (home) {
    await copyFile(home.tenantKey, folder.tenantKey);
    await copyFile(home.tenants, folder.tenants);
    return;
  }
  const algorithm = 'Ed25519';
  const { privateKey, publicKey } = await generateTenantKey(algorithm);
  const recordIdKey = toBase64Url(systemRandom(32));
  const tenant = { issuer: ISSUER, algorithm, keys: [publicKey], recordIdKey, maximumAgeSeconds: 86_400 };
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
async function makeConfigurations(
  folder: FleetFolder,
  plan: FleetPlan,
  module: string,
  home: FleetFolder,
): Promise<void> {
  for (const node of numbers(plan.nodes)) {
    await write(folder.configuration(nodeName(node)), nodeConfiguration(plan, node, module), 0o600);
  }
  const nodes = numbers(plan.nodes).map((node) => ({
    node,
    url: `https://${hostOf(plan, nodeName(node))}:${portsOf(plan, nodeName(node)).service}`,
    name: nodeName(node),
  }));
  const trustSource = {
    urls: [logUrl(home === folder ? plan : readPlan(home))],
    ...(plan.named && { authority: CERTIFICATE_FILES.authority }),
    // So that clients hear of a change before it is forgotten what was tried.
    intervalMilliseconds: 2000,
  };
  for (const coordinator of numbers(plan.coordinators)) {
    const name = coordinatorName(coordinator);
    await mkdir(folder.of(name), { mode: 0o700 });
    const configuration = {
      trustFile: '../trust.json',
      nodes,
      ...listeners(plan, name),
      tls: PUBLIC_FILES,
      nodeTls: CERTIFICATE_FILES,
      // All clients of a fleet on one machine have one address.
      rateLimit: { requests: 0 },
      // Delays are short where somebody tries things out.
      maintenance: { destroySpent: 500 },
      dashboard: { credentialFile: '../dashboard.credential', host: HOST, port: dashboardPortOf(plan, coordinator) },
      ...(plan.log.kind !== 'none' && { trustSource }),
    };
    await write(folder.configuration(name), json(configuration), 0o600);
  }
}

/** Stores and anchors; and what the tokens say of the new keys, read now so that the evidence speaks of the time when they were made. */
async function initialiseNodes(
  folder: FleetFolder,
  plan: FleetPlan,
  home: FleetFolder,
  { command, signal, onProgress }: CreateFleetOptions,
): Promise<void> {
  const description = plan.log.kind === 'none' ? undefined : await descriptionOf(folder, plan, home);
  await twoAtATime(numbers(plan.nodes), async (node) => {
    const name = nodeName(node);
    const words = ['node', 'init', '--config', folder.configuration(name)];
    const reading = description && ['--description', description, '--out', await keysFile(folder, node, description)];
    await runJson(command, [...words, ...(reading ?? [])], signal);
    onProgress(`${name}: store and anchor${reading ? ', and evidence of its keys' : ''}`);
  });
}

async function descriptionOf(folder: FleetFolder, plan: FleetPlan, home: FleetFolder): Promise<string> {
  const policy = parseSignedPolicy(await readFile(home.policy, 'utf8'));
  return descriptionOfDraft(await draftOfFleet(folder), policy, plan.name);
}

/** The cosigner in a process of its own, which opens its token; a witness's state needs none. */
async function initialiseParties(
  folder: FleetFolder,
  { command, signal, onProgress, initialiseWitness }: CreateFleetOptions,
): Promise<void> {
  folder.softHsm(COSIGNER);
  const cosigner = runJson(command, ['cosigner', 'init', '--config', folder.configuration(COSIGNER)], signal);
  const witnesses = async () => {
    for (const name of numbers(WITNESSES).map(witnessName)) {
      await initialiseWitness(folder.configuration(name));
      onProgress(`${name}: store`);
    }
  };
  await all([cosigner.then(() => onProgress(`${COSIGNER}: store`)), witnesses()]);
}
