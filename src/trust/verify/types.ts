/** What a client gives to the verification of a fleet, and what comes out. */

import type { Fleet } from '../../protocol/index.ts';
import type { LiveManifest } from '../bundle/index.ts';
import type { Digest } from '../fields.ts';
import type { SignedPolicy } from '../policy/index.ts';
import type { TrustState } from './state.ts';

/**
 * What is to be done with the fleet. `move` stands for enrolling a record that comes from another fleet. `follow` sends
 * nothing: it finds out to which fleet a retired one has retired.
 */
export type TrustOperation = 'enrol' | 'move' | 'recover' | 'confirm' | 'delete' | 'follow';

/** What goes on for a while without fresh witnesses, and on a retired fleet: nobody may lose a record over it. */
export const KEEPING_OPERATIONS: readonly TrustOperation[] = ['recover', 'confirm', 'delete'];

/** What else has to be fetched. Whatever comes back is verified, so it may come from anywhere. */
export interface TrustReader {
  /** Hashes that prove that the log's first `newer` leaves begin with its first `older` (RFC 9162 section 2.1.4). */
  consistencyProof(older: number, newer: number): Promise<readonly Uint8Array[]>;
  /** The text, without signatures, of the bundle with this digest. */
  bundleText(digest: Digest): Promise<string>;
}

export interface TrustRequest {
  /** The trust policy that the application ships. */
  readonly policy: SignedPolicy;
  /** The bytes of a trust set. */
  readonly set: Uint8Array;
  /** Out of the client's own configuration, never out of anything fetched. */
  readonly configuration: { readonly vault: string; readonly environment: string; readonly fleet: string };
  readonly operation: TrustOperation;
  /** Undefined at first use. */
  readonly state: TrustState | undefined;
  /** Milliseconds since 1970, by the device's clock. */
  readonly clock: number;
  /** Milliseconds since 1970: when the application was built. */
  readonly builtAt: number;
  readonly reader: TrustReader;
  /** Called with the number of each step, 1 to 7, when it has passed. */
  readonly onStep?: ((step: number) => void) | undefined;
}

export type Standing =
  | { readonly state: 'live' }
  /** `sunset`: milliseconds since 1970. */
  | { readonly state: 'retired'; readonly successor: string; readonly sunset: number };

export interface VerifiedTrust {
  readonly fleet: Fleet;
  readonly manifest: LiveManifest;
  readonly digest: Digest;
  readonly standing: Standing;
  /** The newest policy, which decided. */
  readonly policy: SignedPolicy;
  /** When a quorum of witnesses last vouched for the log, in milliseconds since 1970. */
  readonly witnessedAt: number;
  /** A sentence for the person, where something is amiss but not refused. */
  readonly notice: string | undefined;
  /** To be stored before the fleet is used. */
  readonly nextState: TrustState;
}
