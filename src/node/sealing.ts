/** Opening sealed requests with the token's `session` key: HPKE (RFC 9180), answers as in RFC 9458 section 4.4. */

import { equalBytes, HoldfastError, type Random } from '../core/index.ts';
import { type OpenedRequest, openRequest } from '../crypto/index.ts';
import { encodeOuter, encodeSealingInfo } from '../protocol/index.ts';
import type { Token } from '../token/port.ts';
import type { RequestSealing } from './ports.ts';

/** The Diffie-Hellman step runs in the token; about 0.2 ms. Answers are bound to the same outer fields. */
export function createRequestSealing(
  token: Pick<Token, 'deriveSession' | 'publicKeys'>,
  random: Random,
): RequestSealing {
  return {
    async open(outer, enc, ciphertext) {
      const { fleet, epoch, node } = outer;
      const aad = encodeOuter(outer);
      // The point is not on the curve: the same refusal as for what does not open, whatever the token calls it.
      const derive = () =>
        token.deriveSession(enc).catch((error: unknown) => {
          if (!(error instanceof HoldfastError) || error.code !== 'malformed') throw error;
          throw new HoldfastError('malformed', 'the request was not sealed to this node’s key', { cause: error });
        });
      const publicKey = token.publicKeys.session;
      const info = encodeSealingInfo({ fleet, epoch, node });
      const openWith = (dh: Uint8Array) => openRequest({ dh, enc, publicKey, info, aad, ciphertext });
      const dh = await derive();
      let opened: OpenedRequest;
      try {
        opened = openWith(dh);
      } catch (error) {
        // Before the sender is blamed: a token that erred does not err twice in the same way.
        const again = await derive();
        if (equalBytes(dh, again)) throw error;
        opened = openWith(again);
      }
      return {
        plaintext: opened.plaintext,
        sealAnswer: (answer) => opened.sealAnswer(aad, answer, random),
      };
    },
  };
}
