/**
 * The repair barrier (docs/protocol.md, section 7).
 *
 * The danger is not only lost memory but one's own earlier signatures still in flight. After every start a node takes a
 * new incarnation and asks its peers to fence off the older ones; a peer that has durably done so answers with what it
 * knows, signed over a fresh nonce. The node merges that, uncertified votes included, from `t` peers before it serves.
 * From then on no certificate can hold both an old vote of this node and a newer vote of any of those peers, and every
 * old vote that could still become a certificate without them is known to this node again.
 *
 * The coordinator carries queries and answers and is trusted for nothing: every answer is signed by the peer over this
 * node's nonce. Peers' trees of digests are walked, so that what agrees is not sent.
 */

import { bytesToHex, equalBytes, HoldfastError, hexToBytes, type Random, sha256 } from '../core/index.ts';
import {
  type Body,
  CONTENT,
  decodeFacts,
  decodeNodeAnswer,
  decodePortableRecord,
  decodeSignedStatement,
  encodeNodeRequest,
  encodeSignedStatement,
  type Fleet,
  type NodeState,
  type RecordFacts,
  type SignedStatement,
  type StatementVerifier,
  statementHash,
  syncHash,
  threshold,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Committer } from './committer.ts';

/** An incarnation that a peer names is believed up to this far ahead: a liar must not use the numbers up. */
const INCARNATION_LEAP = 1_000_000_000;
/** Queries handed out at once. */
const QUERIES_AT_ONCE = 32;

/** One peer's tree of digests, being walked. */
interface Walk {
  prefixes: Uint8Array[];
  /** Records whose facts differ: they are merged once their proofs have been fetched. */
  readonly wanted: Map<string, RecordFacts>;
}

export interface RepairOptions {
  readonly fleet: Fleet;
  readonly node: number;
  readonly verifier: StatementVerifier;
  readonly committer: Committer;
  readonly dictionary: AuthenticatedDictionary;
  readonly random: Random;
  /** Whether the store is all that this node ever anchored; else it helps no other node before it is repaired. */
  readonly intact: boolean;
  /** Merges certified state and then votes into a record; throws `behind` where a proof is missing. */
  readonly merge: (record: Uint8Array, portable: Uint8Array | undefined, facts: RecordFacts) => Promise<void>;
}

export interface Query {
  readonly peer: number;
  readonly query: Uint8Array;
}

export class Repair {
  readonly #options: RepairOptions;
  readonly #needed: number;
  readonly #walks = new Map<number, Walk>();
  readonly #known = new Set<number>();
  #rejoin: { readonly incarnation: number; readonly statement: Uint8Array; readonly hash: Uint8Array } | undefined;
  /** Peers that answered that this incarnation is too low, and what they named. */
  #mustExceed = 0;

  /** `needed`: heads of other nodes before this one serves. */
  constructor(options: RepairOptions, needed = options.fleet.nodes.length === 1 ? 0 : threshold(options.fleet)) {
    this.#options = options;
    this.#needed = needed;
  }

  get headsKnown(): number {
    return this.#known.size;
  }

  get headsNeeded(): number {
    return this.#needed;
  }

  get done(): boolean {
    return this.#known.size >= this.#needed;
  }

  /** Whether there is something to ask the peers with, or nothing to ask. */
  get begun(): boolean {
    return this.#needed === 0 || this.#rejoin !== undefined;
  }

