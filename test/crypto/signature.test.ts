import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { ED25519_TORSION_SUBGROUP, ed25519 } from '@noble/curves/ed25519.js';
import { p256 } from '@noble/curves/nist.js';
import { sha512 } from '@noble/hashes/sha2.js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bytesToHex, concatBytes, hexToBytes, sha256, utf8 } from '../../src/core/index.ts';
import { isPublicPoint, lowS, verifyEcdsa, verifyEd25519 } from '../../src/crypto/index.ts';
import { portableVerifiers, verifiers, verifyEcdsaWith, verifyEd25519With } from '../../src/crypto/signature.ts';

const message = utf8('a statement');

/** The verdict, which both libraries must share. */
function ecdsa(key: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  const portable = verifyEcdsaWith(portableVerifiers, key, text, signature);
  const native = verifyEcdsaWith(verifiers, key, text, signature);
  expect(portable, `ECDSA ${bytesToHex(key)} ${bytesToHex(text)} ${bytesToHex(signature)}`).toBe(native);
  expect(verifyEcdsa(key, text, signature)).toBe(native);
  return native;
}
function eddsa(key: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  const portable = verifyEd25519With(portableVerifiers, key, text, signature);
  const native = verifyEd25519With(verifiers, key, text, signature);
  expect(portable, `Ed25519 ${bytesToHex(key)} ${bytesToHex(text)} ${bytesToHex(signature)}`).toBe(native);
  expect(verifyEd25519(key, text, signature)).toBe(native);
  return native;
}

test('these tests compare two libraries', () => {
  expect(verifiers).not.toBe(portableVerifiers);
});

