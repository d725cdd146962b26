/** What the vault node's logic needs from outside: beside token and store, the client's authentication and an observer. */

import type { Outer, RequestContent } from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';

/** What a node knows of an HPKE context for as long as it keeps it. */
export interface RequestContext {
  /** The encapsulated key by which it is known, 65 bytes. */
  readonly enc: Uint8Array;
  /**
   * SHA-256 of the user token whose client has signed for this context. Only who made a context can seal in it, so what comes
   * in it with that token comes from that client.
   */
  authenticated: Uint8Array | undefined;
}

/** A client's request after the token's half of HPKE: readable, and answerable to that client only. */
export interface OpenedRequest {
  readonly plaintext: Uint8Array;
  readonly context: RequestContext;
  /** Seals an answer to the client that sent this request, bound to it. */
  sealAnswer(plaintext: Uint8Array): Uint8Array;
}

export interface RequestSealing {
  /** @throws HoldfastError `malformed` where the sealing does not open under these outer fields. */
  open(outer: Outer, enc: Uint8Array, ciphertext: Uint8Array): Promise<OpenedRequest>;
}

/** Checks the tenant's user token, and that its client made the request. */
export interface ClientAuthentication {
  /**
   * Resolves if this token allows this operation on this record now, and the token's client signed these outer fields, or has
   * signed for the context in which they are sealed. Notes in the context what it was signed for.
   * @throws HoldfastError `forbidden`, one message for all failures, with `details.reason` for the sealed answer:
   *   `client_signature` where the request has to be signed, or signed otherwise.
   */
  check(outer: Outer, content: RequestContent, context: RequestContext): Promise<void>;
}

/** Counters and events of the node; src/node/http/metrics.ts names the metrics. */
export type NodeCounter =
  | 'attempts'
  | 'evaluations'
  | 'confirmations'
  | 'activations'
  | 'destructions'
  | 'refusals'
  | 'batches'
  | 'anchor_writes'
  | 'repairs'
  | 'overrides';

export interface NodeObserver {
  count(name: NodeCounter, label?: string): void;
  /** Seconds that a step of a batch took; `sign` only where the token was not asked for both in one turn. */
  batch(step: 'store' | 'anchor' | 'sign', seconds: number): void;
  /** How many statements are under one signature of the token. */
  signed(statements: number): void;
  /** For the log; never secrets. */
  event(level: 'info' | 'warn' | 'error', event: string, fields?: Readonly<Record<string, string | number>>): void;
}

export const silentObserver: NodeObserver = { count() {}, batch() {}, signed() {}, event() {} };

/** Where the node's dictionary comes from. */
export interface DictionarySource {
  /** @throws HoldfastError `store_refused` where the store does not match its own root. */
  open(): Promise<AuthenticatedDictionary>;
  /** Empties a store that was refused. */
  wipe(): Promise<void>;
}
