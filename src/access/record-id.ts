/** Record ids that a tenant's users cannot choose: HMAC-SHA256 (RFC 2104) of who the user is. */

import { codec, HoldfastError, hmacSha256 } from '../core/index.ts';

const recordIdInput = codec.message('holdfast/record-id/v1', {
  fleet: codec.text(256),
  issuer: codec.text(1024),
  subject: codec.text(1024),
});

/**
 * The record id, 32 bytes, of one tenant's user in one fleet.
 * @param recordIdKey the tenant's id key, 32 bytes.
 * @throws HoldfastError `usage` for a key of another size.
 */
export function recordId(
  recordIdKey: Uint8Array,
  user: { readonly fleet: string; readonly issuer: string; readonly subject: string },
): Uint8Array<ArrayBuffer> {
  if (recordIdKey.length !== 32) throw new HoldfastError('usage', 'the record id key must have 32 bytes');
  return recordIdInput.use(user, (input) => hmacSha256(recordIdKey, input));
}
