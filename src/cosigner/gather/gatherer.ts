/**
 * Cosignatures for the log's newest checkpoint (C2SP tlog-witness, from the log's side), from all witnesses of a policy
 * at a time, and again on a timer, so that an idle log stays fresh.
 *
 * Two checkpoints are kept: the newest with whatever cosignatures it has, and the newest that had a quorum, which stays
 * in force until the next one has. A witness that shows more of this log than there is, or something else, signed by the
 * log's own key, means that the store was put back or forked: then nothing is signed any more until a person has looked.
 */

import { asHoldfastError, type Clock, equalBytes, HoldfastError } from '../../core/index.ts';
import {
  type Cosignature,
  isQuorum,
  type NoteSignature,
  type PolicyWitness,
  parseCheckpoint,
  parseNote,
  quorumMet,
  serialiseNote,
  type TlogPolicy,
  verifyCheckpoint,
  verifyNote,
} from '../../trust/index.ts';
import { type CosignedCheckpoint, type LogStore, readRows, rows, type TransparencyLog } from '../log/index.ts';
import { WitnessClient, type WitnessTransport } from './witness-client.ts';

export interface GathererOptions {
  /** Names the log's key, the witnesses with their addresses, and the quorum. */
  readonly policy: TlogPolicy;
  readonly log: Pick<TransparencyLog, 'head' | 'proveConsistency' | 'rootAt'>;
  readonly store: LogStore;
  readonly transport: WitnessTransport;
  readonly clock: Clock;
  /** Milliseconds for one request to one witness. */
  readonly timeout: number;
  /** Seconds for which a cosignature counts. */
  readonly maximumAge: number;
  readonly onEvent: (event: GatherEvent) => void;
  /** That of the policy before: whoever has confirmed the log to it need not do so again. */
  readonly before?: Gatherer | undefined;
}

export type GatherEvent =
  | { readonly kind: 'cosigned'; readonly witness: string; readonly size: number }
  | { readonly kind: 'refused'; readonly witness: string; readonly error: HoldfastError }
  | { readonly kind: 'quorum'; readonly checkpoint: CosignedCheckpoint };

/** Seconds by which a witness's clock may be ahead. */
const CLOCK_TOLERANCE = 300;

export class Gatherer {
  readonly #options: GathererOptions;
  readonly #clients: ReadonlyMap<PolicyWitness, WitnessClient>;
  #running: Promise<boolean> | undefined;
  #again = false;
  #alarm: HoldfastError | undefined;
  /** Keys of witnesses that have confirmed this very history since the process began. */
  readonly #confirmed: Set<string>;

