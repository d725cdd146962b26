/** Step 2 of verifying a fleet: whom the client believes by now, and whether they have signed this bundle. */

import { HoldfastError } from '../../core/index.ts';
import { verifyLeafSignatures } from '../bundle/index.ts';
import { parseSignedPolicy, requireSafePolicy, type SignedPolicy, verifyPolicyChain } from '../policy/index.ts';
import type { ReadSet } from './read.ts';
import type { TrustState } from './state.ts';
import type { TrustRequest } from './types.ts';

/** Seconds by which clocks may differ. */
export const CLOCK_TOLERANCE = 300;

/**
 * The time to judge by, in milliseconds since 1970: the device's, but never before the application was built or a quorum
 * of witnesses was last seen to vouch.
 * @throws HoldfastError `clock_fault` if the device's is earlier than those by more than 5 minutes.
 */
export function trustedNow({ clock, builtAt, state }: Pick<TrustRequest, 'clock' | 'builtAt' | 'state'>): number {
  const floor = Math.max(builtAt, (state?.time ?? 0) * 1000);
  // Written so that a clock that tells no number refuses.
  if (!(clock >= floor - CLOCK_TOLERANCE * 1000)) {
    throw new HoldfastError(
      'clock_fault',
      'this device’s clock is earlier than it can be; set it right and try again, since an old time could hide that something has expired',
      { details: { clock, earliest: floor } },
    );
  }
  return Math.max(clock, floor);
}

/**
 * The newest trust policy that leads from the application's.
 * @throws HoldfastError `wrong_environment`, `policy_malformed`, `policy_signatures`, `signature_invalid`, `chain_broken`,
 * `rolled_back`, `policy_expired`, `policy_unsafe`, `policy_outdated`.
 */
export function currentPolicy({ policies, roster }: ReadSet, request: TrustRequest, now: number): SignedPolicy {
  const { policy: shipped, configuration, state } = request;
  if (shipped.policy.vault !== configuration.vault || shipped.policy.environment !== configuration.environment) {
    throw new HoldfastError(
      'wrong_environment',
      'the trust policy is for another vault or environment than this application is set to',
    );
  }
  const policy = verifyPolicyChain(shipped, policies);
  checkStoredPolicy(policy, state);
  if (now >= policy.policy.expires) {
    throw new HoldfastError(
      'policy_expired',
      'the trust policy has expired; get the newest version of your application',
    );
  }
  requireSafePolicy(policy, now);
  const known = [shipped, policy, ...policies.map((note) => parseSignedPolicy(note))].map(({ digest }) => digest);
  if (roster.policy !== null && !known.includes(roster.policy)) {
    throw new HoldfastError(
      'policy_outdated',
      'the log names a newer trust policy, which was not shown; somebody may be keeping it from you',
      { details: { policy: roster.policy } },
    );
  }
  return policy;
}

function checkStoredPolicy(policy: SignedPolicy, state: TrustState | undefined): void {
  if (state === undefined) return;
  const { version } = policy.policy;
  if (version < state.policyVersion) {
    throw new HoldfastError(
      'rolled_back',
      `version ${state.policyVersion} of the trust policy has been used here, and only ${version} was shown`,
    );
  }
  if (version === state.policyVersion && policy.digest !== state.policyDigest) {
    throw new HoldfastError('chain_broken', `there are two trust policies of version ${version}`);
  }
}

/**
 * The bundle is for this vault, environment and fleet, and cosigner and operator have signed it.
 * @throws HoldfastError `wrong_environment`, `signature_missing`, `signature_invalid`, `bundle_malformed`.
 */
export function checkBundleSignatures({ note, bundle }: ReadSet, request: TrustRequest, policy: SignedPolicy): void {
  const { configuration, state } = request;
  for (const name of ['vault', 'environment', 'fleet'] as const) {
    if (bundle.manifest[name] !== configuration[name]) {
      throw new HoldfastError(
        'wrong_environment',
        `the bundle is for another ${name} than this application is set to`,
        {
          details: { expected: configuration[name], found: bundle.manifest[name] },
        },
      );
    }
  }
  if (!reachableFleets(policy.policy.fleet, state).has(configuration.fleet)) {
    throw new HoldfastError(
      'wrong_environment',
      `no fleet that was trusted here has retired to ${configuration.fleet}`,
    );
  }
  verifyLeafSignatures({ type: 'acceptance', note, bundle }, policy.policy);
  // Lines of others in an acceptance would be a second form of the same entry.
  if (note.signatures.length !== 2) {
    throw new HoldfastError(
      'bundle_malformed',
      'the bundle must have two signatures, the cosigner’s and the operator’s',
    );
  }
}

/** The policy's first fleet, and all that are reached from it by retirements that were verified. */
function reachableFleets(first: string, state: TrustState | undefined): Set<string> {
  const reached = new Set([first]);
  const next = (name: string) => state?.fleets.find(({ fleet }) => fleet === name)?.successor ?? null;
  for (let name = next(first); name !== null && !reached.has(name); name = next(name)) reached.add(name);
  return reached;
}

/**
 * A revocation that came with the set, if there is one: one right signature ends all use, whatever else is shown.
 * @throws HoldfastError `bundle_revoked`, `signature_missing`, `signature_invalid`, `bundle_malformed`.
 */
export function checkRevocation({ revocation, bundle }: ReadSet, { policy }: SignedPolicy): void {
  if (revocation === undefined) return;
  const { manifest } = revocation.bundle;
  const { vault, environment, fleet, serial } = bundle.manifest;
  const fits =
    manifest.kind === 'revoke' &&
    [manifest.vault, manifest.environment, manifest.fleet].join() === [vault, environment, fleet].join() &&
    manifest.serial >= serial;
  if (!fits) throw new HoldfastError('bundle_malformed', 'the revocation that came along is of something else');
  verifyLeafSignatures(
    { type: 'revocation', note: revocation.note, bundle: { ...revocation.bundle, manifest } },
    policy,
  );
  throw revoked(manifest.reason);
}

export function revoked(reason?: string): HoldfastError {
  const why = reason === undefined ? '' : ` (${reason})`;
  return new HoldfastError(
    'bundle_revoked',
    `the fleet’s bundle has been revoked${why}; nothing is sent to it any more`,
  );
}
