/** Taking over what peers tell in a repair: certified state by its proofs, and bars for what may have been forgotten. */

import { bytesToHex, equalBytes } from '../core/index.ts';
import {
  type Bar,
  type Context,
  decideActivate,
  decideDestroy,
  decodePortableRecord,
  encodeRecordState,
  factsOf,
  type PortableRecord,
  type RecordFacts,
  type RecordState,
  requireProven,
  type Transitions,
} from '../protocol/index.ts';
import type { Committer } from './committer.ts';
import type { NodeObserver } from './ports.ts';

export interface PeerStateOptions {
  readonly committer: Committer;
  readonly transitions: Transitions;
  readonly observer: NodeObserver;
  readonly context: () => Context;
}

/** How this node stood on a record when its peers' votes there were first taken into account. */
interface Before {
  readonly facts: RecordFacts;
  /** The peers heard by then: bit i for node i. (A repair of a whole store keeps one of these for each record.) */
  readonly heard: number;
}

/** Of one repair. */
export class PeerState {
  readonly #options: PeerStateOptions;
  readonly #before = new Map<string, Before>();

  constructor(options: PeerStateOptions) {
    this.#options = options;
  }

  /** Merges certified state. @throws HoldfastError `behind` where a peer's claim is not proven by what it sent. */
  async merge(record: Uint8Array, carried: Uint8Array, facts: RecordFacts): Promise<void> {
    const portable = decodePortableRecord(carried);
    // What is proven is kept, also of a peer that claims more than that.
    const { decision } = await this.#options.committer.update(record, (before) => ({
      state: this.#options.transitions.mergeCertified(this.#options.context(), before, portable),
    }));
    const excused = excuse(this.#options.context(), decision.state, portable, facts);
    if (excused !== facts) this.#options.observer.event('warn', 'a record cannot be brought up to date', {});
    requireProven(decision.state, excused);
  }

  /**
   * Bars what this node may have voted for and forgotten, as `mergeVotes` has it. `peers`: the facts of each heard peer,
   * undefined where it agreed with this node. Such a one stands for what it agreed with: counted with bars that this node
   * has put up since, it would keep them up for ever.
   */
  async adopt(
    record: Uint8Array,
    peers: ReadonlyMap<number, RecordFacts | undefined>,
    unheard: number,
    joining: boolean,
  ): Promise<void> {
    await this.#options.committer.update(record, (before) => {
      const first = this.#beforeAll(before, peers);
      const kept = joining ? barOf(first.facts) : undefined;
      const now = factsOf(before);
      const facts = [...peers].map(([peer, claimed]) => claimed ?? (first.heard & (1 << peer) ? first.facts : now));
      // What a store that was refused says of this node's own votes may be of a past that was left.
      const forgetful = !this.#options.committer.node().sound;
      const state = this.#options.transitions.mergeVotes(
        this.#options.context(),
        before,
        facts,
        unheard,
        forgetful,
        kept,
      );
      const changed = !equalBytes(encodeRecordState(before), encodeRecordState(state));
      return { state: changed ? state : before };
    });
    if (unheard === 0) this.#before.delete(bytesToHex(record));
  }

  #beforeAll(state: RecordState, peers: ReadonlyMap<number, unknown>): Before {
    const name = bytesToHex(state.record);
    const known = this.#before.get(name);
    if (known) return known;
    const heard = [...peers.keys()].reduce((bits, peer) => bits | (1 << peer), 0);
    const before: Before = { facts: factsOf(state), heard };
    this.#before.set(name, before);
    return before;
  }
}

/**
 * The claims of a peer without what was proven and is still not taken here: an activation by a chain of owners that does not
 * reach back to what this node knows, or a deletion by a takeover that the policy no longer allows. Such a record stays as
 * it is here until its owner enrols anew, and the other records are served. Nothing else of the claims is excused.
 */
function excuse(context: Context, state: RecordState, portable: PortableRecord, facts: RecordFacts): RecordFacts {
  const { activation, tombstone } = portable;
  const known = state.active?.generation ?? 0;
  const stranger =
    activation &&
    (facts.active?.generation ?? 0) > known &&
    decideActivate(context, state, activation).refusal?.code === 'owner_required';
  const overtaken =
    tombstone?.generation === facts.tombstone &&
    facts.tombstone > known &&
    decideDestroy(context, state, tombstone).refusal?.code === 'conflict';
  if (!stranger && !overtaken) return facts;
  return { ...facts, ...(stranger && { active: undefined }), ...(overtaken && { tombstone: 0 }) };
}

/** What a node has barred, if anything. */
function barOf({ active }: RecordFacts): Bar | undefined {
  if (!active || active.barred <= active.attempt) return undefined;
  return { generation: active.generation, upTo: active.barred, vote: active.vote };
}
