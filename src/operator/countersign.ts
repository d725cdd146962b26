/**
 * What an operator checks before its token signs beside the cosigner's (docs/bundles.md): numbered checks, in this order,
 * each failure with a code of its own. The operator's signature is what makes a bundle live, so that nothing is taken on
 * the cosigner's word.
 */

import { bytesToHex, HoldfastError, sha256 } from '../core/index.ts';
import {
  type Bundle,
  checkFloors,
  checkNotWeakened,
  type Digest,
  type Evidence,
  type FleetState,
  type LiveManifest,
  type LoggedBundle,
  type LogSource,
  type LogView,
  type NoteSigner,
  parseLeaf,
  readLog,
  requireLive,
  requireSafePolicy,
  requireWitnessed,
  type SignedNote,
  type SignedPolicy,
  signText,
  verifyLeafSignatures,
} from '../trust/index.ts';
import { type BundleFile, noteOf } from './bundle-file.ts';
import { breachError } from './manifests.ts';

/** A check that passed, for people. */
export interface Check {
  /** From 1. */
  readonly number: number;
  readonly name: string;
  /** What was found. */
  readonly finding: string;
}

export const COUNTERSIGN_CHECKS = [
  'the witnessed log, replayed',
  'the trust policy in force',
  'the proposal in the log',
  'the cosigner’s signature',
  'the evidence',
  'the time of validity',
  'the strength of the fleet',
] as const;

export interface CheckedProposal {
  readonly view: LogView;
  readonly bundle: Bundle<LiveManifest>;
  /** The proposal as the log has it: the cosigner's line only. */
  readonly note: SignedNote;
  readonly accepted: LoggedBundle | undefined;
  readonly checks: readonly Check[];
}

export interface CheckProposalOptions {
  /** From the operator's own configuration. */
  readonly policy: SignedPolicy;
  readonly source: LogSource;
  /** Which proposal: of this fleet the last one, which must have that digest if it is given. */
  readonly fleet: string;
  readonly digest?: Digest | undefined;
  /** The evidence itself: its SHA-256 and size must be those of the log. Undefined checks only that the log has it. */
  readonly evidence?: Uint8Array | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly signal?: AbortSignal | undefined;
  /** Called after each check that passed. */
  readonly onCheck?: ((check: Check) => void) | undefined;
}

/**
 * Checks the last proposal of a fleet.
 * @throws HoldfastError of the check that failed: as `readLog`; `quorum_not_met`, `log_stale`; `policy_expired`,
 * `policy_unsafe`; `not_found`, `conflict`, `bundle_revoked`; `signature_missing`, `signature_invalid`; `evidence_wrong`;
 * `bundle_expired`; `policy_floor`, `fleet_weakened`. Its details have `check`, the number.
 */
export async function checkProposal(options: CheckProposalOptions): Promise<CheckedProposal> {
  const { policy: configured, source, fleet, digest, evidence, now, signal } = options;
  const checks = new Checks(options.onCheck);
  const view = await checks.run(async () => {
    const view = await readLog(configured, source, { which: 'witnessed', now, signal });
    requireWitnessed(view, now);
    const seconds = Math.floor(now / 1000) - (view.witnessedAt ?? 0);
    return [view, `${view.entries.length} leaves; a quorum of witnesses confirmed them ${seconds} s ago`];
  });
  const { policy } = view.policy;
  await checks.run(async () => {
    if (now >= policy.expires)
      throw new HoldfastError('policy_expired', 'the trust policy has expired; sign a new one');
    requireSafePolicy(view.policy, now);
    return [undefined, `version ${policy.version}, until ${dateOf(policy.expires)}`];
  });
  const state = await checks.run(async () => {
    const state = proposalOf(view, fleet, digest);
    const { manifest, index } = state.proposal;
    return [state, `${manifest.kind} of ${fleet}, serial ${manifest.serial}, leaf ${index}`];
  });
  const bundle = state.proposal;
  const note = await checks.run(async () => {
    const leaf = parseLeaf(view.entries[bundle.index]!);
    if (leaf.type !== 'proposal') throw new HoldfastError('untrusted', 'the log’s leaf is no proposal');
    verifyLeafSignatures(leaf, policy);
    return [leaf.note, policy.cosigner.name];
  });
  await checks.run(async () => [undefined, evidenceFinding(view, bundle.manifest, evidence)]);
  await checks.run(async () => {
    const { notBefore, notAfter } = bundle.manifest;
    if (now >= notAfter) {
      throw new HoldfastError('bundle_expired', 'the proposal’s notAfter has passed; propose it anew with a later one');
    }
    return [undefined, `from ${dateOf(notBefore)} until ${dateOf(notAfter)}`];
  });
  await checks.run(async () => {
    checkFloors(bundle.manifest, policy);
    const chain = state.accepted ? [state.accepted] : [];
    checkNotWeakened(chain, bundle, policy);
    const than = chain.length > 0 ? `, not weaker than serial ${chain[0]!.manifest.serial}` : '';
    return [undefined, `above the policy’s floors${than}`];
  });
  return { view, bundle, note, accepted: state.accepted, checks: checks.passed };
}

