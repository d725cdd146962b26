/** What this node tells its peers of its state: signed to one that rejoins, unsigned for anti-entropy (section 7). */

import { bytesToHex, equalBytes, HoldfastError, sha256 } from '../core/index.ts';
import {
  CONTENT,
  decodeSignedStatement,
  encodeFacts,
  encodeSignedStatement,
  type Fleet,
  factsOf,
  NODE_STATE_KEY,
  type NodeAnswer,
  type NodeRequest,
  nodeAnswerWith,
  type StatementVerifier,
  statementHash,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Committer } from './committer.ts';
import { withFence } from './repair.ts';

export class PeerSync {
  readonly #fleet: Fleet;
  readonly #dictionary: AuthenticatedDictionary;
  readonly #verifier: StatementVerifier;
  readonly #committer: Committer;
  /** The rejoin by which each node's fence was last raised here, since this process began. */
  readonly #accepted = new Map<number, { readonly incarnation: number; readonly rejoin: string }>();

  constructor(
    options: { readonly fleet: Fleet; readonly dictionary: AuthenticatedDictionary },
    verifier: StatementVerifier,
    committer: Committer,
  ) {
    this.#fleet = options.fleet;
    this.#dictionary = options.dictionary;
    this.#verifier = verifier;
    this.#committer = committer;
  }

  /**
   * Answers a node that rejoins. Its fence is durable and anchored before anything is said, and what is said is read
   * afterwards: so it holds every vote that this node signed without that fence.
   * @param sound false where this node's own store was refused and is not yet repaired.
   */
  async answer(request: NodeRequest<'sync'>, sound: boolean): Promise<NodeAnswer> {
    const statement = decodeSignedStatement(request.rejoin);
    const rejoin = this.#verifier.body(statement, 'rejoin');
    if (rejoin.node !== statement.signer.node || rejoin.incarnation !== statement.signer.incarnation) {
      throw new HoldfastError('untrusted', 'a rejoin speaks for another node or incarnation');
    }
    if (!sound) throw new HoldfastError('not_ready', 'this node’s own store was refused');
    const hash = statementHash(statement.body, statement.signer);
    const accepted = await this.#fence(rejoin.node, rejoin.incarnation, bytesToHex(hash));
    const { fleet, epoch } = this.#fleet;
    const { prefix } = request;
    let content: Uint8Array = new Uint8Array(0);
    const signed = await this.#committer.sign(() => {
      if (accepted) content = prefix.length === 2 ? this.#facts(prefix) : this.digests(prefix);
      return { kind: 'sync', fleet, epoch, rejoin: hash, prefix, contentHash: sha256(content), accepted };
    });
    return nodeAnswerWith({ statement: encodeSignedStatement(signed), content });
  }

  /**
   * Fences off a node's older incarnations. An incarnation that the fence already stands at is accepted only for the
   * very rejoin that put it there: a node rolled back to before that rejoin may have signed under this incarnation, and
   * asking for it again would let those signatures count (found by the model, docs/model.md).
   */
  async #fence(node: number, incarnation: number, rejoin: string): Promise<boolean> {
    if (this.#committer.node().fences[node - 1]! >= incarnation) {
      // Waits for a fence that is still being written.
      await this.#committer.updateNode((state) => state);
      const known = this.#accepted.get(node);
      return known?.incarnation === incarnation && known.rejoin === rejoin;
    }
    this.#accepted.set(node, { incarnation, rejoin });
    await this.#committer.updateNode((state) => ({ ...state, fences: withFence(state.fences, node, incarnation) }));
    return true;
  }

  /** Digests of the subtrees under a prefix of 0 or 1 byte, or the records in the bucket of a prefix of 2 bytes. */
  digests(prefix: Uint8Array): Uint8Array {
    if (prefix.length < 2) return CONTENT.digests.encode({ digests: this.#dictionary.syncChildren(prefix) });
    const entries = this.#records(prefix).map(({ key, syncHash }) => ({ record: key, syncHash }));
    return CONTENT.bucket.encode({ entries });
  }

  #facts(prefix: Uint8Array): Uint8Array {
    const facts = this.#records(prefix).flatMap(({ key }) => {
      const state = this.#committer.record(key);
      return state ? [encodeFacts({ record: key, facts: factsOf(state) })] : [];
    });
    return CONTENT.factsBucket.encode({ facts });
  }

  #records(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[] {
    return this.#dictionary.syncBucket(prefix).filter(({ key }) => !equalBytes(key, NODE_STATE_KEY));
  }
}