  /** Takes a new incarnation, durably, above every one that this node was told of. */
  async begin(mustExceed = 0): Promise<void> {
    const { committer, fleet, node, random } = this.#options;
    this.#mustExceed = Math.max(this.#mustExceed, mustExceed);
    await committer.updateNode((state) => {
      const incarnation = Math.max(state.incarnation, this.#mustExceed) + 1;
      return {
        incarnation,
        fences: withFence(state.fences, node, incarnation),
        sound: state.sound && this.#options.intact,
      };
    });
    this.#walks.clear();
    this.#known.clear();
    if (this.#needed === 0) return;
    const { incarnation } = committer.node();
    const nonce = random(32);
    const body: Body<'rejoin'> = { kind: 'rejoin', fleet: fleet.fleet, epoch: fleet.epoch, node, incarnation, nonce };
    const statement = await committer.sign(() => body);
    this.#rejoin = {
      incarnation,
      statement: encodeSignedStatement(statement),
      hash: statementHash(statement.body, statement.signer),
    };
  }

  /** What to ask next; the same again until it has been answered. */
  queries(): Query[] {
    const { fleet, node } = this.#options;
    const rejoin = this.#rejoin;
    if (!rejoin || this.done) return [];
    const queries: Query[] = [];
    for (let peer = 1; peer <= fleet.nodes.length; peer++) {
      if (peer === node || this.#known.has(peer)) continue;
      const walk = this.#walks.get(peer) ?? { prefixes: [new Uint8Array(0)], wanted: new Map() };
      this.#walks.set(peer, walk);
      for (const prefix of walk.prefixes.slice(0, QUERIES_AT_ONCE)) {
        queries.push({ peer, query: encodeNodeRequest({ kind: 'sync', rejoin: rejoin.statement, prefix }) });
      }
      for (const record of [...walk.wanted.keys()].slice(0, QUERIES_AT_ONCE)) {
        queries.push({ peer, query: encodeNodeRequest({ kind: 'export', record: hexToBytes(record) }) });
      }
    }
    return spread(queries, 64);
  }

  /**
   * Takes one answer. Whatever is wrong with it, this node stays as it was and asks again.
   * @throws HoldfastError `malformed`, `untrusted` or `behind`, for the log.
   */
  async answer(peer: number, encoded: Uint8Array): Promise<void> {
    const walk = this.#walks.get(peer);
    if (!this.#rejoin || !walk || this.#known.has(peer)) return;
    const answer = decodeNodeAnswer(encoded);
    if (answer.statement) {
      const statement = decodeSignedStatement(answer.statement);
      const body = this.#options.verifier.body(statement, 'sync');
      await this.#takeSync(peer, walk, statement, body, answer.content ?? new Uint8Array(0));
    } else if (answer.code === 'ok' && answer.content) {
      await this.#takeExport(walk, answer.content);
    }
    if (walk.prefixes.length === 0 && walk.wanted.size === 0) this.#known.add(peer);
  }

  async #takeSync(
    peer: number,
    walk: Walk,
    statement: SignedStatement,
    body: Body<'sync'>,
    content: Uint8Array,
  ): Promise<void> {
    const { committer, node } = this.#options;
    const rejoin = this.#rejoin!;
    const { signer } = statement;
    if (signer.node !== peer || !equalBytes(body.rejoin, rejoin.hash)) {
      throw new HoldfastError('untrusted', 'an answer to another rejoin');
    }
    const fenced = signer.fences[node - 1]!;
    if (fenced > rejoin.incarnation || (fenced === rejoin.incarnation && !body.accepted)) {
      const known = committer.node().incarnation;
      if (fenced <= known + INCARNATION_LEAP) await this.begin(fenced);
      return;
    }
    if (fenced < rejoin.incarnation) throw new HoldfastError('untrusted', 'a peer answered without its fence');
    if (!equalBytes(body.contentHash, sha256(content)))
      throw new HoldfastError('untrusted', 'an answer’s content was changed');
    const pending = walk.prefixes.find((prefix) => equalBytes(prefix, body.prefix));
    if (!pending) return;
    await committer.updateNode((state) => mergeFences(state, node, signer.node, signer.incarnation, signer.fences));
    if (pending.length === 2) this.#compareFacts(walk, content);
    else this.#compareDigests(walk, pending, content);
    walk.prefixes = walk.prefixes.filter((prefix) => prefix !== pending);
  }

  #compareDigests(walk: Walk, prefix: Uint8Array, content: Uint8Array): void {
    const { digests } = CONTENT.digests.decode(content);
    if (digests.length !== 256) throw new HoldfastError('malformed', 'expected 256 digests');
    const own = this.#options.dictionary.syncChildren(prefix);
    digests.forEach((digest, i) => {
      if (!equalBytes(digest, own[i]!)) walk.prefixes.push(Uint8Array.of(...prefix, i));
    });
  }

  #compareFacts(walk: Walk, content: Uint8Array): void {
    for (const encoded of CONTENT.factsBucket.decode(content).facts) {
      const { record, facts } = decodeFacts(encoded);
      const own = this.#options.committer.record(record);
      if (own && equalBytes(syncHash(record, facts), this.#ownHash(record))) continue;
      walk.wanted.set(bytesToHex(record), facts);
    }
  }

  #ownHash(record: Uint8Array): Uint8Array {
    const { dictionary } = this.#options;
    const prefix = dictionary.syncPrefix(record);
    return dictionary.syncBucket(prefix).find((entry) => equalBytes(entry.key, record))?.syncHash ?? new Uint8Array(0);
  }

  async #takeExport(walk: Walk, content: Uint8Array): Promise<void> {
    const { record } = decodePortableRecord(content);
    const facts = walk.wanted.get(bytesToHex(record));
    if (!facts) return;
    await this.#options.merge(record, content, facts);
    walk.wanted.delete(bytesToHex(record));
  }
}

/** Fences only grow; a peer's own incarnation is one that it has told of. */
function mergeFences(
  state: NodeState,
  self: number,
  peer: number,
  incarnation: number,
  theirs: readonly number[],
): NodeState {
  const fences = state.fences.map((own, i) => {
    if (i + 1 === self) return own;
    return Math.max(own, theirs[i] ?? 0, i + 1 === peer ? incarnation : 0);
  });
  return fences.every((fence, i) => fence === state.fences[i]) ? state : { ...state, fences };
}

/** A fence vector in which `node` stands at least at `incarnation`. */
export function withFence(fences: readonly number[], node: number, incarnation: number): number[] {
  return fences.map((fence, i) => (i + 1 === node ? Math.max(fence, incarnation) : fence));
}

/** At most `maximum` queries, taken from all peers in turn. */
function spread(queries: readonly Query[], maximum: number): Query[] {
  const byPeer = Map.groupBy(queries, (query) => query.peer);
  const taken: Query[] = [];
  for (let round = 0; taken.length < maximum; round++) {
    const row = [...byPeer.values()].flatMap((own) => own.slice(round, round + 1));
    if (row.length === 0) break;
    taken.push(...row);
  }
  return taken.slice(0, maximum);
}
