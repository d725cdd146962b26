/**
 * What one session asks of one node: sealed in one HPKE context (RFC 9180), and signed with the client's key only until the
 * node is known to have taken a signature for the whole context (docs/protocol.md, section 6).
 */

import type { Clock } from '../core/index.ts';
import { encodeRequestContent, type Outer } from '../protocol/index.ts';
import type { Credential } from './ports.ts';
import type { ClientSuite, NodeSealer, SealedForNode } from './suite.ts';

/** Milliseconds after a context's first request in which its node still has it: it forgets it after 30 seconds. */
const KEPT = 20_000;

/** A request as it was sealed to a node. */
export interface SentToNode extends SealedForNode {
  /** What the client's key signed for: this request alone, its context too, or nothing. */
  readonly signed: 'request' | 'context' | 'nothing';
  readonly userToken: string;
}

/** What a node, or who speaks for it, said to a request. */
export interface NodeVerdict {
  /** The node's own code, where it gave one. */
  readonly code: string;
  /** The code that came beside it in the clear: anybody's word. */
  readonly claimed: string;
  /** What the node sealed to the client, if anything. */
  readonly sealed: { readonly code: string; readonly reason: string } | undefined;
}

export class NodeChannel {
  readonly #sealer: NodeSealer;
  readonly #suite: ClientSuite;
  readonly #clock: Clock;
  #begun: number | undefined;
  /** Whether the node takes signatures for a context: unknown until it has answered a status. */
  #takesContexts: boolean | undefined;
  /** The user token that it took with one. */
  #authenticated: string | undefined;

  private constructor(sealer: NodeSealer, suite: ClientSuite, clock: Clock) {
    this.#sealer = sealer;
    this.#suite = suite;
    this.#clock = clock;
  }

  static async open(
    suite: ClientSuite,
    clock: Clock,
    sessionKey: Uint8Array,
    place: Pick<Outer, 'fleet' | 'epoch' | 'node'>,
  ): Promise<NodeChannel> {
    return new NodeChannel(await suite.newSealer(sessionKey, place), suite, clock);
  }

  /** Whether it takes no further request. */
  get isSpent(): boolean {
    return this.#sealer.isSpent;
  }

  async seal(user: Credential, outer: Outer, blindedElement: Uint8Array | undefined): Promise<SentToNode> {
    this.#begun ??= this.#clock.now();
    const { userToken } = user;
    const signed = this.#signs(userToken, outer);
    const content =
      signed === 'request'
        ? { version: 1 as const, clientSignature: this.#suite.signRequest(user, outer) }
        : {
            version: 2 as const,
            clientSignature: signed === 'context' ? this.#suite.signRequest(user, outer, this.#sealer.enc) : undefined,
          };
    const sealed = await this.#sealer.seal(outer, encodeRequestContent({ ...content, userToken, blindedElement }));
    return { ...sealed, signed, userToken };
  }

  /**
   * Nodes of before know signatures for one request only. Which kind a node is, is tried with a status: it counts nothing, and
   * what a node refuses of it can be asked again. To a node that has not answered one, all else is signed as every node takes it.
   */
  #signs(userToken: string, { operation }: Outer): SentToNode['signed'] {
    if (this.#takesContexts === false || (!this.#takesContexts && operation !== 'status')) return 'request';
    const age = this.#clock.now() - this.#begun!;
    return this.#authenticated === userToken && age >= 0 && age < KEPT ? 'nothing' : 'context';
  }

  /**
   * Takes notice of what was said to a request. That a node has taken a signature may be a coordinator's lie: then the node
   * refuses what is not signed, and says so.
   * @returns whether the request must be sent again, signed as every node takes it, as all further ones are: the node was
   *   restarted meanwhile, or is one of before.
   */
  heard({ signed, userToken }: SentToNode, { code, claimed, sealed }: NodeVerdict): boolean {
    if (signed === 'request') return false;
    const unread = !sealed && claimed === 'malformed';
    const unsigned = sealed?.code === 'forbidden' && sealed.reason === 'client_signature';
    if (unread || unsigned) {
      this.#takesContexts = false;
      return true;
    }
    if (signed === 'context' && (sealed ? sealed.code !== 'forbidden' : code === 'ok')) {
      this.#takesContexts = true;
      this.#authenticated = userToken;
    }
    return false;
  }
}
