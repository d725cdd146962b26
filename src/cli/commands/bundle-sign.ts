/** `holdfast bundle cosign`, `countersign`, `accept`, `revoke`: what people approve and sign, after all was checked. */

import { HoldfastError, utf8 } from '../../core/index.ts';
import {
  type BundleFile,
  type Check,
  type CosignerSite,
  checkLastProposal,
  type LogView,
  noteOf,
  parseBundleFile,
  readLog,
  requireAcceptance,
  requireRevocation,
  requireWitnessed,
  revocationOf,
  countersign as signBeside,
  signRevocation,
  type WaitingProposal,
  waitForRevocation,
  waitForTrustSet,
} from '../../operator/index.ts';
import { renderMessage } from '../../signer/index.ts';
import {
  type LiveManifest,
  type Manifest,
  parseBundle,
  type RevokeManifest,
  requireLive,
  serialiseNote,
} from '../../trust/index.ts';
import { type ApprovalFlags, approverOf } from '../approval.ts';
import { diffLines, manifestLines, passedLine } from '../bundle-text.ts';
import { readSmallFile, writeWholeFile } from '../files.ts';
import { say } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { type SigningKeyFlags, withSigningKey } from '../signing-token.ts';
import { type CosignerFlags, openSite, readTrustSource, requireSubmission, type TrustFlags } from '../trust-source.ts';

export interface CosignFlags extends TrustFlags, CosignerFlags, ApprovalFlags {
  readonly reject?: boolean;
  readonly out?: string;
}

export interface CountersignFlags extends TrustFlags, SigningKeyFlags, ApprovalFlags {
  readonly fleetName?: string;
  readonly digest?: string;
  readonly evidence?: string;
  readonly name?: string;
  readonly out: string;
  readonly patience: number;
}

export interface AcceptFlags extends TrustFlags {
  readonly patience: number;
}

export interface RevokeFlags extends TrustFlags, SigningKeyFlags, ApprovalFlags {
  readonly digest: string;
  readonly reason: string;
  readonly name: string;
  readonly out?: string;
  readonly patience: number;
}

const MAXIMUM_FILE = 1_048_576;
const MAXIMUM_EVIDENCE = 64 * 1024 * 1024;

/** Shows what waits; with a digest, shows that proposal beside the accepted bundle and asks for approval. */
export async function cosign(
  digest: string | undefined,
  flags: CosignFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  await using submission = await requireSubmission(flags);
  const waiting = await submission.waiting(signal);
  if (digest === undefined) return listOf(waiting);
  // Its text gives this digest: that was computed here.
  const found = waiting.find((each) => each.digest === digest);
  if (!found) throw new HoldfastError('not_found', 'no proposal with this digest waits; see holdfast bundle cosign');
  if (flags.reject) {
    await submission.reject(digest, signal);
    return { value: { digest, status: 'rejected' }, lines: [`Rejected ${digest}; nothing was signed.`] };
  }
  const { manifest } = requireLive(parseBundle(found.text));
  const accepted = await acceptedOf(manifest, flags, signal);
  const { fleet, serial, kind } = manifest;
  const request = { purpose: 'bundle' as const, key: 'of the cosigner', digest };
  const message = renderMessage({ ...request, about: `${kind} of fleet ${fleet}, serial ${serial}` }, utf8(found.text));
  const lines = [...message, '', ...manifestLines(manifest, digest), '', ...diffLines(accepted, manifest)];
  await approverOf(flags, signal).approve({ ...request, lines });
  const { note, index } = await submission.approve(digest, signal);
  if (flags.out !== undefined) await writeWholeFile(flags.out, note, { mode: 0o644, overwrite: false });
  return {
    value: { status: 'logged', fleet, serial, digest, index },
    lines: [
      `Signed and logged as leaf ${index}: ${kind} of ${fleet}, serial ${serial}.`,
      'The operator goes on, and waits for the witnesses to confirm it: holdfast bundle countersign',
    ],
  };
}

function listOf(waiting: readonly WaitingProposal[]): CommandResult {
  const list = waiting.map(({ digest, text, since }) => ({ digest, since, ...factsOf(text) }));
  const lines = list.flatMap(({ digest, since, kind, fleet, serial, operators }) => [
    `${digest}  since ${new Date(since).toISOString()}`,
    `  ${kind} of fleet ${fleet}, serial ${serial}; its nodes run by ${operators.join(', ')}`,
  ]);
  const next = 'To see one whole and decide: holdfast bundle cosign DIGEST with the same options';
  return { value: { waiting: list }, lines: lines.length > 0 ? [...lines, next] : ['Nothing waits for approval.'] };
}

/** What tells proposals apart. Nothing of it is verified, as nothing of a proposal is before it is shown whole. */
function factsOf(text: string) {
  const { kind, fleet, serial, nodes } = requireLive(parseBundle(text)).manifest;
  return { kind, fleet, serial, operators: [...new Set(nodes.map(({ operator }) => operator))] };
}

/** The accepted bundle by the verified log, not by what the cosigner's submission side says. */
async function acceptedOf(
  { fleet }: LiveManifest,
  flags: TrustFlags,
  signal: AbortSignal,
): Promise<Manifest | undefined> {
  const trust = await readTrustSource(flags);
  await using site = openSite(trust);
  const { state } = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  return state.fleets.get(fleet)?.accepted?.manifest;
}

/**
 * Waits for the witnesses to confirm the last proposal, checks it in all its steps, shows it, and adds the operator's line after
 * the person's approval.
 */
