/** Taking over what peers tell in a repair: certified state by its proofs, and bars for what may have been forgotten. */

import { bytesToHex, equalBytes } from '../core/index.ts';
import {
  type Bar,
  type Context,
  decideActivate,
  decodePortableRecord,
  encodeRecordState,
  factsOf,
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

/** Of one repair. */
export class PeerState {
  readonly #options: PeerStateOptions;
  readonly #barredBefore = new Map<string, Bar | undefined>();

  constructor(options: PeerStateOptions) {
    this.#options = options;
  }

  /** Merges certified state. @throws HoldfastError `behind` where a peer's claim is not proven by what it sent. */
  async merge(record: Uint8Array, carried: Uint8Array, facts: RecordFacts): Promise<void> {
    await this.#options.committer.update(record, (before) => {
      const context = this.#options.context();
      const portable = decodePortableRecord(carried);
      const state = this.#options.transitions.mergeCertified(context, before, portable);
      const { activation } = portable;
      // Proven, but by a chain of owners that does not reach back to what this node knows: that record stays behind here
      // until its owner enrols anew, and the other records are served.
      const stranger = activation && decideActivate(context, state, activation).refusal?.code === 'owner_required';
      if (stranger) this.#options.observer.event('warn', 'a record cannot be brought up to date', {});
      else requireProven(state, facts);
      return { state };
    });
  }

  /** Bars what this node may have voted for and forgotten, as `mergeVotes` has it. */
  async adopt(
    record: Uint8Array,
    peers: readonly (RecordFacts | undefined)[],
    unheard: number,
    joining: boolean,
  ): Promise<void> {
    await this.#options.committer.update(record, (before) => {
      const kept = joining ? this.#barBefore(before) : undefined;
      const facts = peers.map((peer) => peer ?? factsOf(before));
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
  }

  /** What this node had barred on a record when it entered the epoch, however often votes are merged since. */
  #barBefore({ record, active }: RecordState): Bar | undefined {
    const name = bytesToHex(record);
    if (!this.#barredBefore.has(name)) {
      const bar = active?.barred && { generation: active.generation, ...active.barred };
      this.#barredBefore.set(name, bar);
    }
    return this.#barredBefore.get(name);
  }
}
