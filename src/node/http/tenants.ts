/** The node's file of tenants: whose user tokens it takes. */

import type { JWK } from 'jose';
import { TENANT_ALGORITHMS, type TenantConfiguration } from '../../access/index.ts';
import { type JsonValue, parseJson } from '../../core/index.ts';

/**
 * `{"tenants": [{"issuer", "algorithm", "keys": [public JWK, ...], "recordIdKey"?, "maximumAgeSeconds"?}]}`;
 * `recordIdKey` is 32 bytes in base64url. The keys themselves are checked when the verifier is made.
 * @throws HoldfastError `usage`.
 */
export function parseTenants(text: string): TenantConfiguration[] {
  return parseJson(text, 'usage').object(['tenants']).required('tenants').array(1, 1000).map(readTenant);
}

function readTenant(value: JsonValue): TenantConfiguration {
  const tenant = value.object(['issuer', 'algorithm', 'keys', 'recordIdKey', 'maximumAgeSeconds']);
  const recordIdKey = tenant.optional('recordIdKey')?.bytes(32, 32);
  const maximumAgeSeconds = tenant.optional('maximumAgeSeconds')?.integer(1, 86_400);
  return {
    issuer: tenant.required('issuer').text(1024),
    algorithm: tenant.required('algorithm').word(TENANT_ALGORITHMS),
    keys: tenant
      .required('keys')
      .array(1, 16)
      .map((key) => {
        const { value: jwk } = key;
        return typeof jwk === 'object' && jwk !== null && !Array.isArray(jwk)
          ? (jwk as JWK)
          : key.fail('must be a JWK');
      }),
    ...(recordIdKey && { recordIdKey }),
    ...(maximumAgeSeconds !== undefined && { maximumAgeSeconds }),
  };
}
