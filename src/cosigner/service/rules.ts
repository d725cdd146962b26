/** What the cosigner asks of a bundle before it signs, besides the rules of the log: time, strength, evidence. */

import { type ErrorDetails, HoldfastError } from '../../core/index.ts';
import {
  type Bundle,
  checkFloors,
  checkNotWeakened,
  type LiveManifest,
  type LogState,
  proposalBreach,
  type RuleBreach,
} from '../../trust/index.ts';

export interface ProposalRules {
  /** Longest time in milliseconds from `notBefore` to `notAfter`. */
  readonly maximumValidity: number;
  /** How far ahead `notBefore` may be, in milliseconds. */
  readonly maximumAhead: number;
}

/** Breaches that another party's submission causes: the same intent, written anew, may succeed. */
const RACES: readonly string[] = ['serial_wrong', 'previous_wrong', 'accepted_wrong', 'acceptance_void'];

/** A breach of the log's rules as an error for whoever submitted. */
export function breachError({ code, sentence }: RuleBreach): HoldfastError {
  const details: ErrorDetails = { rule: code };
  if (RACES.includes(code)) {
    const next = 'another submission came first; fetch the newest proposal and write this one anew';
    return new HoldfastError('conflict', `${sentence}: ${next}`, { details });
  }
  if (code === 'wrong_names') return new HoldfastError('wrong_environment', sentence, { details });
  if (code === 'leaf_signature') return new HoldfastError('signature_invalid', sentence, { details });
  return new HoldfastError('bad_input', sentence, { details });
}

/**
 * Whether the cosigner may sign this proposal next, its evidence left aside.
 * @throws HoldfastError `conflict`, `wrong_environment`, `bad_input`, `bundle_expired`, `policy_floor`, `fleet_weakened`.
 */
export function checkProposal(state: LogState, bundle: Bundle<LiveManifest>, rules: ProposalRules, now: number): void {
  const breach = proposalBreach(state, bundle);
  if (breach) throw breachError(breach);
  checkWindow(bundle.manifest, rules, now);
  const { policy } = state.policy;
  checkFloors(bundle.manifest, policy);
  const before = state.fleets.get(bundle.manifest.fleet)?.accepted;
  if (before) checkNotWeakened([before], bundle, policy);
}

function checkWindow({ notBefore, notAfter }: LiveManifest, rules: ProposalRules, now: number): void {
  // Written so that a clock that tells no number refuses.
  if (!(notAfter > now)) {
    throw new HoldfastError('bundle_expired', 'the bundle’s notAfter has passed; write it anew with a later one');
  }
  if (!(notBefore <= now + rules.maximumAhead)) {
    throw new HoldfastError('bad_input', 'the bundle’s notBefore is too far ahead for this cosigner’s configuration');
  }
  if (notAfter - notBefore > rules.maximumValidity) {
    throw new HoldfastError(
      'bad_input',
      'the bundle would be valid for longer than this cosigner’s configuration allows',
    );
  }
}
