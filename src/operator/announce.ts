/** From a draft to a bundle that clients can verify: every step of the protocol, each done only if it is not done yet. */

import { type Clock, type ErrorCode, HoldfastError, systemClock } from '../core/index.ts';
import {
  type Bundle,
  type Digest,
  digestOf,
  type Evidence,
  type LiveManifest,
  type LogSource,
  type LogView,
  type NoteSigner,
  parseCheckpoint,
  parseNote,
  parseTrustSet,
  readLog,
  requireSignature,
  type SignedPolicy,
  serialiseNote,
} from '../trust/index.ts';
import type { Logged, Pending } from './answers.ts';
import { type CheckedProposal, type CheckProposalOptions, checkProposal, countersign } from './countersign.ts';
import type { DeploymentDraft } from './draft.ts';
import { isSameDeployment, nextDeployment, nextEpoch } from './manifests.ts';
import type { Submission } from './submission.ts';

/** Where acceptances go and trust sets come from; `CosignerSite` is one. */
export interface Site extends LogSource {
  trustSet(fleet: string, signal?: AbortSignal): Promise<Uint8Array | undefined>;
  submit(kind: 'acceptance' | 'revocation', note: string, signal?: AbortSignal): Promise<Logged>;
}

export interface Waiting {
  readonly clock?: Clock;
  /** Milliseconds until it is given up; default 60,000. */
  readonly patience?: number;
  readonly signal?: AbortSignal | undefined;
}

const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 2000;
const DEFAULT_PATIENCE = 60_000;

/**
 * Proposes a bundle and verifies what comes back. The same again is answered the same.
 * @throws HoldfastError `untrusted`, `signature_missing` or `signature_invalid` for an answer that is not the proposal; and
 * whatever the cosigner refuses with.
 */
export async function propose(
  bundle: Bundle<LiveManifest>,
  evidence: Evidence | undefined,
  { submission, policy, signal }: { submission: Submission; policy: SignedPolicy; signal?: AbortSignal | undefined },
): Promise<Logged | Pending> {
  if (evidence !== undefined) await submission.evidence(evidence, signal);
  const answer = await submission.proposal(bundle.text, signal);
  if (answer.digest !== bundle.digest) throw new HoldfastError('untrusted', 'the cosigner answered for another bundle');
  if (answer.status === 'logged') {
    const note = parseNote(answer.note);
    if (note.text !== bundle.text) throw new HoldfastError('untrusted', 'the cosigner has signed another text');
    requireSignature(note, policy.policy.cosigner, 'the cosigner');
  }
  return answer;
}

/**
 * Waits until a fleet's trust set has the bundle with this digest.
 * @returns the set's bytes, unverified: `verifyTrustSet` is for that.
 * @throws HoldfastError `not_ready` when patience ends.
 */
export function waitForTrustSet(site: Site, fleet: string, digest: Digest, waiting: Waiting = {}): Promise<Uint8Array> {
  return until(waiting, 'the witnesses to confirm the log with the bundle', async (signal) => {
    const set = await site.trustSet(fleet, signal);
    if (set === undefined) return undefined;
    return digestOf(parseNote(parseTrustSet(set).bundle).text) === digest ? set : undefined;
  });
}

/**
 * Waits until the site shows a checkpoint that has the leaf of this index: whoever audits it finds the leaf from then on.
 * @throws HoldfastError `not_ready` when patience ends.
 */
export async function waitForLeaf(site: LogSource, index: number, waiting: Waiting = {}): Promise<void> {
  await until(waiting, `the witnesses to confirm the log with entry ${index}`, async (signal) => {
    const checkpoint = await site.checkpoint('witnessed', signal);
    const isThere = checkpoint !== undefined && parseCheckpoint(parseNote(checkpoint).text).size > index;
    return isThere ? true : undefined;
  });
}

/**
 * Checks the fleet's last proposal of the newest checkpoint, once the witnesses have confirmed the log with it: a moment before,
 * their log has none, or the one before it.
 * @throws HoldfastError as `readLog` and `checkProposal`; `not_ready` when patience ends.
 */
