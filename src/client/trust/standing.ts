/** What a verified trust set lets a client do with a fleet: everything, only keep what is there, or nothing (docs/trust.md, section 6). */

import { asHoldfastError, HoldfastError } from '../../core/index.ts';
import type { Fleet } from '../../protocol/index.ts';
import {
  establishTrust,
  type LiveManifest,
  type Standing,
  type TrustOperation,
  type TrustRequest,
  type TrustStateStore,
  type VerifiedTrust,
} from '../../trust/index.ts';

/**
 * `fresh`: witnesses have vouched for the log lately. `grace`: they have not for longer than the policy's `maxAge`, so
 * only what keeps a record goes on. Whatever is refused has no mode: it is an error.
 */
export type TrustMode = 'fresh' | 'grace';

/** One verified fleet, and how far it may be used. */
export interface FleetStanding {
  readonly fleet: Fleet;
  readonly manifest: LiveManifest;
  /** SHA-256 of the bundle's text, in hexadecimal. */
  readonly digest: string;
  readonly mode: TrustMode;
  /** `live`, or `retired` to a successor until a sunset. */
  readonly standing: Standing;
  /** Why recovering, confirming and deleting are refused here, as they are after the sunset; undefined where they go on. */
  readonly refusal: HoldfastError | undefined;
  /** A sentence for the person, where something is amiss but not refused. */
  readonly notice: string | undefined;
  readonly policyVersion: number;
  /** The checkpoint that was verified. */
  readonly checkpoint: { readonly origin: string; readonly size: number };
  /** When a quorum of witnesses last vouched for it, in milliseconds since 1970. */
  readonly witnessedAt: number;
}

/**
 * Verifies a set for the most that it allows, and stores the state before anything is used.
 * @throws HoldfastError as `establishTrust`, where nothing is allowed and no successor is named.
 */
export async function establishStanding(
  request: Omit<TrustRequest, 'state' | 'operation'>,
  store: TrustStateStore,
): Promise<FleetStanding> {
  const verify = (operation: TrustOperation) => establishTrust({ ...request, operation }, store);
  try {
    return standingOf(await verify('enrol'), 'fresh');
  } catch (error) {
    if (isCode(error, 'log_stale')) return standingOf(await verify('recover'), 'grace');
    if (!isCode(error, 'bundle_retired')) throw error;
  }
  try {
    return standingOf(await verify('recover'), 'fresh');
  } catch (error) {
    if (!isCode(error, 'bundle_retired', 'policy_floor', 'fleet_weakened')) throw error;
    // Too late, or too weak, for its own use; where it leads to can still be believed.
    return standingOf(await verify('follow'), 'fresh', asHoldfastError(error));
  }
}

function standingOf(verified: VerifiedTrust, mode: TrustMode, refusal?: HoldfastError): FleetStanding {
  const { fleet, manifest, digest, standing, policy, witnessedAt, nextState } = verified;
  const notice = verified.notice && sentence(verified.notice);
  const { origin, size } = nextState;
  return {
    ...{ fleet, manifest, digest, mode, standing, refusal, notice, witnessedAt },
    policyVersion: policy.policy.version,
    checkpoint: { origin, size },
  };
}

/** What began as part of one, such as the message of an error. */
export function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

export function isCode(error: unknown, ...codes: readonly HoldfastError['code'][]): boolean {
  return error instanceof HoldfastError && codes.includes(error.code);
}

/** Whether a client of the one may go on with the other in the middle of an operation. */
export function isSameFleet(a: Fleet, b: Fleet): boolean {
  const text = (fleet: Fleet) =>
    JSON.stringify(fleet, (_, value: unknown) => (value instanceof Uint8Array ? value.join() : value));
  return text(a) === text(b);
}

/**
 * What an operation needs of its fleet: `keep` for recovering, deleting and looking, `enrol` for everything that makes a
 * record.
 * @throws HoldfastError `log_stale` in grace, `bundle_retired`, or why the fleet is refused.
 */
export function requirePurpose(standing: FleetStanding, purpose: 'keep' | 'enrol'): void {
  if (standing.refusal) throw standing.refusal;
  if (purpose === 'keep') return;
  if (standing.mode === 'grace') {
    throw new HoldfastError(
      'log_stale',
      `nothing is enrolled for now. ${standing.notice ?? 'No witness has vouched for the log lately.'}`,
    );
  }
  if (standing.standing.state === 'retired') {
    const { successor, sunset } = standing.standing;
    throw new HoldfastError(
      'bundle_retired',
      `the fleet ${standing.fleet.fleet} has retired and takes nothing new; ${successor} has followed it`,
      { details: { successor, sunset } },
    );
  }
}
