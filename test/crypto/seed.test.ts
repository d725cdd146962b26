import { inspect } from 'node:util';
import { ed25519 } from '@noble/curves/ed25519.js';
import { hkdf as nobleHkdf } from '@noble/hashes/hkdf.js';
import { sha256 as nobleSha256 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, codec, hexToBytes, Secret, utf8 } from '../../src/core/index.ts';
import { portableEd25519 } from '../../src/crypto/ed25519.ts';
import { deriveKeys, ed25519KeyFromSeed, newSeed, signEd25519, verifyEd25519 } from '../../src/crypto/index.ts';

const seedOf = (byte: number) => new Secret(new Uint8Array(32).fill(byte));

describe('deriveKeys', () => {
  test('gives these keys, by HKDF over a labelled info', () => {
    const keys = deriveKeys(seedOf(1));
    const expected = (label: string) =>
      nobleHkdf(nobleSha256, new Uint8Array(32).fill(1), undefined, codec.message(label, {}).encode({}), 32);
    expect(bytesToHex(keys.encryptionKey.reveal())).toBe(bytesToHex(expected('holdfast v1 encryption key')));
    expect(bytesToHex(keys.confirmKey.publicKey)).toBe(
      bytesToHex(ed25519.getPublicKey(expected('holdfast v1 confirm key'))),
    );
    expect(bytesToHex(keys.ownerKey.publicKey)).toBe(
      bytesToHex(ed25519.getPublicKey(expected('holdfast v1 owner key'))),
    );
  });

  test('shares no key between purposes or seeds', () => {
    const all = [1, 2].flatMap((byte) => {
      const keys = deriveKeys(seedOf(byte));
      return [keys.encryptionKey, keys.confirmKey.secretKey, keys.ownerKey.secretKey].map((key) =>
        bytesToHex(key.reveal()),
      );
    });
    expect(new Set(all).size).toBe(6);
  });

  test('makes keys whose signatures verify under their own public key only', () => {
    const { confirmKey, ownerKey } = deriveKeys(newSeed());
    const signature = confirmKey.sign(utf8('statement'));
    expect(verifyEd25519(confirmKey.publicKey, utf8('statement'), signature)).toBe(true);
    expect(verifyEd25519(ownerKey.publicKey, utf8('statement'), signature)).toBe(false);
  });

  test('prints no secret', () => {
    const seed = new Secret(new Uint8Array(32).fill(0xab));
    const keys = deriveKeys(seed);
    const hidden = [seed, keys.encryptionKey, keys.confirmKey.secretKey, keys.ownerKey.secretKey];
    const printed = inspect({ seed, keys }, { depth: 9, showHidden: true }) + JSON.stringify({ seed, keys });
    for (const secret of hidden) {
      expect(printed).not.toContain(bytesToHex(secret.reveal()));
      expect(printed).not.toContain([...secret.reveal()].slice(0, 8).join(', '));
    }
  });

  test('refuses a seed of another length', () => {
    for (const length of [0, 31, 33]) {
      expect(() => deriveKeys(new Secret(new Uint8Array(length)))).toThrow(
        expect.objectContaining({ code: 'bad_input' }),
      );
    }
  });
});

test('a new seed is the 32 bytes that the generator gave', () => {
  expect(bytesToHex(newSeed((length) => new Uint8Array(length).fill(5)).reveal())).toBe('05'.repeat(32));
  expect(bytesToHex(newSeed().reveal())).not.toBe(bytesToHex(newSeed().reveal()));
});

describe('Ed25519 keys', () => {
  test('give the signature of RFC 8032 section 7.1, test 2', () => {
    const secret = new Secret(hexToBytes('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb'));
    const key = ed25519KeyFromSeed(secret);
    expect(bytesToHex(key.publicKey)).toBe('3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c');
    expect(bytesToHex(key.sign(Uint8Array.of(0x72)))).toBe(
      '92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00',
    );
  });

  test('are the same by the native and the portable implementation', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ maxLength: 200 }),
        (bytes, message) => {
          const key = ed25519KeyFromSeed(new Secret(bytes));
          expect(bytesToHex(key.publicKey)).toBe(bytesToHex(portableEd25519.publicKey(bytes)));
          expect(bytesToHex(key.sign(message))).toBe(bytesToHex(portableEd25519.sign(bytes, message)));
          expect(bytesToHex(signEd25519(new Secret(bytes), message))).toBe(bytesToHex(key.sign(message)));
        },
      ),
      { numRuns: 30 },
    );
  });

  test('refuse secrets of another length', () => {
    const short = new Secret(new Uint8Array(31));
    expect(() => ed25519KeyFromSeed(short)).toThrow(expect.objectContaining({ code: 'bad_input' }));
    expect(() => signEd25519(short, utf8('m'))).toThrow(expect.objectContaining({ code: 'bad_input' }));
  });
});
