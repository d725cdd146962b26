/**
 * Watches a node's token: says when it begins to fail and when it is well again, and gives it up after a while, so that
 * the process restarts and opens it anew. Every single failure is its caller's in any case: nothing is ever made up.
 */

import { asHoldfastError, type Clock, type ErrorCode, HoldfastError, utf8 } from '../core/index.ts';
import type { Token } from '../token/port.ts';

export interface TokenWatchOptions {
  readonly clock: Clock;
  /** Called when the token begins to fail. */
  readonly onFailing: (error: HoldfastError) => void;
  /** Called when it works again. */
  readonly onWell: () => void;
  /** Called once, when it has failed for about five seconds, or a call of it has not returned at all. */
  readonly onLost: (error: HoldfastError) => void;
}

/** Of the token itself; `malformed` and the like are the caller's fault. */
const FAILURES: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['token_failed', 'token_removed', 'token_pin_locked']);
/** Milliseconds between two tries of a failing token, and for how many tries it may fail: about 5 s. */
const PAUSE = 500;
const TRIES = 10;
/** No message that the anchor key ever authenticates begins like this. */
const PROBE = utf8('holdfast/token-probe/v1');

type Methods = Pick<
  Token,
  'sign' | 'deriveSession' | 'evaluate' | 'anchorMac' | 'readAnchors' | 'writeAnchor' | 'anchorThenSign'
>;

export class TokenWatch {
  /** The token to use: as the one that is watched. Closing it ends the watch. */
  readonly token: Token;
  readonly #options: TokenWatchOptions;
  readonly #closed = new AbortController();
  #failing: HoldfastError | undefined;

  constructor(token: Token, options: TokenWatchOptions) {
    this.#options = options;
    const watched =
      <A extends readonly unknown[], R>(method: (...args: A) => Promise<R>) =>
      async (...args: A): Promise<R> => {
        try {
          const result = await method.apply(token, args as never);
          if (result instanceof HoldfastError) this.#failed(token, result);
          return result;
        } catch (thrown) {
          this.#failed(token, thrown);
          throw thrown;
        }
      };
    const methods: Methods = {
      sign: watched(token.sign),
      deriveSession: watched(token.deriveSession),
      evaluate: watched(token.evaluate),
      anchorMac: watched(token.anchorMac),
      readAnchors: watched(token.readAnchors),
      writeAnchor: watched(token.writeAnchor),
      anchorThenSign: watched(token.anchorThenSign),
    };
    const { description, publicKeys, keysCreatedAt, rollbackResistant } = token;
    this.token = {
      ...{ description, publicKeys, keysCreatedAt, rollbackResistant },
      ...methods,
      usage: () => token.usage(),
      close: () => {
        this.#closed.abort();
        return token.close();
      },
    };
  }

  /** Why the token does not work now, or undefined. */
  get failing(): HoldfastError | undefined {
    return this.#failing;
  }

  #failed(token: Token, thrown: unknown): void {
    const error = asHoldfastError(thrown);
    if (!FAILURES.has(error.code) || this.#failing || this.#closed.signal.aborted) return;
    this.#failing = error;
    this.#options.onFailing(error);
    void this.#watch(token, error);
  }

  /** One failed call may be chance, so the token is tried by itself until it works or is given up. */
  async #watch(token: Token, first: HoldfastError): Promise<void> {
    const { clock, onWell, onLost } = this.#options;
    const { signal } = this.#closed;
    let last = first;
    for (let i = 0; i < TRIES; i++) {
      try {
        await token.anchorMac(PROBE);
        this.#failing = undefined;
        onWell();
        return;
      } catch (thrown) {
        last = asHoldfastError(thrown);
      }
      // A call that never returned is still inside the module: only another process gets past it.
      if (last.details.hung === true) break;
      await clock.sleep(PAUSE, signal).catch(() => {});
      if (signal.aborted) return;
    }
    const message = `the token has stopped working (${last.message}); check it, the node must restart`;
    onLost(new HoldfastError(last.code, message, { cause: last, details: last.details }));
  }
}
