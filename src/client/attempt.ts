/** One guess: counted by a majority, evaluated, and confirmed when the PIN was right (docs/protocol.md, sections 5 and 6). */

import { equalBytes, HoldfastError, type Secret } from '../core/index.ts';
import type { NodeOutput, SeedKeys } from '../crypto/index.ts';
import {
  blindHash,
  budgetLeft,
  type Certificate,
  encodeConfirmation,
  encodeEnvelopeBinding,
  encodeOprfInput,
  encodeStretchSalt,
  waitBefore,
} from '../protocol/index.ts';
import type { ClientStep } from './ports.ts';
import type { Reply, Session } from './session.ts';
import { type ActiveStatus, type RecordStatus, readStatus } from './status.ts';

/** Rounds of contention with other devices before the client gives up; nothing is lost by that. */
const MAXIMUM_ROUNDS = 24;
/** Rounds in which a number is asked for that some, but no majority, voted for others at, before the next one is. */
const PATIENT_ROUNDS = 2;
/** How often in one call that next number is taken: fewer than any limit worth having. */
const UNPROVEN_MOVES = 5;

export interface Opened {
  readonly secret: Secret;
  readonly keys: SeedKeys;
  readonly status: ActiveStatus;
  readonly attempt: number;
  /** What each node's OPRF gave, for comparison at the end of an enrolment. */
  readonly outputs: readonly NodeOutput[];
  /** Nodes whose answers did not fit the others'. */
  readonly lying: readonly number[];
  /** Attempts since the last success that came before this one. */
  readonly earlierAttempts: number;
}

export function stretchInput(session: Session, pin: Uint8Array): Promise<Uint8Array> {
  const { fleet, record, suite } = session.options;
  const { keyStretching } = fleet.policy;
  return suite
    .stretch(pin, encodeStretchSalt(fleet.fleet, record), keyStretching)
    .then((stretched) => encodeOprfInput({ fleet: fleet.fleet, record, stretched }));
}

/**
 * Makes one attempt with the OPRF input of a PIN and confirms it.
 * @throws HoldfastError `wrong_pin`, `waiting`, `spent`, `destroyed`, `not_found`, `conflict`, `untrusted`, and what
 *   `Session.perform` throws. Details of `wrong_pin`: `attemptsLeft`, `nextAttemptAt` (ms), `spare`.
 */
export async function attempt(
  session: Session,
  input: Uint8Array,
  known: RecordStatus,
  step: (step: ClientStep) => void,
): Promise<Opened> {
  const { suite } = session.options;
  const { blind, blindedElement } = suite.blind(input);
  try {
    step('attempt');
    const counted = await count(session, known, blindedElement);
    const outputs = await finalizeAll(session, input, blind, counted);
    const opened = await open(session, counted, outputs);
    step('confirm');
    await confirm(session, counted, opened.keys, blindHash(blindedElement));
    return opened;
  } finally {
    blind.wipe();
  }
}

interface Counted {
  readonly status: ActiveStatus;
  readonly number: number;
  readonly encoded: Uint8Array;
  readonly certificate: Certificate;
  readonly reply: Reply;
}

/** Gets a number for this blinded element, the same one in every round, and the nodes' evaluations of it. */
async function count(session: Session, known: RecordStatus, blindedElement: Uint8Array): Promise<Counted> {
  const hash = blindHash(blindedElement);
  let active = requireActive(known);
  let number = active.nextAttempt;
  let tried = 0;
  let moved = 0;
  for (let round = 0; round < MAXIMUM_ROUNDS; round++) {
    tried++;
    const reply = await session.perform({
      operation: 'attempt',
      generation: active.generation,
      attempt: number,
      arguments: { blindHash: hash },
      blindedElement,
    });
    const evaluated = reply.nodes.filter(({ sealed }) => sealed?.evaluatedElement);
    if (reply.certificate && evaluated.length >= session.threshold) {
      const { body, certificate } = session.certified(reply.certificate, 'attempt');
      const mine =
        body.generation === active.generation &&
        body.attempt === number &&
        equalBytes(body.blindHash, hash) &&
        equalBytes(body.documentHash, active.documentHash);
      if (!mine) throw new HoldfastError('untrusted', 'the certificate is for another attempt');
      return { status: active, number, encoded: reply.certificate, certificate, reply };
    }
    refuseForGood(session, reply);
    if (round > 0) await session.pause(pauseOf(round, hash));
    const before = active;
    active = requireActive(await readStatus(session));
    if (active.generation === before.generation && stillOpen(session, active, number, hash)) {
      // Votes of nodes that are out of reach may decide it; that is waited for, but not for ever and not at every number.
      const others = active.places.some((place) => !isVote(place, number, hash) && place.attempt >= number);
      if (!others || tried < PATIENT_ROUNDS || moved >= UNPROVEN_MOVES) continue;
    }
    number = active.nextAttempt;
    tried = 0;
    moved++;
  }
  throw new HoldfastError('conflict', 'other devices are trying at the same time; try again in a moment');
}

/**
 * Whether this blinded element can still be certified for the number that it has taken votes for. As long as it can, a
 * retry asks for that number only: else whoever withholds answers could burn all numbers with one use of a PIN.
 */
function stillOpen(session: Session, active: ActiveStatus, number: number, hash: Uint8Array): boolean {
  if (active.confirmed >= number || active.nextAttempt < number) return false;
  const lost = active.places.filter((place) => place.attempt >= number && !isVote(place, number, hash));
  return lost.length < session.threshold;
}

function isVote(place: ActiveStatus['places'][number], number: number, hash: Uint8Array): boolean {
  return place.attempt === number && place.vote !== undefined && equalBytes(place.vote, hash);
}

