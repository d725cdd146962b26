/** How a long-running process learns that it shall end. */

import type { HoldfastError } from '../core/index.ts';

export interface Stopped extends Disposable {
  /** Resolves when the process shall end in good order; rejects with what `fail` was given. */
  readonly promise: Promise<void>;
  fail(error: HoldfastError): void;
}

/**
 * Ends with `signal` and, if `withStdin`, with the end of standard input: the process that holds its other end is gone.
 * Disposing it lets go of standard input, which else keeps the process alive.
 */
export function untilStopped(signal: AbortSignal, withStdin: boolean): Stopped {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever fails before anybody waits is heard later.
  promise.catch(() => {});
  if (signal.aborted) resolve();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (withStdin) process.stdin.once('end', resolve).once('close', resolve).once('error', resolve).resume();
  return {
    promise,
    fail: reject,
    [Symbol.dispose]: () => {
      if (withStdin) process.stdin.destroy();
    },
  };
}
