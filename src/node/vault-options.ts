/** What a vault node is made of. */

import type { Clock, HoldfastError, Random } from '../core/index.ts';
import type { Fleet, SignatureChecks, Transitions } from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Token } from '../token/port.ts';
import type { ClientAuthentication, NodeObserver, RequestSealing } from './ports.ts';
import type { ServiceStatements } from './service-statements.ts';

export interface VaultNodeOptions {
  readonly fleet: Fleet;
  readonly node: number;
  readonly token: Token;
  readonly dictionary: AuthenticatedDictionary;
  readonly sealing: RequestSealing;
  readonly authentication: ClientAuthentication;
  readonly checks: SignatureChecks;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: NodeObserver;
  readonly batchInterval: number;
  readonly requestsPerRecord: number;
  /** Whether the store was what the token's anchor says. */
  readonly intact: boolean;
  /** Sequence of the newest anchor: batches are numbered above it. */
  readonly anchorSequence: number;
  /** Heads of others to wait for; by default `t`, or none for a node alone or an intact store on a token declared rollback-resistant. */
  readonly headsNeeded: number;
  readonly onFatal: (error: HoldfastError) => void;
  /** This node's signed `leave` of the epoch before, where it left that one whole and now enters this one. */
  readonly leave?: Uint8Array;
  /** What it says of itself for the deployment's evidence. */
  readonly service?: ServiceStatements;
  /** Records that one answer lists at most; `CROWDED_BUCKET` by default, and never more. */
  readonly crowdedBucket?: number;
  /** Records in one bucket of the dictionary beyond which no new one is opened there; 16,384 by default. */
  readonly fullBucket?: number;
  /** The record state machine; the real one by default. */
  readonly transitions?: Transitions;
}
