import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bytesToHex,
  compareBytes,
  concatBytes,
  equalBytes,
  fromBase64Url,
  fromUtf8,
  hexToBytes,
  toBase64Url,
  utf8,
} from '../../src/core/index.ts';

const malformed = expect.objectContaining({ name: 'HoldfastError', code: 'malformed' });
const anyBytes = fc.uint8Array({ maxLength: 200 });

describe('base64url', () => {
  // RFC 4648 section 10, without the padding.
  it.each([
    ['', ''],
    ['f', 'Zg'],
    ['fo', 'Zm8'],
    ['foo', 'Zm9v'],
    ['foob', 'Zm9vYg'],
    ['fooba', 'Zm9vYmE'],
    ['foobar', 'Zm9vYmFy'],
  ])('writes and reads the test vector %j', (text, encoded) => {
    expect(toBase64Url(utf8(text))).toBe(encoded);
    expect(fromBase64Url(encoded)).toEqual(utf8(text));
  });

  it('uses the URL-safe alphabet', () => {
    expect(toBase64Url(Uint8Array.of(0xfb, 0xff, 0xfe))).toBe('-__-');
    expect(fromBase64Url('-__-')).toEqual(Uint8Array.of(0xfb, 0xff, 0xfe));
  });

  it('gives back every byte string, and agrees with the runtime', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const text = toBase64Url(bytes);
        expect(text).toBe(Buffer.from(bytes).toString('base64url'));
        expect(fromBase64Url(text)).toEqual(bytes);
      }),
    );
  });

  it('takes more bytes than fit into one call of a function', () => {
    const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 7) % 256);
    expect(equalBytes(fromBase64Url(toBase64Url(bytes)), bytes)).toBe(true);
  });

  it.each([
    ['padding', 'Zg=='],
    ['half the padding', 'Zg='],
    ['the standard alphabet', '+//+'],
    ['white space within', 'Zm 9v'],
    ['white space at the end', 'Zm9v\n'],
    ['an impossible length', 'Z'],
    ['an impossible length of five', 'Zm9vY'],
    ['bits left over in two digits', 'Zh'],
    ['bits left over in three digits', 'Zm9'],
    ['a digit of another script', 'Zm9ｖ'],
    ['a NUL', 'Zm9\0'],
  ])('refuses %s', (_what, text) => {
    expect(() => fromBase64Url(text)).toThrow(malformed);
  });

  it('refuses or gives back exactly any text', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom(...'AZaz09-_+/= \n') }));
    fc.assert(
      fc.property(text, (candidate) => {
        let bytes: Uint8Array;
        try {
          bytes = fromBase64Url(candidate);
        } catch (error) {
          expect(error).toEqual(malformed);
          return;
        }
        expect(toBase64Url(bytes)).toBe(candidate);
      }),
      { numRuns: 500 },
    );
  });
});

describe('UTF-8', () => {
  it('gives back every well-formed text, a byte order mark included', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(fromUtf8(utf8(text))).toBe(text);
      }),
    );
    expect(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
  });

  it.each([
    ['a lone continuation byte', [0x80]],
    ['a cut sequence', [0xe2, 0x82]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['a code point too high', [0xf4, 0x90, 0x80, 0x80]],
  ])('refuses %s', (_what, bytes) => {
    expect(() => fromUtf8(Uint8Array.from(bytes))).toThrow(malformed);
  });
});

describe('comparing', () => {
  it('equalBytes says whether two byte strings are the same', () => {
    fc.assert(
      fc.property(anyBytes, anyBytes, (a, b) => {
        expect(equalBytes(a, a.slice())).toBe(true);
        expect(equalBytes(a, b)).toBe(bytesToHex(a) === bytesToHex(b));
      }),
    );
  });

  it('equalBytes sees a single changed bit anywhere, and a changed length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), fc.nat(), fc.nat(7), (a, at, bit) => {
        const changed = a.slice();
        changed[at % a.length]! ^= 1 << bit;
        expect(equalBytes(a, changed)).toBe(false);
        expect(equalBytes(a, a.subarray(1))).toBe(false);
      }),
    );
  });

  it('compareBytes orders like hexadecimal text, a prefix first', () => {
    const short = fc.uint8Array({ maxLength: 4 });
    fc.assert(
      fc.property(short, short, (a, b) => {
        const [x, y] = [bytesToHex(a), bytesToHex(b)];
        expect(Math.sign(compareBytes(a, b))).toBe(x < y ? -1 : x > y ? 1 : 0);
      }),
    );
  });
});

describe('joining and hexadecimal', () => {
  it('concatBytes joins in order', () => {
    expect(concatBytes(Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3))).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('hexadecimal gives back every byte string', () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        expect(hexToBytes(bytesToHex(bytes))).toEqual(bytes);
      }),
    );
  });
});
