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
  agreeingLeavers,
  type Body,
  CONTENT,
  decodeFacts,
  decodeNodeAnswer,
  decodePortableRecord,
  decodeSignedStatement,
  encodeNodeRequest,
  encodeSignedStatement,
  enterEpoch,
  type Fleet,
  isDigests,
  openLeave,
  type RecordFacts,
  raiseFence,
  type SignedStatement,
  type Signer,
  type StatementVerifier,
  statementHash,
  syncHash,
  threshold,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Committer } from './committer.ts';

/** Queries handed out at once. */
const QUERIES_AT_ONCE = 32;

/** One peer's tree of digests, being walked. */
interface Walk {
  prefixes: Uint8Array[];
  /** Records whose facts differ: they are merged once their proofs have been fetched. */
  readonly wanted: Map<string, RecordFacts>;
  /** What the peer said of itself with its first answer. */
  standing: Standing | undefined;
}

/** How this node stood in the epoch when its round began, whatever the round has made of that since. */
interface Entry {
  /** Whether it is the round with which this node enters the epoch. */
  readonly joining: boolean;
  /** Where it left the epoch before whole: what it signed of that. */
  readonly leaver: Signer | undefined;
}

/** How a peer came into this epoch: by serving in it, or by leaving the one before. */
interface Standing {
  readonly joined: boolean;
  readonly leaver: Signer | undefined;
}

/** All that belongs to one rejoin: thrown away whole when another begins. */
interface Round {
  readonly incarnation: number;
  readonly statement: Uint8Array;
  readonly hash: Uint8Array;
  readonly walks: Map<number, Walk>;
  /** Peers walked to the end. */
  readonly known: Set<number>;
  /** What peers say of records on which they differ from this node, by record and peer. */
  readonly claims: Map<string, Map<number, RecordFacts>>;
  readonly entry: Entry;
  /** How many known peers' votes have been taken into account, durably. */
  adopted: number;
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
  /** This node's signed `leave` of the epoch before, where it enters a new epoch now and left that one whole. */
  readonly leave: Uint8Array;
  /** Merges a record's certified state; throws `behind` where a peer's claim is not proven by it. */
  readonly merge: (record: Uint8Array, portable: Uint8Array, facts: RecordFacts) => Promise<void>;
  /**
   * Bars what this node may have voted for and forgotten. `peers` has an entry for each heard peer, undefined where that
   * one agreed with this node. `joining`: what the node had barred before it entered the epoch stays so.
   */
  readonly adopt: (
    record: Uint8Array,
    peers: ReadonlyMap<number, RecordFacts | undefined>,
    unheard: number,
    joining: boolean,
  ) => Promise<void>;
}

export interface Query {
  readonly peer: number;
  readonly query: Uint8Array;
}

export class Repair {
  readonly #options: RepairOptions;
  readonly #needed: number;
  #round: Round | undefined;

  /** `needed`: heads of other nodes before this one serves. */
  constructor(options: RepairOptions, needed = options.fleet.nodes.length === 1 ? 0 : threshold(options.fleet)) {
    this.#options = options;
    this.#needed = needed;
  }

  get headsKnown(): number {
    return this.#round?.known.size ?? 0;
  }

