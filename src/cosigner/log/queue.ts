/** What waits to be appended, taken in batches by one worker: submissions that come while a batch is written go together. */

import { HoldfastError } from '../../core/index.ts';
import type { Placed } from './log.ts';

/** Leaves of one batch, and their bytes. */
const MAXIMUM_BATCH = 2048;
const MAXIMUM_BATCH_BYTES = 8 * 1024 * 1024;
/** Submissions, and their bytes, that wait. */
const MAXIMUM_WAITING = 16_384;
const MAXIMUM_WAITING_BYTES = 64 * 1024 * 1024;

export interface Submission {
  /** Exactly one of the two is there. */
  readonly leaf: Uint8Array | undefined;
  readonly prepare: (() => Promise<Uint8Array>) | undefined;
  resolve(placed: Placed): void;
  reject(error: unknown): void;
}

export class Queue {
  /** Resolves or rejects every submission of the batch; rejects itself where the whole batch fails. */
  readonly #process: (batch: readonly Submission[]) => Promise<void>;
  readonly #waiting: Submission[] = [];
  #bytes = 0;
  /** The work under way, settled either way. */
  #last: Promise<unknown> = Promise.resolve();
  #scheduled = false;
  #closed = false;

  constructor(process: (batch: readonly Submission[]) => Promise<void>) {
    this.#process = process;
  }

  add(submission: Pick<Submission, 'leaf' | 'prepare'>): Promise<Placed> {
    const length = submission.leaf?.length ?? 0;
    if (this.#closed) return Promise.reject(new HoldfastError('not_ready', 'the log is closing; try again later'));
    if (this.#waiting.length >= MAXIMUM_WAITING || this.#bytes + length > MAXIMUM_WAITING_BYTES) {
      return Promise.reject(new HoldfastError('overloaded', 'too many entries wait for the log; try again later'));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Placed>();
    this.#waiting.push({ ...submission, resolve, reject });
    this.#bytes += length;
    this.#schedule();
    return promise;
  }

  /** Runs `work` when no batch is under way, and no batch meanwhile. */
  exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    this.#last = result.catch(() => undefined);
    return result;
  }

  async close(): Promise<void> {
    this.#closed = true;
    while (this.#waiting.length > 0) await this.exclusively(async () => {});
    await this.#last;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    void this.exclusively(async () => {
      this.#scheduled = false;
      const batch = this.#take();
      try {
        await this.#process(batch);
      } catch (error) {
        for (const submission of batch) submission.reject(error);
      }
      if (this.#waiting.length > 0) this.#schedule();
    });
  }

  /** A prepared leaf is a batch of its own: what it reads must not change before it is appended. */
  #take(): Submission[] {
    const batch: Submission[] = [];
    let bytes = 0;
    while (batch.length < MAXIMUM_BATCH) {
      const next = this.#waiting[0];
      const length = next?.leaf?.length ?? 0;
      if (!next || (batch.length > 0 && (bytes + length > MAXIMUM_BATCH_BYTES || next.prepare))) break;
      this.#waiting.shift();
      batch.push(next);
      bytes += length;
      if (next.prepare) break;
    }
    this.#bytes -= bytes;
    return batch;
  }
}