export async function checkLastProposal(options: CheckProposalOptions & Waiting): Promise<CheckedProposal> {
  const { policy, source, fleet, now, signal } = options;
  const { state } = await readLog(policy, source, { which: 'newest', now, signal });
  const proposal = state.fleets.get(fleet)?.proposal;
  // Where there is none, or another than was asked for, the checks say so.
  if (proposal === undefined) return await checkProposal(options);
  const { clock = systemClock } = options;
  const began = clock.now();
  await waitForLeaf(source, proposal.index, options);
  return await checkProposal({ ...options, now: now + (clock.now() - began) });
}

export interface AnnounceOptions extends Waiting {
  readonly fleet: string;
  readonly draft: DeploymentDraft;
  readonly evidence: Evidence;
  /** Publishes the evidence before a bundle that names it is proposed; default: only where it is, is logged. */
  readonly publish?: () => Promise<void>;
  /** From the operator's own configuration. */
  readonly policy: SignedPolicy;
  readonly site: Site;
  readonly submission: Submission;
  /** The operator's bundle key. */
  readonly operator: NoteSigner;
  /** Called where the cosigner waits for its person; default: it is waited for. */
  readonly approve?: (digest: Digest) => Promise<void>;
  readonly onStep?: (step: AnnounceStep) => void;
}

export type AnnounceStep = 'propose' | 'approve' | 'witness' | 'countersign' | 'accept' | 'publish' | 'done';

export interface Announced {
  readonly digest: Digest;
  readonly serial: number;
  /** Whether it was accepted before this began. */
  readonly already: boolean;
  /** Unverified. */
  readonly trustSet: Uint8Array;
}

/** How often another submission may come in between before this one gives up. */
const MAXIMUM_RACES = 3;

/**
 * Makes a deployment live, from wherever it stands: accepted already (but for its time and evidence the same), proposed, or
 * unknown. Running it again changes nothing, unless the time of what is accepted is nearly over: then it is renewed.
 * @throws HoldfastError as `readLog`, `propose`, `checkProposal` and `countersign`; `not_ready` when patience ends.
 */
export async function announce(options: AnnounceOptions): Promise<Announced> {
  for (let race = 1; ; race++) {
    try {
      return await announceOnce(options);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== 'conflict' || race >= MAXIMUM_RACES) throw error;
    }
  }
}

async function announceOnce(options: AnnounceOptions): Promise<Announced> {
  const { fleet, draft, policy, site, operator, signal, clock = systemClock, onStep = () => {} } = options;
  const view = await readLog(policy, site, { which: 'newest', now: clock.now(), signal });
  const before = acceptedAs(view, fleet, draft, clock.now());
  if (before !== undefined) {
    const trustSet = await waitForTrustSet(site, fleet, before.digest, options);
    return { digest: before.digest, serial: before.manifest.serial, already: true, trustSet };
  }
  const bundle = await proposed(view, options);
  onStep('witness');
  const checked = await until(options, 'the witnesses to confirm the log with the proposal', async () => {
    try {
      return await checkProposal({ policy, source: site, fleet, digest: bundle.digest, now: clock.now(), signal });
    } catch (error) {
      if (error instanceof HoldfastError && isEarly(error, bundle)) return undefined;
      throw error;
    }
  });
  onStep('countersign');
  const note = await countersign(checked, operator);
  onStep('accept');
  await site.submit('acceptance', serialiseNote(note), signal);
  onStep('publish');
  const trustSet = await waitForTrustSet(site, fleet, bundle.digest, options);
  onStep('done');
  return { digest: bundle.digest, serial: bundle.manifest.serial, already: false, trustSet };
}

