import { hmac } from '@noble/hashes/hmac.js';
import { sha256 as portable } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, hmacSha256, nativeCrypto, sha256, utf8 } from '../../src/core/index.ts';

const filled = (length: number) => new Uint8Array(length).fill(0xa5);

describe('SHA-256 and HMAC-SHA256', () => {
  it('uses the runtime’s own on Node', () => {
    expect(nativeCrypto).toBeDefined();
  });

  it('hashes the examples of FIPS 180-4', () => {
    expect(bytesToHex(sha256(utf8('abc')))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(bytesToHex(sha256(utf8('')))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  });

  it('authenticates test case 2 of RFC 4231', () => {
    const mac = hmacSha256(utf8('Jefe'), utf8('what do ya want for nothing?'));
    expect(bytesToHex(mac)).toBe('5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843');
  });

  it('agrees with the portable implementation that browsers use', () => {
    const anyBytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(anyBytes, anyBytes, (key, data) => {
        expect(bytesToHex(sha256(data))).toBe(bytesToHex(portable(data)));
        expect(bytesToHex(hmacSha256(key, data))).toBe(bytesToHex(hmac(portable, key, data)));
      }),
    );
  });

  it('takes what it hashes in parts, long ones too, and keeps nothing of one use for the next', () => {
    const parts = fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 9000 }).map(filled)), {
      maxLength: 5,
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), parts, (key, several) => {
        const whole = concatBytes(...several);
        expect(bytesToHex(sha256(...several))).toBe(bytesToHex(portable(whole)));
        expect(bytesToHex(hmacSha256(key, ...several))).toBe(bytesToHex(hmac(portable, key, whole)));
      }),
      {
        examples: [
          [filled(64), [filled(16_384), filled(1)]],
          [filled(65), [filled(16_320)]],
          [filled(0), []],
        ],
      },
    );
  });

  it('answers with bytes of its own, exactly 32', () => {
    const digest = sha256(utf8('abc'));
    expect(digest.constructor).toBe(Uint8Array);
    expect(digest.buffer.byteLength).toBe(32);
  });
});
