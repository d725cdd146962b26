/** The real check of a client: the tenant's user token, and the client key's signature bound to it (section 6). */

import { createUserTokenVerifier, type TenantConfiguration, verifyClientSignature } from '../access/index.ts';
import { type Clock, HoldfastError } from '../core/index.ts';
import { encodeOuter } from '../protocol/index.ts';
import type { ClientAuthentication } from './ports.ts';

export interface ClientAuthenticationOptions {
  /** The only audience whose tokens are taken. */
  readonly fleet: string;
  readonly tenants: readonly TenantConfiguration[];
  readonly clock: Clock;
}

/** About 0.3 ms for a token not seen before, 0.1 ms for one that was. @throws HoldfastError `usage` for a bad tenant. */
export function createClientAuthentication(options: ClientAuthenticationOptions): ClientAuthentication {
  const verify = createUserTokenVerifier(options);
  return {
    async check(outer, userToken, clientSignature) {
      const user = await verify(userToken, { operation: outer.operation, record: outer.record });
      if (verifyClientSignature(user.clientKey, encodeOuter(outer), user.tokenHash, clientSignature)) return;
      // The verifier's own words: from outside, one refusal looks like another.
      throw new HoldfastError('forbidden', 'the user token does not allow this; get a new one from your service', {
        details: { reason: 'client_signature' },
      });
    },
  };
}
