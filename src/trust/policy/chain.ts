/** From the trust policy that an application ships to the newest one: each is signed by the thresholds of its predecessor and its own. */

import { HoldfastError } from '../../core/index.ts';
import { findSignature, MAXIMUM_LINES } from '../signatures.ts';
import { withCode } from '../text.ts';
import { parseNote, type SignedNote } from '../tlog/index.ts';
import { MAXIMUM_POLICY_TEXT, type TrustPolicy, type TrustPolicyText } from './document.ts';
import { parsePolicy } from './text.ts';

/** Later policies that a client reads on top of the one that it has. */
export const MAXIMUM_LATER_POLICIES = 64;
/** Bytes of a signed policy. */
export const MAXIMUM_POLICY_NOTE = MAXIMUM_POLICY_TEXT + 16_384;

export interface SignedPolicy extends TrustPolicyText {
  readonly note: SignedNote;
}

/** @throws HoldfastError `policy_malformed`. Verifies no signature. */
export function parseSignedPolicy(note: Uint8Array | string): SignedPolicy {
  return withCode('policy_malformed', () => {
    const parsed = parseNote(note, { maximumBytes: MAXIMUM_POLICY_NOTE });
    if (parsed.signatures.length > MAXIMUM_LINES) {
      throw new HoldfastError('policy_malformed', `the policy has more than ${MAXIMUM_LINES} signatures`);
    }
    return { ...parsePolicy(parsed.text), note: parsed };
  });
}

/**
 * How many of a policy's own keys have signed `note`, each counted once.
 * @throws HoldfastError `signature_invalid` if a line of any of them is false or doubled.
 */
export function countPolicySignatures(note: SignedNote, { policyKeys }: Pick<TrustPolicy, 'policyKeys'>): number {
  // By the bytes of the key: one key under two names is one key.
  const signed = new Set<string>();
  for (const key of policyKeys.keys) {
    if (findSignature(note, key, 'a policy key') !== undefined) signed.add(key.publicKey.join());
  }
  return signed.size;
}

/** @throws HoldfastError `policy_signatures` unless as many keys of `policy` have signed `note` as it asks for. */
function requireThreshold(note: SignedNote, version: number, policy: TrustPolicy): void {
  const count = countPolicySignatures(note, policy);
  const { threshold } = policy.policyKeys;
  if (count >= threshold) return;
  throw new HoldfastError(
    'policy_signatures',
    `version ${version} of the trust policy has ${count} signatures of the ${threshold} keys of version ${policy.version} that it needs; somebody may be trying to replace whom you trust`,
    { details: { version, by: policy.version, signatures: count, threshold } },
  );
}

/**
 * A policy by itself: signed by its own threshold.
 * @throws HoldfastError `policy_signatures` or `signature_invalid`.
 */
export function verifyFirstPolicy(first: SignedPolicy): void {
  requireThreshold(first.note, first.policy.version, first.policy);
}

/**
 * The next policy after a verified one.
 * @throws HoldfastError `chain_broken` if it does not follow, `policy_signatures` if either threshold is not met,
 * `signature_invalid`.
 */
export function verifyNextPolicy(current: TrustPolicyText, next: SignedPolicy): void {
  const broken = (problem: string) => new HoldfastError('chain_broken', `the next trust policy ${problem}`);
  const [before, after] = [current.policy, next.policy];
  if (after.version !== before.version + 1) throw broken(`has version ${after.version} after ${before.version}`);
  if (after.previous !== current.digest) throw broken('does not name the one before it');
  for (const name of ['vault', 'environment', 'fleet'] as const) {
    if (after[name] !== before[name]) throw broken(`is for another ${name}`);
  }
  requireThreshold(next.note, after.version, before);
  requireThreshold(next.note, after.version, after);
}

/**
 * The newest policy of `later`, which follow `first` (already trusted) or repeat what comes up to it.
 * @throws HoldfastError `policy_malformed`, `chain_broken`, `policy_signatures`, `signature_invalid`.
 */
export function verifyPolicyChain(first: SignedPolicy, later: readonly string[]): SignedPolicy {
  if (later.length > MAXIMUM_LATER_POLICIES) {
    throw new HoldfastError('policy_malformed', `more than ${MAXIMUM_LATER_POLICIES} trust policies came at once`);
  }
  verifyFirstPolicy(first);
  let current = first;
  for (const note of later) {
    const next = parseSignedPolicy(note);
    // One that is not newer is not used, so it may not be another version of the past either.
    if (next.policy.version < first.policy.version) continue;
    if (next.policy.version === first.policy.version) {
      if (next.digest === first.digest) continue;
      throw new HoldfastError('chain_broken', `there are two trust policies of version ${first.policy.version}`);
    }
    verifyNextPolicy(current, next);
    current = next;
  }
  return current;
}
