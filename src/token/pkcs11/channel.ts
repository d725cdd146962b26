/**
 * The host's end of one worker: requests made while a batch is under way travel together in the next message, so that
 * the cost of a hop (about 20 microseconds) is shared when there is load.
 */

import { HoldfastError } from '../../core/index.ts';
import type { Timing } from './connection.ts';
import { type BatchReply, errorOf, type OperationName, type Operations, type Request } from './messages.ts';

/** What a channel needs of a worker thread. */
export interface WorkerLike {
  postMessage(requests: readonly Request[]): void;
  on(event: 'message', listener: (reply: BatchReply) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'exit', listener: (code: number) => void): unknown;
  unref(): void;
}

interface Waiting {
  readonly request: Request;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: HoldfastError) => void;
}

/** Bounds the time for which one batch keeps the others waiting. */
const BATCH_MAXIMUM = 32;

/**
 * The time for a batch is counted in so many steps, and a step that ends so many milliseconds late counts for nothing: this
 * process did not run, nor did the thread inside the module, as where a virtual machine is moved or a container is paused.
 */
const STEPS = 8;
const LATE = 1000;

export class Channel {
  readonly #worker: WorkerLike;
  readonly #timeout: number;
  readonly #onTimings: (timings: readonly Timing[]) => void;
  readonly #exited: Promise<void>;
  #waiting: Waiting[] = [];
  #underWay: Waiting[] = [];
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #broken: HoldfastError | undefined;
  #closing = false;
  #hung = false;

  /** @param timeout milliseconds after which an unanswered batch makes the channel unusable, while this process runs. */
  constructor(worker: WorkerLike, timeout: number, onTimings: (timings: readonly Timing[]) => void) {
    this.#worker = worker;
    this.#timeout = timeout;
    this.#onTimings = onTimings;
    worker.on('message', (reply) => this.#receive(reply));
    worker.on('error', (cause) =>
      this.#break(
        new HoldfastError('token_failed', 'the thread that talks to the token died; restart the service', { cause }),
      ),
    );
    this.#exited = new Promise((resolve) => {
      worker.on('exit', () => {
        this.#break(closed());
        resolve();
      });
    });
  }

  /** Requests not yet answered. */
  get load(): number {
    return this.#waiting.length + this.#underWay.length;
  }

  /** Whether a call may still be inside the module. */
  get hung(): boolean {
    return this.#hung;
  }

  get broken(): HoldfastError | undefined {
    return this.#broken;
  }

  /** @throws HoldfastError what the operation throws; `token_failed` once the channel is broken or closed. */
  call<N extends OperationName>(operation: N, input: Operations[N]['input']): Promise<Operations[N]['output']> {
    if (this.#broken) return Promise.reject(this.#broken);
    if (this.#closing) return Promise.reject(closed());
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.push({ request: { operation, ...input } as unknown as Request, resolve, reject });
      this.#schedule();
    }) as Promise<Operations[N]['output']>;
  }

  /** Lets the requests made so far finish, then closes the session and ends the thread. */
  async close(finalize: boolean): Promise<void> {
    if (this.#broken) return;
    const done = this.call('close', { finalize });
    this.#closing = true;
    await done;
    await this.#exited;
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay.length > 0) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#broken || this.#underWay.length > 0 || this.#waiting.length === 0) return;
    this.#underWay = this.#waiting.splice(0, BATCH_MAXIMUM);
    this.#count(STEPS);
    this.#worker.postMessage(this.#underWay.map((each) => each.request));
  }

  #receive(reply: BatchReply): void {
    if (this.#broken) return;
    clearTimeout(this.#timer);
    const answered = this.#underWay;
    this.#underWay = [];
    this.#onTimings(reply.timings);
    // The next batch leaves before this one's callers run, so that the token is not kept waiting for them.
    this.#send();
    for (const [index, each] of answered.entries()) {
      const one = reply.replies[index];
      if (one && 'output' in one) each.resolve(one.output);
      else if (one) each.reject(errorOf(one.failure));
      else each.reject(new HoldfastError('token_failed', 'the token’s thread lost a request; restart the service'));
    }
  }

  #count(steps: number): void {
    const length = this.#timeout / STEPS;
    const due = performance.now() + length;
    this.#timer = setTimeout(() => {
      const left = performance.now() - due < LATE ? steps - 1 : steps;
      if (left > 0) this.#count(left);
      else this.#expire();
    }, length);
  }

  /** The thread is inside the module and cannot be ended: only a new process helps. */
  #expire(): void {
    const operation = this.#underWay[0]?.request.operation ?? 'open';
    this.#hung = true;
    this.#break(
      new HoldfastError('token_failed', `the token did not answer ${operation} in time; restart the service`, {
        // `hung`: this process cannot end by itself any more, because its threads are waited for.
        details: { operation, milliseconds: this.#timeout, hung: true },
      }),
    );
    this.#worker.unref();
  }

  #break(error: HoldfastError): void {
    if (this.#broken) return;
    this.#broken = error;
    clearTimeout(this.#timer);
    const all = [...this.#underWay, ...this.#waiting];
    this.#underWay = [];
    this.#waiting = [];
    for (const each of all) each.reject(error);
  }
}

function closed(): HoldfastError {
  return new HoldfastError('token_failed', 'the token has been closed; open it again');
}
