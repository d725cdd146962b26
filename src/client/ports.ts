/** What the client needs from outside: a way to a coordinator, the user's credential, time, and cryptography. */

import type { Clock, ErrorCode } from '../core/index.ts';
import type { Ed25519Key } from '../crypto/index.ts';
import type { ClientAnswer, ClientRequest } from '../protocol/index.ts';
import type { ClientSuite } from './suite.ts';

export interface CoordinatorTransport {
  /**
   * Sends one request. Rejects with HoldfastError: `no_majority`, `not_ready`, `overloaded`, `rate_limited` may pass;
   * others will not.
   */
  send(request: ClientRequest, signal?: AbortSignal): Promise<ClientAnswer>;
}

/** What the tenant gave this user: a token, and the client key that it is bound to. */
export interface Credential {
  readonly userToken: string;
  readonly clientKey: Pick<Ed25519Key, 'secretKey'>;
}

export interface ClientPorts {
  readonly transport: CoordinatorTransport;
  /** Asked anew for each operation, so that short-lived tokens can be renewed. */
  readonly credential: () => Promise<Credential>;
  readonly clock: Clock;
  readonly suite: ClientSuite;
}

/** What is going on, for progress displays. */
export type ClientStep =
  | 'status'
  | 'stretch'
  | 'open'
  | 'stage'
  | 'activate'
  | 'attempt'
  | 'confirm'
  | 'delete'
  | 'waiting';

/** Something that may pass is tried again: told when the waiting for it begins. */
export interface ClientWait {
  /** What went wrong: `rate_limited` where too many requests came, `no_majority`, `not_ready`, `overloaded` and the like. */
  readonly code: ErrorCode;
  /** Milliseconds since 1970 at which it is tried again. */
  readonly until: number;
}
