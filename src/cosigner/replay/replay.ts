/**
 * A log's leaves replayed by its rules (docs/trust.md, section 3): the copy of the leaves and what they come to, kept
 * together, so that only new leaves are read and checked.
 */

import { codec, equalBytes, HoldfastError, sha256, utf8 } from '../../core/index.ts';
import {
  checkLog,
  emptyLog,
  type LogReader,
  type LogState,
  type Misconduct,
  originOf,
  parseLeaf,
  parseLogState,
  serialiseLogState,
  type TreeHead,
  type TrustPolicyText,
} from '../../trust/index.ts';
import { Mirror, type MirrorDisk } from './mirror.ts';

const { list, message, struct, text, uint } = codec;

/** Breaches that are kept: one is enough to end trust in a log. */
const MAXIMUM_BREACHES = 100;
const MAXIMUM_STATE = 2 ** 28;

const REPLAY = message('holdfast/log-replay/v1', {
  state: text(MAXIMUM_STATE),
  breaches: list(struct({ index: uint, code: text(64), sentence: text(4096) }), MAXIMUM_BREACHES),
});

/** A rule that a log has broken, and the leaf with which it did. */
export interface Breach {
  readonly index: number;
  /** A `RuleCode`, or `no_roster` for a checkpoint whose last leaf is no roster. */
  readonly code: string;
  /** For people. */
  readonly sentence: string;
}

export class LogReplay {
  readonly origin: string;
  readonly mirror: Mirror;
  readonly #disk: MirrorDisk;
  readonly #key: Uint8Array;
  #state: LogState;
  #breaches: readonly Breach[];

  /**
   * What is stored for the log that `policy` names, or the beginning of it.
   * @throws HoldfastError `store_refused` for what is damaged, `bad_input` for a policy without exactly one log.
   */
  constructor(disk: MirrorDisk, policy: TrustPolicyText) {
    this.origin = originOf(policy);
    this.#disk = disk;
    this.#key = sha256(utf8(this.origin));
    this.mirror = new Mirror(disk, this.origin);
    const stored = this.#stored();
    this.#state = stored?.state ?? emptyLog(policy);
    this.#breaches = stored?.breaches ?? [];
    if (this.#state.size !== this.mirror.size) throw this.#damaged();
  }

  get size(): number {
    return this.mirror.size;
  }

  get state(): LogState {
    return this.#state;
  }

  /** All that was found, by the index of the leaf. */
  get breaches(): readonly Breach[] {
    return this.#breaches;
  }

  /**
   * Reads and checks the leaves up to `to`, a tree that the log has signed, and keeps them durably with what they come
   * to, breaches included.
   * @throws HoldfastError `untrusted` if what is served does not give the root; as `LogReader.leaves`.
   */
  async advance(reader: Pick<LogReader, 'leaves'>, to: TreeHead, signal?: AbortSignal): Promise<void> {
    if (to.size <= this.size) return;
    const leaves = await reader.leaves(this.size, to.size, signal);
    const { state, misconduct } = checkLog(this.#state, leaves);
    const found = misconduct.map(({ index, code, sentence }: Misconduct): Breach => ({ index, code, sentence }));
    if (!state.endsInRoster) {
      const sentence = `the log has signed ${to.size} leaves of which the last is no roster`;
      found.push({ index: to.size - 1, code: 'no_roster', sentence });
    }
    const breaches = [...this.#breaches, ...found].slice(0, MAXIMUM_BREACHES);
    const value = REPLAY.encode({ state: serialiseLogState(state), breaches: breaches.map(shortened) });
    await this.mirror.extend(leaves, to, [{ table: 'replay', key: this.#key, value }]);
    this.#state = state;
    this.#breaches = breaches;
  }

  /** What is wrong with a checkpoint of at most the leaves read so far, or undefined. */
  faultOf({ size, root }: TreeHead): string | undefined {
    if (!equalBytes(this.mirror.root(size), root)) return `another root was seen for its ${size} leaves`;
    const breach = this.#breaches.find(({ index }) => index < size);
    if (breach) return `leaf ${breach.index}: ${breach.sentence} (${breach.code})`;
    if (size > 0 && !isRoster(this.mirror.entry(size - 1))) return 'its last leaf is no roster';
    return undefined;
  }

  #stored(): { state: LogState; breaches: readonly Breach[] } | undefined {
    const value = this.#disk.get('replay', this.#key);
    if (!value) return undefined;
    try {
      const { state, breaches } = REPLAY.decode(value);
      return { state: parseLogState(state), breaches };
    } catch (cause) {
      throw this.#damaged(cause);
    }
  }

  #damaged(cause?: unknown): HoldfastError {
    return new HoldfastError(
      'store_refused',
      `what was kept of the log ${this.origin} is damaged; move its folder away, and it is read anew`,
      { cause },
    );
  }
}

function shortened({ index, code, sentence }: Breach): Breach {
  return { index, code, sentence: sentence.slice(0, 1000) };
}

function isRoster(entry: Uint8Array): boolean {
  try {
    return parseLeaf(entry).type === 'roster';
  } catch {
    return false;
  }
}