/**
 * Adds the operator's line to a proposal that was checked. The signer asks its person, if it is made so.
 * @throws HoldfastError `signing_refused` unless the key is the policy's operator key; and whatever the signer throws.
 */
export async function countersign({ view, note }: CheckedProposal, signer: NoteSigner): Promise<SignedNote> {
  const { operator } = view.policy.policy;
  if (signer.verifierKey !== operator.text) {
    throw new HoldfastError('signing_refused', `the key is not the operator’s in the trust policy, ${operator.text}`, {
      details: { key: signer.verifierKey },
    });
  }
  return { text: note.text, signatures: [...note.signatures, await signText(note.text, signer)] };
}

/**
 * A countersigned note that may be submitted: exactly the cosigner's line, then the operator's, both verified.
 * @throws HoldfastError `signature_missing`, `signature_invalid`, `bundle_malformed`.
 */
export function requireAcceptance(file: BundleFile, { policy }: SignedPolicy): Bundle<LiveManifest> {
  const note = noteOf(file);
  const bundle = requireLive(file.bundle);
  verifyLeafSignatures({ type: 'acceptance', note, bundle }, policy);
  if (note.signatures.length === 2) return bundle;
  throw new HoldfastError('bundle_malformed', 'an acceptance has two signatures, the cosigner’s and the operator’s');
}

/** Evidence as the log notes it. `address` is where it can be fetched. */
export function evidenceOf(content: Uint8Array, address: string): Evidence {
  return { sha256: bytesToHex(sha256(content)), size: content.length, address };
}

/** The fleet's last proposal, if it can still be accepted. @throws HoldfastError `not_found`, `conflict`, `bundle_revoked`. */
export function proposalOf({ state }: LogView, fleet: string, digest?: Digest): FleetState {
  const known = state.fleets.get(fleet);
  if (known === undefined) {
    throw new HoldfastError(
      'not_found',
      `the witnessed log has no proposal of the fleet ${fleet}; propose it first, or wait for the witnesses`,
    );
  }
  const { proposal, revokedThrough } = known;
  if (digest !== undefined && proposal.digest !== digest) {
    const sentence = `the fleet’s last proposal is serial ${proposal.manifest.serial}, with the digest ${proposal.digest}`;
    const error = breachError({ code: 'acceptance_void', sentence });
    const details = { ...error.details, serial: proposal.manifest.serial };
    throw new HoldfastError(error.code, error.message, { details });
  }
  if (proposal.manifest.serial > revokedThrough) return known;
  throw new HoldfastError(
    'bundle_revoked',
    `serial ${proposal.manifest.serial} of the fleet is revoked, which is for ever`,
  );
}

function evidenceFinding(view: LogView, { evidence }: LiveManifest, content: Uint8Array | undefined): string {
  const logged = view.entries.flatMap((entry) => {
    const leaf = parseLeaf(entry);
    return leaf.type === 'evidence' && leaf.evidence.sha256 === evidence.sha256 ? [leaf.evidence] : [];
  });
  const wrong = (problem: string) =>
    new HoldfastError('evidence_wrong', `${problem}; do not sign before you know why`, {
      details: { sha256: evidence.sha256, address: evidence.address },
    });
  const found = logged.find(({ address }) => address === evidence.address);
  if (found === undefined) throw wrong('the log does not have the evidence that the bundle names');
  if (content === undefined)
    return `in the log, ${found.size} bytes at ${found.address}; its content was not looked at`;
  if (bytesToHex(sha256(content)) !== found.sha256 || content.length !== found.size) {
    throw wrong('the evidence that you have is not the one that the bundle names');
  }
  return `in the log, and the same as yours, ${found.size} bytes`;
}

/** Counts checks, so that whichever fails says which it was. */
class Checks {
  readonly passed: Check[] = [];
  readonly #onCheck: ((check: Check) => void) | undefined;

  constructor(onCheck: ((check: Check) => void) | undefined) {
    this.#onCheck = onCheck;
  }

  async run<T>(work: () => Promise<readonly [T, string]>): Promise<T> {
    const number = this.passed.length + 1;
    const name = COUNTERSIGN_CHECKS[number - 1]!;
    try {
      const [result, finding] = await work();
      const check = { number, name, finding };
      this.passed.push(check);
      this.#onCheck?.(check);
      return result;
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code === 'cancelled') throw error;
      const details = { ...error.details, check: number };
      throw new HoldfastError(error.code, `check ${number}, ${name}: ${error.message}`, { cause: error, details });
    }
  }
}

function dateOf(time: number): string {
  return new Date(time).toISOString().replace('.000Z', 'Z');
}