/** Different devices wait differently long, so that one of them gets through. */
function pauseOf(round: number, seed: Uint8Array): number {
  return Math.min(50 * 2 ** round, 2000) * (0.25 + seed[round % 32]! / 256);
}

export function requireActive(status: RecordStatus): ActiveStatus {
  if (status.active) return status.active;
  throw status.destroyed > 0
    ? new HoldfastError('destroyed', 'the record has been destroyed; the secret is gone for good')
    : new HoldfastError('not_found', 'nothing is enrolled under this record');
}

function refuseForGood(session: Session, reply: Reply): void {
  const waiting = session.majorityRefusal(reply, 'waiting');
  if (waiting) {
    const untils = reply.nodes
      .flatMap(({ code, sealed }) => (code === 'waiting' && sealed ? [sealed.until] : []))
      .sort((a, b) => a - b);
    const until = untils[Math.min(session.threshold, untils.length) - 1] ?? 0;
    throw new HoldfastError('waiting', 'it is too early for another attempt; nothing was counted', {
      details: { nextAttemptAt: until },
    });
  }
  if (session.majorityRefusal(reply, 'spent')) {
    throw new HoldfastError('spent', 'no attempts are left; the record will be destroyed after the policy’s delay');
  }
  if (session.majorityRefusal(reply, 'destroyed')) {
    throw new HoldfastError('destroyed', 'the record has been destroyed; the secret is gone for good');
  }
}

/** One output for each node whose answer is an element. Answers of nodes without a share in the document are left out. */
async function finalizeAll(
  session: Session,
  input: Uint8Array,
  blind: Secret,
  counted: Counted,
): Promise<NodeOutput[]> {
  const sharers = new Set(counted.status.document.shares.map(({ node }) => node));
  return outputsOf(session, input, blind, counted.reply).filter(({ node }) => sharers.has(node));
}

/** What the nodes' evaluations give; an answer that is no element is left out. */
export function outputsOf(session: Session, input: Uint8Array, blind: Secret, reply: Reply): NodeOutput[] {
  return reply.nodes.flatMap(({ node, sealed }) => {
    if (!sealed?.evaluatedElement) return [];
    try {
      return [{ node, output: session.options.suite.finalize(input, blind, sealed.evaluatedElement) }];
    } catch {
      return [];
    }
  });
}

async function open(session: Session, counted: Counted, outputs: readonly NodeOutput[]): Promise<Opened> {
  const { suite, fleet, record } = session.options;
  const { status, number } = counted;
  const { document, generation } = status;
  let keys: SeedKeys | undefined;
  try {
    // The public keys are compared before the envelope is opened: AES-GCM does not commit to its key.
    const { seed, lying } = await suite.recoverSeed({
      shares: document.shares,
      outputs,
      threshold: session.threshold,
      accept: (candidate) => {
        const derived = suite.deriveKeys(candidate);
        const right =
          equalBytes(derived.confirmKey.publicKey, document.confirmKey) &&
          equalBytes(derived.ownerKey.publicKey, document.ownerKey);
        if (right) keys = derived;
        return right;
      },
    });
    const binding = encodeEnvelopeBinding({ fleet: fleet.fleet, record, generation });
    const secret = suite.openEnvelope(keys!.encryptionKey, binding, document.envelope);
    seed.wipe();
    return {
      secret,
      keys: keys!,
      status,
      attempt: number,
      outputs,
      lying,
      earlierAttempts: number - 1 - status.confirmed,
    };
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== 'wrong_pin') throw error;
    throw wrongPin(session, counted, error);
  }
}

/** Says, from the certificate itself, what is left and when the next attempt may be made. */
function wrongPin(session: Session, { status, number, certificate }: Counted, cause: HoldfastError): HoldfastError {
  const { policy } = session.options.fleet;
  const attemptsLeft = budgetLeft(policy, number, status.confirmed);
  const voted = Math.max(...certificate.signatures.map(({ signer }) => signer.time));
  const nextAttemptAt = voted + waitBefore(policy, number + 1, status.confirmed);
  const spare = cause.details.spare === true;
  const advice = spare ? 'the PIN is wrong' : 'the PIN is wrong, or a node is faulty: wait before you try again';
  return new HoldfastError('wrong_pin', advice, { details: { attemptsLeft, nextAttemptAt, spare } });
}

/** Success counts only once `t` nodes have recorded it. */
async function confirm(session: Session, counted: Counted, keys: SeedKeys, hash: Uint8Array): Promise<void> {
  const { suite, fleet, record, clock, patience } = session.options;
  const { generation } = counted.status;
  const signed = encodeConfirmation({
    fleet: fleet.fleet,
    record,
    generation,
    attempt: counted.number,
    blindHash: hash,
  });
  const proof = { certificate: counted.encoded, signature: suite.sign(keys.confirmKey, signed) };
  const end = clock.now() + patience;
  for (;;) {
    const reply = await session.perform({
      operation: 'confirm',
      generation,
      attempt: counted.number,
      arguments: proof,
    });
    const fits = (body: { generation: number; attempt: number }) =>
      body.generation === generation && body.attempt === counted.number;
    if (session.received(reply, 'confirmed', fits)) return;
    if (session.majorityRefusal(reply, 'superseded', 'destroyed')) {
      throw new HoldfastError('superseded', 'the record was replaced or deleted by its owner meanwhile');
    }
    if (clock.now() >= end) break;
    await session.pause(250);
  }
  throw new HoldfastError(
    'no_majority',
    'the PIN was right, but no majority could record that; try again when the nodes are back',
  );
}