const N = p256.Point.Fn.ORDER;
const big = (value: bigint) => hexToBytes(value.toString(16).padStart(64, '0'));
const fromBig = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes)}`);

function p256Key() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const point = new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }).subarray(-65));
  const signLow = (text: Uint8Array) =>
    lowS(new Uint8Array(sign('sha256', text, { key: privateKey, dsaEncoding: 'ieee-p1363' })));
  return { point, sign: signLow };
}

describe('verifyEcdsa', () => {
  const key = p256Key();
  const signature = key.sign(message);
  const r = fromBig(signature.subarray(0, 32));
  const s = fromBig(signature.subarray(32));
  const joined = (a: bigint, b: bigint) => concatBytes(big(a), big(b));

  test('accepts what a key signed, and nothing with one bit changed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(511), fc.nat(519), (text, signatureBit, keyBit) => {
        const flip = (bytes: Uint8Array, bit: number) =>
          bytes.map((b, i) => (i === bit >> 3 ? b ^ (1 << (bit & 7)) : b));
        const valid = key.sign(text);
        expect(ecdsa(key.point, text, valid)).toBe(true);
        expect(ecdsa(key.point, text, flip(valid, signatureBit))).toBe(false);
        expect(ecdsa(flip(key.point, keyBit), text, valid)).toBe(false);
        expect(ecdsa(key.point, concatBytes(text, Uint8Array.of(0)), valid)).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  test('refuses the second form of a signature, with s in the upper half', () => {
    expect(ecdsa(key.point, message, joined(r, N - s))).toBe(false);
    expect(p256.verify(joined(r, N - s), message, key.point, { lowS: false })).toBe(true);
  });

  test.each<[string, Uint8Array]>([
    ['r = 0', joined(0n, s)],
    ['s = 0', joined(r, 0n)],
    ['both 0', joined(0n, 0n)],
    ['r = q', joined(N, s)],
    ['s = q', joined(r, N)],
    ['s + q', joined(r, (s + N) % 2n ** 256n)],
    ['all ones', new Uint8Array(64).fill(255)],
    ['r = s = 1', joined(1n, 1n)],
    ['63 bytes', signature.subarray(1)],
    ['65 bytes', concatBytes(signature, Uint8Array.of(0))],
    ['nothing', new Uint8Array(0)],
    ['DER', p256.Signature.fromBytes(signature, 'compact').toBytes('der')],
  ])('refuses a signature with %s', (_, bad) => {
    expect(ecdsa(key.point, message, bad)).toBe(false);
  });

  test('takes the largest low s and refuses the next', () => {
    // A key made to fit the signature: Q = (s*R - e*G) / r.
    const e = fromBig(sha256(message)) % N;
    const { Fn, BASE } = p256.Point;
    const R = BASE.multiply(12345n);
    const rOfR = Fn.create(R.toAffine().x);
    for (const [value, verdict] of [
      [N >> 1n, true],
      [(N >> 1n) + 1n, false],
    ] as const) {
      const Q = R.multiply(value).subtract(BASE.multiply(e)).multiply(Fn.inv(rOfR));
      const made = concatBytes(big(rOfR), big(value));
      expect(p256.verify(made, message, Q.toBytes(false), { lowS: false })).toBe(true);
      expect(ecdsa(Q.toBytes(false), message, made)).toBe(verdict);
    }
  });

  test('takes the rare signature whose point has an x-coordinate beyond the order', () => {
    const { Fn, Fp } = p256.Point;
    // The first x at or above the order for which there is a point.
    const pointAt = (x: bigint) => {
      try {
        return p256.Point.fromHex(`02${bytesToHex(big(x))}`);
      } catch {
        return undefined;
      }
    };
    let x = N;
    while (pointAt(x) === undefined && x < Fp.ORDER) x++;
    const R = pointAt(x)!;
    const rOfR = x - N || 0n;
    expect(rOfR > 0n).toBe(true);
    const e = fromBig(sha256(message)) % N;
    const made = concatBytes(big(rOfR), big(1000n));
    const Q = R.multiply(1000n).subtract(p256.Point.BASE.multiply(e)).multiply(Fn.inv(rOfR));
    expect(ecdsa(Q.toBytes(false), message, made)).toBe(true);
  });

  test.each<[string, Uint8Array]>([
    ['compressed', p256.Point.fromBytes(key.point).toBytes(true)],
    ['of the hybrid form', Uint8Array.of(6 + (key.point[64]! & 1), ...key.point.subarray(1))],
    ['off the curve', key.point.map((byte, i) => (i === 64 ? byte ^ 1 : byte))],
    ['beyond the field', Uint8Array.of(4, ...new Uint8Array(64).fill(255))],
    ['all zero', new Uint8Array(65)],
    ['the point (0, 0)', Uint8Array.of(4, ...new Uint8Array(64))],
    ['the identity', Uint8Array.of(0)],
    ['absent', new Uint8Array(0)],
  ])('refuses a key that is %s', (_, bad) => {
    expect(ecdsa(bad, message, signature)).toBe(false);
    expect(isPublicPoint(bad)).toBe(false);
  });

  test('a point is accepted as public exactly if it is on the curve', () => {
    expect(isPublicPoint(key.point)).toBe(true);
    expect(isPublicPoint(key.point.subarray(0, 64))).toBe(false);
  });

  test('keeps its verdict when more keys come than it remembers', () => {
    for (let i = 1; i <= 1100; i++) {
      expect(verifyEcdsa(Uint8Array.of(4, ...new Uint8Array(62), i >> 8, i & 255), message, signature)).toBe(false);
    }
    const keys = Array.from({ length: 1030 }, (_, i) => p256.Point.BASE.multiply(BigInt(i + 1)).toBytes(false));
    for (const other of keys) expect(verifyEcdsa(other, message, signature)).toBe(false);
    expect(verifyEcdsa(key.point, message, signature)).toBe(true);
    expect(verifyEcdsa(key.point, message, signature)).toBe(true);
  });
});

describe('lowS', () => {
  const key = p256Key();
  test('gives the lower form of both forms, which verifies', () => {
    const low = key.sign(message);
    const high = concatBytes(low.subarray(0, 32), big(N - fromBig(low.subarray(32))));
    expect(bytesToHex(lowS(high))).toBe(bytesToHex(low));
    expect(bytesToHex(lowS(low))).toBe(bytesToHex(low));
    expect(verifyEcdsa(key.point, message, lowS(high))).toBe(true);
  });

  test.each([
    new Uint8Array(0),
    new Uint8Array(63),
    new Uint8Array(64),
    new Uint8Array(65),
    new Uint8Array(64).fill(255),
    concatBytes(big(1n), big(N)),
    concatBytes(big(N), big(1n)),
    concatBytes(big(0n), big(1n)),
    concatBytes(big(1n), big(0n)),
  ])('refuses what is no signature %#', (bad) => {
    expect(() => lowS(bad)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

const { Point } = ed25519;
const L = Point.Fn.ORDER;
const P = Point.Fp.ORDER;
const little = (value: bigint) => big(value).reverse();
const fromLittle = (bytes: Uint8Array) => fromBig(bytes.slice().reverse());
const challenge = (R: Uint8Array, A: Uint8Array, text: Uint8Array) => fromLittle(sha512(concatBytes(R, A, text))) % L;

describe('verifyEd25519', () => {
  const secret = sha256(utf8('a key'));
  const scalar = ed25519.utils.getExtendedPublicKey(secret).scalar;
  const A = ed25519.getPublicKey(secret);
  const signature = ed25519.sign(message, secret);
  /** A signature made by the holder of the key, with whatever R and A it likes. */
  const forge = (nonce: bigint, R: Uint8Array, encodedA: Uint8Array, text: Uint8Array) =>
    concatBytes(R, little((nonce + challenge(R, encodedA, text) * scalar) % L));
  const torsion = ED25519_TORSION_SUBGROUP.map((hex) => Point.fromHex(hex, true));

  test('accepts what a key signed, and nothing with one bit changed', () => {
    const pkcs8 = concatBytes(hexToBytes('302e020100300506032b657004220420'), secret);
    const privateKey = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(511), fc.nat(255), (text, signatureBit, keyBit) => {
        const flip = (bytes: Uint8Array, bit: number) =>
          bytes.map((b, i) => (i === bit >> 3 ? b ^ (1 << (bit & 7)) : b));
        const valid = new Uint8Array(sign(null, text, privateKey));
        expect(eddsa(A, text, valid)).toBe(true);
        expect(eddsa(A, text, flip(valid, signatureBit))).toBe(false);
        expect(eddsa(flip(A, keyBit), text, valid)).toBe(false);
        expect(eddsa(A, concatBytes(text, Uint8Array.of(0)), valid)).toBe(false);
      }),
      { numRuns: 20 },
    );
  });

  test('the libraries agree on any bytes', () => {
    const key = fc.oneof(fc.constant(A), fc.uint8Array({ minLength: 32, maxLength: 32 }));
    fc.assert(
      fc.property(key, fc.uint8Array({ minLength: 64, maxLength: 64 }), (someKey, bytes) => {
        bytes[63]! &= 0x0f;
        expect(eddsa(someKey, message, bytes)).toBe(false);
      }),
    );
  });

  test('refuses S that is not reduced', () => {
    const S = fromLittle(signature.subarray(32));
    for (const other of [S + L, S + 2n * L, L, 2n ** 256n - 1n]) {
      expect(eddsa(A, message, concatBytes(signature.subarray(0, 32), little(other)))).toBe(false);
    }
  });

  test('refuses keys of small order, in every encoding, though the equation holds', () => {
    expect(torsion).toHaveLength(8);
    const encodings = torsion.flatMap((point) => {
      const canonical = point.toBytes();
      const y = fromLittle(canonical.map((b, i) => (i === 31 ? b & 0x7f : b)));
      const otherSign = canonical.map((b, i) => (i === 31 ? b ^ 0x80 : b));
      const beyond = y + P < 2n ** 255n ? [little(y + P), little(y + P + 2n ** 255n)] : [];
      return [canonical, otherSign, ...beyond];
    });
    let held = 0;
    for (const key of encodings) {
      for (let i = 0; i < 16; i++) {
        const text = Uint8Array.of(i);
        // S = 1 and R = B fit any key of small order whenever the challenge is a multiple of its order.
        const made = concatBytes(Point.BASE.toBytes(), little(1n));
        if (portableVerifiers.ed25519(key, text, made)) held++;
        expect(eddsa(key, text, made)).toBe(false);
      }
    }
    expect(held).toBeGreaterThan(10);
  });

  test('refuses encodings of keys that are not canonical', () => {
    // y = 3 is on the curve and of full order; y + p is its second encoding.
    const canonical = little(3n);
    expect(Point.fromBytes(canonical).isSmallOrder()).toBe(false);
    expect(eddsa(little(3n + P), message, signature)).toBe(false);
  });

  test('refuses R of small order, in every encoding, though the equation holds', () => {
    // The holder of a key can make these, with the nonce 0; no honest signer does.
    const identity = Point.ZERO.toBytes();
    const made = forge(0n, identity, A, message);
    expect(portableVerifiers.ed25519(A, message, made)).toBe(true);
    for (const R of [
      ...torsion.map((point) => point.toBytes()),
      ...[1n + 2n ** 255n, 1n + P, 1n + P + 2n ** 255n].map(little),
    ]) {
      expect(eddsa(A, message, forge(0n, R, A, message))).toBe(false);
    }
  });

  test('refuses R with a part of small order, which verification with the cofactor would accept', () => {
    for (const T of torsion.filter((point) => !point.is0())) {
      const R = Point.BASE.multiply(777n).add(T).toBytes();
      const made = forge(777n, R, A, message);
      expect(ed25519.verify(made, message, A, { zip215: false })).toBe(true);
      expect(eddsa(A, message, made)).toBe(false);
    }
  });

  test('gives one verdict for keys with a part of small order', () => {
    const verdicts = new Set<boolean>();
    for (const T of torsion.filter((point) => !point.is0())) {
      const mixed = Point.fromBytes(A).add(T).toBytes();
      const R = Point.BASE.multiply(777n).toBytes();
      for (let i = 0; i < 12; i++) {
        const text = Uint8Array.of(i);
        const fits = T.multiplyUnsafe(challenge(R, mixed, text)).is0();
        const verdict = eddsa(mixed, text, forge(777n, R, mixed, text));
        expect(verdict).toBe(fits);
        verdicts.add(verdict);
      }
    }
    expect(verdicts.size).toBe(2);
  });

  test('refuses other lengths, and a key off the curve', () => {
    for (const [key, bytes] of [
      [A.subarray(1), signature],
      [concatBytes(A, Uint8Array.of(0)), signature],
      [A, signature.subarray(1)],
      [A, concatBytes(signature, Uint8Array.of(0))],
      [new Uint8Array(0), new Uint8Array(0)],
      [little(2n), signature],
    ] as const) {
      expect(eddsa(key, message, bytes)).toBe(false);
    }
    expect(() => Point.fromBytes(little(2n))).toThrow();
  });
});
