/** From a configuration to a running cosigner: opens policy, token, journal, store and certificates. */

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CosignerConfiguration } from '../configuration/index.ts';
import { type Clock, HoldfastError, type Secret, systemClock } from '../core/index.ts';
import { LOG_TABLES, type LogStore, readRows, TileFiles } from '../cosigner/log/index.ts';
import { Fetcher } from '../cosigner/replay/index.ts';
import {
  type CosignerSigners,
  createEvidenceCheck,
  EvidenceFiles,
  initialiseCosigner,
  type RunningCosigner,
  startCosignerService,
} from '../cosigner/service/index.ts';
import { type VendorRoot, vendorRootFrom } from '../evidence/index.ts';
import { builtPage, createLogger, type Logger, readNamedFile, readPage } from '../http/index.ts';
import type { TlsIdentity } from '../pki/index.ts';
import { openPurposeKey, type PurposeKeyOptions, type SignedTree, SigningJournal } from '../signer/index.ts';
import { openLmdbStore } from '../store/index.ts';
import { originOf, type SignedPolicy } from '../trust/index.ts';
import { openEvidenceFetcher } from './evidence-fetch.ts';
import { readPolicyFile } from './policy.ts';
import { openConfiguredToken } from './signing-token.ts';

export interface StartCosignerOptions {
  /** The token's PIN, from wherever `configuration.token.pin` says. Wiped after use. */
  readonly readPin: () => Promise<Secret>;
  readonly log?: Logger;
  readonly clock?: Clock;
}

/** Milliseconds for one file of evidence to be fetched. */
const EVIDENCE_TIMEOUT = 15_000;

/** Things to close, the last opened first. */
class Opened {
  readonly #closers: (() => Promise<unknown>)[] = [];

  add<T extends { close(): Promise<unknown> }>(resource: T): T {
    this.#closers.push(() => resource.close());
    return resource;
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) await close();
  }
}

/** The cosigner's four keys, each behind its checks and the journal. */
async function openSigners(
  { name, token: tokenConfiguration, journal: path, store }: CosignerConfiguration,
  policy: SignedPolicy,
  { readPin, clock = systemClock }: StartCosignerOptions,
  opened: Opened,
): Promise<{ readonly signers: CosignerSigners; readonly journal: Pick<SigningJournal, 'trees'> }> {
  const journal = opened.add(await SigningJournal.open(path, { clock }));
  const token = opened.add(await openConfiguredToken(tokenConfiguration, readPin, store.directory));
  const { vault, environment } = policy.policy;
  const origin = originOf(policy);
  const open = async (options: Pick<PurposeKeyOptions, 'name' | 'scope' | 'refuseForks'>) =>
    (await openPurposeKey({ token, journal, clock, ...options })).note;
  const signers = {
    bundle: await open({ name: `${name}/bundle`, scope: { purpose: 'bundle', vault, environment } }),
    roster: await open({ name: `${name}/roster`, scope: { purpose: 'roster', origin } }),
    // The log stores what it is about to sign, so the same again is all that a restart asks for.
    checkpoint: await open({ name: origin, scope: { purpose: 'checkpoint', origin }, refuseForks: true }),
    plexi: await open({ name: `${name}/plexi`, scope: { purpose: 'plexi' } }),
  };
  const expected = { bundle: policy.policy.cosigner, roster: policy.policy.roster, plexi: policy.policy.plexi };
  for (const [purpose, key] of Object.entries(expected) as [keyof typeof expected, { text: string }][]) {
    if (signers[purpose].verifierKey === key.text) continue;
    throw new HoldfastError('usage', `the ${purpose} key on the token is not the one in the trust policy; check both`);
  }
  return { signers, journal };
}

/**
 * Makes the log of a new cosigner, once.
 * @throws HoldfastError `store_refused` where the store has a log, or the journal says that this key has signed for one.
 */
export async function initialiseConfiguredCosigner(
  configuration: CosignerConfiguration,
  options: StartCosignerOptions,
): Promise<{ origin: string; checkpoint: string }> {
  const policy = await readPolicyFile(configuration.policy);
  const opened = new Opened();
  try {
    const { signers, journal } = await openSigners(configuration, policy, options, opened);
    const store = await openLmdbStore(configuration.store.directory, LOG_TABLES);
    try {
      await refuseOldStore(journal.trees, policy, store);
    } catch (error) {
      await store.close();
      throw error;
    }
    return await initialiseCosigner({ policy, store, signers, folder: configuration.files.directory });
  } finally {
    await opened.close();
  }
}

/**
 * A store that is older than what its key has signed would make a fork of the log, an empty one included.
 * @throws HoldfastError `store_refused`.
 */
