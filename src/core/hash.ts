/** SHA-256 and HMAC-SHA256 (FIPS 180-4, RFC 2104): the runtime's own where it has a synchronous one, else @noble/hashes. */

import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as portableSha256 } from '@noble/hashes/sha2.js';
import { nativeCrypto } from './native.ts';

/** 32 bytes. */
export const sha256: (data: Uint8Array) => Uint8Array<ArrayBuffer> = nativeCrypto
  ? (data) => new Uint8Array(nativeCrypto!.createHash('sha256').update(data).digest())
  : (data) => new Uint8Array(portableSha256(data));

/** 32 bytes. */
export const hmacSha256: (key: Uint8Array, data: Uint8Array) => Uint8Array<ArrayBuffer> = nativeCrypto
  ? (key, data) => new Uint8Array(nativeCrypto!.createHmac('sha256', key).update(data).digest())
  : (key, data) => new Uint8Array(hmac(portableSha256, key, data));