  constructor(options: GathererOptions) {
    this.#options = options;
    const { policy, transport, timeout, log, before } = options;
    // One set for all: a round that the former one has begun still counts.
    this.#confirmed = before ? before.#confirmed : new Set();
    const proveConsistency = (older: number, newer: number) => log.proveConsistency(older, newer);
    this.#clients = new Map(
      policy.witnesses.flatMap((witness) => {
        const { url } = witness;
        if (url === undefined) return [];
        return [[witness, new WitnessClient({ witness: { ...witness, url }, transport, timeout, proveConsistency })]];
      }),
    );
  }

  /** Why nothing may be signed any more, or undefined. */
  get alarm(): HoldfastError | undefined {
    return this.#alarm;
  }

  /**
   * Whether a quorum of witnesses has confirmed, since the process began, that this log is the one they know. A single one
   * may have missed what the others saw; but whatever clients have ever been shown had a quorum, and two quorums have a
   * witness in common.
   */
  get confirmed(): boolean {
    const { rule, witnesses } = this.#options.policy;
    const names = witnesses.filter(({ key }) => this.#confirmed.has(key.text)).map(({ name }) => name);
    return isQuorum(rule, new Set(names));
  }

  /** The newest checkpoint with a quorum; undefined before the first. */
  get quorum(): CosignedCheckpoint | undefined {
    return readRows(this.#options.store).cosigned('quorum');
  }

  /**
   * Asks all witnesses for the newest checkpoint. Whether there is a quorum for it, one has confirmed the log since the
   * process began (nothing is appended before), and any of them has answered now: a
   * round without an answer is worth another soon, however good the cosignatures kept. Callers at a time share a round.
   */
  gather(signal?: AbortSignal): Promise<boolean> {
    if (this.#running !== undefined) {
      this.#again = true;
      return this.#running;
    }
    this.#running = this.#rounds(signal).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #rounds(signal: AbortSignal | undefined): Promise<boolean> {
    let met: boolean;
    do {
      this.#again = false;
      met = await this.#round(signal);
    } while (this.#again && !signal?.aborted);
    return met;
  }

  async #round(signal: AbortSignal | undefined): Promise<boolean> {
    const { log, onEvent } = this.#options;
    const { checkpoint, size } = log.head;
    const note = parseNote(checkpoint);
    const lines: NoteSignature[] = [];
    await Promise.all(
      [...this.#clients].map(async ([{ name, key }, client]) => {
        try {
          const { line } = await client.cosign(note, signal);
          lines.push(line);
          this.#confirmed.add(key.text);
          onEvent({ kind: 'cosigned', witness: name, size });
        } catch (thrown) {
          const error = await this.#judged(client, asHoldfastError(thrown), signal);
          if (error.code === 'rolled_back' || error.code === 'split_view') this.#alarm ??= error;
          onEvent({ kind: 'refused', witness: name, error });
        }
      }),
    );
    const met = await this.#keep(size, checkpoint, lines);
    return met && this.confirmed && (lines.length > 0 || this.#clients.size === 0);
  }

  /**
   * A witness that claims another history has to show it: a checkpoint that this log's own key has signed. Otherwise one
   * dishonest witness could stop the log for ever.
   */
  async #judged(client: WitnessClient, error: HoldfastError, signal: AbortSignal | undefined): Promise<HoldfastError> {
    if (error.code !== 'rolled_back' && error.code !== 'split_view') return error;
    const { policy, log } = this.#options;
    const unproven = (cause?: unknown) =>
      new HoldfastError('untrusted', `${error.message}; it shows no signed checkpoint that proves this`, {
        cause,
        details: error.details,
      });
    try {
      const { origin } = parseCheckpoint(parseNote(log.head.checkpoint).text);
      const note = await client.newestCheckpoint(origin, signal);
      const shown = parseCheckpoint(note.text);
      verifyNote(
        note,
        policy.logs.map(({ key }) => key),
      );
      if (shown.origin !== origin) return unproven();
      if (shown.size > log.head.size) return error;
      return equalBytes(await log.rootAt(shown.size), shown.root) ? unproven() : error;
    } catch (cause) {
      return unproven(cause);
    }
  }

  /** Stores the checkpoint with what it has now, new cosignatures in the place of older ones of the same key. */
  async #keep(size: number, checkpoint: string, added: readonly NoteSignature[]): Promise<boolean> {
    const { store, policy, clock, maximumAge, onEvent } = this.#options;
    const stored = readRows(store).cosigned('newest');
    const logNote = parseNote(checkpoint);
    const replaced = new Set(added.map(keyOf));
    const own = new Set(logNote.signatures.map(keyOf));
    const before = stored?.size === size ? parseNote(stored.note).signatures : [];
    const kept = before.filter((line) => !own.has(keyOf(line)) && !replaced.has(keyOf(line)));
    const signatures = [...logNote.signatures, ...[...kept, ...added].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))];
    const note = serialiseNote({ text: logNote.text, signatures });
    const now = Math.floor(clock.now() / 1000);
    const window = { from: now - maximumAge, to: now + CLOCK_TOLERANCE };
    const met = quorumMet(policy, this.cosignatures(note), window);
    const newest: CosignedCheckpoint = { size, note, quorum: met ? 1 : 0 };
    // The same again needs no write and no new trust sets.
    if (stored?.note === note && stored.quorum === newest.quorum) return met;
    await store.commit([rows.cosigned('newest', newest), ...(met ? [rows.cosigned('quorum', newest)] : [])]);
    if (met) onEvent({ kind: 'quorum', checkpoint: newest });
    return met;
  }

  /** The cosignatures in a stored checkpoint, verified anew. */
  cosignatures(note: string): readonly Cosignature[] {
    const parsed = parseNote(note);
    parseCheckpoint(parsed.text);
    return verifyCheckpoint(parsed, this.#options.policy).cosignatures;
  }
}

const keyOf = ({ name, id }: NoteSignature) => `${name}+${id}`;
