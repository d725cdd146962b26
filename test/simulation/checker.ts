/**
 * Section 8's properties 1 to 4, checked after every step on what leaves the nodes: statements, receipts, evaluations.
 *
 * A receipt level commits when `t` honest nodes have given it with fences that agree. From then on, an element that
 * gets `t` evaluations that begin later needs a licence: a number that `t` nodes signed for it, above the confirmed
 * one, and at most `limit` above the last number that the right PIN really used. With `f` malicious nodes only honest
 * votes, receipts and evaluations count, and `t - f` of them stand for `t`.
 */

import { bytesToHex, codec } from '../../src/core/index.ts';
import {
  type Body,
  blindHash,
  decodeBody,
  decodeSignedStatement,
  type Fleet,
  type NodeAnswer,
  replacingThreshold,
  type Signer,
  threshold,
} from '../../src/protocol/index.ts';
import type { World } from './world.ts';

const { fixed, message, text, uint, word } = codec;
const tweakInput = message('holdfast/tweak-input/v1', { fleet: text(64), record: fixed(32), generation: uint });
const confirmation = message('holdfast/confirm/v1', {
  fleet: text(64),
  record: fixed(32),
  generation: uint,
  attempt: uint,
  blindHash: fixed(32),
});
const ownerAction = message('holdfast/owner/action/v1', {
  fleet: text(64),
  record: fixed(32),
  generation: uint,
  action: word('delete', 'cancel'),
});

/** Receipts of one kind: each says that the node has reached this level, and levels only grow. */
class Ladder {
  readonly #receipts: {
    readonly node: number;
    readonly level: number;
    readonly epoch: number;
    readonly signer: Signer;
  }[] = [];
  /** The highest level that `t` nodes have reached; -1 for none. */
  committed = -1;

  /** Whether this receipt commits a higher level. */
  add(level: number, epoch: number, signer: Signer, t: number): boolean {
    if (level <= this.committed) return false;
    this.#receipts.push({ node: signer.node, level, epoch, signer });
    const before = this.committed;
    for (const candidate of new Set(this.#receipts.map((receipt) => receipt.level))) {
      if (candidate > this.committed && this.#agree(candidate, epoch, t)) this.committed = candidate;
    }
    return this.committed > before;
  }

  #agree(level: number, epoch: number, t: number): boolean {
    const newest = new Map<number, Signer>();
    for (const receipt of this.#receipts) {
      if (receipt.level < level || receipt.epoch !== epoch) continue;
      const known = newest.get(receipt.node);
      if (!known || known.incarnation < receipt.signer.incarnation) newest.set(receipt.node, receipt.signer);
    }
    const signers = [...newest.values()];
    const agreeing = signers.filter((one) =>
      signers.every((other) => (other.fences[one.node - 1] ?? 0) <= one.incarnation),
    );
    return agreeing.length >= t;
  }
}

interface Commit {
  readonly kind: 'active' | 'confirmed' | 'gone';
  /** Numbers up to this one are used up. */
  readonly confirmed: number;
  /** Nodes that began to evaluate an element after this commit, by the element's name. */
  readonly late: Map<string, Set<number>>;
}

class Generation {
  readonly votes = new Map<string, Set<number>>();
  /** Attempt numbers (0: the enrolment) that enough nodes signed for an element. */
  readonly numbers = new Map<string, Set<number>>();
  readonly evaluations = new Map<string, Set<number>>();
  readonly commits: Commit[] = [];
  readonly confirmed = new Ladder();
  readonly confirmSignatures = new Map<number, Set<string>>();
  readonly spentVotes = new Map<string, Set<number>>();
  /** The highest attempt number that an entitled client asked for. */
  requested = 0;
  /** The highest number that an honest node's head showed to be confirmed there. */
  seenConfirmed = 0;
}

/** -1 where nothing is. */
export interface Committed {
  readonly active: number;
  /** Within `active`. */
  readonly confirmed: number;
  readonly gone: number;
}

