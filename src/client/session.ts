/** One operation from the client's side: sealed to every node, sent, and every part of the answer verified. */

import { asHoldfastError, type ErrorCode, equalBytes, HoldfastError, isErrorCode } from '../core/index.ts';
import {
  type AnswerContent,
  ARGUMENTS,
  type Arguments,
  argumentsHash,
  assembleCertificate,
  type Body,
  type BodyKind,
  type Certificate,
  decodeAnswerContent,
  decodeCertificate,
  decodeSignedStatement,
  type Fleet,
  type Operation,
  type Outer,
  RATE_WINDOW,
  type SignedStatement,
  StatementVerifier,
  threshold,
} from '../protocol/index.ts';
import { NodeChannel, type SentToNode } from './channel.ts';
import type { ClientPorts, ClientWait, Credential } from './ports.ts';

/** What one node answered, verified. */
export interface NodeReply {
  readonly node: number;
  /** The node's own, sealed or signed; a code of `ABSENT` where it took no part that can be proven. */
  readonly code: 'ok' | ErrorCode;
  readonly statement: { readonly body: Body; readonly signed: SignedStatement } | undefined;
  readonly head: Body<'head'> | undefined;
  /** What the node sealed to this client, if anything. */
  readonly sealed: AnswerContent | undefined;
}

export interface Reply {
  readonly nodes: readonly NodeReply[];
  /** As sent; `Session.certified` verifies it. */
  readonly certificate: Uint8Array | undefined;
  readonly portable: Uint8Array | undefined;
}

export interface OperationRequest<O extends Operation> {
  readonly operation: O;
  readonly generation: number;
  readonly attempt: number;
  readonly arguments: Arguments<O>;
  readonly blindedElement?: Uint8Array;
}

export interface SessionOptions extends ClientPorts {
  readonly fleet: Fleet;
  /** 32 bytes. */
  readonly record: Uint8Array;
  /** Milliseconds during which what may pass is tried again. */
  readonly patience: number;
  readonly signal?: AbortSignal | undefined;
  /** Told whenever it waits before it tries again. */
  readonly onWait?: ((wait: ClientWait) => void) | undefined;
}

