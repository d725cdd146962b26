/**
 * The evidence of a fleet on one machine (docs/trust.md, section 4): the same statements as anywhere, and honest about what
 * they are worth: nobody was there when the keys were made, and the tokens are emulated.
 */

import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError, parseJson, Secret, systemRandom, utf8 } from '../core/index.ts';
import { ed25519KeyFromSeed, signEd25519 } from '../crypto/index.ts';
import {
  type CeremonyPredicate,
  descriptionDigest,
  descriptionSubject,
  type NodeKeysPredicate,
  presenceText,
  publicKeyOf,
  readNodeKeysPredicate,
  type SoftwarePredicate,
  type Statement,
} from '../evidence/index.ts';
import {
  addStatement,
  assembleEvidence,
  type DeploymentDraft,
  EVIDENCE_FILE,
  evidenceKeyOf,
  loggedAt,
  readEvidenceFolder,
  signStatement,
} from '../operator/index.ts';
import type { PurposeKey } from '../signer/index.ts';
import type { Digest, Evidence, SignedPolicy } from '../trust/index.ts';
import { type HoldfastCommand, runJson } from './command.ts';
import { type FleetFolder, logFolderOf, nodeName, readPlan } from './folder.ts';
import { logUrl } from './parties.ts';

/** Names no evidence: a description has none. */
export const NO_EVIDENCE = { sha256: '0'.repeat(64), address: 'https://evidence.invalid/' };
const MADE_BY = 'made by fleet create without people';

/** Digest of the description of the fleet as a draft has it. */
export function descriptionOfDraft(draft: DeploymentDraft, { policy }: SignedPolicy, fleet: string): Digest {
  const { vault, environment } = policy;
  const { epoch = 1, ...rest } = draft;
  const head = { vault, environment, fleet, serial: 1, previous: null, accepted: null, kind: 'deploy' as const, epoch };
  return descriptionDigest({ ...rest, ...head, evidence: NO_EVIDENCE });
}

const foldersOf = (folder: FleetFolder, description: Digest) => join(folder.evidence, description);
const predicateFile = (folder: FleetFolder, description: Digest, node: number) =>
  join(foldersOf(folder, description), `${nodeName(node)}.keys`);

/** Where what a node's token says of its keys is kept, in a folder that is there. */
export async function keysFile(folder: FleetFolder, node: number, description: Digest): Promise<string> {
  await mkdir(foldersOf(folder, description), { recursive: true, mode: 0o755 });
  return predicateFile(folder, description, node);
}

/** Has a node's token read, and its identity key sign for itself, by a process of its own: a process has one SoftHSM. */
export async function readKeysOf(
  folder: FleetFolder,
  node: number,
  description: Digest,
  command: HoldfastCommand,
  signal: AbortSignal | undefined,
): Promise<void> {
  const out = await keysFile(folder, node, description);
  if (existsSync(out)) return;
  const words = [
    'evidence',
    'possession',
    '--config',
    folder.configuration(nodeName(node)),
    '--description',
    description,
  ];
  await runJson(command, [...words, '--out', out], signal);
}

export interface FleetEvidenceOptions {
  readonly folder: FleetFolder;
  readonly description: Digest;
  readonly fleet: string;
  /** The operator's key for evidence. */
  readonly key: PurposeKey;
  /** Where the files will be found. */
  readonly site: string;
  readonly software: SoftwarePredicate | undefined;
  readonly command: HoldfastCommand;
  readonly signal: AbortSignal | undefined;
}

/** The evidence of the fleet's present description, made where it is not made yet. @returns what the bundle names. */
export async function evidenceOfFleet(options: FleetEvidenceOptions): Promise<{ folder: string; evidence: Evidence }> {
  const path = foldersOf(options.folder, options.description);
  if (!existsSync(join(path, EVIDENCE_FILE))) await makeEvidence(options, path);
  const { entry } = await readEvidenceFolder(path);
  return { folder: path, evidence: loggedAt(options.site, entry) };
}

/** What a bundle of that draft names, where its evidence has been made; undefined where it has not. */
export async function madeEvidence(
  folder: FleetFolder,
  draft: DeploymentDraft,
  policy: SignedPolicy,
): Promise<Evidence | undefined> {
  const plan = readPlan(folder);
  const home = logFolderOf(folder, plan);
  const path = foldersOf(folder, descriptionOfDraft(draft, policy, plan.name));
  if (!home || !existsSync(join(path, EVIDENCE_FILE))) return undefined;
  return loggedAt(logUrl(readPlan(home)), (await readEvidenceFolder(path)).entry);
}

async function makeEvidence(options: FleetEvidenceOptions, path: string): Promise<void> {
  const { folder, fleet, description, key, software, command, signal } = options;
  const { nodes } = readPlan(folder);
  const read: NodeKeysPredicate[] = [];
  for (let node = 1; node <= nodes; node++) {
    await readKeysOf(folder, node, description, command, signal);
    const text = await readFile(predicateFile(folder, description, node), 'utf8');
    read.push(readNodeKeysPredicate(parseJson(text, 'evidence_malformed')));
  }
  const subject = descriptionSubject(fleet, description);
  const statements: Statement[] = [
    { kind: 'ceremony', subject, predicate: ceremonyWithoutPeople(description, read, software?.version ?? 'unknown') },
    ...read.map((predicate): Statement => ({ kind: 'node-keys', subject, predicate })),
    ...(software ? [{ kind: 'software' as const, subject, predicate: software }] : []),
  ];
  for (const statement of statements) {
    await addStatement(path, statement, await signStatement(statement, key), evidenceKeyOf(key));
  }
  await assembleEvidence(path);
}

/** Somebody has to have a key in a ceremony's statement: here it says that it is nobody's. */
function ceremonyWithoutPeople(
  description: Digest,
  read: readonly NodeKeysPredicate[],
  version: string,
): CeremonyPredicate {
  const times = read.map(({ readAt }) => readAt);
  using secret = new Secret(systemRandom(32));
  const { publicKey } = ed25519KeyFromSeed(secret);
  const person = {
    name: 'holdfast fleet create',
    role: `development: ${MADE_BY}`,
    key: publicKeyOf('Ed25519', publicKey),
  };
  const record = {
    ...{ began: Math.min(...times), ended: Math.max(...times), version, transcript: null, destroyed: [] },
    tokens: read.map(({ node, token }) => ({ node, ...token, seals: [] })),
    keys: read.map(({ node, keys }) => ({ node, keys: keysOf(keys) })),
    steps: read.map(({ node, readAt }) => ({
      at: readAt,
      command: 'holdfast node keys',
      result: 'done' as const,
      finding: `development: the keys of ${node} are in a software token, ${MADE_BY}`,
    })),
  };
  const text = presenceText(description, { ...record, people: [person] }, person);
  return { ...record, people: [{ ...person, signature: signEd25519(secret, utf8(text)) }] };
}

function keysOf(keys: NodeKeysPredicate['keys']) {
  const key = (name: 'identity' | 'session' | 'oprf') => {
    const found = keys.find((each) => each.name === name)?.publicKey;
    if (found) return found;
    throw new HoldfastError('token_unsuitable', `the token has no public key ${name}`);
  };
  return { identity: key('identity'), session: key('session'), oprf: key('oprf') };
}
