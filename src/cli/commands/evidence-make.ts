/** `holdfast evidence node-keys`, `software` and `record`: making the statements of a deployment's evidence. */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { HoldfastError, parseJson } from '../../core/index.ts';
import {
  descriptionSubject,
  fileEntry,
  readNodeKeysPredicate,
  type SoftwarePredicate,
  type Statement,
} from '../../evidence/index.ts';
import { FleetFolder, recordFleet } from '../../fleet/index.ts';
import { builtPageList } from '../../http/index.ts';
import {
  addStatement,
  evidenceKeyOf,
  gatherServiceRecord,
  loggedAt,
  readLog,
  signStatement,
  waitForLeaf,
} from '../../operator/index.ts';
import type { PurposeKey } from '../../signer/index.ts';
import { built } from '../built.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type SigningKeyFlags, withPurposeKey } from '../signing-token.ts';
import {
  type CosignerFlags,
  openSite,
  readTrustSource,
  requireSubmission,
  type TrustFlags,
  type TrustSource,
} from '../trust-source.ts';
import { version } from '../version.ts';
import { readBundle, siteOf } from './evidence.ts';
import { digestOf } from './possession.ts';

const MAXIMUM_FILE = 700_000;
/** The list of the pages' hashes, which comes with every build. */
const PAGES = 'pages.sha256';

export interface SignFlags extends SigningKeyFlags {
  readonly name: string;
  readonly description: string;
  readonly fleetName: string;
  readonly out: string;
}

/** Signs what nodes said of their keys, and adds it to the folder. */
export async function nodeKeys(files: readonly string[], flags: SignFlags): Promise<CommandResult> {
  const subject = descriptionSubject(flags.fleetName, digestOf(flags.description));
  const statements: Statement[] = [];
  for (const path of files) {
    const text = await readTextFile(path, 'the keys of a node', MAXIMUM_FILE);
    const predicate = readNodeKeysPredicate(parseJson(text, 'evidence_malformed'));
    statements.push({ kind: 'node-keys', subject, predicate });
  }
  return await added(statements, flags);
}

export interface SoftwareFlags extends SignFlags {
  readonly source: string;
  readonly builder: string;
  readonly commit?: string;
  readonly lockfile?: string;
  readonly artifact: readonly string[];
}

export async function software(flags: SoftwareFlags): Promise<CommandResult> {
  const { commit = built().commit, source, builder } = flags;
  if (commit === '') throw new HoldfastError('usage', 'this program does not know its commit; say it with --commit');
  const lockfile =
    flags.lockfile === undefined
      ? built().lockfile
      : createHash('sha256')
          .update(await readFile(flags.lockfile))
          .digest('hex');
  if (lockfile === '') throw new HoldfastError('usage', 'name the commit’s package-lock.json: --lockfile FILE');
  const artifacts = flags.artifact.map((text) => {
    const [, name, sha256] = /^(.+)=(?:sha256:)?([0-9a-f]{64})$/.exec(text) ?? [];
    if (name !== undefined && sha256 !== undefined) return { name, sha256 };
    throw new HoldfastError(
      'usage',
      '--artifact must be NAME=SHA256, such as "holdfast container image"=sha256:5e3f...',
    );
  });
  const pages = await builtPageList();
  if (pages !== undefined && !artifacts.some(({ name }) => name === PAGES)) {
    artifacts.push({ name: PAGES, sha256: createHash('sha256').update(pages).digest('hex') });
  }
  const predicate: SoftwarePredicate = { version: version(), source, commit, lockfile, builder, artifacts };
  const subject = descriptionSubject(flags.fleetName, digestOf(flags.description));
  return await added([{ kind: 'software', subject, predicate }], flags);
}

async function added(statements: readonly Statement[], flags: SignFlags): Promise<CommandResult> {
  const entries = await withEvidenceKey(flags, async (key) => {
    const made = [];
    for (const statement of statements) {
      const file = await signStatement(statement, key);
      made.push(await addStatement(flags.out, statement, file, evidenceKeyOf(key)));
    }
    return made;
  });
  return {
    value: { folder: flags.out, statements: entries.map(({ sha256, size }) => ({ sha256, size })) },
    lines: [
      ...entries.map(({ address }) => `Signed: ${flags.out}/${address}`),
      'When all statements are there: holdfast evidence assemble',
    ],
  };
}

export interface RecordFlags extends TrustFlags, CosignerFlags, Partial<SigningKeyFlags> {
  /** A fleet on this machine, which says all the rest. */
  readonly fleet?: string;
  readonly name?: string;
  readonly fleetName?: string;
  readonly coordinator?: readonly string[];
  readonly site?: string;
  readonly bundle?: string;
  readonly out?: string;
  readonly patience: number;
}

