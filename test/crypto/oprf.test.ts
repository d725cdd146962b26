import { readFileSync } from 'node:fs';
import { p256, p256_oprf } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, hexToBytes, type Random, Secret } from '../../src/core/index.ts';
import { blind, finalize } from '../../src/crypto/index.ts';

interface Vectors {
  readonly suites: readonly {
    readonly skSm: string;
    readonly vectors: readonly Record<'Input' | 'Blind' | 'BlindedElement' | 'EvaluationElement' | 'Output', string>[];
  }[];
}
const file = new URL('../vectors/rfc9497-p256-sha256-oprf.json', import.meta.url);
const suite = (JSON.parse(readFileSync(file, 'utf8')) as Vectors).suites[0]!;

/** Randomness from which the library's reduction modulo the order, plus one, makes exactly this scalar. */
const randomGiving =
  (scalar: Uint8Array): Random =>
  (length) =>
    hexToBytes((BigInt(`0x${bytesToHex(scalar)}`) - 1n).toString(16).padStart(2 * length, '0'));

describe('the OPRF client', () => {
  test.each(suite.vectors)('gives the bytes of RFC 9497 appendix A.3.1, input $Input', (vector) => {
    const input = hexToBytes(vector.Input);
    const blinded = blind(input, randomGiving(hexToBytes(vector.Blind)));
    expect(bytesToHex(blinded.blind.reveal())).toBe(vector.Blind);
    expect(bytesToHex(blinded.blindedElement)).toBe(vector.BlindedElement);
    expect(bytesToHex(p256_oprf.oprf.blindEvaluate(hexToBytes(suite.skSm), blinded.blindedElement))).toBe(
      vector.EvaluationElement,
    );
    expect(bytesToHex(finalize(input, blinded.blind, hexToBytes(vector.EvaluationElement)))).toBe(vector.Output);
  });

  test('gives the same output whatever the blind, and never the same element twice', () => {
    const key = hexToBytes(suite.skSm);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (input) => {
        const [first, second] = [blind(input), blind(input)];
        expect(bytesToHex(first.blindedElement)).not.toBe(bytesToHex(second.blindedElement));
        const outputs = [first, second].map((b) =>
          bytesToHex(finalize(input, b.blind, p256_oprf.oprf.blindEvaluate(key, b.blindedElement))),
        );
        expect(outputs[0]).toBe(outputs[1]);
      }),
      { numRuns: 10 },
    );
  });

  const generator = p256.Point.BASE.toBytes(true);
  const offCurve = () => {
    const bytes = generator.slice();
    do bytes[32]!++;
    while (isPoint(bytes));
    return bytes;
  };
  const isPoint = (bytes: Uint8Array) => {
    try {
      p256.Point.fromBytes(bytes);
      return true;
    } catch {
      return false;
    }
  };
  // x = 5 lies on the curve and x + p still fits into 32 bytes: a second encoding of the same point.
  const PRIME = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
  test.each([
    ['the identity', Uint8Array.of(0)],
    ['the identity, padded', new Uint8Array(33)],
    ['nothing', new Uint8Array(0)],
    ['an uncompressed point', p256.Point.BASE.toBytes(false)],
    ['a point off the curve', offCurve()],
    ['a wrong first byte', Uint8Array.of(4, ...generator.subarray(1))],
    ['an x-coordinate beyond the field', hexToBytes(`02${(PRIME + 5n).toString(16)}`)],
    ['a byte too many', Uint8Array.of(...generator, 0)],
  ])('refuses %s as an answer', (_, element) => {
    expect(isPoint(hexToBytes(`02${5n.toString(16).padStart(64, '0')}`))).toBe(true);
    expect(() => finalize(Uint8Array.of(1), new Secret(hexToBytes(suite.vectors[0]!.Blind)), element)).toThrow(
      expect.objectContaining({ code: 'untrusted' }),
    );
  });

  test('refuses an input that the encoding cannot carry', () => {
    expect(blind(new Uint8Array(65_535)).blindedElement).toHaveLength(33);
    expect(() => blind(new Uint8Array(65_536))).toThrow(expect.objectContaining({ code: 'bad_input' }));
  });
});
