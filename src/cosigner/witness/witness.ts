/**
 * The witness: cosigns what is consistent with everything it has cosigned before (C2SP tlog-witness, tlog-cosignature).
 *
 * What must hold: a checkpoint is on stable storage before its cosignature exists, and for one origin no two requests
 * are between reading that storage and writing it. A cosignature once given therefore binds every later one, whatever
 * crashes. What can be lost is a cosignature that nobody has received.
 */

import { bytesToHex, type Clock, equalBytes, HoldfastError, sha256, systemClock, utf8 } from '../../core/index.ts';
import {
  type Checkpoint,
  cosign,
  EMPTY_ROOT,
  type NoteSigner,
  parseCheckpoint,
  parseNote,
  type SignedNote,
  serialiseNote,
  serialiseSignatureLine,
  type VerifierKey,
  verifyConsistency,
  verifyNote,
} from '../../trust/index.ts';
import type { EvidenceShelf, Misconduct } from './evidence.ts';
import { type AddCheckpointRequest, MAXIMUM_CHECKPOINT, parseAddCheckpoint } from './request.ts';
import type { WitnessState } from './state.ts';
import type { WitnessStore } from './store.ts';

export interface WitnessLog {
  readonly origin: string;
  /** Keys of which at least one must have signed each checkpoint. */
  readonly keys: readonly VerifierKey[];
}

/** A further condition for cosigning, checked after consistency and before anything is persisted. */
export interface CheckpointAuditor {
  /**
   * Undefined where the tree under `checkpoint` is as it should be; a reason where the log has signed what breaks its
   * rules. Rejects with `not_ready` where that cannot be told now.
   */
  audit(checkpoint: Checkpoint): Promise<string | undefined>;
}

export interface WitnessObserver {
  /** `time` in seconds since 1970. */
  readonly cosigned?: (origin: string, size: number, time: number) => void;
  readonly misconduct?: (origin: string, reason: string) => void;
  /** Tests stop a request here. */
  readonly step?: (step: 'checked' | 'persisted' | 'signed' | 'recorded') => void | Promise<void>;
}

export interface WitnessOptions {
  /** A key of signature type 0x04. */
  readonly signer: NoteSigner;
  readonly logs: readonly WitnessLog[];
  readonly store: WitnessStore;
  readonly evidence: Pick<EvidenceShelf, 'keep' | 'of'>;
  readonly auditor?: CheckpointAuditor | undefined;
  /** Seconds within which the same checkpoint gets the same cosignature again; default 0, the same second. */
  readonly refreshSeconds?: number;
  readonly clock?: Clock;
  readonly observer?: WitnessObserver;
}

export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422;
  readonly contentType: string;
  readonly body: string;
}

export interface WitnessDescription {
  readonly role: 'witness' | 'auditing witness';
  readonly name: string;
  readonly verifierKey: string;
  readonly protocol: 'c2sp.org/tlog-witness';
  readonly logs: readonly { readonly origin: string; readonly hash: string; readonly size: number }[];
}

const TEXT = 'text/plain; charset=utf-8';
/** Requests for one origin that wait for the one under way. */
const MAXIMUM_WAITING = 64;
/** Seconds by which the clock may stand before the last cosignature; further back, nothing is signed. */
const CLOCK_TOLERANCE = 60;

/** Two roots for one size, both signed by the log: proof of a split view. */
const SPLIT = 'another root was cosigned for this size; both signed checkpoints are kept';

const answer = (status: WitnessAnswer['status'], body: string, contentType = TEXT): WitnessAnswer => ({
  status,
  contentType,
  body,
});
const refusal = (status: WitnessAnswer['status'], reason: string) => answer(status, `${reason}\n`);

/** A request of which everything is checked that needs no state. */
interface Authentic {
  readonly request: AddCheckpointRequest;
  readonly checkpoint: Checkpoint;
  /** With the lines of known keys only. */
  readonly note: SignedNote;
}

