/** The client's side: its key, its signature over a request, and what it reads in its token. */

import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  clientKeyFromJwk,
  clientKeyToJwk,
  generateClientKey,
  hashUserToken,
  readUserToken,
  signAsClient,
  verifyClientSignature,
} from '../../src/access/client.ts';
import { bytesToHex, hexToBytes, sha256, utf8 } from '../../src/core/index.ts';
import { createTenant, FLEET, clientKey as fixtureKey, ISSUER, NOW, RECORD, signToken } from './fixtures.ts';

const outer = utf8('outer fields');
const hash = sha256(utf8('token'));

describe('the client’s signature', () => {
  const key = generateClientKey((length) => new Uint8Array(length).fill(9));

  it('verifies, and over nothing else', () => {
    const signature = signAsClient(key, outer, hash);
    expect(verifyClientSignature(key.publicKey, outer, hash, signature)).toBe(true);
    expect(verifyClientSignature(key.publicKey, utf8('outer field'), hash, signature)).toBe(false);
    expect(verifyClientSignature(key.publicKey, outer, sha256(hash), signature)).toBe(false);
    expect(verifyClientSignature(generateClientKey().publicKey, outer, hash, signature)).toBe(false);
  });

  it('for a context verifies for that context, and is not one for a request alone', () => {
    const [enc, other] = [new Uint8Array(65).fill(4), new Uint8Array(65).fill(5)];
    const signature = signAsClient(key, outer, hash, enc);
    expect(verifyClientSignature(key.publicKey, outer, hash, signature, enc)).toBe(true);
    expect(verifyClientSignature(key.publicKey, outer, hash, signature, other)).toBe(false);
    expect(verifyClientSignature(key.publicKey, outer, hash, signature)).toBe(false);
    expect(verifyClientSignature(key.publicKey, outer, hash, signAsClient(key, outer, hash), enc)).toBe(false);
    expect(verifyClientSignature(key.publicKey, utf8('outer field'), hash, signature, enc)).toBe(false);
    expect(verifyClientSignature(key.publicKey, outer, sha256(hash), signature, enc)).toBe(false);
    expect(verifyClientSignature(key.publicKey, outer, hash, signature, enc.subarray(1))).toBe(false);
    expect(() => signAsClient(key, outer, hash, enc.subarray(1))).toThrow(
      expect.objectContaining({ code: 'malformed' }),
    );
  });

  it('is over these exact bytes', () => {
    const field = (bytes: Uint8Array) => `${bytes.length.toString(16).padStart(8, '0')}${bytesToHex(bytes)}`;
    const message = hexToBytes([utf8('holdfast/client-signature/v1'), outer, hash].map(field).join(''));
    expect(bytesToHex(signAsClient(key, outer, hash))).toBe(bytesToHex(key.sign(message)));
    const enc = new Uint8Array(65).fill(4);
    const forContext = hexToBytes([utf8('holdfast/client-signature/v2'), outer, enc, hash].map(field).join(''));
    expect(bytesToHex(signAsClient(key, outer, hash, enc))).toBe(bytesToHex(key.sign(forContext)));
  });

  it('is false, not an error, for arguments of any size', () => {
    const bytes = fc.uint8Array({ maxLength: 70 });
    fc.assert(
      fc.property(bytes, bytes, bytes, bytes, (...[publicKey, text, tokenHash, signature]) => {
        expect(verifyClientSignature(publicKey, text, tokenHash, signature)).toBe(false);
      }),
    );
    expect(verifyClientSignature(key.publicKey, new Uint8Array(65_537), hash, new Uint8Array(64))).toBe(false);
  });

  it('is not made for arguments of a wrong size', () => {
    expect(() => signAsClient(key, outer, hash.subarray(1))).toThrow(expect.objectContaining({ code: 'malformed' }));
    expect(() => signAsClient(key, new Uint8Array(65_537), hash)).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
  });
});

describe('the client’s key', () => {
  it('survives its file', () => {
    const key = generateClientKey();
    const again = clientKeyFromJwk(JSON.parse(JSON.stringify(clientKeyToJwk(key))));
    expect(again.publicKey).toEqual(key.publicKey);
    expect(verifyClientSignature(key.publicKey, outer, hash, signAsClient(again, outer, hash))).toBe(true);
  });

  it('shows itself nowhere else', () => {
    const key = generateClientKey();
    const { d } = clientKeyToJwk(key);
    const hex = bytesToHex(key.secretKey.reveal());
    for (const text of [inspect(key, { depth: 9 }), JSON.stringify(key), `${key.secretKey}`]) {
      expect(text).not.toContain(d);
      expect(text).not.toContain(hex);
    }
  });

  it('is read strictly, and a refusal does not quote it', () => {
    const jwk = clientKeyToJwk(generateClientKey());
    const { d: _, ...publicHalf } = jwk;
    const wrong = [
      undefined,
      null,
      'text',
      [],
      {},
      publicHalf,
      { ...jwk, x: clientKeyToJwk(generateClientKey()).x },
      { ...jwk, crv: 'X25519' },
      { ...jwk, kty: 'EC' },
      { ...jwk, d: jwk.d.slice(1) },
      { ...jwk, d: `${jwk.d}=` },
      { ...jwk, d: 7 },
    ];
    for (const each of wrong) {
      let error: unknown;
      try {
        clientKeyFromJwk(each);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toMatchObject({ code: 'bad_input' });
      expect(inspect(error)).not.toContain(jwk.d.slice(1));
    }
  });
});

describe('the client’s token', () => {
  it('tells what it allows', async () => {
    const { privateKey } = await createTenant('EdDSA');
    const token = await signToken(privateKey);
    expect(readUserToken(token)).toEqual({
      issuer: ISSUER,
      subject: 'user-1',
      audience: FLEET,
      issuedAt: NOW,
      notBefore: undefined,
      expiresAt: NOW + 600_000,
      operations: ['status', 'attempt', 'confirm'],
      clientKey: fixtureKey.publicKey,
      record: RECORD,
    });
    expect(hashUserToken(token)).toEqual(sha256(utf8(token)));
    expect(() => readUserToken(`${token}.`)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});
