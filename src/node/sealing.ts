/** Opening sealed requests with the token's `session` key: HPKE (RFC 9180), answers as in RFC 9458 section 4.4. */

import { bytesToHex, type Clock, equalBytes, HoldfastError, type Random, systemClock } from '../core/index.ts';
import { newRequestRecipient, type OpenedRequest, type RequestRecipient } from '../crypto/index.ts';
import { encodeOuter, encodeSealingInfo } from '../protocol/index.ts';
import type { Token } from '../token/port.ts';
import type { RequestContext, RequestSealing } from './ports.ts';

/**
 * How long a session is kept for its further requests, in ms, and how many at most; about 1 KB each. Used or not: clients
 * count from their first request, and sign again some time before.
 */
const KEEP_MILLISECONDS = 30_000;
const KEEP_SESSIONS = 4096;

interface Session {
  readonly recipient: RequestRecipient;
  readonly context: RequestContext;
  readonly until: number;
}

/**
 * The Diffie-Hellman step runs in the token, about 0.2 ms, once for the requests of a session that come soon after each other.
 * Answers are bound to the same outer fields.
 */
export function createRequestSealing(
  token: Pick<Token, 'deriveSession' | 'publicKeys'>,
  random: Random,
  clock: Clock = systemClock,
): RequestSealing {
  /** By `enc`, the oldest first. */
  const sessions = new Map<string, Session>();

  function known(name: string): Session | undefined {
    const left = (until: number) => until - clock.now();
    for (const [oldest, { until }] of sessions) {
      // A clock that stepped back must not keep sessions for long.
      if (left(until) > 0 && left(until) <= KEEP_MILLISECONDS) break;
      sessions.delete(oldest);
    }
    return sessions.get(name);
  }

  function keep(name: string, recipient: RequestRecipient, enc: Uint8Array): Session {
    if (sessions.size >= KEEP_SESSIONS) sessions.delete(sessions.keys().next().value!);
    // A copy: the session outlives the message that it came in.
    const context = { enc: enc.slice(), authenticated: undefined };
    const session = { recipient, context, until: clock.now() + KEEP_MILLISECONDS };
    sessions.set(name, session);
    return session;
  }

  return {
    async open(outer, enc, ciphertext) {
      const { fleet, epoch, node } = outer;
      const aad = encodeOuter(outer);
      const answerable = ({ plaintext, sealAnswer }: OpenedRequest, context: RequestContext) => ({
        ...{ plaintext, context },
        sealAnswer: (answer: Uint8Array) => sealAnswer(aad, answer, random),
      });
      const name = bytesToHex(enc);
      // What opened once was derived right: whatever does not open in it is the sender's fault.
      const session = known(name);
      if (session) return answerable(session.recipient.open(aad, ciphertext), session.context);
      // The point is not on the curve: the same refusal as for what does not open, whatever the token calls it.
      const derive = () =>
        token.deriveSession(enc).catch((error: unknown) => {
          if (!(error instanceof HoldfastError) || error.code !== 'malformed') throw error;
          throw new HoldfastError('malformed', 'the request was not sealed to this node’s key', { cause: error });
        });
      const publicKey = token.publicKeys.session;
      const info = encodeSealingInfo({ fleet, epoch, node });
      const openWith = (dh: Uint8Array) => {
        const recipient = newRequestRecipient({ dh, enc, publicKey, info });
        const opened = recipient.open(aad, ciphertext);
        // Another request of the session may have been as early as this one: what was signed in it must not be lost.
        return answerable(opened, (known(name) ?? keep(name, recipient, enc)).context);
      };
      const dh = await derive();
      try {
        return openWith(dh);
      } catch (error) {
        // Before the sender is blamed: a token that erred does not err twice in the same way.
        const again = await derive();
        if (equalBytes(dh, again)) throw error;
        return openWith(again);
      }
    },
  };
}
