/**
 * How a client comes to trust a fleet: seven steps, in this order, each failure with a code of its own (docs/trust.md,
 * section 6, has the same numbers). A client without a fleet that passed them sends nothing.
 */

import { bytesToHex, equalBytes, HoldfastError } from '../../core/index.ts';
import { fleetOf } from '../bundle/index.ts';
import { checkBundleSignatures, checkRevocation, currentPolicy, trustedNow } from './authority.ts';
import { checkFloors, checkNotWeakened, checkStanding } from './fitness.ts';
import { checkChain, checkGrowth } from './history.ts';
import { checkFreshness, checkLogged } from './logged.ts';
import { type ReadSet, readTrustSet } from './read.ts';
import {
  MAXIMUM_TRUSTED_FLEETS,
  parseTrustState,
  serialiseTrustState,
  type TrustState,
  type TrustStateStore,
} from './state.ts';
import type { TrustRequest, VerifiedTrust } from './types.ts';

/**
 * Verifies a trust set for one operation. Under 10 ms on Node, besides what the reader takes; nothing is stored: whoever
 * uses the fleet must have stored `nextState` before (`establishTrust` does).
 * @throws HoldfastError with the code of the check that failed, and whatever the reader throws.
 */
export async function verifyTrustSet(request: TrustRequest): Promise<VerifiedTrust> {
  const { operation, state, onStep = () => {} } = request;
  requireStateOf(request);
  const now = trustedNow(request);

  // Step 1. Limits, then strict reading, before anything is believed.
  const set = readTrustSet(request.set);
  const { bundle } = set;
  onStep(1);

  // Step 2. Whom to believe by now, and whether they have signed this bundle, or revoked it.
  const policy = currentPolicy(set, request, now);
  checkBundleSignatures(set, request, policy);
  checkRevocation(set, policy);
  onStep(2);

  // Step 3. One checkpoint of the one log has the acceptance, and last a roster that lists it.
  const cosignatures = checkLogged(set, policy);
  onStep(3);

  // Step 4. A quorum of witnesses has vouched for that checkpoint lately.
  const { time, notice } = checkFreshness(set, cosignatures, policy, { now, operation, state });
  onStep(4);

  // Step 5. No going back: the log has only grown, and the bundle follows from the one last trusted.
  await checkGrowth(set, request, policy);
  const chain = await checkChain(set, request, policy);
  onStep(5);

  // Step 6. In force for what is wanted.
  const standing = checkStanding(bundle.manifest, operation, now);
  onStep(6);

  // Step 7. Strong enough, and not weaker than before. Following a retired fleet needs no strength of it; but its
  // successor is compared with it, so it may not have been weakened on the way.
  if (operation !== 'follow' || standing.state === 'live') checkFloors(bundle.manifest, policy.policy);
  checkNotWeakened(chain, bundle, policy.policy);
  onStep(7);
  return {
    fleet: fleetOf(bundle.manifest),
    manifest: bundle.manifest,
    digest: bundle.digest,
    standing,
    policy,
    witnessedAt: time * 1000,
    notice,
    nextState: nextState(set, state, { policyVersion: policy.policy.version, policyDigest: policy.digest, time }),
  };
}

function requireStateOf({ state, configuration }: TrustRequest): void {
  if (state === undefined) return;
  if (state.vault === configuration.vault && state.environment === configuration.environment) return;
  throw new HoldfastError('wrong_environment', 'the stored trust state is of another vault or environment');
}

function nextState(
  { checkpoint, bundle }: ReadSet,
  state: TrustState | undefined,
  { time, ...policy }: Pick<TrustState, 'policyVersion' | 'policyDigest' | 'time'>,
): TrustState {
  const { vault, environment, fleet, serial } = bundle.manifest;
  const successor = bundle.manifest.kind === 'retire' ? bundle.manifest.successor : null;
  const others = state?.fleets.filter((known) => known.fleet !== fleet) ?? [];
  if (others.length >= MAXIMUM_TRUSTED_FLEETS) {
    throw new HoldfastError('chain_broken', `more than ${MAXIMUM_TRUSTED_FLEETS} fleets have followed each other`);
  }
  return {
    vault,
    environment,
    ...policy,
    origin: checkpoint.origin,
    size: checkpoint.size,
    root: bytesToHex(checkpoint.root),
    time: Math.max(time, state?.time ?? 0),
    fleets: [...others, { fleet, serial, digest: bundle.digest, successor }].sort((a, b) =>
      a.fleet < b.fleet ? -1 : 1,
    ),
  };
}

/** How often another process may come in between before this one gives up. */
const MAXIMUM_RACES = 5;

/**
 * `verifyTrustSet` with a stored state, which is replaced before this returns. If another process has replaced it
 * meanwhile, everything is verified anew against that.
 * @throws HoldfastError as `verifyTrustSet`; `bad_input` if the stored state cannot be read, `conflict` if others keep
 * replacing it; and whatever the store throws.
 */
export async function establishTrust(
  request: Omit<TrustRequest, 'state'>,
  store: TrustStateStore,
): Promise<VerifiedTrust> {
  for (let race = 0; race < MAXIMUM_RACES; race++) {
    const stored = await store.load();
    const verified = await verifyTrustSet({ ...request, state: stored && parseTrustState(stored) });
    const next = serialiseTrustState(verified.nextState);
    if (stored !== undefined && equalBytes(stored, next)) return verified;
    if (await store.compareAndSwap(stored, next)) return verified;
  }
  throw new HoldfastError('conflict', 'another process keeps changing what this device trusts; try again');
}
