import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, Secret, sha256, utf8 } from '../../src/core/index.ts';
import { aesGcm, portableAesGcm } from '../../src/crypto/aead.ts';
import { ENVELOPE_BYTES, openEnvelope, sealEnvelope } from '../../src/crypto/index.ts';

const key = new Secret(sha256(utf8('key')));
const binding = utf8('fleet, record, generation');
const nonce = new Uint8Array(12);

describe('the envelope', () => {
  test('gives back any secret of 1 to 1,024 bytes, and has one size', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 1024 }), (secret) => {
        const envelope = sealEnvelope(key, binding, secret);
        expect(envelope).toHaveLength(ENVELOPE_BYTES);
        expect(bytesToHex(openEnvelope(key, binding, envelope).reveal())).toBe(bytesToHex(secret));
      }),
    );
    expect(openEnvelope(key, binding, sealEnvelope(key, binding, new Uint8Array(1024))).reveal()).toHaveLength(1024);
  });

  test('has these bytes', () => {
    // A golden value: another encoding would shut every record that exists.
    expect(bytesToHex(sha256(sealEnvelope(key, binding, utf8('secret'))))).toBe(
      'dfb7a1f9eff41861ac0ee65b2481326ac2fe90ea660c0b8eab460d21945b1b3a',
    );
  });

  test('refuses an empty and a longer secret', () => {
    expect(() => sealEnvelope(key, binding, new Uint8Array(0))).toThrow(expect.objectContaining({ code: 'bad_input' }));
    expect(() => sealEnvelope(key, binding, new Uint8Array(1025))).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
  });

  test('opens with its key and binding only, and unchanged', () => {
    const envelope = sealEnvelope(key, binding, utf8('secret'));
    const untrusted = expect.objectContaining({ code: 'untrusted' });
    expect(() => openEnvelope(new Secret(new Uint8Array(32)), binding, envelope)).toThrow(untrusted);
    expect(() => openEnvelope(key, utf8('another record'), envelope)).toThrow(untrusted);
    expect(() => openEnvelope(key, binding, envelope.subarray(1))).toThrow(untrusted);
    expect(() => openEnvelope(key, binding, new Uint8Array(0))).toThrow(untrusted);
    fc.assert(
      fc.property(fc.nat(ENVELOPE_BYTES - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = envelope.slice();
        changed[at]! ^= change;
        expect(() => openEnvelope(key, binding, changed)).toThrow(untrusted);
      }),
    );
  });

  test.each([
    ['a byte in the padding', [0, 1, 65, 1]],
    ['a length beyond the padding', [4, 1]],
    ['no secret', [0, 0]],
  ])('refuses %s, even under the right key', (_, start) => {
    const padded = new Uint8Array(1026);
    padded.set(start);
    const envelope = aesGcm.seal(key.reveal(), nonce, binding, padded);
    expect(() => openEnvelope(key, binding, envelope)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

test('native and portable AES-GCM give and accept the same bytes', () => {
  const short = fc.uint8Array({ maxLength: 70 });
  const keys = fc.constantFrom(16, 32).chain((length) => fc.uint8Array({ minLength: length, maxLength: length }));
  fc.assert(
    fc.property(keys, fc.uint8Array({ minLength: 12, maxLength: 12 }), short, short, (k, n, aad, plaintext) => {
      const sealed = aesGcm.seal(k, n, aad, plaintext);
      expect(bytesToHex(portableAesGcm.seal(k, n, aad, plaintext))).toBe(bytesToHex(sealed));
      for (const implementation of [aesGcm, portableAesGcm]) {
        expect(bytesToHex(implementation.open(k, n, aad, sealed)!)).toBe(bytesToHex(plaintext));
        expect(implementation.open(k, n, Uint8Array.of(...aad, 1), sealed)).toBeUndefined();
        expect(implementation.open(k, n, aad, sealed.subarray(1))).toBeUndefined();
        expect(implementation.open(k, n, aad, sealed.subarray(0, 15))).toBeUndefined();
      }
    }),
  );
});
