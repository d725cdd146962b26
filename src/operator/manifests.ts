/** The next manifest of a fleet: what an operator wants, and what the log says must come next. */

import { type ErrorDetails, equalBytes, HoldfastError } from '../core/index.ts';
import { membershipOf } from '../protocol/index.ts';
import {
  type Bundle,
  type BundleNode,
  type DeployManifest,
  type Digest,
  fleetOf,
  type LiveManifest,
  type LogState,
  parseBundle,
  proposalBreach,
  type RetireManifest,
  type RevokeManifest,
  type RuleBreach,
  requireLive,
  serialiseBundle,
} from '../trust/index.ts';
import { DEFAULT_VALIDITY, type DeploymentDraft } from './draft.ts';

/** Breaches that somebody else's submission causes: the same intent, written anew, may succeed. */
const RACES: readonly string[] = ['serial_wrong', 'previous_wrong', 'accepted_wrong', 'acceptance_void'];

/** A breach of the log's rules as an error; `details.rule` names the rule. */
export function breachError({ code, sentence }: RuleBreach): HoldfastError {
  const details: ErrorDetails = { rule: code };
  if (RACES.includes(code)) {
    return new HoldfastError('conflict', `${sentence}: another submission came first; write this one anew`, {
      details,
    });
  }
  if (code === 'wrong_names') return new HoldfastError('wrong_environment', sentence, { details });
  if (code === 'fleet_retired') return new HoldfastError('bundle_retired', sentence, { details });
  if (code === 'serial_revoked' || code === 'key_revoked')
    return new HoldfastError('bundle_revoked', sentence, { details });
  return new HoldfastError('bad_input', sentence, { details });
}

/**
 * The next deployment of a fleet.
 * @throws HoldfastError as `requireNext`.
 */
export function nextDeployment(state: LogState, fleet: string, draft: DeploymentDraft): Bundle<LiveManifest> {
  const { policy, nodes, coordinators, authority, evidence, notBefore, notAfter } = draft;
  const members = { policy, nodes, coordinators, authority, evidence, notBefore, notAfter };
  const before = state.fleets.get(fleet)?.accepted?.manifest;
  const epoch = draft.epoch ?? nextEpoch(before, nodes);
  const earlier = draft.earlier ?? earlierOf(before, epoch, nodes);
  return requireNext(state, { ...headOf(state, fleet), kind: 'deploy', epoch, ...members, earlier });
}

/** The earlier epochs that a bundle after `before` carries: all that are known, or none where no token stays. */
function earlierOf(
  before: LiveManifest | undefined,
  epoch: number,
  nodes: readonly BundleNode[],
): NonNullable<LiveManifest['earlier']> {
  if (before === undefined) return [];
  const { earlier = [] } = before;
  if (epoch === before.epoch) return earlier;
  // Any other is refused for its epoch.
  if (epoch !== before.epoch + 1) return [];
  const stays = before.nodes.some(({ keys }, i) => nodes[i] !== undefined && isSameToken(keys, nodes[i].keys));
  return stays ? [...earlier, membershipOf(fleetOf(before))] : [];
}

function isSameToken(a: BundleNode['keys'], b: BundleNode['keys']): boolean {
  return equalBytes(a.identity, b.identity) && equalBytes(a.oprf, b.oprf);
}

export interface Retirement {
  readonly successor: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly sunset: number;
  readonly now: number;
  /** Default: as the accepted bundle has it. */
  readonly evidence?: DeployManifest['evidence'] | undefined;
}

/**
 * The retirement of a fleet's accepted bundle, valid to its sunset at least.
 * @throws HoldfastError `not_found` if nothing is accepted; as `requireNext`.
 */
