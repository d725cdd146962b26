/** Where a record stands, from the signed heads of a majority and the proofs that come with them. */

import { equalBytes, HoldfastError } from '../core/index.ts';
import {
  type ActivationProof,
  budgetLeft,
  type DocumentContent,
  decodeCertificate,
  decodePortableRecord,
  documentHash,
  encodeActivation,
  encodeConfirmation,
  openDocument,
  type PortableRecord,
} from '../protocol/index.ts';
import { type Reply, ranked, type Session } from './session.ts';

export interface ActiveStatus {
  readonly generation: number;
  readonly document: DocumentContent;
  readonly documentHash: Uint8Array;
  readonly activation: ActivationProof;
  /** The next attempt number that a majority can vote for. */
  readonly nextAttempt: number;
  /** How far each node that answered has counted, and what it votes for at that number. */
  readonly places: readonly { readonly attempt: number; readonly vote: Uint8Array | undefined }[];
  /** The last attempt number proven to have used the right PIN; 0 for none. */
  readonly confirmed: number;
  readonly attemptsLeft: number;
  /** Milliseconds since 1970 at which a majority of nodes takes the next attempt. */
  readonly nextAttemptAt: number;
}

export interface RecordStatus {
  /** Undefined where nothing is enrolled, or what was has been destroyed. */
  readonly active: ActiveStatus | undefined;
  /** The highest generation that a majority has seen. */
  readonly highest: number;
  /** The highest generation that a majority has destroyed; 0 for none. */
  readonly destroyed: number;
  /** A takeover that has been opened and not cancelled, by its generation. */
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
  // One node's word is not enough: whatever a minority claims, the others may still hold the record.
  const destroyed = ranked(
    facts.map(({ tombstone }) => tombstone),
    threshold,
  );
  const highest = ranked(
    facts.map((one) => one.highest),
    threshold,
  );
  const portable = reply.portable && decodePortableRecord(reply.portable);
  const proven = portable && provenActivation(session, portable);
  const active = proven && proven.generation > destroyed ? activeStatus(session, reply, portable, proven) : undefined;
  const takeovers = facts.flatMap((one) =>
    one.open?.takeover && !one.open.cancelled && one.highest > (active?.generation ?? 0) && active ? [one.highest] : [],
  );
  return {
    active,
    highest,
    destroyed,
    pendingTakeover: takeovers[0],
    nodes: reply.nodes.flatMap(({ node, head }) => (head ? [node] : [])),
  };
}

interface Proven {
  readonly generation: number;
  readonly document: DocumentContent;
  readonly activation: ActivationProof;
}

/** The document is the one that `t` nodes staged and its own owner activated, or the client looks no further. */
function provenActivation(session: Session, portable: PortableRecord): Proven | undefined {
  const { activation } = portable;
  if (!activation) return undefined;
  const { fleet, suite, record } = session.options;
  const { body } = session.certified(activation.stageCertificate, 'stage');
  const document = openDocument(activation.document, fleet, suite.checks);
  const signed = encodeActivation(activation.stageCertificate);
  const right =
    equalBytes(body.documentHash, documentHash(activation.document)) &&
    equalBytes(document.record, record) &&
    document.generation === body.generation &&
    suite.checks.ed25519(document.ownerKey, signed, activation.ownerSignature);
  if (!right) throw new HoldfastError('untrusted', 'the record’s document is not the one that was activated');
  return { generation: body.generation, document, activation };
}

function activeStatus(session: Session, reply: Reply, portable: PortableRecord, proven: Proven): ActiveStatus {
  const { generation, document, activation } = proven;
  const { policy } = session.options.fleet;
  const heads = reply.nodes.flatMap(({ head }) => (head?.facts.active?.generation === generation ? [head] : []));
  const attempt = ranked(
    heads.map((head) => head.facts.active!.attempt),
    session.threshold,
  );
  const confirmed = provenConfirmation(session, portable, proven);
  const times = heads.map((head) => head.nextAttemptAt).sort((a, b) => a - b);
  return {
    generation,
    document,
    documentHash: documentHash(activation.document),
    activation,
    nextAttempt: Math.max(attempt, confirmed) + 1,
    places: heads.map((head) => head.facts.active!),
    confirmed,
    attemptsLeft: budgetLeft(policy, Math.max(attempt, confirmed), confirmed),
    nextAttemptAt: times[session.threshold - 1] ?? times.at(-1) ?? 0,
  };
}

function provenConfirmation(session: Session, portable: PortableRecord, { generation, document }: Proven): number {
  const { confirmation } = portable;
  if (!confirmation) return 0;
  const body = session.verifier.certificate(decodeCertificate(confirmation.certificate), 'attempt');
  const { fleet, record, attempt, blindHash } = body;
  const signed = encodeConfirmation({ fleet, record, generation, attempt, blindHash });
  const right =
    body.generation === generation &&
    session.options.suite.checks.ed25519(document.confirmKey, signed, confirmation.signature);
  if (!right) throw new HoldfastError('untrusted', 'the record’s last confirmation does not verify');
  return attempt;
}
