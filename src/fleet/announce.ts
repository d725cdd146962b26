/** Makes a fleet's present state what clients can verify: a bundle proposed, cosigned, witnessed, countersigned and accepted. */

import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { HoldfastError, Secret, systemClock, utf8 } from '../core/index.ts';
import type { SoftwarePredicate } from '../evidence/index.ts';
import {
  type Announced,
  type AnnounceStep,
  announce,
  CosignerSite,
  type DeploymentDraft,
  draftOfPinned,
  HttpSubmission,
  publishEvidence,
} from '../operator/index.ts';
import { openPurposeKey, type PurposeKey, SigningJournal } from '../signer/index.ts';
import { findSoftHsm, openSigningToken } from '../token/index.ts';
import { type NoteSigner, parseSignedPolicy, parseTrustFile, type SignedPolicy } from '../trust/index.ts';
import { ask } from './ask.ts';
import type { HoldfastCommand } from './command.ts';
import { descriptionOfDraft, evidenceOfFleet, NO_EVIDENCE } from './evidence.ts';
import { hostOf } from './files.ts';
import { COSIGNER, type FleetFolder, logFolderOf, nodeName, portsOf, readPlan } from './folder.ts';
import { logUrl, OPERATOR, operatorFiles, submissionUrl } from './parties.ts';

export interface AnnounceFleetOptions {
  readonly folder: FleetFolder;
  /** Makes this process's SoftHSM use that configuration (SOFTHSM2_CONF). */
  readonly useSoftHsm: (configuration: string) => void;
  /** Runs `holdfast evidence possession` for nodes whose keys are new. */
  readonly command: HoldfastCommand;
  /** What the evidence says of the program; undefined where nobody knows from which commit it was made. */
  readonly software?: SoftwarePredicate | undefined;
  /** Milliseconds for witnesses and cosigner; default 60,000. */
  readonly patience?: number;
  /** Milliseconds for which the bundle is valid; default a year. */
  readonly validity?: number;
  readonly onStep?: (step: AnnounceStep) => void;
  readonly signal?: AbortSignal;
}

/** What an operator has at hand: the policy, the way to the log and the cosigner, and its key. */
export interface OperatorDesk extends AsyncDisposable {
  /** The fleet with the log. */
  readonly home: FleetFolder;
  readonly policy: SignedPolicy;
  readonly site: CosignerSite;
  readonly submission: HttpSubmission;
  readonly operator: NoteSigner;
  /** The operator's key for statements of evidence. */
  readonly evidence: PurposeKey;
}

const DAY = 86_400_000;
const YEAR = 365 * DAY;
/** Milliseconds for another process to end that signs for the operator, such as what `fleet up` began: it waits for witnesses. */
const JOURNAL_PATIENCE = 180_000;
/** Milliseconds for the cosigner to start. */
const COSIGNER_PATIENCE = 30_000;
const COSIGNER_POLL = 50;

