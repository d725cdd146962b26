/** Steps 3 and 4 of verifying a fleet: it stands in the log as the one in force, and witnesses have vouched for the log lately. */

import { HoldfastError, utf8 } from '../../core/index.ts';
import { originOf } from '../bundle/index.ts';
import type { SignedPolicy } from '../policy/index.ts';
import { findSignature, requireSignature } from '../signatures.ts';
import { type Cosignature, hashEntry, provesInclusion, quorumTime } from '../tlog/index.ts';
import { CLOCK_TOLERANCE, revoked } from './authority.ts';
import type { ReadSet } from './read.ts';
import type { TrustState } from './state.ts';
import { KEEPING_OPERATIONS, type TrustOperation } from './types.ts';

/**
 * Step 3: one checkpoint of the policy's log has the acceptance in it, and as its last leaf a roster that lists it.
 * @returns the cosignatures of the policy's witnesses.
 * @throws HoldfastError `wrong_origin`, `signature_missing`, `signature_invalid`, `proof_invalid`, `roster_wrong`,
 * `not_accepted`, `bundle_superseded`, `bundle_revoked`.
 */
export function checkLogged(set: ReadSet, policy: SignedPolicy): readonly Cosignature[] {
  const { checkpoint, acceptance, rosterProof, rosterNote } = set;
  const origin = originOf(policy);
  if (checkpoint.origin !== origin) {
    throw new HoldfastError(
      'wrong_origin',
      `the proofs come from the log ${checkpoint.origin}, and yours is ${origin}`,
    );
  }
  const note = acceptance.checkpoint;
  requireSignature(note, policy.tlog.logs[0]!.key, 'the log');
  const cosignatures = policy.tlog.witnesses.flatMap((witness) => {
    const seconds = findSignature(note, witness.key, 'a witness')?.seconds;
    return typeof seconds === 'number' ? [{ witness, seconds }] : [];
  });
  const proves = (proof: typeof acceptance, entry: string, what: string) => {
    if (provesInclusion(proof, hashEntry(utf8(entry)))) return;
    throw new HoldfastError(
      'proof_invalid',
      `${what} is not in the log; what you were shown may have been made for you alone`,
    );
  };
  proves(acceptance, `holdfast/acceptance/v1\n${set.acceptanceNote}`, 'the bundle');
  proves(rosterProof, set.rosterText, 'the list of fleets');
  requireSignature(rosterNote, policy.policy.roster, 'the roster key');
  checkRoster(set, origin);
  return cosignatures;
}

function checkRoster(
  { roster, rosterProof, rosterNote, checkpoint, acceptance, bundle }: ReadSet,
  origin: string,
): void {
  const wrong = (problem: string) =>
    new HoldfastError(
      'roster_wrong',
      `the log’s list of fleets ${problem}; this is misconduct of the log, which others should hear of`,
    );
  if (rosterProof.index !== checkpoint.size - 1) throw wrong('is not the last entry of the log');
  if (roster.origin !== origin || roster.size !== rosterProof.index) throw wrong('was made for another place');
  if (rosterNote.signatures.length !== 1) throw wrong('has signatures that do not belong to it');
  const { fleet, serial, kind } = bundle.manifest;
  const entry = roster.fleets.find((listed) => listed.fleet === fleet);
  if (entry === undefined) {
    throw new HoldfastError(
      'not_accepted',
      `the log does not list the fleet ${fleet}; it was not accepted by both parties`,
    );
  }
  if (entry.serial >= serial && entry.state === 'revoked') throw revoked();
  if (entry.serial > serial) {
    throw new HoldfastError(
      'bundle_superseded',
      `serial ${serial} of the fleet has been followed by ${entry.serial}; somebody may be showing you an old one`,
      { details: { serial, newest: entry.serial } },
    );
  }
  if (entry.serial < serial || entry.digest !== bundle.digest || entry.index !== acceptance.index) {
    throw wrong('contradicts the log itself');
  }
  if (entry.state !== (kind === 'retire' ? 'retired' : 'live'))
    throw wrong('gives the fleet a state that it does not have');
}

export interface Freshness {
  /** Seconds since 1970: the latest time from which the cosignatures are a quorum. */
  readonly time: number;
  readonly notice: string | undefined;
}

/**
 * Step 4: a quorum has vouched within `maxAge`, or, for what is already trusted and only to keep it, within `graceAge`.
 * @param now in milliseconds since 1970.
 * @throws HoldfastError `quorum_not_met`, `log_stale`, `clock_fault`.
 */
export function checkFreshness(
  { bundle }: ReadSet,
  cosignatures: readonly Cosignature[],
  { policy, tlog }: SignedPolicy,
  { now, operation, state }: { now: number; operation: TrustOperation; state: TrustState | undefined },
): Freshness {
  const seconds = Math.floor(now / 1000);
  const time = quorumTime(tlog, cosignatures, { to: seconds + CLOCK_TOLERANCE });
  if (time === undefined) {
    if (quorumTime(tlog, cosignatures) === undefined) {
      throw new HoldfastError(
        'quorum_not_met',
        'too few independent witnesses have vouched for this state of the log; it may have been made for you alone',
        { details: { witnesses: cosignatures.map(({ witness }) => witness.name) } },
      );
    }
    throw new HoldfastError(
      'clock_fault',
      'witnesses have vouched for the log at times that lie in the future; this device’s clock is behind, or theirs is ahead',
    );
  }
  const age = seconds - time;
  if (age <= policy.maxAge) return { time, notice: undefined };
  const trusted = state?.fleets.some(
    ({ fleet, digest }) => fleet === bundle.manifest.fleet && digest === bundle.digest,
  );
  const keeping = trusted === true && KEEPING_OPERATIONS.includes(operation);
  if (age <= policy.graceAge && keeping) {
    const notice = `no witness has vouched for the log for ${hours(age)}; your record can be used until that is ${hours(policy.graceAge)}, and nothing new is trusted until then`;
    return { time, notice };
  }
  throw new HoldfastError(
    'log_stale',
    `witnesses last vouched for the log ${hours(age)} ago; this device’s clock is ahead, or somebody keeps newer states from you, for example a revocation`,
    { details: { age, maxAge: policy.maxAge, graceAge: policy.graceAge } },
  );
}

function hours(seconds: number): string {
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)} hours` : `${Math.floor(seconds / 86_400)} days`;
}
