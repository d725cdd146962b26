/**
 * What proves that a log misbehaved: two checkpoints that it signed and that cannot both be true, or one whose leaves
 * break the log's rules. Kept until a person removes it, a bounded number per origin.
 */

import { bytesToHex, codec, sha256, utf8 } from '../../core/index.ts';
import { MAXIMUM_CHECKPOINT } from './request.ts';
import type { WitnessDisk } from './store.ts';

export interface Misconduct {
  /** `split_view`: two roots for one size. `rules`: the leaves of `second` break the rules as `reason` says. */
  readonly kind: 'split_view' | 'rules';
  readonly origin: string;
  readonly reason: string;
  /** Signed notes: what was verified before (empty if nothing), and what contradicts it. */
  readonly first: string;
  readonly second: string;
  /** Milliseconds since 1970. */
  readonly time: number;
}

const { message, text, uint, word } = codec;

const EVIDENCE = message('holdfast/witness-evidence/v1', {
  kind: word('split_view', 'rules'),
  origin: text(4096),
  reason: text(4096),
  first: text(MAXIMUM_CHECKPOINT),
  second: text(MAXIMUM_CHECKPOINT),
  time: uint,
});

/** Pieces of evidence that are kept per origin: more prove no more, and a hostile log must not fill the disk. */
const MAXIMUM_EVIDENCE = 32;

export class EvidenceShelf {
  readonly #disk: WitnessDisk;
  /** One after another, so that the count is right. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(disk: WitnessDisk) {
    this.#disk = disk;
  }

  /** Keeps it durably; the same contradiction is kept once. @returns whether it is new. */
  keep(evidence: Misconduct): Promise<boolean> {
    const result = this.#last.then(() => this.#keep(evidence));
    this.#last = result.catch(() => undefined);
    return result;
  }

  of(origin: string): Misconduct[] {
    const prefix = bytesToHex(sha256(utf8(origin)));
    const found: Misconduct[] = [];
    for (const [key, value] of this.#disk.entries('evidence')) {
      if (bytesToHex(key.subarray(0, 32)) === prefix) found.push(EVIDENCE.decode(value));
    }
    return found;
  }

  async #keep(evidence: Misconduct): Promise<boolean> {
    const key = new Uint8Array(64);
    key.set(sha256(utf8(evidence.origin)));
    key.set(sha256(utf8(textOf(evidence.second))), 32);
    if (this.#disk.get('evidence', key) || this.of(evidence.origin).length >= MAXIMUM_EVIDENCE) return false;
    const value = EVIDENCE.encode({ ...evidence, reason: evidence.reason.slice(0, 1000) });
    await this.#disk.commit([{ table: 'evidence', key, value }]);
    return true;
  }
}

/** Without signatures, of which a log can make many over one text. */
function textOf(note: string): string {
  return note.slice(0, note.lastIndexOf('\n\n') + 1);
}