async function refuseOldStore(trees: readonly SignedTree[], policy: SignedPolicy, store: LogStore): Promise<void> {
  const origin = originOf(policy);
  // The log's key has the origin for its name.
  const own = trees.filter((tree) => tree.origin === origin && tree.key.startsWith(`${origin}+`));
  const signed = Math.max(0, ...own.map(({ size }) => size));
  const { head, intent } = readRows(store);
  const pending = intent();
  const size = pending ? pending.size + pending.count + 1 : (head()?.size ?? 0);
  if (signed <= size) return;
  throw new HoldfastError(
    'store_refused',
    `the store has ${size} leaves of ${origin}, but this key has signed a checkpoint of ${signed}: restore the newest store, or see docs/cosigner.md on a log that is lost`,
  );
}

/** @throws HoldfastError `usage`, `policy_*`, `store_refused`, `journal_damaged` or `token_*`, with nothing left open. */
export async function startCosigner(
  configuration: CosignerConfiguration,
  options: StartCosignerOptions,
): Promise<RunningCosigner> {
  const { clock = systemClock } = options;
  const log = options.log ?? createLogger(configuration.logLevel, { service: 'cosigner', name: configuration.name });
  const policy = await readPolicyFile(configuration.policy);
  const { listen, submission, rateLimit, trustedProxies, witnesses, rules, approvers, metrics } = configuration;
  const { evidence } = configuration;
  const authority = witnesses.authority && (await readNamedFile('the file of authorities', witnesses.authority));
  const publicTls = await readPublicTls(configuration);
  const page = configuration.page === undefined ? await builtPage('transparency') : await readPage(configuration.page);
  const submissionTls = {
    authorityPem: await readNamedFile('the authority’s certificate', submission.tls.authority),
    certificatePem: await readNamedFile('the cosigner’s certificate', submission.tls.certificate),
    privateKeyPem: await readNamedFile('the cosigner’s private key', submission.tls.key),
  };
  const opened = new Opened();
  try {
    const { signers, journal } = await openSigners(configuration, policy, options, opened);
    const transport = opened.add(new Fetcher({ authority }));
    const store = await openLmdbStore(configuration.store.directory, LOG_TABLES);
    await refuseOldStore(journal.trees, policy, store).catch(async (error: unknown) => {
      await store.close();
      throw error;
    });
    const fetcher = opened.add(
      openEvidenceFetcher({ authority, origins: evidence.origins, timeout: EVIDENCE_TIMEOUT }),
    );
    const evidenceFolder = join(configuration.files.directory, 'evidence');
    const evidenceFiles = await EvidenceFiles.open({
      files: new TileFiles({ folder: evidenceFolder, rows: readRows(store) }),
      folder: evidenceFolder,
      maximumBytes: evidence.maximumBytes,
    });
    if (approvers === undefined) log.warn({ event: 'proposals are signed without a person' });
    return await startCosignerService({
      ...{ policy, store, signers, transport, rules, approvers, metrics, log, clock },
      folder: configuration.files.directory,
      evidence: createEvidenceCheck({
        files: evidenceFiles,
        fetch: evidence.fetch ? fetcher.fetch : undefined,
        vendorRoots: await readVendorRoots(evidence.vendorRoots),
      }),
      evidenceFiles,
      public: { listen, tls: publicTls, rateLimit, trustedProxies, page },
      submission: { listen: submission.listen, tls: submissionTls, authority: submission.authorityName },
      witnesses,
      // Readers of Plexi want a time; the key counts from the beginning.
      plexiNotBefore: 0,
      close: () => opened.close(),
    });
  } catch (error) {
    await opened.close();
    throw error;
  }
}

/** Roots that the operator of this cosigner has put into a folder, by the names of their files. */
async function readVendorRoots(folder: string | undefined): Promise<VendorRoot[]> {
  if (folder === undefined) return [];
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new HoldfastError(
      'usage',
      `the folder of vendors’ roots, ${folder}, cannot be read; check its path and its mode`,
      {
        cause,
      },
    );
  });
  const roots = names.toSorted().flatMap((name) => {
    const [, vendor] = /^(.+)\.(?:pem|cer)$/.exec(name) ?? [];
    return vendor === undefined ? [] : [{ vendor, path: join(folder, name) }];
  });
  return await Promise.all(
    roots.map(async ({ vendor, path }) => vendorRootFrom(vendor, new Uint8Array(await readFile(path)))),
  );
}

async function readPublicTls({ tls }: CosignerConfiguration): Promise<TlsIdentity | undefined> {
  if (!tls) return undefined;
  const certificatePem = await readNamedFile('the certificate', tls.certificate);
  const privateKeyPem = await readNamedFile('the private key', tls.key);
  // No certificates are asked of clients, so that no authority judges any.
  return { authorityPem: certificatePem, certificatePem, privateKeyPem };
}
