/** The workers of one token: opened and closed together, the least loaded one asked first. */

import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { Worker } from 'node:worker_threads';
import { HoldfastError, type Secret } from '../../core/index.ts';
import { TOKEN_SECONDS, type TokenDescription, type TokenUsage } from '../port.ts';
import type { SignatureCheck } from '../signature.ts';
import { Channel, type WorkerLike } from './channel.ts';
import type { TokenSelector } from './connection.ts';
import type { OperationName, Operations, WorkerSetup } from './messages.ts';
import { enterModule, leaveModule, resolveModule } from './process.ts';

/** How to reach a token. */
export interface TokenAccess extends TokenSelector {
  /** Path of the PKCS#11 module, a shared library. */
  readonly module: string;
  readonly pin: Secret;
  /** Text for the module’s C_Initialize, where it wants some (NSS softokn: `configdir='sql:/folder'`). */
  readonly moduleParameters?: string;
  /** Threads that call the module, 1 to 8; default 1. More help only where the module does not lock everything. */
  readonly workers?: number;
  /**
   * Milliseconds for one batch of calls; then the token counts as hung until the process restarts. Default `COMMAND_TIMEOUT`:
   * services have settings of their own.
   */
  readonly timeout?: number;
}

/**
 * Milliseconds that a command gives a token, for which somebody waits and can end it: nobody is served meanwhile, and what is given
 * up half-way has to be made anew. Slow hardware takes long for a key, and a busy machine for whatever has to be durable.
 */
export const COMMAND_TIMEOUT = 120_000;

/** Makes a worker thread; a test may pass its own. */
export type Spawn = (setup: WorkerSetup) => WorkerLike;

/** MiB: half of the nursery of a thread that calls the module, which keeps next to nothing. */
const THREAD_SEMI_SPACE = 1;

const spawnThread: Spawn = (setup) => {
  // A nursery for a service's main thread (fleet-common.ts) would be 32 MiB more for each of these threads. Such a flag goes
  // before a thread's own `resourceLimits`; the engine reads it when it makes a thread, and the main thread has its own.
  for (const end of ['min', 'max']) setFlagsFromString(`--${end}-semi-space-size=${THREAD_SEMI_SPACE}`);
  return new Worker(new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js', import.meta.url), {
    workerData: setup,
    name: 'pkcs11',
    execArgv: [], // flags that suit the main script (--input-type, --eval) may be refused for a thread
  });
};

interface Measured {
  count: number;
  nanoseconds: number;
  /** As `TokenUsage.durations`. */
  readonly durations: number[];
}

export class WorkerPool {
  readonly #channels: Channel[];
  readonly #module: string;
  readonly #usage = new Map<string, Measured>();
  #closed: Promise<void> | undefined;

