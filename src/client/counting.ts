/** Having one blinded element counted by a majority and evaluated, once (docs/protocol.md, section 6). */

import { equalBytes, HoldfastError, type Secret } from '../core/index.ts';
import type { NodeOutput } from '../crypto/index.ts';
import { type Body, budgetLeft, type Certificate } from '../protocol/index.ts';
import type { Reply, Session } from './session.ts';
import { type ActiveStatus, type RecordStatus, readStatus } from './status.ts';

/** Numbers that are lost to other devices before the client gives up; nothing is lost by that. */
const MAXIMUM_MOVES = 24;
/** Rounds at a number that others hold votes of and that nodes out of reach may still decide. */
const PATIENT_ROUNDS = 2;
/**
 * How often in one call such a number is given up undecided, while at least half the budget stays. With a node out of
 * reach and another one behind there is no other way on; but a lying node and a coordinator that withholds the votes of
 * the others look the same, and each time burn one number more than this use of a PIN should.
 */
const UNPROVEN_MOVES = 2;

export interface Counted {
  readonly status: ActiveStatus;
  readonly number: number;
  readonly encoded: Uint8Array;
  readonly certificate: Certificate;
  /** By node, of those with a share in the document. */
  readonly outputs: Map<number, NodeOutput>;
  /** Asks the nodes for the same evaluations again, which costs nothing, and adds what comes. */
  again(until: number): Promise<void>;
}

/**
 * Gets a number for this blinded element, and the nodes' evaluations of it.
 *
 * A retry never costs another number: whoever withholds answers could else burn a budget with one use of a PIN. So the
 * same number is asked for until enough evaluations came or patience ends, unless a majority of nodes, each by its own
 * sealed word, refuses it because others have taken it; `UNPROVEN_MOVES` is the one exception.
 * @param before the number under which this very guess was counted already.
 */
export async function count(session: Session, known: RecordStatus, guess: Guess, before?: number): Promise<Counted> {
  const { clock, patience } = session.options;
  let active = requireActive(known);
  // What was confirmed since is over.
  const first = before !== undefined && before > active.confirmed ? before : active.nextAttempt;
  let tally = new Tally(session, guess, active, first);
  let end = clock.now() + patience;
  let moves = 0;
  let unproven = 0;
  for (;;) {
    await tally.ask(end);
    const counted = tally.counted();
    if (counted) return counted;
    if (clock.now() >= end || moves > MAXIMUM_MOVES) throw tally.failure();
    await session.pause(pauseOf(tally.rounds, guess.hash));
    if (!tally.refused) continue;
    const status = requireActive(await readStatus(session));
    const replaced = status.generation > active.generation;
    const passed = Math.max(status.nextAttempt, status.confirmed + 1) > tally.number;
    if (!replaced && !(passed && tally.lost)) {
      if (unproven >= UNPROVEN_MOVES || !tally.undecided || !sparesHalf(session, status, tally.number + 1)) continue;
      unproven++;
    }
    const next = Math.max(status.nextAttempt, replaced ? 0 : tally.number + 1);
    active = status;
    tally = new Tally(session, guess, active, next);
    end = clock.now() + patience;
    moves++;
  }
}

/** Whether at least half of the guesses would be left after attempt `number`. */
function sparesHalf(session: Session, { confirmed }: ActiveStatus, number: number): boolean {
  const { policy } = session.options.fleet;
  return budgetLeft(policy, number, confirmed) >= policy.limit / 2;
}

/** One use of a PIN: the same blinded element for all that it asks. */
export interface Guess {
  readonly input: Uint8Array;
  readonly blind: Secret;
  readonly blindedElement: Uint8Array;
  readonly hash: Uint8Array;
}

/** What is known of one number: who voted for this blinded element, who refuses it, and what was evaluated. */
class Tally {
  readonly number: number;
  rounds = 0;
  readonly #session: Session;
  readonly #guess: Guess;
  readonly #status: ActiveStatus;
  readonly #sharers: ReadonlySet<number>;
  readonly #outputs = new Map<number, NodeOutput>();
  /** What each node last said of this number. */
  readonly #stands = new Map<number, 'voted' | 'refused'>();
  #certified: { readonly encoded: Uint8Array; readonly certificate: Certificate } | undefined;
  #refusals = 0;
  #failure: HoldfastError | undefined;

  constructor(session: Session, guess: Guess, status: ActiveStatus, number: number) {
    this.#session = session;
    this.#guess = guess;
    this.#status = status;
    this.number = number;
    this.#sharers = new Set(status.shares.map(({ node }) => node));
  }

  /** Whether any node refuses, so that a look at the record's status may help. */
  get refused(): boolean {
    return this.#refusals > 0;
  }