export async function countersign(flags: CountersignFlags, signal: AbortSignal): Promise<CommandResult> {
  const trust = await readTrustSource(flags);
  const evidence =
    flags.evidence === undefined ? undefined : await readSmallFile(flags.evidence, 'the evidence', MAXIMUM_EVIDENCE);
  const approver = approverOf(flags, signal);
  await using site = openSite(trust);
  const { policy } = trust;
  const fleet = flags.fleetName ?? trust.fleet;
  const show = ({ number, name, finding }: Check) => say(passedLine(number, name, finding));
  const checked = await checkLastProposal({
    ...{ policy, source: site, fleet, digest: flags.digest, evidence, now: Date.now(), signal },
    patience: flags.patience * 1000,
    onCheck: show,
  });
  const { bundle, accepted, view } = checked;
  const { vault, environment } = view.policy.policy;
  const key = {
    name: flags.name ?? view.policy.policy.operator.name,
    scope: { purpose: 'bundle', vault, environment, kinds: ['deploy', 'retire'] } as const,
    approver,
    render: () => [
      ...manifestLines(bundle.manifest, bundle.digest),
      '',
      ...diffLines(accepted?.manifest, bundle.manifest),
    ],
  };
  const note = await withSigningKey(flags, key, (signer) => signBeside(checked, signer));
  await writeWholeFile(flags.out, serialiseNote(note), { mode: 0o644, overwrite: false });
  const { serial, kind } = bundle.manifest;
  return {
    value: { fleet, kind, serial, digest: bundle.digest, checks: checked.checks.map((check) => ({ ...check })) },
    lines: [
      `Countersigned: ${kind} of ${fleet}, serial ${serial}. It is in ${JSON.stringify(flags.out)}.`,
      'It is live once that is in the log: holdfast bundle accept',
    ],
  };
}

/** Sends an acceptance or a revocation that somebody has signed, and waits until clients can see it. */
export async function accept(path: string, flags: AcceptFlags, signal: AbortSignal): Promise<CommandResult> {
  const file = parseBundleFile(await readSmallFile(path, 'the bundle', MAXIMUM_FILE));
  const trust = await readTrustSource(flags);
  await using site = openSite(trust);
  const view = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  const { manifest } = file.bundle;
  if (manifest.kind === 'revoke') return await sendRevocation(file, manifest, view, { site, signal, ...flags });
  const bundle = requireAcceptance(file, view.policy);
  const { fleet, serial, kind } = bundle.manifest;
  const { index } = await site.submit('acceptance', serialiseNote(noteOf(file)), signal);
  await waitForTrustSet(site, fleet, bundle.digest, { signal, patience: flags.patience * 1000 });
  const confirmed = await readLog(trust.policy, site, { which: 'witnessed', now: Date.now(), signal });
  requireWitnessed(confirmed, Date.now());
  if (confirmed.state.fleets.get(fleet)?.accepted?.digest !== bundle.digest) {
    throw new HoldfastError(
      'not_ready',
      'the witnessed log does not have the acceptance yet; run this again in a moment',
    );
  }
  const { witnessedAt } = confirmed;
  return {
    value: { fleet, kind, serial, digest: bundle.digest, index, witnessedAt },
    lines: [`Accepted as leaf ${index}, and confirmed by the witnesses: ${kind} of ${fleet}, serial ${serial}.`],
  };
}

/** Revokes a bundle: shows what that means, signs after approval, and sends it. */
export async function revoke(flags: RevokeFlags, signal: AbortSignal): Promise<CommandResult> {
  const trust = await readTrustSource(flags);
  const approver = approverOf(flags, signal);
  await using site = openSite(trust);
  const view = await readLog(trust.policy, site, { which: 'newest', now: Date.now(), signal });
  const bundle = revocationOf(view.state, flags.digest, flags.reason);
  const { vault, environment, fleet, serial } = bundle.manifest;
  const warning = `Revoking is for ever: nobody uses ${fleet} any more, serial ${serial} and before, and its keys never serve again. Nothing is deleted.`;
  const key = {
    name: flags.name,
    scope: { purpose: 'bundle', vault, environment, kinds: ['revoke'] } as const,
    approver,
    render: () => [...manifestLines(bundle.manifest, bundle.digest), '', warning],
  };
  const note = await withSigningKey(flags, key, (signer) => signRevocation(bundle, signer, view.policy));
  if (flags.out !== undefined) await writeWholeFile(flags.out, serialiseNote(note), { mode: 0o644, overwrite: false });
  const file: BundleFile = { kind: 'note', bundle, signatures: note.signatures };
  return await sendRevocation(file, bundle.manifest, view, { site, patience: flags.patience, signal });
}

async function sendRevocation(
  file: BundleFile,
  { fleet, serial }: RevokeManifest,
  view: LogView,
  { site, patience, signal }: { site: CosignerSite; patience: number; signal: AbortSignal },
): Promise<CommandResult> {
  const note = noteOf(file);
  requireRevocation(note, view.policy);
  const { index, digest } = await site.submit('revocation', serialiseNote(note), signal);
  await waitForRevocation(site, { fleet, serial }, index, { signal, patience: patience * 1000 });
  return {
    value: { fleet, kind: 'revoke', serial, digest, index },
    lines: [
      `Revoked as leaf ${index}, and confirmed by the witnesses: serial ${serial} of ${fleet} and all before it.`,
    ],
  };
}