class RecordFacts {
  readonly generations = new Map<number, Generation>();
  /** Generations up to this level are destroyed or superseded. */
  readonly gone = new Ladder();
  readonly active = new Ladder();
  /** The highest generation that an honest node's head showed to be active there. */
  seenActive = 0;
  /** The highest generation that its owner deleted, or that `t` nodes voted to destroy. */
  provenDestroyed = 0;

  generation(number: number): Generation {
    let known = this.generations.get(number);
    if (!known) {
      known = new Generation();
      this.generations.set(number, known);
      if (this.gone.committed >= number) known.commits.push({ kind: 'gone', confirmed: 0, late: new Map() });
    }
    return known;
  }
}

export class Checker {
  readonly #world: World;
  readonly #fleet: Fleet;
  readonly #t: number;
  readonly #n: number;
  readonly #f: number;
  readonly #records = new Map<string, RecordFacts>();
  /** How often each thing that is to be covered happened. */
  readonly counts = new Map<string, number>();

  constructor(world: World, fleet: Fleet, evil: ReadonlySet<number>) {
    this.#world = world;
    this.#fleet = fleet;
    this.#n = fleet.nodes.length;
    this.#t = threshold(fleet);
    this.#f = evil.size;
  }

  record(record: Uint8Array): RecordFacts {
    const name = bytesToHex(record);
    let known = this.#records.get(name);
    if (!known) {
      known = new RecordFacts();
      this.#records.set(name, known);
    }
    return known;
  }