  /** Whether so many nodes refuse that this element can get no majority for this number any more. */
  get lost(): boolean {
    const { nodes } = this.#session.options.fleet;
    return this.#standing('refused') > nodes.length - this.#session.threshold;
  }

  /** Whether some nodes hold votes for others, and those in reach cannot decide it. */
  get undecided(): boolean {
    return this.rounds >= PATIENT_ROUNDS && !this.#certified && !this.lost && this.#standing('refused') > 0;
  }

  /** @throws HoldfastError where asking again is of no use. */
  async ask(until: number): Promise<void> {
    this.rounds++;
    this.#refusals = 0;
    this.#failure = undefined;
    let reply: Reply;
    try {
      reply = await this.#send(until);
    } catch (thrown) {
      if (!(thrown instanceof HoldfastError) || !thrown.retryable || thrown.code === 'cancelled') throw thrown;
      this.#failure = thrown;
      return;
    }
    this.#take(reply);
  }

  /** Undefined while there are not enough evaluations. */
  counted(): Counted | undefined {
    if (!this.#certified || this.#outputs.size < this.#session.threshold) return undefined;
    return {
      ...this.#certified,
      status: this.#status,
      number: this.number,
      outputs: this.#outputs,
      again: (until) => this.ask(until),
    };
  }

  /** Why this number could not be had, when patience has ended. */
  failure(): HoldfastError {
    const limited = this.#failure?.code === 'rate_limited' ? this.#failure : undefined;
    if (this.#certified || this.#standing('voted') > 0) {
      const { retryAt } = limited?.details ?? {};
      const why = limited
        ? 'the nodes turn away what would fetch its answers (rate_limited): run it again later'
        : 'too few nodes answered it; run it again when more nodes can be reached';
      return new HoldfastError('no_majority', `attempt ${this.number} is counted, but ${why}`, {
        ...(limited && { cause: limited }),
        details: { attempt: this.number, generation: this.#status.generation, ...(limited && { retryAt }) },
      });
    }
    if (limited) return limited;
    if (this.#standing('refused') > 0) {
      return new HoldfastError('conflict', 'other devices are trying at the same time; try again in a moment');
    }
    return this.#failure ?? new HoldfastError('no_majority', 'no majority of nodes took part; try again later');
  }

  #send(until: number): Promise<Reply> {
    const { blindedElement, hash } = this.#guess;
    return this.#session.perform(
      {
        operation: 'attempt',
        generation: this.#status.generation,
        attempt: this.number,
        arguments: { blindHash: hash },
        blindedElement,
      },
      { until, telling: (reply) => reply.certificate !== undefined || this.#votes(reply).length > 0 },
    );
  }

  #take(reply: Reply): void {
    for (const { node, code } of reply.nodes) if (code === 'conflict') this.#stands.set(node, 'refused');
    for (const node of this.#votes(reply)) this.#stands.set(node, 'voted');
    if (reply.certificate) this.#certified = this.#certificate(reply.certificate);
    if (this.#certified) {
      const { input, blind } = this.#guess;
      for (const output of outputsOf(this.#session, input, blind, reply)) {
        if (this.#sharers.has(output.node)) this.#outputs.set(output.node, output);
      }
    }
    if (!this.counted()) refuseForGood(this.#session, reply);
    this.#refusals = reply.nodes.filter(({ sealed }) => sealed && sealed.code !== 'ok').length;
  }

  /** Nodes whose signed vote for this element at this number is in the reply. */
  #votes(reply: Reply): number[] {
    const { record } = this.#session.options;
    return reply.nodes.flatMap(({ node, statement }) => {
      const body = statement?.body;
      return body?.kind === 'attempt' && equalBytes(body.record, record) && this.#names(body) ? [node] : [];
    });
  }

  #certificate(encoded: Uint8Array) {
    const { body, certificate } = this.#session.certified(encoded, 'attempt');
    if (!this.#names(body)) throw new HoldfastError('untrusted', 'the certificate is for another attempt');
    return { encoded, certificate };
  }

  #names(body: Body<'attempt'>): boolean {
    return (
      body.generation === this.#status.generation &&
      body.attempt === this.number &&
      equalBytes(body.blindHash, this.#guess.hash) &&
      equalBytes(body.documentHash, this.#status.documentHash)
    );
  }

  #standing(stand: 'voted' | 'refused'): number {
    return [...this.#stands.values()].filter((one) => one === stand).length;
  }
}

/** Different devices wait differently long, so that one of them gets through. */
function pauseOf(round: number, seed: Uint8Array): number {
  return Math.min(25 * 2 ** round, 2000) * (0.25 + seed[round % 32]! / 256);
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
