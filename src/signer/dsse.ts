/** Signing DSSE envelopes (secure-systems-lab/dsse, protocol.md v1.0.2) with keys on tokens; src/evidence has the rest. */

import { type DsseEnvelope, preAuthenticationEncoding } from '../evidence/index.ts';
import type { SigningKey } from '../token/port.ts';
import { ecdsaToDer, toBase64 } from '../trust/index.ts';

/**
 * Signs `payload` with `key`: Ed25519 over the encoding, or ECDSA with SHA-256 in DER, as cosign verifies them.
 * @throws whatever the key throws.
 */
export async function signDsse(payloadType: string, payload: Uint8Array, key: SigningKey): Promise<DsseEnvelope> {
  const raw = await key.sign(preAuthenticationEncoding(payloadType, payload));
  const sig = toBase64(key.algorithm === 'P-256' ? ecdsaToDer(raw) : raw);
  return { payloadType, payload: toBase64(payload), signatures: [{ sig }] };
}