  private constructor(access: TokenAccess, spawn: Spawn) {
    const workers = access.workers ?? 1;
    if (!Number.isInteger(workers) || workers < 1 || workers > 8) {
      throw new HoldfastError('usage', 'a token has 1 to 8 workers');
    }
    this.#module = resolveModule(access.module);
    const { slot, label, serial, moduleParameters } = access;
    const selector = {
      ...(slot !== undefined && { slot }),
      ...(label !== undefined && { label }),
      ...(serial !== undefined && { serial }),
    };
    this.#channels = Array.from({ length: workers }, () => {
      const setup = {
        module: this.#module,
        selector,
        pin: Uint8Array.from(access.pin.reveal()),
        ...(moduleParameters !== undefined && { parameters: moduleParameters }),
      };
      const channel = new Channel(spawn(setup), access.timeout ?? COMMAND_TIMEOUT, (timings) => {
        for (const [operation, count, nanoseconds] of timings) this.count(operation, count, nanoseconds);
      });
      setup.pin.fill(0);
      return channel;
    });
  }

  /** Starts the workers and logs in, one after the other: one wrong PIN costs one try. @throws HoldfastError. */
  static async open(
    access: TokenAccess,
    spawn: Spawn = spawnThread,
  ): Promise<{ pool: WorkerPool; description: TokenDescription }> {
    let pool: WorkerPool | undefined;
    return enterModule(
      resolveModule(access.module),
      async () => {
        pool = new WorkerPool(access, spawn);
        let description: TokenDescription | undefined;
        for (const channel of pool.#channels) description = await channel.call('open', {});
        return { pool, description: description! };
      },
      async (finalize) => {
        if (pool) await pool.#end(finalize);
      },
    );
  }

  /** Asks the worker with the least to do. */
  call<N extends OperationName>(operation: N, input: Operations[N]['input']): Promise<Operations[N]['output']> {
    const channel = this.#channels.reduce((best, each) => (each.load < best.load ? each : best));
    return this.#callOn(channel, operation, input);
  }

  /** Asks the first worker, for what must happen in order. */
  callFirst<N extends OperationName>(operation: N, input: Operations[N]['input']): Promise<Operations[N]['output']> {
    return this.#callOn(this.#channels[0]!, operation, input);
  }

  /** Asks every worker. */
  callAll<N extends OperationName>(operation: N, input: Operations[N]['input']): Promise<Operations[N]['output'][]> {
    return Promise.all(this.#channels.map((channel) => this.#callOn(channel, operation, input)));
  }

  /** One hung or dead worker makes all unusable: what it left inside the module is unknown. */
  #callOn<N extends OperationName>(
    channel: Channel,
    operation: N,
    input: Operations[N]['input'],
  ): Promise<Operations[N]['output']> {
    const broken = this.#channels.find((each) => each.broken)?.broken;
    return broken ? Promise.reject(broken) : channel.call(operation, input);
  }

  count(operation: string, count: number, nanoseconds = 0): void {
    let entry = this.#usage.get(operation);
    if (!entry) {
      entry = { count: 0, nanoseconds: 0, durations: new Array<number>(TOKEN_SECONDS.length + 1).fill(0) };
      this.#usage.set(operation, entry);
    }
    entry.count += count;
    entry.nanoseconds += nanoseconds;
    if (nanoseconds === 0) return;
    // Several in one call of the module: each took its part.
    const seconds = nanoseconds / count / 1e9;
    let i = 0;
    while (i < TOKEN_SECONDS.length && seconds > TOKEN_SECONDS[i]!) i++;
    entry.durations[i]! += count;
  }

  usage(): TokenUsage[] {
    return [...this.#usage].map(([operation, { count, nanoseconds, durations }]) => ({
      operation,
      count,
      seconds: nanoseconds / 1e9,
      durations: [...durations],
    }));
  }

  /** Drains all workers; the process's last user of the module finalizes it, in its last worker. */
  close(): Promise<void> {
    this.#closed ??= leaveModule(this.#module, (finalize) => this.#end(finalize));
    return this.#closed;
  }

  async #end(finalize: boolean): Promise<void> {
    const [last, ...others] = this.#channels;
    for (const channel of others) await channel.close(false);
    // Never while a hung call may still be inside the module.
    await last!.close(finalize && !this.#channels.some((channel) => channel.hung));
  }
}

/**
 * For how many milliseconds a token that is not there is looked for, how often at the least, and the milliseconds between: another
 * process may stand still in the middle of what hides it.
 */
const LOOK_FOR = 2000;
const LOOKS = 5;
const BETWEEN_LOOKS = 100;

/**
 * SoftHSM writes a token's flags at each login. Another process that looks at that moment finds no token, or gets CKR_GENERAL_ERROR for
 * one that it asks about, its own or any other: so it looks again. Nothing of this has a PIN in it: what a login fails with is final.
 */
async function openPool(access: TokenAccess, spawn: Spawn | undefined) {
  const end = performance.now() + LOOK_FOR;
  for (let look = 1; ; look++) {
    try {
      return await WorkerPool.open(access, spawn);
    } catch (error) {
      const isHidden = error instanceof HoldfastError && error.details.operation === 'open' && mayBeHidden(error);
      if (!isHidden || (look >= LOOKS && performance.now() >= end)) throw error;
      await setTimeout(BETWEEN_LOOKS);
    }
  }
}

const mayBeHidden = ({ details: { ckr } }: HoldfastError): boolean =>
  ckr === 'CKR_TOKEN_NOT_PRESENT' || ckr === 'CKR_GENERAL_ERROR';

/** Opens workers for `body`, and closes them if it fails. */
export async function withPool<T>(
  access: TokenAccess,
  spawn: Spawn | undefined,
  body: (pool: WorkerPool, description: TokenDescription) => Promise<T>,
): Promise<T> {
  const { pool, description } = await openPool(access, spawn);
  try {
    return await body(pool, description);
  } catch (error) {
    await pool.close();
    throw error;
  }
}

/** Signs with `key` and lets the signature out if it is right (about 0.06 ms). @throws HoldfastError `token_*`. */
export async function signReleased(
  pool: WorkerPool,
  key: string,
  check: SignatureCheck,
  message: Uint8Array,
): Promise<Uint8Array> {
  return released(pool, check, message, await pool.call('sign', { key, message }));
}

/** As `signReleased`, of what the token has made. */
export function released(pool: WorkerPool, check: SignatureCheck, message: Uint8Array, made: Uint8Array): Uint8Array {
  try {
    return check.release(message, made);
  } catch (error) {
    pool.count('fault', 1);
    throw error;
  }
}