export class Witness {
  readonly #options: WitnessOptions;
  readonly #clock: Clock;
  readonly #logs: ReadonlyMap<string, WitnessLog>;
  /** By hex SHA-256, as monitors ask. */
  readonly #origins: ReadonlyMap<string, string>;
  readonly #turns = new Map<string, { last: Promise<unknown>; waiting: number }>();
  /** The last answer per origin: the same question soon after has the same answer, without the token. */
  readonly #recent = new Map<string, { readonly text: string; readonly time: number; readonly lines: string }>();

  /** @throws HoldfastError `usage` for an origin given twice or without keys. */
  constructor(options: WitnessOptions) {
    const { logs, clock = systemClock } = options;
    this.#options = options;
    this.#clock = clock;
    this.#logs = new Map(logs.map((log) => [log.origin, log]));
    if (this.#logs.size < logs.length) throw new HoldfastError('usage', 'an origin is configured twice');
    const keyless = logs.find(({ keys }) => keys.length === 0);
    if (keyless) throw new HoldfastError('usage', `the log ${keyless.origin} has no verifier key`);
    this.#origins = new Map(logs.map(({ origin }) => [hashOf(origin), origin]));
  }

  /**
   * Answers the body of one `add-checkpoint`.
   * @throws HoldfastError `overloaded` or `not_ready` where a later try may succeed; whatever token and store throw.
   */
  async addCheckpoint(body: Uint8Array): Promise<WitnessAnswer> {
    const authentic = this.#authenticate(body);
    if ('status' in authentic) return authentic;
    return await this.#inTurn(authentic.checkpoint.origin, () => this.#decide(authentic));
  }

  /** The newest cosigned checkpoint of the origin with this SHA-256 in lower-case hex, or undefined. */
  newestCheckpoint(originHash: string): string | undefined {
    const origin = this.#origins.get(originHash);
    return origin === undefined ? undefined : this.#options.store.load(origin)?.cosigned?.note;
  }

  /** Contradictions that the log with this origin hash has signed. */
  misconduct(originHash: string): readonly Misconduct[] | undefined {
    const origin = this.#origins.get(originHash);
    return origin === undefined ? undefined : this.#options.evidence.of(origin);
  }

  get description(): WitnessDescription {
    const { signer, auditor, store } = this.#options;
    return {
      role: auditor ? 'auditing witness' : 'witness',
      name: signer.name,
      verifierKey: signer.verifierKey,
      protocol: 'c2sp.org/tlog-witness',
      logs: [...this.#origins].map(([hash, origin]) => ({ origin, hash, size: store.load(origin)?.size ?? 0 })),
    };
  }

  #authenticate(body: Uint8Array): Authentic | WitnessAnswer {
    let request: AddCheckpointRequest;
    let note: SignedNote;
    let checkpoint: Checkpoint;
    try {
      request = parseAddCheckpoint(body);
      note = parseNote(request.checkpoint, { maximumBytes: MAXIMUM_CHECKPOINT });
      checkpoint = parseCheckpoint(note.text, { extensions: 'allow' });
    } catch (error) {
      if (error instanceof HoldfastError) return refusal(400, error.message);
      throw error;
    }
    const log = this.#logs.get(checkpoint.origin);
    if (!log) return refusal(404, 'this witness does not know that origin');
    try {
      verifyNote(note, log.keys);
    } catch (error) {
      if (error instanceof HoldfastError) return refusal(403, error.message);
      throw error;
    }
    if (request.oldSize > checkpoint.size) return refusal(400, 'the old size is larger than the checkpoint’s');
    const known = new Set(log.keys.map(({ name, id }) => `${name}+${id}`));
    const signatures = note.signatures.filter(({ name, id }) => known.has(`${name}+${id}`));
    return { request, checkpoint, note: { text: note.text, signatures } };
  }

  async #decide({ request, checkpoint, note }: Authentic): Promise<WitnessAnswer> {
    const { store, auditor, observer, refreshSeconds = 0 } = this.#options;
    const { origin, size, root } = checkpoint;
    const state = store.load(origin);
    const contradicts = state?.size === size && !equalBytes(state.root, root);
    if (contradicts)
      await this.#keep({
        kind: 'split_view',
        origin,
        reason: SPLIT,
        first: state.checkpoint,
        second: serialiseNote(note),
      });
    if (request.oldSize !== (state?.size ?? 0)) return conflict(state);
    if (contradicts) return refusal(422, SPLIT);
    const older = state ?? { size: 0, root: EMPTY_ROOT };
    if (!verifyConsistency(older, checkpoint, request.proof)) {
      return refusal(422, 'the proof does not show that this checkpoint continues the one cosigned before');
    }
    const time = this.#time(state);
    const recent = this.#recent.get(origin);
    if (recent?.text === note.text && time - recent.time <= refreshSeconds) return answer(200, recent.lines);
    await observer?.step?.('checked');
    const broken = await auditor?.audit(checkpoint);
    if (broken !== undefined) {
      await this.#keep({
        kind: 'rules',
        origin,
        reason: broken,
        first: state?.checkpoint ?? '',
        second: serialiseNote(note),
      });
      return refusal(422, `the log breaks its rules: ${broken}`);
    }
    const isNew = state?.size !== size;
    const verified: WitnessState = isNew
      ? { size, root, checkpoint: serialiseNote(note), cosigned: state?.cosigned }
      : state;
    if (isNew && !(await store.compareAndSwap(origin, state, verified))) return conflict(store.load(origin));
    await observer?.step?.('persisted');
    return await this.#cosign(origin, note, verified, time);
  }

  async #cosign(origin: string, note: SignedNote, state: WitnessState, time: number): Promise<WitnessAnswer> {
    const { signer, store, observer } = this.#options;
    const line = await cosign(note.text, signer, time);
    await observer?.step?.('signed');
    const cosigned = serialiseNote({ text: note.text, signatures: [...note.signatures, line] });
    const next = { ...state, cosigned: { note: cosigned, time } };
    if (!(await store.compareAndSwap(origin, state, next))) return conflict(store.load(origin));
    await observer?.step?.('recorded');
    const lines = serialiseSignatureLine(line);
    this.#recent.set(origin, { text: note.text, time, lines });
    observer?.cosigned?.(origin, state.size, time);
    return answer(200, lines);
  }

  async #keep(misconduct: Omit<Misconduct, 'time'>): Promise<void> {
    const isNew = await this.#options.evidence.keep({ ...misconduct, time: this.#clock.now() });
    if (isNew) this.#options.observer?.misconduct?.(misconduct.origin, misconduct.reason);
  }

  /** Seconds since 1970 for the next cosignature, never before the last one's. */
  #time(state: WitnessState | undefined): number {
    const now = Math.floor(this.#clock.now() / 1000);
    const last = state?.cosigned?.time ?? 1;
    if (now >= last) return now;
    if (last - now <= CLOCK_TOLERANCE) return last;
    throw new HoldfastError('not_ready', `this witness’s clock stands ${last - now} s before its last cosignature`);
  }

  /** Requests for one origin run one after another, in the order of their arrival. */
  async #inTurn<T>(origin: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#turns.get(origin) ?? { last: Promise.resolve(), waiting: 0 };
    this.#turns.set(origin, turn);
    if (turn.waiting >= MAXIMUM_WAITING) {
      throw new HoldfastError('overloaded', 'too many requests for this origin are waiting; try again');
    }
    turn.waiting++;
    const result = turn.last.then(work).finally(() => turn.waiting--);
    turn.last = result.catch(() => undefined);
    return await result;
  }
}

function conflict(state: WitnessState | undefined): WitnessAnswer {
  return answer(409, `${state?.size ?? 0}\n`, 'text/x.tlog.size');
}

/** Lower-case hex SHA-256 of an origin: how monitors ask for it (C2SP tlog-witness, "Monitor Retrieval Mechanism"). */
export function hashOf(origin: string): string {
  return bytesToHex(sha256(utf8(origin)));
}
