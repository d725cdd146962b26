/**
 * The Web Cryptography engine that @peculiar/x509 works with: @peculiar/webcrypto, except that a signature by the
 * certificate authority's key is made in the token.
 */

import './reflect.ts';
import { Crypto } from '@peculiar/webcrypto';
import * as x509 from '@peculiar/x509';
import { HoldfastError } from '../core/index.ts';
import type { TokenSigner } from '../token/port.ts';

export { x509 };

/** ECDSA on P-256 (FIPS 186-5), the only algorithm of Holdfast's certificates. */
export const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

const SIGNATURE_BYTES = 64;

/** Software keys only: makes leaf keys and verifies signatures. */
export const softwareEngine = new Crypto();

/** Stands where Web Cryptography wants a private key. Nothing of the key is in it. */
class TokenKey implements CryptoKey {
  readonly type = 'private';
  readonly algorithm = ECDSA_P256;
  readonly extractable = false;
  readonly usages: KeyUsage[] = ['sign'];
}

/** A `Crypto` in which `authorityKey` signs through the token; every other operation is the software engine's. */
export class TokenCrypto extends Crypto {
  readonly authorityKey: CryptoKey = new TokenKey();

  constructor(signer: TokenSigner) {
    super();
    const software = this.subtle;
    const authorityKey = this.authorityKey;
    const sign: SubtleCrypto['sign'] = async (algorithm, key, data) => {
      if (key !== authorityKey) return software.sign(algorithm, key, data);
      const message = ArrayBuffer.isView(data)
        ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
        : new Uint8Array(data);
      const signature = await signer.sign(message);
      if (signature.length !== SIGNATURE_BYTES) {
        throw new HoldfastError('token_failed', 'the token’s signature has a wrong length; check the token’s module');
      }
      return new Uint8Array(signature).buffer;
    };
    this.subtle = Object.create(software, { sign: { value: sign } }) as SubtleCrypto;
  }
}
