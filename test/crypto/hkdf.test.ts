import { describe, expect, test } from 'vitest';
import { bytesToHex, HoldfastError, hexToBytes } from '../../src/core/index.ts';
import { hkdf, hkdfExpand, hkdfExtract } from '../../src/crypto/index.ts';

describe('HKDF-SHA256', () => {
  test('gives the outputs of RFC 5869 appendix A.1', () => {
    const key = hkdfExtract(hexToBytes('000102030405060708090a0b0c'), new Uint8Array(22).fill(0x0b));
    expect(bytesToHex(key)).toBe('077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5');
    expect(bytesToHex(hkdfExpand(key, hexToBytes('f0f1f2f3f4f5f6f7f8f9'), 42))).toBe(
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865',
    );
  });

  test('takes an absent salt as 32 zero bytes (RFC 5869 appendix A.3)', () => {
    expect(bytesToHex(hkdf(new Uint8Array(22).fill(0x0b), new Uint8Array(0), 42))).toBe(
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8',
    );
  });

  test('refuses more than 255 blocks', () => {
    expect(hkdfExpand(new Uint8Array(32), new Uint8Array(0), 8160)).toHaveLength(8160);
    expect(() => hkdfExpand(new Uint8Array(32), new Uint8Array(0), 8161)).toThrow(HoldfastError);
  });
});