  /** Heads of others that this node waits for. One that joins an epoch waits for `t` leavers, itself among them or not. */
  get headsNeeded(): number {
    const { fleet, committer } = this.#options;
    if (committer.node().joined) return this.#needed;
    const { leaver } = this.#round?.entry ?? this.#entry();
    return Math.max(this.#needed, threshold(fleet) - (leaver ? 1 : 0));
  }

  /** Enough heads to serve. The others are still of use: the more are heard, the fewer numbers are barred. */
  get done(): boolean {
    return (this.#round?.adopted ?? 0) >= this.headsNeeded && this.#heard() !== undefined;
  }

  /** Whether there is something to ask the peers with, or nothing to ask. */
  get begun(): boolean {
    return this.headsNeeded === 0 || this.#round !== undefined;
  }

  /** What is waited for, for people. */
  get waitingFor(): string {
    const { committer, fleet } = this.#options;
    const heads = `has the heads of ${this.headsKnown} of ${this.headsNeeded} nodes`;
    if (committer.node().joined) return heads;
    return `joining epoch ${fleet.epoch}, which needs ${threshold(fleet)} nodes that left epoch ${fleet.epoch - 1}: ${heads}`;
  }

  /** Takes a new incarnation, durably, above every one that this node was told of. Nothing heard before counts. */
  async begin(mustExceed = 0): Promise<void> {
    const { committer, fleet, node, random, intact, leave } = this.#options;
    this.#round = undefined;
    await committer.updateNode((state) => {
      const entered = enterEpoch(state, fleet, leave);
      const incarnation = Math.max(entered.incarnation, entered.fences[node - 1]!, mustExceed) + 1;
      const raised = raiseFence(entered, node, incarnation, new Uint8Array(0));
      return { ...raised, incarnation, sound: state.sound && intact };
    });
    if (this.headsNeeded === 0) return;
    const { incarnation } = committer.node();
    const nonce = random(32);
    const body: Body<'rejoin'> = { kind: 'rejoin', fleet: fleet.fleet, epoch: fleet.epoch, node, incarnation, nonce };
    const statement = await committer.sign(() => body);
    this.#round = {
      incarnation,
      statement: encodeSignedStatement(statement),
      hash: statementHash(statement.body, statement.signer),
      walks: new Map(),
      known: new Set(),
      claims: new Map(),
      entry: this.#entry(),
      adopted: 0,
    };
  }

  /** What to ask next; the same again until it has been answered. */
  queries(): Query[] {
    const { fleet, node } = this.#options;
    const round = this.#round;
    if (!round) return [];
    const queries: Query[] = [];
    this.#askAgain(round);
    for (let peer = 1; peer <= fleet.nodes.length; peer++) {
      if (peer === node || round.known.has(peer)) continue;
      const walk = round.walks.get(peer) ?? { prefixes: [new Uint8Array(0)], wanted: new Map(), standing: undefined };
      round.walks.set(peer, walk);
      for (const prefix of walk.prefixes.slice(0, QUERIES_AT_ONCE)) {
        queries.push({ peer, query: encodeNodeRequest({ kind: 'sync', rejoin: round.statement, prefix }) });
      }
      for (const record of [...walk.wanted.keys()].slice(0, QUERIES_AT_ONCE)) {
        queries.push({ peer, query: encodeNodeRequest({ kind: 'export', record: hexToBytes(record) }) });
      }
    }
    return spread(queries, 64);
  }

  /**
   * A node that joins an epoch counts peers by how they came into it. Some that were heard before they joined, and others
   * after that, may be too few of either kind, or too few with those that left the last epoch together with this node:
   * those that had not joined are heard anew, since they may have by now.
   */
  #askAgain(round: Round): void {
    const few = round.known.size < threshold(this.#options.fleet);
    if (!round.entry.joining || few || (this.#heard()?.length ?? 0) >= this.headsNeeded) return;
    for (const peer of [...round.known]) {
      if (round.walks.get(peer)?.standing?.joined) continue;
      round.known.delete(peer);
      round.walks.delete(peer);
      // What it claims is heard anew, too.
      for (const claims of round.claims.values()) claims.delete(peer);
    }
  }

  /**
   * Hears a peer anew that says it has fenced this node's incarnation off: an older rejoin of this node, delivered late to a
   * node that was put back since. With its proof this node begins above it; a liar has none to show, and is asked in vain.
   */
  hearAgain(peer: number): void {
    this.#round?.known.delete(peer);
    this.#round?.walks.delete(peer);
  }

  /**
   * Takes one answer; calls must not overlap. Whatever is wrong with it, this node stays as it was and asks again.
   * @returns an incarnation of its own that this node was proven to have used, and must exceed: begin again.
   * @throws HoldfastError `malformed`, `untrusted` or `behind`, for the log.
   */
  async answer(peer: number, encoded: Uint8Array): Promise<number | undefined> {
    const round = this.#round;
    const walk = round?.walks.get(peer);
    if (!round || !walk || round.known.has(peer)) return undefined;
    const answer = decodeNodeAnswer(encoded);
    if (answer.statement) {
      const statement = decodeSignedStatement(answer.statement);
      const mustExceed = await this.#takeSync(round, peer, walk, statement, answer.content ?? new Uint8Array(0));
      if (mustExceed !== undefined) return mustExceed;
    } else if (answer.code === 'ok' && answer.content) {
      await this.#takeExport(round, peer, walk, answer.content);
    }
    // Another rejoin may have begun meanwhile: its peers have not fenced for this one.
    if (this.#round !== round || walk.prefixes.length > 0 || walk.wanted.size > 0) return undefined;
    round.known.add(peer);
    return undefined;
  }

  /**
   * Takes into account what the peers walked so far have voted for. Until this has succeeded, their heads do not count.
   * @throws what a failed batch throws: to be called again.
   */
  async settle(): Promise<void> {
    const round = this.#round;
    const heard = this.#heard();
    if (!round || !heard || heard.length < this.headsNeeded || round.adopted >= heard.length) return;
    await this.#adopt(round, heard);
    round.adopted = heard.length;
  }

  async #takeSync(
    round: Round,
    peer: number,
    walk: Walk,
    statement: SignedStatement,
    content: Uint8Array,
  ): Promise<number | undefined> {
    const { committer, node, verifier } = this.#options;
    const body = verifier.body(statement, 'sync');
    const { signer } = statement;
    if (signer.node !== peer || !equalBytes(body.rejoin, round.hash)) {
      throw new HoldfastError('untrusted', 'an answer to another rejoin');
    }
    if (!equalBytes(body.contentHash, sha256(content))) {
      throw new HoldfastError('untrusted', 'an answer’s content was changed');
    }
    const { payload, proofs, joined, leave } = CONTENT.sync.decode(content);
    const standing = this.#standingOf(peer, joined, leave);
    // It joins by what others tell it; then it can tell more.
    if (!round.entry.joining && !joined) throw new HoldfastError('behind', 'a peer has not joined the epoch yet');
    // Else a coordinator could answer what is asked of one that has joined with what it signed before that, and lacks votes.
    if (walk.standing?.joined && !joined) {
      throw new HoldfastError('behind', 'an answer of a peer from before it joined the epoch');
    }
    const rejoins = proofs.map((proof) => ({ proof, body: this.#rejoinOf(proof) }));
    const own = rejoins.filter(({ body: { node: of }, proof }) => of === node && !equalBytes(proof, round.statement));
    const mustExceed = Math.max(0, ...own.map(({ body: { incarnation } }) => incarnation));
    if (mustExceed >= round.incarnation) return mustExceed;
    if (!body.accepted || signer.fences[node - 1] !== round.incarnation) {
      throw new HoldfastError('untrusted', 'a peer refused this rejoin without showing a newer one');
    }
    const pending = walk.prefixes.find((prefix) => equalBytes(prefix, body.prefix));
    if (!pending) return undefined;
    await committer.updateNode((state) =>
      rejoins.reduce(
        (raised, { proof, body: { node: of, incarnation } }) =>
          of === node ? raised : raiseFence(raised, of, incarnation, proof),
        state,
      ),
    );
    if (this.#round !== round) return undefined;
    // Its first word counts: a peer that joins while it is walked has been walked for what it knew before, in part.
    walk.standing ??= standing;
    let below: Uint8Array[] = [];
    if (pending.length < 2 || isDigests(payload)) below = this.#differing(pending, payload);
    else this.#compareFacts(walk, payload);
    // What is below comes first: so a peer that tells of crowded buckets without end takes its time, and no memory.
    walk.prefixes = [...below, ...walk.prefixes.filter((prefix) => prefix !== pending)];
    return undefined;
  }

  /** @throws HoldfastError `untrusted` where the peer's `leave` is not its own, or not for this membership. */
  #standingOf(peer: number, joined: boolean, leave: Uint8Array): Standing {
    const leaver = leave.length > 0 ? openLeave(this.#options.verifier, leave) : undefined;
    if (leaver && leaver.node !== peer) throw new HoldfastError('untrusted', 'a peer shows another node’s leave');
    if (!joined && !leaver) throw new HoldfastError('untrusted', 'a peer that has not joined the epoch answers');
    return { joined, leaver };
  }

  #entry(): Entry {
    const { joined, sound, leave } = this.#options.committer.node();
    const leaver = !joined && sound && leave.length > 0 ? openLeave(this.#options.verifier, leave) : undefined;
    return { joining: !joined, leaver };
  }

  /**
   * The known peers that count, or undefined where this node joins an epoch and not enough of them have been heard.
   *
   * A node that has served here counts all who have. One that left the last epoch whole needs nobody for what was there,
   * but the leaves of `t`, its own included, so that the last epoch is over. Any other learns from `t` leavers, or from `t`
   * that have served here, of whom one at least is honest: fewer may be as new as itself, and say that they have.
   */
  #heard(): number[] | undefined {
    const known = [...(this.#round?.known ?? [])];
    const standing = (peer: number) => this.#round?.walks.get(peer)?.standing;
    const { joining, leaver: own } = this.#round?.entry ?? this.#entry();
    if (!joining) return known;
    const joinedPeers = known.filter((peer) => standing(peer)?.joined);
    const t = threshold(this.#options.fleet);
    const leavers = known.flatMap((peer) => standing(peer)?.leaver ?? []);
    const agreeing = agreeingLeavers(own ? [own, ...leavers] : leavers);
    const others = agreeing.filter((one) => one !== own).map(({ node }) => node);
    const leftTogether = own !== undefined && agreeing.includes(own) && agreeing.length >= t;
    if (leftTogether || joinedPeers.length >= t) return [...new Set([...others, ...joinedPeers])];
    return others.length >= t ? others : undefined;
  }

  /** A rejoin that its own node signed: the only proof of a fence. */
  #rejoinOf(proof: Uint8Array): Body<'rejoin'> {
    const statement = decodeSignedStatement(proof);
    const body = this.#options.verifier.body(statement, 'rejoin');
    if (body.node === statement.signer.node && body.incarnation === statement.signer.incarnation) return body;
    throw new HoldfastError('untrusted', 'a rejoin speaks for another node or incarnation');
  }

  /** The prefixes below, of those subtrees that differ from this node's. */
  #differing(prefix: Uint8Array, content: Uint8Array): Uint8Array[] {
    const { digests } = CONTENT.digests.decode(content);
    if (digests.length !== 256) throw new HoldfastError('malformed', 'expected 256 digests');
    const own = this.#options.dictionary.syncChildren(prefix);
    return digests.flatMap((digest, i) => (equalBytes(digest, own[i]!) ? [] : [Uint8Array.of(...prefix, i)]));
  }

  #compareFacts(walk: Walk, content: Uint8Array): void {
    for (const encoded of CONTENT.factsBucket.decode(content).facts) {
      const { record, facts } = decodeFacts(encoded);
      if (equalBytes(syncHash(record, facts), this.#ownHash(record))) continue;
      walk.wanted.set(bytesToHex(record), facts);
    }
  }

  #ownHash(record: Uint8Array): Uint8Array {
    return this.#options.dictionary.syncHash(record) ?? new Uint8Array(0);
  }

  async #takeExport(round: Round, peer: number, walk: Walk, content: Uint8Array): Promise<void> {
    const { record } = decodePortableRecord(content);
    const name = bytesToHex(record);
    const facts = walk.wanted.get(name);
    if (!facts) return;
    await this.#options.merge(record, content, facts);
    const claims = round.claims.get(name) ?? new Map<number, RecordFacts>();
    round.claims.set(name, claims.set(peer, facts));
    walk.wanted.delete(name);
  }

  async #adopt(round: Round, heard: readonly number[]): Promise<void> {
    const { fleet, adopt } = this.#options;
    const unheard = fleet.nodes.length - 1 - heard.length;
    const work = [...round.claims].map(([name, claims]) =>
      adopt(hexToBytes(name), new Map(heard.map((peer) => [peer, claims.get(peer)])), unheard, round.entry.joining),
    );
    await Promise.all(work);
    if (unheard === 0) round.claims.clear();
  }
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