export function nextRetirement(state: LogState, fleet: string, retirement: Retirement): Bundle<LiveManifest> {
  const accepted = state.fleets.get(fleet)?.accepted;
  if (accepted === undefined) throw nothingAccepted(fleet);
  const { successor, sunset, now, evidence = accepted.manifest.evidence } = retirement;
  const { epoch, policy, nodes, earlier = [], coordinators, authority } = accepted.manifest;
  const notBefore = Math.floor(now / 1000) * 1000;
  const manifest: RetireManifest = {
    ...headOf(state, fleet),
    kind: 'retire',
    epoch,
    policy,
    nodes,
    earlier,
    coordinators,
    authority,
    evidence,
    notBefore,
    notAfter: Math.max(sunset, notBefore + DEFAULT_VALIDITY),
    successor,
    sunset,
  };
  return requireNext(state, manifest);
}

/**
 * The revocation of the bundle with this digest: the last accepted one of a fleet, or its last proposal.
 * @throws HoldfastError `not_found` for anything else, `bundle_revoked` where that has happened, `bundle_malformed`.
 */
export function revocationOf(state: LogState, digest: Digest, reason: string): Bundle<RevokeManifest> {
  const found = [...state.fleets.values()].flatMap(({ proposal, accepted, revokedThrough }) =>
    [proposal, accepted].flatMap((bundle) => (bundle?.digest === digest ? [{ bundle, revokedThrough }] : [])),
  )[0];
  if (found === undefined) {
    throw new HoldfastError('not_found', 'no fleet’s accepted bundle or last proposal has this digest', {
      details: { digest },
    });
  }
  const { vault, environment, fleet, epoch, serial } = found.bundle.manifest;
  if (serial <= found.revokedThrough) throw new HoldfastError('bundle_revoked', 'the bundle is revoked already');
  const manifest: RevokeManifest = {
    vault,
    environment,
    fleet,
    epoch,
    serial,
    kind: 'revoke',
    revokes: digest,
    reason,
  };
  const text = serialiseBundle(manifest);
  return { ...parseBundle(text), manifest };
}

/**
 * A manifest in its one form, if it may be the fleet's next proposal.
 * @throws HoldfastError `bundle_malformed`; `conflict`, `wrong_environment`, `bundle_retired`, `bundle_revoked` or
 * `bad_input` for the rule of the log that it breaks, which `details.rule` names.
 */
export function requireNext(state: LogState, manifest: LiveManifest): Bundle<LiveManifest> {
  const bundle = requireLive(parseBundle(serialiseBundle(manifest)));
  const breach = proposalBreach(state, bundle);
  if (breach) throw breachError(breach);
  return bundle;
}

/** Whether two deployments are the same but for their place in the log, their time and their evidence. */
export function isSameDeployment(a: LiveManifest, b: LiveManifest): boolean {
  if (a.kind !== b.kind) return false;
  const bare = (manifest: LiveManifest) =>
    serialiseBundle({
      ...manifest,
      serial: 1,
      previous: null,
      accepted: null,
      notBefore: a.notBefore,
      notAfter: a.notAfter,
      evidence: a.evidence,
    });
  return bare(a) === bare(b);
}

function headOf(state: LogState, fleet: string) {
  const { vault, environment } = state.policy.policy;
  const known = state.fleets.get(fleet);
  return {
    vault,
    environment,
    fleet,
    serial: (known?.proposal.manifest.serial ?? 0) + 1,
    previous: known?.proposal.digest ?? null,
    accepted: known?.accepted?.digest ?? null,
  };
}

/** The epoch of a bundle with these nodes that follows `before`: one more where a key is another. */
export function nextEpoch(before: LiveManifest | undefined, nodes: readonly BundleNode[]): number {
  if (before === undefined) return 1;
  return sameKeys(before.nodes, nodes) ? before.epoch : before.epoch + 1;
}

function sameKeys(a: readonly BundleNode[], b: readonly BundleNode[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ keys }, i) =>
      (['identity', 'session', 'oprf'] as const).every((use) => equalBytes(keys[use], b[i]!.keys[use])),
    )
  );
}

export function nothingAccepted(fleet: string): HoldfastError {
  return new HoldfastError('not_found', `no bundle of the fleet ${fleet} has been accepted; propose one first`);
}
