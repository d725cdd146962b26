/** Time and chance as ports, so that the simulation can own both. */

export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. May step backward; no clock affects the guess bound. */
  now(): number;
  /** Resolves after `milliseconds`; rejects with the signal's reason if that aborts first. */
  sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
  /**
   * Calls `what` once after `milliseconds`, unless what this returns is called before. Keeps no process running for that.
   * Where a clock has none, what would be wiped by it is wiped at the next use.
   */
  later?(milliseconds: number, what: () => void): () => void;
}

/** `length` bytes from a cryptographic generator. */
export type Random = (length: number) => Uint8Array;

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: (milliseconds, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, milliseconds);
      const onAbort = () => {
        clearTimeout(timer);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
  later(milliseconds, what) {
    const timer: unknown = setTimeout(what, milliseconds);
    // Node's timers keep the process running unless told otherwise; a browser's are numbers.
    (timer as { unref?: () => void }).unref?.();
    return () => clearTimeout(timer as ReturnType<typeof setTimeout>);
  },
};

export const systemRandom: Random = (length) => crypto.getRandomValues(new Uint8Array(length));