/** The proposal as it stands or as it is made now. */
async function proposed(view: LogView, options: AnnounceOptions): Promise<Bundle<LiveManifest>> {
  const { fleet, draft, evidence, submission, signal, clock = systemClock, onStep = () => {} } = options;
  const next = nextDeployment(view.state, fleet, draft);
  const known = view.state.fleets.get(fleet);
  if (known !== undefined && known.proposal.digest !== known.accepted?.digest) {
    const { proposal, revokedThrough } = known;
    const { manifest } = proposal;
    const usable = manifest.serial > revokedThrough && !isToBeRenewed(manifest, draft, clock.now());
    if (usable && isSameDeployment(manifest, next.manifest)) return proposal;
  }
  onStep('propose');
  await options.publish?.();
  const answer = await propose(next, evidence, { submission, policy: view.policy, signal });
  if (answer.status === 'logged') return next;
  onStep('approve');
  await options.approve?.(next.digest);
  await until(options, 'the cosigner’s person to approve the proposal', async () => {
    const again = await submission.proposal(next.text, signal);
    return again.status === 'logged' ? again : undefined;
  });
  return next;
}

/** The accepted bundle, if it already says what the draft says and is in force. */
function acceptedAs(view: LogView, fleet: string, draft: DeploymentDraft, now: number) {
  const known = view.state.fleets.get(fleet);
  const accepted = known?.accepted;
  if (known === undefined || accepted === undefined) return undefined;
  const { manifest } = accepted;
  if (manifest.serial <= known.revokedThrough || isToBeRenewed(manifest, draft, now)) return undefined;
  const epoch = draft.epoch ?? nextEpoch(manifest, draft.nodes);
  if (epoch !== manifest.epoch) return undefined;
  const { kind: _, ...rest } = manifest;
  const wanted = { ...rest, ...draft, epoch, kind: 'deploy' as const };
  return isSameDeployment(manifest, wanted) ? accepted : undefined;
}

/** Milliseconds before a bundle's end in which it is renewed: those in which the dashboard warns of it (docs/dashboard.md). */
const RENEWAL = 30 * 86_400_000;

/**
 * Whether a bundle has ended, or does soon and the draft would last longer: what ends a moment after it was found in force is of
 * no use to anybody. A third of the draft's time is enough where that is short.
 */
function isToBeRenewed({ notAfter }: LiveManifest, draft: DeploymentDraft, now: number): boolean {
  if (notAfter <= now) return true;
  const soon = Math.min(RENEWAL, (draft.notAfter - draft.notBefore) / 3);
  return notAfter - now < soon && draft.notAfter > notAfter;
}

/** The witnessed log is behind the proposal still. */
function isEarly({ code, details }: HoldfastError, { manifest }: Bundle<LiveManifest>): boolean {
  if (code === 'not_found' || code === 'quorum_not_met') return true;
  return code === 'conflict' && typeof details.serial === 'number' && details.serial < manifest.serial;
}

/** What nobody answers now, and may be answered in a moment: that a request was taken before stands all the same. */
const PASSING: readonly ErrorCode[] = ['not_ready', 'overloaded'];

/** Asks again, less and less often, until there is an answer; also where whoever is asked is out of reach for a moment. */
export async function until<T>(
  { clock = systemClock, patience = DEFAULT_PATIENCE, signal }: Waiting,
  what: string,
  ask: (signal: AbortSignal | undefined) => Promise<T | undefined>,
): Promise<T> {
  const end = clock.now() + patience;
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    let failure: HoldfastError | undefined;
    const answer = await ask(signal).catch((thrown: unknown) => {
      if (!(thrown instanceof HoldfastError) || !PASSING.includes(thrown.code)) throw thrown;
      failure = thrown;
      return undefined;
    });
    if (answer !== undefined) return answer;
    if (clock.now() + pause > end) {
      const vain = failure ? `in vain (${failure.message})` : 'in vain';
      throw new HoldfastError(
        'not_ready',
        `waited ${patience / 1000} s for ${what}, ${vain}; the same again goes on from here`,
        { cause: failure },
      );
    }
    await clock.sleep(pause, signal);
  }
}