/** @throws HoldfastError `usage` for a fleet without a log, `token_*`, `cancelled`. */
export async function openDesk(
  folder: FleetFolder,
  useSoftHsm: (configuration: string) => void,
  journalOf: (home: FleetFolder) => string = (home) => operatorFiles(home).journal,
  signal?: AbortSignal,
): Promise<OperatorDesk> {
  const home = logFolderOf(folder, readPlan(folder));
  if (!home) throw new HoldfastError('usage', 'this fleet was made without a log: its clients use its trust file');
  const plan = readPlan(home);
  const module = findSoftHsm();
  if (!module) throw new HoldfastError('usage', 'SoftHSM 2 is not installed; run scripts/setup, or install softhsm2');
  const policy = parseSignedPolicy(await readFile(home.policy, 'utf8'));
  const files = operatorFiles(home);
  const [authorityPem, certificatePem, privateKeyPem, pin] = await Promise.all(
    [files.authority, files.certificate, files.key, files.pin].map((path) => readFile(path, 'utf8')),
  );
  const closing: (() => Promise<unknown>)[] = [];
  const closeAll = async () => {
    for (const close of closing.splice(0).toReversed()) await close();
  };
  try {
    const journal = await SigningJournal.open(journalOf(home), { patience: JOURNAL_PATIENCE, signal });
    closing.push(() => journal.close());
    useSoftHsm(home.softHsm(OPERATOR));
    const token = await openSigningToken({ module, label: OPERATOR, pin: new Secret(utf8(pin!.trimEnd())) });
    closing.push(() => token.close());
    const { vault, environment, operator } = policy.policy;
    const scope = { purpose: 'bundle' as const, vault, environment };
    const key = await openPurposeKey({ token, name: operator.name, scope, journal });
    const name = operator.name.replace(/\/bundle$/, '/evidence');
    const evidence = await openPurposeKey({ token, name, scope: { purpose: 'evidence' }, journal });
    const site = new CosignerSite({ url: logUrl(plan), ...(plan.named && { authority: authorityPem }) });
    closing.push(() => site[Symbol.asyncDispose]());
    const tls = { authorityPem: authorityPem!, certificatePem: certificatePem!, privateKeyPem: privateKeyPem! };
    const submission = new HttpSubmission({ url: submissionUrl(plan), tls });
    closing.push(() => submission[Symbol.asyncDispose]());
    return { home, policy, site, submission, operator: key.note, evidence, [Symbol.asyncDispose]: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** The fleet as its trust file has it now, for a bundle that is valid from now on for so many milliseconds; without evidence. */
export async function draftOfFleet(folder: FleetFolder, validity = YEAR): Promise<DeploymentDraft> {
  const plan = readPlan(folder);
  const trust = parseTrustFile(await readFile(folder.trust, 'utf8'), { now: Number.NEGATIVE_INFINITY });
  const notBefore = Math.floor(Date.now() / 1000) * 1000;
  return draftOfPinned(trust, {
    endpoints: trust.names.map(
      (_, i) => `https://${hostOf(plan, nodeName(i + 1))}:${portsOf(plan, nodeName(i + 1)).service}`,
    ),
    operator: 'development',
    region: 'local',
    tokenClass: 'emulated',
    evidence: NO_EVIDENCE,
    notBefore,
    notAfter: notBefore + Math.ceil(validity / 1000) * 1000,
  });
}

/**
 * Announces the fleet as its trust file has it now, with its evidence. Where that is accepted already, nothing changes.
 * @throws HoldfastError as `announce` of src/operator; `usage` for a fleet without a log.
 */
export async function announceFleet(options: AnnounceFleetOptions): Promise<Announced> {
  const { folder, useSoftHsm, patience, validity, onStep, signal } = options;
  const { name: fleet } = readPlan(folder);
  await using desk = await openDesk(folder, useSoftHsm, undefined, signal);
  const { policy, submission } = desk;
  const draft = await draftOfFleet(folder, validity);
  const description = descriptionOfDraft(draft, policy, fleet);
  const site = logUrl(readPlan(desk.home));
  const { command, software } = options;
  const made = await evidenceOfFleet({
    folder,
    description,
    fleet,
    key: desk.evidence,
    site,
    software,
    command,
    signal,
  });
  await untilCosignerIsReady(desk, patience ?? COSIGNER_PATIENCE, signal);
  const end = performance.now() + (patience ?? COSIGNER_PATIENCE);
  for (;;) {
    try {
      return await announce({
        ...{ fleet, draft: { ...draft, evidence: made.evidence }, evidence: made.evidence },
        publish: async () => void (await publishEvidence({ folder: made.folder, submission, site, signal })),
        ...{ policy, site: desk.site, submission, operator: desk.operator },
        ...(patience !== undefined && { patience }),
        ...(onStep && { onStep }),
        ...(signal && { signal }),
      });
    } catch (error) {
      // Seen from outside, a cosigner that was just started serves before its witnesses have confirmed it.
      const waits = readPlan(desk.home).named && error instanceof HoldfastError && error.code === 'not_ready';
      if (!waits || performance.now() > end) throw error;
      await systemClock.sleep(COSIGNER_POLL * 10, signal);
    }
  }
}

/** Another fleet's folder as a plan names it. */
export function joinedAs(folder: FleetFolder, other: FleetFolder): string {
  return relative(folder.path, other.path) || join('.');
}

/** Cosigner and witnesses start beside this: before some have confirmed the log, the cosigner takes nothing. */
async function untilCosignerIsReady({ home, site }: OperatorDesk, patience: number, signal: AbortSignal | undefined) {
  const plan = readPlan(home);
  const { monitoring } = portsOf(plan, COSIGNER);
  const end = performance.now() + patience;
  const isReady = async () => {
    // Monitoring of a container is for those inside; what enough witnesses have confirmed it shows to everybody.
    if (plan.named) return (await site.checkpoint('witnessed', signal).catch(() => undefined)) !== undefined;
    return (await ask(monitoring, '/readyz').catch(() => undefined))?.status === 200;
  };
  while (!(await isReady())) {
    if (performance.now() > end) {
      throw new HoldfastError('not_ready', `the cosigner is not ready after ${patience / 1000} s; see ${home.logs}`);
    }
    await systemClock.sleep(COSIGNER_POLL, signal);
  }
}
