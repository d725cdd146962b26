/** Which records have no budget left, so that their destruction can be found without a search. */

import { bytesToHex, type Clock, equalBytes, hexToBytes } from '../core/index.ts';
import {
  budgetLeft,
  CONTENT,
  decodeRecordState,
  type Fleet,
  NODE_STATE_KEY,
  type RecordState,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary } from '../store/port.ts';
import type { Committer } from './committer.ts';

/**
 * Records looked at in one call after a start, so that no request waits for the whole search. Each coordinator calls every two
 * seconds, so a million records take five to six hours with one: little beside the delay before destruction. 500 at once, kept
 * by the committer, cost 0.8 ms of CPU for each of 100 recoveries a second (docs/performance.md).
 */
const SCANNED_AT_ONCE = 100;

export class SpentRecords {
  readonly #fleet: Fleet;
  readonly #clock: Clock;
  readonly #committer: Committer;
  readonly #dictionary: AuthenticatedDictionary;
  readonly #names = new Set<string>();
  #unscanned: Iterator<Uint8Array> | undefined;

  constructor(
    options: { readonly fleet: Fleet; readonly clock: Clock; readonly dictionary: AuthenticatedDictionary },
    committer: Committer,
  ) {
    this.#fleet = options.fleet;
    this.#clock = options.clock;
    this.#committer = committer;
    this.#dictionary = options.dictionary;
    this.#unscanned = options.dictionary.keys()[Symbol.iterator]();
  }

  /** Takes note of a record's new durable state. */
  note(state: RecordState): void {
    const name = bytesToHex(state.record);
    const { active } = state;
    if (active && budgetLeft(this.#fleet.policy, active.attempt, active.confirmed) === 0) this.#names.add(name);
    else this.#names.delete(name);
  }

  /** The encoded list of up to `maximum` (256 at most) records whose delay before destruction has passed here. */
  due(maximum: number): Uint8Array {
    this.#scan();
    const records: Uint8Array[] = [];
    const now = this.#clock.now();
    const delay = this.#fleet.policy.destroyAfter * 1000;
    for (const name of this.#names) {
      if (records.length >= Math.min(maximum, 256)) break;
      const record = hexToBytes(name);
      const active = this.#committer.record(record)?.active;
      if (active && Math.min(active.attemptTime, now) + delay <= now) records.push(record);
    }
    return CONTENT.due.encode({ records });
  }

  #scan(): void {
    for (let i = 0; i < SCANNED_AT_ONCE && this.#unscanned; i++) {
      const { done, value } = this.#unscanned.next();
      if (done) this.#unscanned = undefined;
      else if (!equalBytes(value, NODE_STATE_KEY)) {
        // Not by the committer, which would keep these records and forget those in use.
        const stored = this.#dictionary.get(value);
        if (stored) this.note(decodeRecordState(stored));
      }
    }
  }
}
