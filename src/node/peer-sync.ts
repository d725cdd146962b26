/** What this node tells its peers of its state: signed to one that rejoins, unsigned for anti-entropy (section 7). */

import { equalBytes, HoldfastError, sha256 } from '../core/index.ts';
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
  raiseFence,
  type StatementVerifier,
  statementHash,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Committer } from './committer.ts';

export class PeerSync {
  readonly #fleet: Fleet;
  readonly #node: number;
  readonly #dictionary: AuthenticatedDictionary;
  readonly #verifier: StatementVerifier;
  readonly #committer: Committer;

  constructor(
    options: { readonly fleet: Fleet; readonly node: number; readonly dictionary: AuthenticatedDictionary },
    verifier: StatementVerifier,
    committer: Committer,
  ) {
    this.#fleet = options.fleet;
    this.#node = options.node;
    this.#dictionary = options.dictionary;
    this.#verifier = verifier;
    this.#committer = committer;
  }

  /**
   * Answers a node that rejoins. Its fence is durable and anchored before anything is said, and what is said is read
   * afterwards: so it holds every vote that this node signed without that fence.
   * @throws HoldfastError `not_ready` where this node's own store was refused and is not yet repaired, or where it can
   *   say nothing of the epoch before, having neither served in this one nor left that one whole.
   */
  async answer(request: NodeRequest<'sync'>): Promise<NodeAnswer> {
    const statement = decodeSignedStatement(request.rejoin);
    const rejoin = this.#verifier.body(statement, 'rejoin');
    if (rejoin.node !== statement.signer.node || rejoin.incarnation !== statement.signer.incarnation) {
      throw new HoldfastError('untrusted', 'a rejoin speaks for another node or incarnation');
    }
    if (rejoin.node === this.#node) throw new HoldfastError('untrusted', 'a rejoin of this very node');
    const { sound, joined, leave, epoch: entered } = this.#committer.node();
    if (entered !== this.#fleet.epoch) throw new HoldfastError('not_ready', 'this node is entering the epoch');
    if (!sound) throw new HoldfastError('not_ready', 'this node’s own store was refused');
    if (!joined && leave.length === 0) throw new HoldfastError('not_ready', 'this node has not joined the epoch yet');
    const hash = statementHash(statement.body, statement.signer);
    const accepted = await this.#fence(rejoin.node, rejoin.incarnation, request.rejoin);
    const { fleet, epoch } = this.#fleet;
    const { prefix } = request;
    let content: Uint8Array = new Uint8Array(0);
    const signed = await this.#committer.sign(() => {
      const told = prefix.length === 2 ? this.#facts(prefix) : this.digests(prefix);
      const payload = accepted ? told : new Uint8Array(0);
      const proofs = prefix.length === 0 ? this.#committer.node().proofs.filter((proof) => proof.length > 0) : [];
      const { joined, leave } = this.#committer.node();
      content = CONTENT.sync.encode({ payload, proofs, joined, leave });
      return { kind: 'sync', fleet, epoch, rejoin: hash, prefix, contentHash: sha256(content), accepted };
    });
    return nodeAnswerWith({ statement: encodeSignedStatement(signed), content });
  }

  /**
   * Fences off a node's older incarnations. An incarnation that the fence already stands at is accepted only for the
   * very rejoin that put it there: a node rolled back to before that rejoin may have signed under this incarnation, and
   * asking for it again would let those signatures count (found by the model, docs/model.md).
   */
  async #fence(node: number, incarnation: number, proof: Uint8Array): Promise<boolean> {
    await this.#committer.updateNode((state) => raiseFence(state, node, incarnation, proof));
    const { fences, proofs } = this.#committer.node();
    return fences[node - 1] === incarnation && equalBytes(proofs[node - 1]!, proof);
  }

  /** Digests of the subtrees under a prefix of 0 or 1 byte, or the records in the bucket of a prefix of 2 bytes. */
  digests(prefix: Uint8Array): Uint8Array {
    if (prefix.length < 2) return CONTENT.digests.encode({ digests: this.#dictionary.syncChildren(prefix) });
    const entries = this.#records(prefix).map(({ key, syncHash }) => ({ record: key, syncHash }));
    return CONTENT.bucket.encode({ entries });
  }

  #facts(prefix: Uint8Array): Uint8Array {
    const facts = this.#records(prefix).flatMap(({ key }) => {
      const state = this.#committer.durableRecord(key);
      return state ? [encodeFacts({ record: key, facts: factsOf(state) })] : [];
    });
    return CONTENT.factsBucket.encode({ facts });
  }

  #records(prefix: Uint8Array): { key: Uint8Array; syncHash: Uint8Array }[] {
    return this.#dictionary.syncBucket(prefix).filter(({ key }) => !equalBytes(key, NODE_STATE_KEY));
  }
}
