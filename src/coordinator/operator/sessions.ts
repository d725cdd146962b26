/**
 * Who may see the dashboard: whoever has the operator's credential, or a session that began with it.
 *
 * A browser gets a session in a cookie that scripts cannot read and that goes along with no request of another site, so that
 * the credential itself is sent once and kept nowhere in the browser, and signing out ends it. Programs send the credential as
 * a bearer token (RFC 6750) with each request. Both are compared by their SHA-256, in constant time or by a lookup that a
 * guess cannot steer.
 */

import { createHash, timingSafeEqual } from 'node:crypto';
import { type Clock, HoldfastError, type Random, toBase64Url } from '../../core/index.ts';
import { networkOf } from '../../http/index.ts';

/** Characters of a credential. Shorter ones could be guessed. */
export const MINIMUM_CREDENTIAL = 20;
export const MAXIMUM_CREDENTIAL = 512;

const MINUTE = 60_000;
/** Milliseconds after which a session that nobody uses ends, and after which each one does. */
export const IDLE_MILLISECONDS = 30 * MINUTE;
export const SESSION_MILLISECONDS = 12 * 60 * MINUTE;
/** The oldest session ends for one more than these. */
const MAXIMUM_SESSIONS = 64;

/** Wrong credentials from one address in a minute, after which no more are looked at. */
export const MAXIMUM_FAILURES = 10;
/** Addresses that are remembered. */
const MAXIMUM_ADDRESSES = 4096;

export interface SessionsOptions {
  readonly credential: string;
  readonly clock: Clock;
  readonly random: Random;
}

interface Session {
  readonly began: number;
  used: number;
}

export class Sessions {
  readonly #digest: Buffer;
  readonly #clock: Clock;
  readonly #random: Random;
  /** By the SHA-256 of their names, so that what is kept opens nothing. */
  readonly #sessions = new Map<string, Session>();
  readonly #failures = new Map<string, { count: number; since: number }>();

  /** @throws HoldfastError `usage` for a credential that is too short, too long or not printable ASCII. */
  constructor({ credential, clock, random }: SessionsOptions) {
    if (!/^[\x21-\x7e]+$/.test(credential)) {
      throw new HoldfastError('usage', 'the operator’s credential must be printable ASCII without spaces, on one line');
    }
    if (credential.length < MINIMUM_CREDENTIAL || credential.length > MAXIMUM_CREDENTIAL) {
      throw new HoldfastError(
        'usage',
        `the operator’s credential must have ${MINIMUM_CREDENTIAL} to ${MAXIMUM_CREDENTIAL} characters; make a random one`,
      );
    }
    this.#digest = sha256(credential);
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * A new session's name, for the cookie. @throws HoldfastError `not_authenticated`, `rate_limited`.
   * @param address of whoever presents it.
   */
  begin(presented: string, address: string): string {
    this.requireCredential(presented, address);
    const name = toBase64Url(this.#random(32));
    const now = this.#clock.now();
    if (this.#sessions.size >= MAXIMUM_SESSIONS) this.#sessions.delete(this.#sessions.keys().next().value!);
    this.#sessions.set(keyOf(name), { began: now, used: now });
    return name;
  }

  /** @throws HoldfastError `not_authenticated`, with one message for all reasons; `rate_limited`. */
  requireCredential(presented: string, address: string): void {
    const from = networkOf(address);
    this.#requirePatience(from);
    // Also what is too long is hashed, so that nothing is learnt of the length.
    if (timingSafeEqual(sha256(presented), this.#digest)) return;
    this.#failed(from);
    throw notAuthenticated();
  }

  /** Whether a session of this name goes on; it then goes on for longer. */
  continues(name: string): boolean {
    const key = keyOf(name);
    const session = this.#sessions.get(key);
    if (!session) return false;
    const now = this.#clock.now();
    // A clock that stepped back must not make a session last.
    const over = now < session.began || now - session.began >= SESSION_MILLISECONDS;
    if (over || now - session.used >= IDLE_MILLISECONDS) {
      this.#sessions.delete(key);
      return false;
    }
    session.used = now;
    return true;
  }

  end(name: string): void {
    this.#sessions.delete(keyOf(name));
  }

  #requirePatience(from: string): void {
    const failures = this.#failures.get(from);
    if (!failures) return;
    const left = failures.since + MINUTE - this.#clock.now();
    if (left <= 0 || left > MINUTE) this.#failures.delete(from);
    else if (failures.count >= MAXIMUM_FAILURES) {
      const seconds = Math.ceil(left / 1000);
      throw new HoldfastError('rate_limited', `too many wrong credentials; wait ${seconds} s before the next one`, {
        details: { seconds },
      });
    }
  }

  #failed(from: string): void {
    const failures = this.#failures.get(from);
    if (failures) {
      failures.count++;
      return;
    }
    if (this.#failures.size >= MAXIMUM_ADDRESSES) this.#failures.delete(this.#failures.keys().next().value!);
    this.#failures.set(from, { count: 1, since: this.#clock.now() });
  }
}

export function notAuthenticated(): HoldfastError {
  return new HoldfastError('not_authenticated', 'sign in with the operator’s credential of this coordinator');
}

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
const keyOf = (name: string): string => sha256(name).toString('base64url');
