/** Where a record stands, from the signed heads of a majority and the proofs that come with them. */

import { HoldfastError } from '../core/index.ts';
import {
  type ActivationProof,
  budgetLeft,
  type DocumentContent,
  decodePortableRecord,
  documentHash,
  liveShares,
  type PortableRecord,
  type ProvenActivation,
  position,
  provenActivation,
  provenConfirmation,
  provenTombstone,
  type RecordFacts,
} from '../protocol/index.ts';
import { type Reply, ranked, type Session } from './session.ts';

export interface ActiveStatus {
  readonly generation: number;
  readonly document: DocumentContent;
  /** Of the document's shares, those whose nodes still have the token that they were enrolled with. */
  readonly shares: DocumentContent['shares'];
  readonly documentHash: Uint8Array;
  readonly activation: ActivationProof;
  /** The next attempt number that a majority can vote for. */
  readonly nextAttempt: number;
  /** The last attempt number proven to have used the right PIN; 0 for none. */
  readonly confirmed: number;
  /**
   * The highest attempt number that may have been used. A certificate needs `t` nodes, so `t + k - n` at least of `k` that
   * answered took part in it: after a cut has healed, one of three heads may be the only one that knows of a guess.
   */
  readonly counted: number;
  /** Of the limit, after `counted`: never more than nodes will take, if those that answered tell the truth. */
  readonly attemptsLeft: number;
  /** Whether the heads of `t` nodes show that none are left: fewer could frighten a person out of trying. */
  readonly spent: boolean;
  /** Milliseconds since 1970 at which a majority of nodes takes the next attempt. */
  readonly nextAttemptAt: number;
}

export interface RecordStatus {
  /** Undefined where nothing is enrolled, or what was has been destroyed. */
  readonly active: ActiveStatus | undefined;
  /** The highest generation that a majority has seen. */
  readonly highest: number;
  /** The highest generation that is proven, or signed by the heads of a majority, to be destroyed; 0 for none. */
  readonly destroyed: number;
  /** A takeover that a majority shows as opened and not cancelled, by its generation. */
  readonly pendingTakeover: number | undefined;
  /** Nodes that answered. */
  readonly nodes: readonly number[];
}

/** @throws HoldfastError as `Session.perform`; `untrusted` where the record's proofs do not verify. */
export async function readStatus(session: Session): Promise<RecordStatus> {
  const reply = await session.perform({ operation: 'status', generation: 0, attempt: 0, arguments: {} });
  return statusOf(session, reply);
}

function statusOf(session: Session, reply: Reply): RecordStatus {
  const { threshold } = session;
  const heads = reply.nodes.flatMap(({ head }) => (head ? [head] : []));
  if (heads.length < threshold)
    throw new HoldfastError('no_majority', 'no majority of nodes told where the record stands');
  const facts = heads.map((head) => head.facts);
  const portable = reply.portable ? decodePortableRecord(reply.portable) : undefined;
  // One node's word is not enough, neither for "destroyed" nor for a generation to come: whatever a minority claims, the
  // others may still hold the record.
  const destroyed = Math.max(
    ranked(
      facts.map(({ tombstone }) => tombstone),
      threshold,
    ),
    portable?.tombstone ? provenTombstone(session.verifier, session.options.record, portable.tombstone) : 0,
  );
  const highest = ranked(
    facts.map((one) => one.highest),
    threshold,
  );
  const proven =
    portable?.activation && provenActivation(session.verifier, session.options.record, portable.activation);
  const active = proven && proven.generation > destroyed ? activeStatus(session, reply, portable, proven) : undefined;
  return {
    active,
    highest,
    destroyed,
    pendingTakeover: active && pendingTakeover(session, facts, active.generation),
    nodes: reply.nodes.flatMap(({ node, head }) => (head ? [node] : [])),
  };
}

/**
 * The newest takeover that the heads of `t` nodes show. The owner signs that generation away to cancel it, so one node
 * must not be able to name it: the numbers above it would be used up.
 */
function pendingTakeover(session: Session, facts: readonly RecordFacts[], active: number): number | undefined {
  const opened = facts.flatMap(({ open, highest }) =>
    open?.takeover && !open.cancelled && highest > active ? [highest] : [],
  );
  const shown = opened.filter((one) => opened.filter((other) => other === one).length >= session.threshold);
  return shown[0];
}

function activeStatus(
  session: Session,
  reply: Reply,
  portable: PortableRecord,
  proven: ProvenActivation,
): ActiveStatus {
  const { generation, document, activation } = proven;
  const { policy, nodes } = session.options.fleet;
  const answered = reply.nodes.filter(({ head }) => head !== undefined).length;
  const heads = reply.nodes.flatMap(({ head }) => (head?.facts.active?.generation === generation ? [head] : []));
  // What nodes may have voted for and forgotten is as good as counted: they vote for none of it.
  const positions = heads.map((head) => position(head.facts.active!));
  const attempt = ranked(positions, session.threshold);
  const hash = documentHash(activation.document);
  const { confirmation } = portable;
  const confirmed = confirmation ? provenConfirmation(session.verifier, document, hash, confirmation) : 0;
  const counted = Math.max(ranked(positions, session.threshold + answered - nodes.length), confirmed);
  const times = heads.map((head) => head.nextAttemptAt).sort((a, b) => a - b);
  return {
    generation,
    document,
    shares: liveShares(session.options.fleet, document),
    documentHash: hash,
    activation,
    nextAttempt: Math.max(attempt, confirmed) + 1,
    confirmed,
    counted,
    attemptsLeft: budgetLeft(policy, counted, confirmed),
    spent: budgetLeft(policy, Math.max(attempt, confirmed), confirmed) === 0,
    nextAttemptAt: times[session.threshold - 1] ?? times.at(-1) ?? 0,
  };
}
