/** What a transition decides, and what it may look at. Transitions are pure: same inputs, same decision. */

import { type ErrorCode, HoldfastError } from '../../core/index.ts';
import type { StatementVerifier } from '../certificate.ts';
import { type Fleet, threshold } from '../fleet.ts';
import type { RecordState } from '../record.ts';
import type { Body, Signer } from '../statement.ts';

export interface Context {
  readonly fleet: Fleet;
  readonly verifier: StatementVerifier;
  /** This node's clock, in ms since 1970. */
  readonly now: number;
}

export interface Decision {
  /** The state to store, also beside a refusal (a clock that stepped back is remembered). */
  readonly state: RecordState;
  /** What to sign once `state` is durable and anchored. */
  readonly body?: Body;
  readonly refusal?: HoldfastError;
}

export function refuse(state: RecordState, code: ErrorCode, message: string): Decision {
  return { state, refusal: new HoldfastError(code, message) };
}

/** A verified head with the node that signed it. */
export interface Head {
  readonly signer: Signer;
  readonly body: Body<'head'>;
}

/** Whether heads of `t` distinct nodes on this record satisfy `shows`. */
export function majorityShows(
  context: Context,
  record: Uint8Array,
  heads: readonly Head[],
  shows: (head: Body<'head'>) => boolean,
): boolean {
  return nodesShow(threshold(context.fleet), record, heads, shows);
}

/** Whether heads of `needed` distinct nodes on this record satisfy `shows`. */
export function nodesShow(
  needed: number,
  record: Uint8Array,
  heads: readonly Head[],
  shows: (head: Body<'head'>) => boolean,
): boolean {
  const nodes = new Set<number>();
  for (const { signer, body } of heads) {
    if (body.record.every((byte, i) => byte === record[i]) && shows(body)) nodes.add(signer.node);
  }
  return nodes.size >= needed;
}