export class Session {
  readonly options: SessionOptions;
  readonly verifier: StatementVerifier;
  readonly threshold: number;
  /** Of the nodes in their order: one for all that this session asks, so that each node's token has to agree on a key once. */
  #channels: readonly NodeChannel[] | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
    this.verifier = new StatementVerifier(options.fleet, options.suite.checks, 256);
    this.threshold = threshold(options.fleet);
  }

  /**
   * Sends an operation until a majority of nodes has taken part, with the same blinded element each time, so that no
   * retry costs a guess.
   * @param limits.until ms since 1970 at which to give up; `patience` from now by default.
   * @param limits.telling whether a reply of fewer nodes tells the caller enough.
   * @throws HoldfastError `no_majority` after `patience`, or `rate_limited`, whose detail `retryAt` is the time in ms at which
   *   it may be tried again; `forbidden` where the user token is refused; `cancelled`.
   */
  async perform<O extends Operation>(
    request: OperationRequest<O>,
    limits: { readonly until?: number; readonly telling?: (reply: Reply) => boolean } = {},
  ): Promise<Reply> {
    const { clock, patience, signal, onWait } = this.options;
    const end = limits.until ?? clock.now() + patience;
    for (let pause = 100; ; pause = Math.min(pause * 2, 2000)) {
      let failure: HoldfastError;
      try {
        throwIfCancelled(signal);
        const reply = await this.#once(request);
        this.#requireEntitled(reply);
        if (tookPart(reply) >= this.threshold || limits.telling?.(reply)) return reply;
        failure = this.#rateLimited(reply) ?? noMajority();
      } catch (thrown) {
        throwIfCancelled(signal);
        failure = withTime(asHoldfastError(thrown), clock.now());
        if (!failure.retryable || failure.code === 'cancelled') throw failure;
      }
      // Coordinators know when their window ends. What they say costs no more time than there is: anybody may pose as one.
      const { retryAfter } = failure.details;
      const asked = typeof retryAfter === 'number' && clock.now() + retryAfter * 1000 <= end ? retryAfter * 1000 : 0;
      const wait = Math.max(pause, asked);
      if (clock.now() + wait > end) throw failure;
      onWait?.({ code: failure.code, until: clock.now() + wait });
      await this.pause(wait);
    }
  }

  /** Waits. @throws HoldfastError `cancelled`. */
  async pause(milliseconds: number): Promise<void> {
    const { clock, signal } = this.options;
    throwIfCancelled(signal);
    try {
      await clock.sleep(milliseconds, signal);
    } catch (error) {
      throwIfCancelled(signal);
      throw error;
    }
  }

  async #once<O extends Operation>(request: OperationRequest<O>): Promise<Reply> {
    const user = await this.options.credential();
    const { reply, again } = await this.#send(request, user);
    if (!again) return reply;
    // Some node wants it signed otherwise: the very same request once more, which costs no guess. What came of it stands anyway.
    const { signal } = this.options;
    const second = await this.#send(request, user).catch(() => throwIfCancelled(signal));
    return second?.reply ?? reply;
  }

  /** `again`: whether a node has not taken it because of how it was signed, which is done otherwise from here on. */
  async #send<O extends Operation>(
    request: OperationRequest<O>,
    user: Credential,
  ): Promise<{ readonly reply: Reply; readonly again: boolean }> {
    const { fleet, record, transport, signal } = this.options;
    const encoded = (ARGUMENTS[request.operation] as { encode(value: unknown): Uint8Array }).encode(request.arguments);
    const places = { operation: request.operation, generation: request.generation, attempt: request.attempt };
    const seals = new Map<number, SentToNode>();
    const channels = await this.#nodeChannels();
    await Promise.all(
      channels.map(async (channel, i) => {
        const outer: Outer = {
          fleet: fleet.fleet,
          epoch: fleet.epoch,
          node: i + 1,
          record,
          ...places,
          argumentsHash: argumentsHash(encoded),
        };
        seals.set(i + 1, await channel.seal(user, outer, request.blindedElement));
      }),
    );
    const sealed = fleet.nodes.map((_, i) => {
      const { enc, ciphertext } = seals.get(i + 1)!;
      return { node: i + 1, enc, ciphertext };
    });
    const answer = await transport.send(
      { fleet: fleet.fleet, epoch: fleet.epoch, record, ...places, arguments: encoded, sealed },
      signal,
    );
    const nodes: NodeReply[] = [];
    let again = false;
    for (const part of answer.nodes) {
      const seal = seals.get(part.node);
      if (!seal || nodes.some(({ node }) => node === part.node)) continue;
      const reply = await this.#read(part, seal);
      const { code, sealed } = reply;
      const refused = channels[part.node - 1]!.heard(seal, { code, claimed: part.code, sealed });
      again ||= refused;
      // It would take part if it were asked otherwise, so it refuses nothing: no majority may come of that.
      nodes.push(refused ? { ...reply, code: 'not_ready', sealed: undefined } : reply);
    }
    return { reply: { nodes, certificate: answer.certificate, portable: answer.portable }, again };
  }

  async #nodeChannels(): Promise<readonly NodeChannel[]> {
    const { fleet, suite, clock } = this.options;
    if (this.#channels?.every(({ isSpent }) => !isSpent)) return this.#channels;
    const place = { fleet: fleet.fleet, epoch: fleet.epoch };
    this.#channels = await Promise.all(
      fleet.nodes.map(({ session }, i) => NodeChannel.open(suite, clock, session, { ...place, node: i + 1 })),
    );
    return this.#channels;
  }

  /**
   * A part that does not verify is as good as absent: it never stands for what it claims. Neither does a bare code: any
   * coordinator could write one, so only what the node sealed to this request, or signed, speaks for the node.
   */
  async #read(
    part: {
      node: number;
      code: string;
      statement?: Uint8Array | undefined;
      head?: Uint8Array | undefined;
      sealed?: Uint8Array | undefined;
    },
    seal: SentToNode,
  ): Promise<NodeReply> {
    const { node } = part;
    try {
      const sealed = part.sealed && decodeAnswerContent(await seal.openAnswer(part.sealed));
      const head = part.head && this.#signedBy(node, part.head);
      const statement = part.statement && this.#signedBy(node, part.statement);
      const proven = sealed ? sealed.code : part.code === 'ok' && (statement || head) ? 'ok' : absence(part.code);
      return {
        node,
        code: proven === 'ok' || isErrorCode(proven) ? proven : 'unexpected',
        statement: statement || undefined,
        head: head && head.body.kind === 'head' ? this.#ofRecord(head.body) : undefined,
        sealed: sealed || undefined,
      };
    } catch {
      return { node, code: 'faulty_node', statement: undefined, head: undefined, sealed: undefined };
    }
  }

  #signedBy(node: number, encoded: Uint8Array): { body: Body; signed: SignedStatement } {
    const signed = decodeSignedStatement(encoded);
    if (signed.signer.node !== node) throw new HoldfastError('untrusted', 'a statement of another node');
    return { body: this.verifier.any(signed), signed };
  }

  #ofRecord(head: Body<'head'>): Body<'head'> {
    if (!head.record.every((byte, i) => byte === this.options.record[i])) {
      throw new HoldfastError('untrusted', 'a head of another record');
    }
    return head;
  }

  /**
   * The verified body of a reply's certificate.
   * @throws HoldfastError `untrusted` where it is missing or wrong.
   */
  certified<K extends 'open' | 'stage' | 'attempt'>(
    encoded: Uint8Array | undefined,
    kind: K,
  ): { body: Body<K>; certificate: Certificate } {
    if (!encoded) throw new HoldfastError('untrusted', 'the coordinator gave no certificate');
    const certificate = decodeCertificate(encoded);
    const body = this.verifier.certificate(certificate, kind);
    if (!body.record.every((byte, i) => byte === this.options.record[i])) {
      throw new HoldfastError('untrusted', 'the certificate is for another record');
    }
    return { body, certificate };
  }

  /**
   * Whether `t` nodes gave a receipt of this kind for this record for which `fits` holds, and their fences agree: else
   * a receipt from before a node was rolled back could stand for one that it no longer knows of.
   */
  received<K extends BodyKind>(reply: Reply, kind: K, fits: (body: Body<K>) => boolean): boolean {
    return assembleCertificate(this.threshold, this.receipts(reply, kind, fits)) !== undefined;
  }

  /** The receipts of this kind for this record for which `fits` holds, at most one of each node. */
  receipts<K extends BodyKind>(reply: Reply, kind: K, fits: (body: Body<K>) => boolean): SignedStatement[] {
    const { record } = this.options;
    return reply.nodes.flatMap(({ statement }) => {
      if (statement?.body.kind !== kind) return [];
      const body = statement.body as unknown as Body<K> & { record: Uint8Array };
      return equalBytes(body.record, record) && fits(body) ? [statement.signed] : [];
    });
  }

  /** A refusal that enough nodes agree on that no majority can be found against it, or undefined. */
  majorityRefusal(reply: Reply, ...codes: readonly ErrorCode[]): NodeReply | undefined {
    return this.refusal(reply, this.threshold, codes);
  }

  /** A refusal that enough nodes agree on that `needed` votes cannot be found against it, or undefined. */
  refusal(reply: Reply, needed: number, codes: readonly ErrorCode[]): NodeReply | undefined {
    const refusing = reply.nodes.filter(({ code }) => code !== 'ok' && codes.includes(code));
    return refusing.length > this.options.fleet.nodes.length - needed ? refusing[0] : undefined;
  }

  /**
   * The error where nodes turned requests of this record away that would make a majority together with those that took part.
   * A coordinator may make that up, as it may withhold answers; and no node's word makes it later than a window from now.
   */
  #rateLimited(reply: Reply): HoldfastError | undefined {
    const now = this.options.clock.now();
    const ends = reply.nodes
      .filter(({ code }) => code === 'rate_limited')
      .map(({ sealed }) => Math.min(Math.max(sealed?.until || now + RATE_WINDOW, now), now + RATE_WINDOW))
      .sort((a, b) => a - b);
    const retryAt = ends[this.threshold - tookPart(reply) - 1];
    if (retryAt === undefined) return undefined;
    return new HoldfastError(
      'rate_limited',
      'the nodes turn requests for this record away: there were too many lately, perhaps because several devices use it at once',
      { details: { retryAt } },
    );
  }

  #requireEntitled(reply: Reply): void {
    const refused = this.majorityRefusal(reply, 'forbidden');
    if (!refused) return;
    const reason = refused.sealed?.reason ?? '';
    throw new HoldfastError('forbidden', 'the user token does not allow this; get a new one', { details: { reason } });
  }
}

