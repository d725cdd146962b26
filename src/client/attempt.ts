/** One guess: counted by a majority, evaluated, and confirmed when the PIN was right (docs/protocol.md, sections 5 and 6). */

import { asHoldfastError, equalBytes, HoldfastError, type Secret } from '../core/index.ts';
import type { NodeOutput, SeedKeys } from '../crypto/index.ts';
import {
  blindHash,
  budgetLeft,
  encodeConfirmation,
  encodeEnvelopeBinding,
  encodeOprfInput,
  encodeStretchSalt,
  waitBefore,
} from '../protocol/index.ts';
import { type Counted, count, type Guess } from './counting.ts';
import type { ClientStep } from './ports.ts';
import { type Session, throwIfCancelled } from './session.ts';
import type { ActiveStatus, RecordStatus } from './status.ts';
import type { ClientSuite } from './suite.ts';
import type { UnansweredGuesses } from './unanswered.ts';

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
 * @param wanted whether it waits for the answers of all nodes with a share, if they can be had.
 * @param unanswered where a guess waits that was counted before and not answered: this one is it, if its input is the same.
 * @throws HoldfastError `wrong_pin`, `waiting`, `spent`, `destroyed`, `not_found`, `conflict`, `untrusted`, and what
 *   `Session.perform` throws. Details of `wrong_pin`: `attemptsLeft`, `nextAttemptAt` (ms), `spare`.
 */
export async function attempt(
  session: Session,
  input: Uint8Array,
  known: RecordStatus,
  step: (step: ClientStep) => void,
  wanted: 'enough' | 'all' = 'enough',
  unanswered?: UnansweredGuesses,
): Promise<Opened> {
  const { suite, fleet, record } = session.options;
  const place = { fleet: fleet.fleet, record, generation: known.active?.generation ?? 0 };
  const before = unanswered?.take(place, input);
  const guess = before?.guess ?? newGuess(suite, input);
  const { blind, hash } = guess;
  let kept = false;
  try {
    step('attempt');
    const counted = await count(session, known, guess, before?.number);
    if (wanted === 'all' && !isComplete(counted)) await askAgain(session, counted);
    const opened = await openPatiently(session, counted);
    try {
      step('confirm');
      await confirm(session, counted, opened.keys, hash);
      return opened;
    } catch (error) {
      // What was not confirmed is not given out, so nobody is left to wipe it.
      opened.secret.wipe();
      wipeKeys(opened.keys);
      throw error;
    }
  } catch (error) {
    const { generation = place.generation, attempt: number } = asHoldfastError(error).details;
    if (unanswered && typeof number === 'number' && typeof generation === 'number') {
      unanswered.keep({ ...place, generation }, guess, number);
      kept = true;
    }
    throw error;
  } finally {
    if (!kept) blind.wipe();
  }
}

function newGuess(suite: ClientSuite, input: Uint8Array): Guess {
  const { blind, blindedElement } = suite.blind(input);
  return { input, blind, blindedElement, hash: blindHash(blindedElement) };
}

export function wipeKeys(keys: SeedKeys): void {
  keys.encryptionKey.wipe();
  keys.confirmKey.secretKey.wipe();
  keys.ownerKey.secretKey.wipe();
}

/** Opens the record; before it says that the PIN is wrong, it asks once more for the answers that did not come. */
async function openPatiently(session: Session, counted: Counted): Promise<Opened> {
  try {
    return await open(session, counted);
  } catch (wrong) {
    // With few answers, one liar among them makes the right PIN look wrong.
    if (!(wrong instanceof HoldfastError) || wrong.code !== 'wrong_pin' || isComplete(counted)) throw wrong;
    const before = [...counted.outputs.values()];
    await askAgain(session, counted);
    const same = counted.outputs.size === before.length && before.every((one) => counted.outputs.get(one.node) === one);
    if (same) throw wrong;
    return open(session, counted);
  }
}

function isComplete({ outputs, status }: Counted): boolean {
  return outputs.size >= status.shares.length;
}

/** The very same attempt once more: it costs nothing, and a coordinator asks more nodes the second time. */
async function askAgain(session: Session, counted: Counted): Promise<void> {
  const { clock, signal } = session.options;
  await counted.again(clock.now()).catch(() => throwIfCancelled(signal));
}

async function open(session: Session, counted: Counted): Promise<Opened> {
  const { suite, fleet, record } = session.options;
  const { status, number } = counted;
  const { document, generation } = status;
  const outputs = [...counted.outputs.values()];
  let keys: SeedKeys | undefined;
  try {
    // The public keys are compared before the envelope is opened: AES-GCM does not commit to its key.
    const { seed, lying } = await suite.recoverSeed({
      shares: status.shares,
      outputs,
      threshold: session.threshold,
      accept: (candidate) => {
        const derived = suite.deriveKeys(candidate);
        const right =
          equalBytes(derived.confirmKey.publicKey, document.confirmKey) &&
          equalBytes(derived.ownerKey.publicKey, document.ownerKey);
        if (right) keys = derived;
        else wipeKeys(derived);
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
