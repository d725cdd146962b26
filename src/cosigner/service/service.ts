import { type Clock, HoldfastError, systemClock } from '../../core/index.ts';
import {
  closeGracefully,
  closeInTurn,
  createMonitoring,
  type ListenAddress,
  type Logger,
  listenAt,
  type Page,
  type Readiness,
} from '../../http/index.ts';
import type { TlsIdentity } from '../../pki/index.ts';
import { type NoteSigner, originOf, parseLeaf, type SignedPolicy, serialiseNote } from '../../trust/index.ts';
import type { WitnessTransport } from '../gather/index.ts';
import { type CosignedCheckpoint, type LogStore, readRows, TileFiles, TransparencyLog } from '../log/index.ts';
import { Approvals } from './approvals.ts';
import type { ClaimRules } from './claims.ts';
import { Cosigner, type EvidencePort } from './cosigner.ts';
import type { EvidenceFiles } from './evidence-files.ts';
import { Gathering } from './gathering.ts';
import { Ledger } from './ledger.ts';
import { CosignerMetrics } from './metrics.ts';
import { PlexiView } from './plexi-view.ts';
import { createPublicServer } from './public-server.ts';
import type { ProposalRules } from './rules.ts';
import { publishSite, type SiteTexts } from './site-files.ts';
import { createSubmissionServer } from './submission-server.ts';
import { TrustSets } from './trust-sets.ts';

export interface CosignerSigners {
  readonly bundle: NoteSigner;
  readonly roster: NoteSigner;
  readonly checkpoint: NoteSigner;
  readonly plexi: NoteSigner;
}

/** What a log is made of, whether it is run or only made. */
export interface CosignerLogOptions {
  /** The trust policy that counts until the log has a newer one. It names the log. */
  readonly policy: SignedPolicy;
  /** Belongs to the service from now on: closed with it, and when starting fails. */
  readonly store: LogStore;
  readonly signers: CosignerSigners;
  /** Folder of the static files. */
  readonly folder: string;
  readonly clock?: Clock;
}

export interface CosignerServiceOptions extends CosignerLogOptions {
  /** Called when the service has ended, to close tokens and connections. */
  readonly close?: () => Promise<void>;
  readonly transport: WitnessTransport;
  readonly rules: ProposalRules & ClaimRules;
  readonly evidence: EvidencePort;
  /** Files of evidence that are served, and taken from operators; undefined: none. */
  readonly evidenceFiles?: EvidenceFiles | undefined;
  /** Names of the operators' certificates that may approve; undefined asks nobody. */
  readonly approvers: readonly string[] | undefined;
  readonly public: {
    readonly listen: ListenAddress;
    /** Undefined serves plain HTTP. */
    readonly tls: TlsIdentity | undefined;
    readonly rateLimit: { readonly requests: number; readonly windowMilliseconds: number } | undefined;
    readonly trustedProxies: readonly string[];
    /** The transparency page; undefined serves none. */
    readonly page?: Page | undefined;
  };
  readonly submission: { readonly listen: ListenAddress; readonly tls: TlsIdentity; readonly authority: string };
  readonly metrics: ListenAddress;
  /** Milliseconds. */
  readonly witnesses: { readonly timeout: number; readonly refresh: number };
  /** Milliseconds since 1970 from which the Plexi key was in use. */
  readonly plexiNotBefore: number;
  readonly log: Logger;
}

export interface RunningCosigner {
  readonly publicUrl: string;
  readonly submissionUrl: string;
  readonly monitoringUrl: string;
  /** Finishes what is in flight, then closes everything. The same promise for every call. */
  close(): Promise<void>;
}

/** What follows from one checkpoint. */
interface Shown {
  /** The newest with a quorum; undefined before the first. */
  readonly checkpoint: CosignedCheckpoint | undefined;
  /** Digests of trust sets, by fleet. */
  readonly sets: ReadonlyMap<string, string>;
  readonly site: SiteTexts;
}

/** Milliseconds that requests in flight get to finish. */
const CLOSE_DEADLINE = 10_000;
/** Milliseconds for which an older trust set can still be fetched. */
const KEEP_SETS = 15 * 86_400_000;

