/** Step 5 of verifying a fleet: nothing goes back behind what was seen, and every step since then is checked. */

import { bytesToHex, HoldfastError, hexToBytes } from '../../core/index.ts';
import { type Bundle, type LiveManifest, parseBundle, requireLive, successionBreach } from '../bundle/index.ts';
import type { Digest } from '../fields.ts';
import type { SignedPolicy } from '../policy/index.ts';
import { verifyConsistency } from '../tlog/index.ts';
import type { ReadSet } from './read.ts';
import type { TrustedFleet } from './state.ts';
import type { TrustReader, TrustRequest } from './types.ts';

/** Accepted bundles between the one last trusted and the new one. */
export const MAXIMUM_CHAIN = 256;

/**
 * The log has only grown since it was last seen, or since the policy's floor.
 * @throws HoldfastError `rolled_back`, `split_view`; and whatever the reader throws.
 */
export async function checkGrowth(
  { checkpoint }: ReadSet,
  { state, reader }: Pick<TrustRequest, 'state' | 'reader'>,
  { policy, digest }: SignedPolicy,
): Promise<void> {
  // A policy that names another log brings the floor from which that one counts.
  const seen = state !== undefined && state.origin === checkpoint.origin ? state : undefined;
  if (seen !== undefined) await checkGrowthSince(seen, checkpoint, reader);
  if (seen === undefined || state?.policyDigest !== digest) await checkGrowthSince(policy.floor, checkpoint, reader);
}

async function checkGrowthSince(
  older: { readonly size: number; readonly root: Digest },
  newer: ReadSet['checkpoint'],
  reader: TrustReader,
): Promise<void> {
  const details = {
    origin: newer.origin,
    size: newer.size,
    root: bytesToHex(newer.root),
    olderSize: older.size,
    olderRoot: older.root,
  };
  if (newer.size < older.size) {
    throw new HoldfastError(
      'rolled_back',
      `the log was seen with ${older.size} entries and now shows ${newer.size}; somebody may be showing you an old state`,
      { details },
    );
  }
  const root = hexToBytes(older.root);
  const proof =
    older.size === 0 || older.size === newer.size ? [] : await reader.consistencyProof(older.size, newer.size);
  if (verifyConsistency({ size: older.size, root }, newer, proof)) return;
  throw new HoldfastError(
    'split_view',
    'the log does not contain what it contained before: its past was rewritten, or it shows you another history than others; keep this message as evidence',
    { details },
  );
}

/**
 * The bundles from the one last trusted to this one, the oldest first and without this one: for a fleet that is trusted
 * for the first time, the one that retired to it, if there is one.
 * @throws HoldfastError `rolled_back`, `chain_broken`; and whatever the reader throws.
 */
export async function checkChain(
  { bundle }: ReadSet,
  { state, reader }: Pick<TrustRequest, 'state' | 'reader'>,
  { policy }: SignedPolicy,
): Promise<readonly Bundle<LiveManifest>[]> {
  const { fleet, serial } = bundle.manifest;
  if (fleet === policy.fleet && serial < policy.floor.serial) throw behind(policy.floor.serial, serial);
  const trusted = state?.fleets.find((known) => known.fleet === fleet);
  if (trusted !== undefined) return await chainSince(trusted, bundle, reader);
  const predecessor = state?.fleets.find(({ successor }) => successor === fleet);
  return predecessor === undefined ? [] : [await fetchBundle(predecessor.digest, reader)];
}

async function chainSince(trusted: TrustedFleet, newest: Bundle<LiveManifest>, reader: TrustReader) {
  const { serial } = newest.manifest;
  if (serial < trusted.serial) throw behind(trusted.serial, serial);
  const chain: Bundle<LiveManifest>[] = [];
  for (let current = newest; current.digest !== trusted.digest; current = chain[0]!) {
    const { accepted } = current.manifest;
    if (accepted === null || current.manifest.serial <= trusted.serial)
      throw broken('it does not lead back to the one trusted before');
    if (chain.length >= MAXIMUM_CHAIN)
      throw broken(`it has more than ${MAXIMUM_CHAIN} steps; get the newest version of your application`);
    const before = await fetchBundle(accepted, reader);
    const { vault, environment, fleet } = before.manifest;
    const same =
      vault === newest.manifest.vault && environment === newest.manifest.environment && fleet === newest.manifest.fleet;
    if (!same || before.manifest.serial >= current.manifest.serial)
      throw broken('it leads to a bundle of something else');
    const breach = successionBreach(before, current.manifest);
    if (breach !== undefined) throw broken(`at serial ${current.manifest.serial}, ${breach.sentence}`);
    chain.unshift(before);
  }
  return chain;
}

/** Nobody needs to have signed what a signed bundle names by its digest. */
async function fetchBundle(digest: Digest, reader: TrustReader): Promise<Bundle<LiveManifest>> {
  const bundle = requireLive(parseBundle(await reader.bundleText(digest)));
  if (bundle.digest !== digest) throw broken('a bundle on the way is not the one that is named');
  return bundle;
}

function behind(seen: number, serial: number): HoldfastError {
  return new HoldfastError(
    'rolled_back',
    `serial ${seen} of the fleet is known here and ${serial} was shown; somebody may be showing you an old one`,
  );
}

function broken(problem: string): HoldfastError {
  return new HoldfastError('chain_broken', `the chain of bundles is broken: ${problem}`);
}