  count(what: string): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + 1);
  }

  /** A client that is entitled signed a request. */
  requested(record: Uint8Array, generation: number, attempt: number): void {
    const place = this.record(record).generation(generation);
    place.requested = Math.max(place.requested, attempt);
  }

  /** An owner's or confirmation key signed this. Answers the record that it confirms an attempt of. */
  signed(encoded: Uint8Array): Uint8Array | undefined {
    const label = codec.labelOf(encoded);
    if (label === confirmation.label) {
      const { record, generation, attempt, blindHash: hash } = confirmation.decode(encoded);
      add(this.record(record).generation(generation).confirmSignatures, attempt, bytesToHex(hash));
      return record;
    }
    if (label === ownerAction.label) {
      const { record, generation, action } = ownerAction.decode(encoded);
      const facts = this.record(record);
      if (action === 'delete') facts.provenDestroyed = Math.max(facts.provenDestroyed, generation);
    }
    return undefined;
  }

  /** What a node answered, whether or not it arrives anywhere. `anchored`: sequence of its token's newest anchor. */
  answered(node: number, answer: NodeAnswer, anchored: number): void {
    for (const encoded of [answer.statement, answer.head]) {
      if (!encoded) continue;
      const { body, signer } = decodeSignedStatement(encoded);
      if (signer.sequence > anchored) {
        this.#world.violate(`4: node ${node} signed batch ${signer.sequence}, and its anchor is at ${anchored}`);
      }
      this.#statement(node, decodeBody(body), bytesToHex(body), signer);
    }
  }

  #statement(node: number, body: Body, name: string, signer: Signer): void {
    if (body.kind === 'rejoin' || body.kind === 'sync' || body.kind === 'leave') return;
    this.count(body.kind);
    const facts = this.record(body.record);
    if (body.kind === 'head') {
      const { active } = body.facts;
      if (active) {
        facts.seenActive = Math.max(facts.seenActive, active.generation);
        const place = facts.generation(active.generation);
        place.seenConfirmed = Math.max(place.seenConfirmed, active.confirmed);
      }
      this.#destroyedHere(node, facts, body.facts.tombstone);
      return;
    }
    const place = facts.generation(body.generation);
    switch (body.kind) {
      case 'attempt':
      case 'open': {
        const votes = add(place.votes, name, node);
        if (votes.size >= this.#t - this.#f) {
          const numbers = add(place.numbers, bytesToHex(body.blindHash), body.kind === 'attempt' ? body.attempt : 0);
          if (numbers.size === 1) this.count('licensed elements');
        }
        break;
      }
      case 'active':
        if (facts.active.add(body.generation, body.epoch, signer, this.#t)) {
          place.commits.push({ kind: 'active', confirmed: 0, late: new Map() });
          this.count('activations committed');
        }
        this.#gone(facts, body.generation - 1, body.epoch, signer);
        break;
      case 'confirmed':
        this.#confirmed(node, place, body, signer);
        break;
      case 'spent':
        this.#spent(facts, place, body, node, name);
        break;
      case 'destroyed':
        this.#destroyedHere(node, facts, body.generation);
        this.#gone(facts, body.generation, body.epoch, signer);
        break;
    }
  }

  #gone(facts: RecordFacts, level: number, epoch: number, signer: Signer): void {
    const before = facts.gone.committed;
    if (level < 1 || !facts.gone.add(level, epoch, signer, this.#t)) return;
    this.count('generations gone');
    for (const [number, place] of facts.generations) {
      if (number > before && number <= facts.gone.committed) {
        place.commits.push({ kind: 'gone', confirmed: 0, late: new Map() });
      }
    }
  }

  #confirmed(node: number, place: Generation, { attempt, epoch }: Body<'confirmed'>, signer: Signer): void {
    if (attempt > this.lastUse(place)) {
      this.#world.violate(`1: node ${node} takes number ${attempt} for confirmed, which no use of the right PIN had`);
    }
    if (!place.confirmed.add(attempt, epoch, signer, this.#t)) return;
    place.commits.push({ kind: 'confirmed', confirmed: place.confirmed.committed, late: new Map() });
    this.count('confirmations committed');
  }

  #spent(facts: RecordFacts, place: Generation, body: Body<'spent'>, node: number, name: string): void {
    if (body.attempt > place.requested) {
      this.#world.violate(
        `2: node ${node} votes to destroy at number ${body.attempt}, asked for was ${place.requested}`,
      );
    }
    if (add(place.spentVotes, name, node).size >= replacingThreshold(this.#fleet) - this.#f) {
      facts.provenDestroyed = Math.max(facts.provenDestroyed, body.generation);
      this.count('spent certified');
    }
  }

  #destroyedHere(node: number, facts: RecordFacts, tombstone: number): void {
    if (tombstone > facts.provenDestroyed) {
      this.#world.violate(`2: node ${node} has destroyed generation ${tombstone} without an owner or a majority`);
    }
  }

  /** The highest number of which a majority signed that it is exactly the element that the right PIN's proof names. */
  lastUse(place: Generation): number {
    let last = 0;
    for (const [attempt, hashes] of place.confirmSignatures) {
      for (const hash of hashes) if (place.numbers.get(hash)?.has(attempt)) last = Math.max(last, attempt);
    }
    return last;
  }

  /** An honest node's token begins to evaluate. Answers the place, for the check that all of it is anchored. */
  evaluation(
    node: number,
    input: Uint8Array,
    element: Uint8Array,
  ): { record: Uint8Array; generation: number; numbers: ReadonlySet<number> } {
    this.count('evaluations');
    const { record, generation } = tweakInput.decode(input);
    const place = this.record(record).generation(generation);
    const name = bytesToHex(blindHash(element));
    const enough = this.#t - this.#f;
    if (add(place.evaluations, name, node).size === enough) this.#counted(place, generation, name);
    for (const commit of place.commits) {
      if (add(commit.late, name, node).size === enough) this.#late(place, generation, commit, name);
    }
    return { record, generation, numbers: place.numbers.get(name) ?? new Set() };
  }

  /** An element has `t` evaluations. */
  #counted(place: Generation, generation: number, name: string): void {
    this.count('elements evaluated');
    const numbers = [...(place.numbers.get(name) ?? [])];
    const highest = this.lastUse(place) + this.#fleet.policy.limit;
    if (!numbers.some((number) => number <= highest)) {
      this.#world.violate(`1: generation ${generation}: ${name.slice(0, 8)} got t evaluations, numbers ${numbers}`);
    }
    const complete = [...place.evaluations].filter(([, nodes]) => nodes.size >= this.#t - this.#f);
    // An element may be sent for several numbers, and is evaluated for one that has its certificate: that one is not seen here.
    const all = complete.map(([other]) => place.numbers.get(other) ?? new Set<number>());
    if (this.#f === 0 && !haveOwnNumbers(all)) {
      const of = all.map((each) => `{${[...each]}}`).join(' ');
      this.#world.violate(`1: generation ${generation}: more elements got t evaluations than numbers allow: ${of}`);
    }
    const enrolments = complete.filter(([other]) => isEnrolment(place.numbers.get(other))).length;
    if (enrolments > this.#bound(1)) {
      this.#world.violate(`1: generation ${generation}: ${enrolments} enrolment elements got t evaluations`);
    }
    const attempts = complete.length - enrolments;
    if (attempts > this.#bound(highest)) {
      this.#world.violate(`1: generation ${generation}: ${attempts} elements got t evaluations in ${highest} numbers`);
    }
  }

  /** An element has `t` evaluations that began after a commit. */
  #late(place: Generation, generation: number, commit: Commit, name: string): void {
    const numbers = [...(place.numbers.get(name) ?? [])];
    const where = `generation ${generation}: ${name.slice(0, 8)}, numbers ${numbers}`;
    if (commit.kind === 'gone') {
      this.#world.violate(`3: ${where} got t evaluations that began after the generation was gone`);
      return;
    }
    const highest = this.lastUse(place) + this.#fleet.policy.limit;
    if (!numbers.some((number) => number > commit.confirmed && number <= highest)) {
      this.#world.violate(`1: ${where} got t evaluations that began after ${commit.kind} ${commit.confirmed}`);
    }
    const late = [...commit.late.values()].filter((nodes) => nodes.size >= this.#t - this.#f).length;
    if (late > this.#bound(highest - commit.confirmed)) {
      this.#world.violate(`1: ${where}: ${late} elements after ${commit.kind} ${commit.confirmed}, up to ${highest}`);
    }
  }

  #bound(numbers: number): number {
    return Math.floor(((this.#n - this.#f) * numbers) / (this.#t - this.#f)) > 0 && this.#f > 0
      ? Math.floor(((this.#n - this.#f) * numbers) / (this.#t - this.#f))
      : numbers;
  }

  /** What is committed on a record now. */
  committed(record: Uint8Array): Committed {
    const facts = this.record(record);
    const active = facts.active.committed;
    const confirmed = active > 0 ? facts.generation(active).confirmed.committed : -1;
    return { active, confirmed, gone: facts.gone.committed };
  }
}

const isEnrolment = (numbers: ReadonlySet<number> | undefined): boolean =>
  numbers !== undefined && numbers.size === 1 && numbers.has(0);

function add<K, V>(sets: Map<K, Set<V>>, key: K, value: V): Set<V> {
  let set = sets.get(key);
  if (!set) {
    set = new Set();
    sets.set(key, set);
  }
  return set.add(value);
}

/** Whether each element can be given a number of its own among those that it was sent for (Kuhn's bipartite matching). */
export function haveOwnNumbers(elements: readonly ReadonlySet<number>[]): boolean {
  const holder = new Map<number, number>();
  const place = (element: number, tried: Set<number>): boolean =>
    [...elements[element]!].some((number) => {
      if (tried.has(number)) return false;
      tried.add(number);
      const other = holder.get(number);
      if (other !== undefined && !place(other, tried)) return false;
      holder.set(number, element);
      return true;
    });
  return elements.every((_, element) => place(element, new Set()));
}
