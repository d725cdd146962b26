import { p256 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesToHex } from '../../src/core/index.ts';
import { decodeCompressed, encodeCompressed, multiplyNatively, scalarBytes } from '../../src/crypto/index.ts';

const { Fn, BASE } = p256.Point;
const scalars = fc.bigInt({ min: 1n, max: Fn.ORDER - 1n });
const edges = [1n, 2n, 3n, Fn.ORDER - 3n, Fn.ORDER - 2n, Fn.ORDER - 1n];
const pairs = edges.flatMap((scalar) => edges.map((factor): [bigint, bigint] => [scalar, factor]));

/** 33 bytes, of `factor` * G. */
const point = (factor: bigint) => BASE.multiply(factor).toBytes(true);

describe('a multiple by the runtime’s own ECDH', () => {
  it('is that of a library that calculates with both coordinates, also of G and -G', () => {
    const agrees = (scalar: bigint, factor: bigint) => {
      const product = multiplyNatively(scalarBytes(scalar), decodeCompressed(point(factor)));
      expect(product && bytesToHex(encodeCompressed(product))).toBe(bytesToHex(point(Fn.mul(scalar, factor))));
    };
    fc.assert(fc.property(scalars, scalars, agrees), { numRuns: 100, examples: pairs });
  });

  it('leaves the scalar of the caller as it is', () => {
    const scalar = scalarBytes(5n);
    multiplyNatively(scalar, decodeCompressed(point(7n)));
    expect(scalar).toEqual(scalarBytes(5n));
  });
});
