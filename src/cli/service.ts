/** How a long-running process learns that it shall end. */

import type { HoldfastError } from '../core/index.ts';

export interface Stopped {
  /** Resolves when the process shall end in good order; rejects with what `fail` was given. */
  readonly promise: Promise<void>;
  fail(error: HoldfastError): void;
}

/** Ends with `signal` and, if `withStdin`, with the end of standard input: the process that holds its other end is gone. */
export function untilStopped(signal: AbortSignal, withStdin: boolean): Stopped {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Whoever fails before anybody waits is heard later.
  promise.catch(() => {});
  if (signal.aborted) resolve();
  signal.addEventListener('abort', () => resolve(), { once: true });
  if (withStdin) {
    process.stdin.once('end', resolve).once('close', resolve).once('error', resolve).resume();
    void promise.then(
      () => process.stdin.destroy(),
      () => process.stdin.destroy(),
    );
  }
  return { promise, fail: reject };
}