/** Gathers what the nodes say of the accepted bundle, signs it, and has it logged. */
export async function record(flags: RecordFlags, signal: AbortSignal): Promise<CommandResult> {
  if (flags.fleet !== undefined) return await recordOfFolder(flags.fleet, flags.patience, signal);
  const { name, journal } = flags;
  if (name === undefined || journal === undefined) {
    throw new HoldfastError('usage', 'say which key signs the record: --name KEY and --journal FILE');
  }
  if (flags.out === undefined && flags.cosigner === undefined) {
    throw new HoldfastError('usage', 'say where the record goes: --out FILE, --cosigner URL, or both');
  }
  const isLogKnown = flags.anchor !== undefined || flags.policy !== undefined || flags.bundle === undefined;
  const trust = isLogKnown ? await readTrustSource(flags) : undefined;
  const bundle =
    flags.bundle === undefined ? await acceptedBundle(trust!, flags.fleetName, signal) : await readBundle(flags.bundle);
  const { statement, missing } = await gatherServiceRecord({
    bundle,
    coordinators: flags.coordinator,
    patience: flags.patience * 1000,
    signal,
  });
  const file = await withEvidenceKey({ ...flags, name, journal }, (key) => signStatement(statement, key));
  const entry = fileEntry(file);
  if (flags.out !== undefined) await writeWholeFile(flags.out, file, { mode: 0o644, overwrite: false });
  let index: number | undefined;
  if (flags.cosigner !== undefined) {
    if (flags.site === undefined) throw new HoldfastError('usage', 'say where people will find the file: --site URL');
    await using submission = await requireSubmission(flags);
    await submission.evidenceFile('json', file, signal);
    index = await submission.evidence(loggedAt(siteOf(flags.site), entry), signal);
  }
  const confirmed = index === undefined ? undefined : await isConfirmed(index, trust, flags.patience, signal);
  const nodes = statement.predicate.reports.map(({ node }) => node);
  return {
    value: {
      bundle: bundle.digest,
      sha256: entry.sha256,
      nodes,
      missing,
      ...(index !== undefined && { index, confirmed }),
    },
    lines: [
      `${nodes.length} of ${bundle.manifest.nodes.length} nodes say that they apply exactly the bundle’s limits.`,
      ...(missing.length > 0 ? [`Not heard: nodes ${missing.join(', ')}.`] : []),
      ...(index === undefined
        ? []
        : [
            `In the log at index ${index}${confirmed ? ', as its witnesses confirm: audits find it from now on' : ''}.`,
            ...(confirmed ? [] : ['Audits find it once the witnesses have confirmed it.']),
          ]),
    ],
  };
}

/** Whether the log’s site shows the leaf before patience ends; undefined where nobody said which site that is. */
async function isConfirmed(index: number, trust: TrustSource | undefined, seconds: number, signal: AbortSignal) {
  if (trust?.url === undefined) return undefined;
  await using site = openSite(trust);
  try {
    await waitForLeaf(site, index, { patience: seconds * 1000, signal });
    return true;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'not_ready') return false;
    throw error;
  }
}

async function recordOfFolder(path: string, patience: number, signal: AbortSignal): Promise<CommandResult> {
  const recorded = await recordFleet({
    folder: new FleetFolder(path),
    useSoftHsm: (configuration) => {
      process.env.SOFTHSM2_CONF = configuration;
    },
    patience: patience * 1000,
    signal,
  });
  const { bundle, missing, already } = recorded;
  const heard = missing.length === 0 ? 'all nodes' : `all nodes but ${missing.join(', ')}`;
  const news = already ? 'was in the log already' : 'is in the log';
  return { value: { ...recorded }, lines: [`What ${heard} say of the bundle ${bundle} ${news}.`] };
}

async function acceptedBundle(trust: TrustSource, name: string | undefined, signal: AbortSignal) {
  await using site = openSite(trust);
  const { state } = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  const fleet = name ?? trust.fleet;
  const accepted = state.fleets.get(fleet)?.accepted;
  if (!accepted) throw new HoldfastError('not_found', `no bundle of ${fleet} has been accepted`);
  return accepted;
}

function withEvidenceKey<T>(flags: SigningKeyFlags & { readonly name: string }, body: (key: PurposeKey) => Promise<T>) {
  return withPurposeKey(flags, { name: flags.name, scope: { purpose: 'evidence' } }, body);
}