/** Makes a log in an empty store, once. @throws HoldfastError `store_refused` where there is one already. */
export async function initialiseCosigner(options: CosignerLogOptions): Promise<{ origin: string; checkpoint: string }> {
  try {
    if (readRows(options.store).head()) {
      throw new HoldfastError('store_refused', 'there is a log in this store already; nothing was changed');
    }
    const { log } = await openLog(options, { create: true });
    return { origin: originOf(options.policy), checkpoint: log.head.checkpoint };
  } finally {
    await options.store.close();
  }
}

async function openLog(options: CosignerLogOptions, more: { create: boolean; onPublished?: () => void }) {
  const { policy, store, signers, folder, clock = systemClock } = options;
  const origin = originOf(policy);
  const [log] = policy.tlog.logs;
  if (log?.key.text !== signers.checkpoint.verifierKey) {
    throw new HoldfastError('usage', 'the checkpoint key is not the log’s in the trust policy; check both');
  }
  const ledger = new Ledger(store, policy, {
    roster: signers.roster.verifierKey,
    checkpoint: signers.checkpoint.verifierKey,
  });
  const files = new TileFiles({ folder, rows: readRows(store) });
  const opened = await TransparencyLog.open({
    ...{ origin, store, files, content: ledger, clock, create: more.create },
    checkpointSigner: signers.checkpoint,
    rosterSigner: signers.roster,
    ...(more.onPublished && { onPublished: more.onPublished }),
  });
  return { ledger, files, log: opened };
}

/** @throws HoldfastError `store_refused`, `usage` and what store and signers throw, with nothing left open. */
export async function startCosignerService(options: CosignerServiceOptions): Promise<RunningCosigner> {
  try {
    return await start(options);
  } catch (error) {
    await Promise.allSettled([options.store.close(), options.close?.()]);
    throw error;
  }
}

async function start(options: CosignerServiceOptions): Promise<RunningCosigner> {
  const { store, signers, policy, folder, clock = systemClock, log: logger } = options;
  const metrics = new CosignerMetrics();
  let onPublished = () => {};
  const { ledger, files, log } = await openLog(options, { create: false, onPublished: () => onPublished() });
  const rows = readRows(store);
  const trustSets = new TrustSets({ log, ledger, files, folder, clock, keep: KEEP_SETS });
  /** What readers are shown. It changes as a whole, once all is in place: whatever they ask for first, the rest fits it. */
  let shown: Shown = { checkpoint: undefined, sets: new Map(), site: new Map() };
  const plexi = new PlexiView({
    ...{ store, ledger, signer: signers.plexi, notBefore: options.plexiNotBefore },
    size: () => shown.checkpoint?.size ?? 0,
  });
  const approvals = options.approvers && new Approvals(store, (key) => ledger.read(key), clock);
  const site = (checkpoint: CosignedCheckpoint | undefined) => {
    const logged = policyAt(checkpoint?.size ?? 0, log, ledger);
    return publishSite({ files, log, policy: logged ?? policy, policyLogged: logged !== undefined, checkpoint });
  };
  const show = async (checkpoint: CosignedCheckpoint) => {
    const sets = await trustSets.publish(checkpoint);
    // What witnesses may still contradict gets no signature.
    if (gathering.fault === '') await plexi.signMissing(checkpoint.size);
    shown = { checkpoint, sets, site: await site(checkpoint) };
  };
  const gathering: Gathering = new Gathering({
    ...{ log, ledger, store, clock, metrics, logger, ...options.witnesses, transport: options.transport },
    onQuorum: show,
    onRound: () => housekeeping(),
  });
  const cosigner = new Cosigner({
    ...{ log, ledger, clock, approvals, bundleSigner: signers.bundle, rules: options.rules },
    evidence: options.evidence,
    requireSound: () => gathering.requireSound(),
  });
  /** What has to be done once the witnesses have confirmed the log, and again after each change. */
  const housekeeping = async () => {
    metrics.size.set(log.head.size);
    metrics.waiting.set(approvals?.waiting.length ?? 0);
    await log.settle();
    if (gathering.fault !== '') return;
    await cosigner.resume();
    if (!ledger.state.policyLogged) await cosigner.addPolicy(serialiseNote(policy.note));
    await plexi.signMissing(shown.checkpoint?.size ?? 0);
  };
  onPublished = () => gathering.poke();
  // What was published before an end in between.
  const quorum = rows.cosigned('quorum');
  if (quorum) await show(quorum);
  else shown = { ...shown, site: await site(undefined) };
  let closing = false;
  const readiness = (): Readiness => {
    if (closing) return { ready: false, reason: 'the cosigner is stopping' };
    const reason = gathering.fault;
    return { ready: reason === '', reason };
  };
  const { evidenceFiles } = options;
  const publicServer = await createPublicServer({
    ...{ evidenceFiles, folder, cosigner, plexi, metrics, readiness, log: logger, ...options.public },
    checkpoint: () => (shown.checkpoint ?? rows.cosigned('newest'))?.note ?? log.head.checkpoint,
    trustSet: (fleet) => shown.sets.get(fleet),
    site: (name) => shown.site.get(name),
    newestCheckpoint: () => newest(log, rows),
    policy: (version) => policyOf(log, ledger, version, shown.checkpoint?.size ?? log.head.size),
    bundle: (digest) => bundleOf(log, ledger, digest),
  });
  const submissionServer = createSubmissionServer({
    ...{ evidenceFiles, cosigner, approvals, metrics, log: logger, approvers: options.approvers ?? [] },
    tls: options.submission.tls,
    authority: options.submission.authority,
  });
  const monitoring = createMonitoring({ registry: metrics.registry, readiness });
  const stop = async () => {
    closing = true;
    await closeInTurn(logger, [
      () =>
        Promise.all([closeGracefully(submissionServer, CLOSE_DEADLINE), closeGracefully(publicServer, CLOSE_DEADLINE)]),
      () => gathering.close(),
      () => log.close(),
      () => monitoring.close(),
      async () => options.close?.(),
      () => metrics.registry.clear(),
    ]);
  };
  try {
    const publicUrl = await listenAt(publicServer, options.public.listen);
    const submissionUrl = await listenAt(submissionServer, options.submission.listen);
    const monitoringUrl = await listenAt(monitoring, options.metrics);
    // Witnesses that audit fetch the leaves from here, so the listeners come first.
    gathering.start();
    logger.info({ event: 'listening', publicUrl, submissionUrl, monitoringUrl, size: log.head.size });
    let closed: Promise<void> | undefined;
    return {
      ...{ publicUrl, submissionUrl, monitoringUrl },
      close: () => {
        closed ??= stop();
        return closed;
      },
    };
  } catch (error) {
    await Promise.allSettled([publicServer.close(), submissionServer.close(), monitoring.close(), gathering.close()]);
    throw error;
  }
}