const noMajority = () =>
  new HoldfastError('no_majority', 'no majority of nodes took part; nothing was lost, try again later');

/** An error with the time at which to try again, where it says in how many seconds. */
function withTime(error: HoldfastError, now: number): HoldfastError {
  const { retryAfter } = error.details;
  if (typeof retryAfter !== 'number') return error;
  const details = { ...error.details, retryAt: now + retryAfter * 1000 };
  return new HoldfastError(error.code, error.message, { cause: error, details });
}

/** Codes of a node that took no part in an operation. */
const ABSENT = new Set<string>([
  'not_ready',
  'overloaded',
  'token_failed',
  'token_removed',
  'unexpected',
  'rate_limited',
  'no_majority',
  'faulty_node',
]);

/** How many nodes took part in an operation, whatever they answered. */
export function tookPart(reply: Reply): number {
  return reply.nodes.filter(({ code }) => !ABSENT.has(code)).length;
}

/** What a code that nobody sealed is worth: at most that the node took no part. */
function absence(code: string): ErrorCode {
  return isErrorCode(code) && ABSENT.has(code) ? code : 'faulty_node';
}

export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause: signal.reason });
}

/** The `rank`-th largest of the numbers (1 is the largest), or 0 where there are fewer. */
export function ranked(numbers: readonly number[], rank: number): number {
  return [...numbers].sort((a, b) => b - a)[rank - 1] ?? 0;
}
