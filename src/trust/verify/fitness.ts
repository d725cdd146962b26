/** Steps 6 and 7 of verifying a fleet: it is in force for what is wanted, and as strong as it must be. */

import { HoldfastError } from '../../core/index.ts';
import {
  type Bundle,
  isWeaker,
  type LiveManifest,
  operatorsOfMajority,
  policyWeakenings,
  weakenings,
} from '../bundle/index.ts';
import type { TrustPolicy } from '../policy/index.ts';
import { CLOCK_TOLERANCE } from './authority.ts';
import { KEEPING_OPERATIONS, type Standing, type TrustOperation } from './types.ts';

/**
 * Step 6: valid now, and live, or retired for what may still be done with it. `now` in milliseconds since 1970.
 * @throws HoldfastError `bundle_not_yet_valid`, `bundle_expired`, `bundle_retired`.
 */
export function checkStanding(manifest: LiveManifest, operation: TrustOperation, now: number): Standing {
  if (now < manifest.notBefore - CLOCK_TOLERANCE * 1000) {
    throw new HoldfastError(
      'bundle_not_yet_valid',
      'the bundle is not valid yet; try again later, and look at this device’s clock',
    );
  }
  if (manifest.kind === 'retire') {
    const { successor, sunset } = manifest;
    const usable = operation === 'follow' || (KEEPING_OPERATIONS.includes(operation) && now < sunset);
    if (usable) return { state: 'retired', successor, sunset };
    throw new HoldfastError('bundle_retired', `the fleet has retired; ${successor} has followed it`, {
      details: { successor, sunset },
    });
  }
  if (now >= manifest.notAfter) {
    throw new HoldfastError(
      'bundle_expired',
      'the bundle has expired and its operators have not renewed it; tell them',
    );
  }
  return { state: 'live' };
}

/**
 * Step 7, first part: not below the client's own floors.
 * @throws HoldfastError `policy_floor`.
 */
export function checkFloors(manifest: LiveManifest, { floors }: Pick<TrustPolicy, 'floors'>): void {
  const { nodes } = manifest;
  const found = policyWeakenings(floors, manifest.policy);
  if (nodes.length < floors.nodes) found.push(`${nodes.length} nodes instead of at least ${floors.nodes}`);
  const weak = nodes.find(({ tokenClass }) => isWeaker(tokenClass, floors.tokenClass));
  if (weak) found.push(`the token of ${weak.name} is ${weak.tokenClass}, and must be at least ${floors.tokenClass}`);
  if (floors.oneOperator === 'refuse' && operatorsOfMajority(nodes) < 2) {
    found.push('one operator runs as many nodes as make a majority, and could read every record alone');
  }
  if (found.length === 0) return;
  throw new HoldfastError('policy_floor', `the fleet is weaker than your application allows: ${found.join('; ')}`, {
    details: { found },
  });
}

/**
 * Step 7, second part: not weaker than the bundle last trusted, unless the trust policy says so of each step on the way
 * that weakens.
 * @param chain from the bundle last trusted up to the new one, which it does not contain.
 * @throws HoldfastError `fleet_weakened`.
 */
export function checkNotWeakened(
  chain: readonly Bundle<LiveManifest>[],
  newest: Bundle<LiveManifest>,
  { weakerBundles }: Pick<TrustPolicy, 'weakerBundles'>,
): void {
  const [trusted] = chain;
  if (trusted === undefined) return;
  const found = weakenings(trusted.manifest, newest.manifest);
  if (found.length === 0) return;
  const steps = [...chain, newest];
  const allowed = steps.every((bundle, i) => {
    const before = steps[i - 1];
    return (
      before === undefined ||
      weakerBundles.includes(bundle.digest) ||
      weakenings(before.manifest, bundle.manifest).length === 0
    );
  });
  if (allowed) return;
  throw new HoldfastError(
    'fleet_weakened',
    `the fleet has become weaker without the consent of those who keep your trust policy: ${found.join('; ')}`,
    { details: { found } },
  );
}