/** The newest checkpoint with what cosignatures it has by now. */
function newest(log: TransparencyLog, rows: ReturnType<typeof readRows>): string {
  const cosigned = rows.cosigned('newest');
  return cosigned && cosigned.size === log.head.size ? cosigned.note : log.head.checkpoint;
}

/** The newest of a log's first `size` leaves that is a trust policy. */
function policyAt(size: number, log: TransparencyLog, ledger: Ledger): SignedPolicy | undefined {
  const index = ledger.policies.findLast((each) => each < size);
  const leaf = index === undefined ? undefined : parseLeaf(log.entry(index)!);
  return leaf?.type === 'policy' ? { ...leaf.policy, note: leaf.note } : undefined;
}

/**
 * A trust policy in the log's first `size` leaves: whoever reads a later one would count the checkpoint's cosignatures by
 * witnesses that have not seen that policy, and take the log for forged.
 */
function policyOf(log: TransparencyLog, ledger: Ledger, version: number, size: number): string | undefined {
  for (const index of ledger.policies.filter((each) => each < size)) {
    const leaf = publishedLeaf(index, log);
    if (leaf?.type === 'policy' && leaf.policy.policy.version === version) return serialiseNote(leaf.note);
  }
  return undefined;
}

/** Nobody is shown what the log's newest checkpoint has not got yet. */
function publishedLeaf(index: number | undefined, log: TransparencyLog) {
  return index === undefined || index >= log.head.size ? undefined : parseLeaf(log.entry(index)!);
}

/** The text of an accepted bundle: what clients go along to the bundle that they trusted last. */
function bundleOf(log: TransparencyLog, ledger: Ledger, digest: string): string | undefined {
  const leaf = publishedLeaf(ledger.bundle(digest), log);
  return leaf?.type === 'acceptance' ? leaf.bundle.text : undefined;
}
