/** What this node tells its peers of its state: signed to one that rejoins, unsigned for anti-entropy (section 7). */

import { equalBytes, HoldfastError, sha256 } from '../core/index.ts';
import {
  CONTENT,
  CROWDED_BUCKET,
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

/** Bytes of the longest prefix. */
const DEEPEST = 31;

interface Entry {
  readonly key: Uint8Array;
  readonly syncHash: Uint8Array;
}

export class PeerSync {
  readonly #fleet: Fleet;
  readonly #node: number;
  readonly #dictionary: AuthenticatedDictionary;
  readonly #verifier: StatementVerifier;
  readonly #committer: Committer;
  readonly #crowded: number;

  constructor(
    options: {
      readonly fleet: Fleet;
      readonly node: number;
      readonly dictionary: AuthenticatedDictionary;
      readonly crowdedBucket?: number;
    },
    verifier: StatementVerifier,
    committer: Committer,
  ) {
    this.#fleet = options.fleet;
    this.#node = options.node;
    this.#dictionary = options.dictionary;
    this.#verifier = verifier;
    this.#committer = committer;
    this.#crowded = options.crowdedBucket ?? CROWDED_BUCKET;
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
      const told = this.#told(prefix, (entries) => this.#facts(entries));
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

  /** Digests of the subtrees under a prefix, or its records where they are few. */
  digests(prefix: Uint8Array): Uint8Array {
    return this.#told(prefix, (entries) =>
      CONTENT.bucket.encode({ entries: entries.map(({ key, syncHash }) => ({ record: key, syncHash })) }),
    );
  }

  #told(prefix: Uint8Array, list: (entries: readonly Entry[]) => Uint8Array): Uint8Array {
    const entries = prefix.length < 2 ? undefined : this.#records(prefix);
    // 31 bytes of a hash are not shared by as many as that.
    if (entries && (entries.length <= this.#crowded || prefix.length === DEEPEST)) return list(entries);
    return CONTENT.digests.encode({ digests: this.#dictionary.syncChildren(prefix) });
  }

  #facts(entries: readonly Entry[]): Uint8Array {
    const facts = entries.flatMap(({ key }) => {
      const state = this.#committer.durableRecord(key);
      return state ? [encodeFacts({ record: key, facts: factsOf(state) })] : [];
    });
    return CONTENT.factsBucket.encode({ facts });
  }

  #records(prefix: Uint8Array): Entry[] {
    return this.#dictionary.syncBucket(prefix).filter(({ key }) => !equalBytes(key, NODE_STATE_KEY));
  }
}
