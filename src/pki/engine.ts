/**
 * Web Cryptography (W3C, level 2) in which keys on tokens sign, for @peculiar/x509 and for whatever else takes a `Crypto`:
 * @peculiar/webcrypto, except that a signature by a token's key is made in the token.
 *
 * jose is an exception: it signs through the runtime's own `crypto.subtle`, which takes none but its own keys, so a JWS is
 * made by `signJws` (src/signer). It verifies with a public key's JWK.
 */

import './reflect.ts';
import { Crypto as SoftwareCrypto } from '@peculiar/webcrypto';
import * as x509 from '@peculiar/x509';
import { HoldfastError } from '../core/index.ts';
import type { SigningKey } from '../token/port.ts';

export { x509 };

/** ECDSA on P-256 (FIPS 186-5), the only algorithm of the fleet's certificates. */
export const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;

/** Software keys only: makes leaf keys and verifies signatures. */
export const softwareEngine: Crypto = new SoftwareCrypto();

const SIGNATURE_BYTES = 64;
const FORMATS = ['spki', 'raw', 'jwk'];

/** Stands where Web Cryptography wants a private key. Nothing of the key is in it. */
class TokenKey implements CryptoKey {
  readonly type = 'private';
  readonly algorithm: KeyAlgorithm;
  readonly extractable = false;
  readonly usages: KeyUsage[] = ['sign'];

  constructor(algorithm: KeyAlgorithm) {
    this.algorithm = algorithm;
  }

  get [Symbol.toStringTag](): string {
    return 'CryptoKey';
  }
}

const fault = (name: string, problem: string) => new DOMException(problem, name);

/** A `Crypto` whose token keys sign through their tokens; every other operation is the software engine's. */
export class TokenCrypto implements Crypto {
  readonly subtle: SubtleCrypto;
  readonly #keys = new Map<CryptoKey, SigningKey>();

  constructor() {
    const own: Partial<SubtleCrypto> = {
      sign: (algorithm, key, data) => this.#sign(algorithm, key, data),
      exportKey: ((format: KeyFormat, key: CryptoKey) => this.#export(format, key)) as SubtleCrypto['exportKey'],
    };
    const software = softwareEngine.subtle;
    this.subtle = new Proxy(software, {
      get: (_, name) => {
        const value: unknown = own[name as keyof SubtleCrypto] ?? software[name as keyof SubtleCrypto];
        // They want to be called on the object itself.
        return typeof value === 'function' ? value.bind(software) : value;
      },
    });
  }

  /**
   * The pair of a token's key: `privateKey` signs through this object only and is not extractable; `publicKey` is the
   * software engine's, for `verify` and `exportKey` ('spki', 'raw', 'jwk'). @throws HoldfastError `bad_input` for a bad key.
   */
  async keyPair(key: SigningKey): Promise<CryptoKeyPair> {
    const algorithm = key.algorithm === 'Ed25519' ? { name: 'Ed25519' } : ECDSA_P256;
    let publicKey: CryptoKey;
    try {
      publicKey = await softwareEngine.subtle.importKey('raw', new Uint8Array(key.publicKey), algorithm, true, [
        'verify',
      ]);
    } catch (cause) {
      throw new HoldfastError('bad_input', `the public key is none of ${key.algorithm}`, { cause });
    }
    const privateKey = new TokenKey(algorithm);
    this.#keys.set(privateKey, key);
    return { privateKey, publicKey };
  }

  getRandomValues<T extends ArrayBufferView>(array: T): T {
    return softwareEngine.getRandomValues(array as never) as T;
  }

  randomUUID(): `${string}-${string}-${string}-${string}-${string}` {
    return softwareEngine.randomUUID();
  }

  async #sign(algorithm: AlgorithmIdentifier, key: CryptoKey, data: BufferSource): Promise<ArrayBuffer> {
    const signer = this.#keys.get(key);
    if (!signer) return softwareEngine.subtle.sign(algorithm, key, data);
    const { name, hash } = (typeof algorithm === 'string' ? { name: algorithm } : algorithm) as EcdsaParams;
    if (name !== key.algorithm.name) throw fault('InvalidAccessError', `the key is not one of ${name}`);
    const digest = typeof hash === 'string' ? hash : hash?.name;
    if (name === 'ECDSA' && digest !== 'SHA-256')
      throw fault('NotSupportedError', 'the token’s key signs SHA-256 only');
    const message = ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);
    const signature = await signer.sign(message);
    if (signature.length !== SIGNATURE_BYTES) {
      throw new HoldfastError('token_failed', 'the token’s signature has a wrong length; check the token’s module');
    }
    return new Uint8Array(signature).buffer;
  }

  async #export(format: KeyFormat, key: CryptoKey): Promise<ArrayBuffer | JsonWebKey> {
    if (this.#keys.has(key)) throw fault('InvalidAccessError', 'a token’s private key cannot be exported');
    if (key.type === 'public' && !FORMATS.includes(format)) {
      throw fault('NotSupportedError', `a public key has the forms ${FORMATS.join(', ')}`);
    }
    return softwareEngine.subtle.exportKey(format as 'spki', key);
  }
}
