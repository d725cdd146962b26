/** The real check of a client: the tenant's user token, and the client key's signature bound to it (section 6). */

import { createUserTokenVerifier, type TenantConfiguration, verifyClientSignature } from '../access/index.ts';
import { type Clock, equalBytes, HoldfastError } from '../core/index.ts';
import { encodeOuter } from '../protocol/index.ts';
import type { ClientAuthentication } from './ports.ts';

export interface ClientAuthenticationOptions {
  /** The only audience whose tokens are taken. */
  readonly fleet: string;
  readonly tenants: readonly TenantConfiguration[];
  readonly clock: Clock;
}

/**
 * About 0.1 ms for each signature: of a token not seen before, and of the client for a context or a request. What comes in a
 * context that was signed for, with the token that it was signed for, costs next to nothing.
 * @throws HoldfastError `usage` for a bad tenant.
 */
export function createClientAuthentication(options: ClientAuthenticationOptions): ClientAuthentication {
  const verify = createUserTokenVerifier(options);
  return {
    async check(outer, content, context) {
      const { clientKey, tokenHash } = await verify(content.userToken, {
        operation: outer.operation,
        record: outer.record,
      });
      const { version, clientSignature } = content;
      if (!clientSignature) {
        if (context.authenticated && equalBytes(context.authenticated, tokenHash)) return;
        throw refusal();
      }
      const enc = version === 1 ? undefined : context.enc;
      if (!verifyClientSignature(clientKey, encodeOuter(outer), tokenHash, clientSignature, enc)) throw refusal();
      // The signature of version 1 names no context: whoever came by one could show it in a context of their own.
      if (version === 2) context.authenticated = tokenHash;
    },
  };
}

/** The verifier's own words: from outside, one refusal looks like another. */
function refusal(): HoldfastError {
  return new HoldfastError('forbidden', 'the user token does not allow this; get a new one from your service', {
    details: { reason: 'client_signature' },
  });
}
