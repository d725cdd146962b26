import { readFileSync } from 'node:fs';
import { p256, p256_oprf } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, equalBytes, hexToBytes, utf8 } from '../../src/core/index.ts';
import {
  addAffine,
  decodeCompressed,
  type EvaluationPrimitives,
  encodeCompressed,
  evaluateWithScalar,
  liftBySum,
  tweakScalar,
} from '../../src/token/evaluate.ts';
import { bytesAttribute, CK, flagAttribute, type Handle, numberAttribute } from '../../src/token/pkcs11/cryptoki.ts';
import { P256_PARAMETERS } from '../../src/token/pkcs11/curves.ts';
import { deriveX } from '../../src/token/pkcs11/mechanisms.ts';
import { connect, type SoftHsm, softHsm } from './fixture.ts';
import { HOSTILE_COMPRESSED } from './suite.ts';

const { Fn, BASE } = p256.Point;
const ORDER = Fn.ORDER;
const scalars = fc.bigInt({ min: 1n, max: ORDER - 1n });
const point = (factor: bigint) => BASE.multiply(factor);

/** Appendix A.3.1 of RFC 9497. */
const [suite] = JSON.parse(readFileSync(new URL('./rfc9497-p256-sha256-oprf.json', import.meta.url), 'utf8'))
  .suites as [
  {
    skSm: string;
    vectors: { BlindedElement: string; EvaluationElement: string; Blind: string; Input: string; Output: string }[];
  },
];

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
});
afterAll(() => hsm.remove());

/** The token's own ECDH under a key put into it, which no key that nodes use may be. */
function imported(connection: ReturnType<typeof connect>, secretKey: Uint8Array): EvaluationPrimitives {
  const { module } = connection;
  let key: Handle | undefined;
  connection.run('import', false, (session) => {
    key = module.C_CreateObject(session, [
      numberAttribute(CK.CKA_CLASS, CK.CKO_PRIVATE_KEY),
      numberAttribute(CK.CKA_KEY_TYPE, CK.CKK_EC),
      flagAttribute(CK.CKA_TOKEN, false),
      flagAttribute(CK.CKA_DERIVE, true),
      bytesAttribute(CK.CKA_EC_PARAMS, P256_PARAMETERS),
      bytesAttribute(CK.CKA_VALUE, secretKey),
    ]);
  });
  return {
    publicKey: p256.getPublicKey(secretKey, false),
    prf: () => [],
    ecdh: (points) =>
      connection.run('ecdh', true, (session) => points.map((each) => deriveX(module, session, key!, each, 'raw'))),
  };
}

describe('on SoftHSM', () => {
  it.each(suite.vectors)('reproduces the evaluation of RFC 9497 for input $Input', (vector) => {
    const connection = connect(hsm);
    const primitives = imported(connection, hexToBytes(suite.skSm));
    const evaluated = evaluateWithScalar(primitives, 1n, hexToBytes(vector.BlindedElement));
    expect(bytesToHex(evaluated)).toBe(vector.EvaluationElement);
    const output = p256_oprf.oprf.finalize(hexToBytes(vector.Input), hexToBytes(vector.Blind), evaluated);
    expect(bytesToHex(output)).toBe(vector.Output);
    connection.close();
  });

  it('evaluates under k * h exactly as an implementation that holds the key', async () => {
    const connection = connect(hsm);
    await fc.assert(
      fc.asyncProperty(scalars, scalars, scalars, async (k, h, b) => {
        const primitives = imported(connection, Fn.toBytes(k));
        const blinded = point(b).toBytes(true);
        const expected = p256_oprf.oprf.blindEvaluate(Fn.toBytes(Fn.mul(k, h)), blinded);
        expect(bytesToHex(evaluateWithScalar(primitives, h, blinded))).toBe(bytesToHex(expected));
      }),
      { numRuns: 40 },
    );
    connection.close();
  });
});

/** Answers as a token with key `k` would; `corrupt` may change what it says. */
function honest(k: bigint, corrupt: (x: Uint8Array, call: number) => Uint8Array = (x) => x) {
  const state = { calls: 0, faults: 0 };
  const primitives: EvaluationPrimitives = {
    publicKey: point(k).toBytes(false),
    prf: () => [],
    ecdh: (points) =>
      points.map((each) => corrupt(p256.Point.fromBytes(each).multiply(k).toBytes(true).slice(1), state.calls++)),
    onFault: () => {
      state.faults++;
    },
  };
  return { primitives, state };
}

describe('edge cases', () => {
  const k = 0x1234567890abcdefn;
  const h = 0xfedcba0987654321n;
  const cases: [string, bigint, bigint, number][] = [
    ['B = G', h, 1n, 2],
    ['B = -G', h, ORDER - 1n, 2],
    ['h B = G', h, Fn.inv(h), 0],
    ['h B = -G', h, Fn.neg(Fn.inv(h)), 0],
    ['B = G and h = 1', 1n, 1n, 0],
    ['B = -G and h = 1', 1n, ORDER - 1n, 0],
    ['B = G and h = -1', ORDER - 1n, 1n, 0],
    ['h = -1', ORDER - 1n, 77n, 2],
    ['B = 2G', h, 2n, 2],
    ['B = -2G', h, ORDER - 2n, 2],
    ['k h B = G', h, Fn.inv(Fn.mul(k, h)), 2],
  ];
  it.each(cases)('%s', async (_, scalar, b, calls) => {
    const { primitives, state } = honest(k);
    const evaluated = evaluateWithScalar(primitives, scalar, point(b).toBytes(true));
    expect(bytesToHex(evaluated)).toBe(point(Fn.mul(Fn.mul(k, scalar), b)).toHex(true));
    expect(state.calls).toBe(calls);
  });
});

describe('a token that errs', () => {
  const blinded = point(99n).toBytes(true);
  const flip = (x: Uint8Array) => Uint8Array.from(x, (byte, i) => (i === 31 ? byte ^ 1 : byte));
  const wrong: [string, (x: Uint8Array) => Uint8Array][] = [
    ['a wrong bit', flip],
    ['another point', () => point(5n).toBytes(true).slice(1)],
    ['too few bytes', (x) => x.slice(1)],
    ['zeroes', () => new Uint8Array(32)],
    ['more than the field', () => new Uint8Array(32).fill(255)],
  ];
  it.each(wrong)('is asked again after %s', async (_, corrupt) => {
    for (const bad of [0, 1]) {
      const { primitives, state } = honest(7n, (x, call) => (call === bad ? corrupt(x) : x));
      const evaluated = evaluateWithScalar(primitives, 3n, blinded);
      expect(bytesToHex(evaluated)).toBe(point(99n * 21n).toHex(true));
      expect(state.faults).toBe(1);
    }
  });

  it.each(wrong)('is given up after %s three times, and nothing is answered', async (_, corrupt) => {
    const { primitives, state } = honest(7n, (x, call) => (call % 2 === 0 ? corrupt(x) : x));
    expect(() => evaluateWithScalar(primitives, 3n, blinded)).toThrow(
      expect.objectContaining({ code: 'token_failed' }),
    );
    expect(state.faults).toBe(3);
  });

  it('is found out when it answers with another key, consistently', async () => {
    const { primitives } = honest(8n);
    const lying = { ...primitives, publicKey: point(7n).toBytes(false) };
    expect(() => evaluateWithScalar(lying, 3n, blinded)).toThrow(expect.objectContaining({ code: 'token_failed' }));
  });
});

describe('curve arithmetic', () => {
  const same = (a: { x: bigint; y: bigint }, b: { x: bigint; y: bigint }) => a.x === b.x && a.y === b.y;

  it('adds as a reference does', () => {
    fc.assert(
      fc.property(scalars, scalars, (a, b) => {
        fc.pre(a !== b && a !== ORDER - b);
        const sum = point(a).add(point(b)).toAffine();
        expect(same(addAffine(point(a).toAffine(), point(b).toAffine()), sum)).toBe(true);
      }),
      { numRuns: 40 },
    );
  });

  it('finds the sign of a point from its sum with a known one, and no sign for a wrong sum', () => {
    fc.assert(
      fc.property(scalars, scalars, scalars, (a, b, c) => {
        // No two of the three may be each other's opposites: their sum would be the identity, which has no encoding.
        fc.pre(new Set([a, b, ORDER - a, ORDER - b]).size === 4);
        fc.pre(c !== ORDER - a);
        const x = point(a).toBytes(true).slice(1);
        const sumOf = (factor: bigint) => point(a).add(point(factor)).toBytes(true).slice(1);
        const found = liftBySum(x, point(b).toAffine(), sumOf(b));
        expect(found && same(found, point(a).toAffine())).toBe(true);
        const wrong = sumOf(c);
        // Without its sign a sum says the same as its opposite, so other factors than b give a right one too.
        const right = [sumOf(b), sumOf(ORDER - b)];
        fc.pre(!right.some((sum) => equalBytes(wrong, sum)));
        expect(liftBySum(x, point(b).toAffine(), wrong)).toBeUndefined();
      }),
      {
        numRuns: 25,
        examples: [
          [ORDER - 50n, 1n, 50n],
          [ORDER - 2n, 1n, 3n],
        ],
      },
    );
  });

  it('finds no point where a reference finds none with that sum, on the curve or off it', () => {
    const field = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
    const bytes = (x: bigint) => hexToBytes(x.toString(16).padStart(64, '0'));
    const generator = BASE.toAffine();
    fc.assert(
      fc.property(field, scalars, fc.option(field), (x, offset, given) => {
        let signs: InstanceType<typeof p256.Point>[] = [];
        try {
          signs = ['02', '03'].map((sign) => p256.Point.fromHex(sign + bytesToHex(bytes(x))));
        } catch {
          // Not the x-coordinate of a point.
        }
        const known = point(offset);
        fc.pre(x !== known.toAffine().x);
        const sumOf = (each: (typeof signs)[number]) => each.add(known).toAffine().x;
        const sum = given ?? (signs[0] ? sumOf(signs[0]) : generator.x);
        const expected = signs.find((each) => sumOf(each) === sum)?.toAffine();
        expect(liftBySum(bytes(x), known.toAffine(), bytes(sum))).toEqual(expected);
      }),
      {
        numRuns: 60,
        examples: [[generator.x, 2n, null]],
      },
    );
  });

  it('takes no coordinate that is beyond the field for the one that it would be reduced to', () => {
    const { ORDER: field } = p256.Point.Fp;
    const bytes = (x: bigint) => hexToBytes(x.toString(16).padStart(64, '0'));
    const small = p256.Point.fromHex(`02${bytesToHex(bytes(5n))}`);
    const known = point(2n);
    const sum = small.add(known).toAffine().x;
    expect(liftBySum(bytes(5n), known.toAffine(), bytes(sum))).toEqual(small.toAffine());
    expect(liftBySum(bytes(field + 5n), known.toAffine(), bytes(sum))).toBeUndefined();
    const other = small.subtract(known).toAffine();
    expect(liftBySum(bytes(other.x), known.toAffine(), bytes(5n))).toEqual(other);
    expect(liftBySum(bytes(other.x), known.toAffine(), bytes(field + 5n))).toBeUndefined();
  });

  it('reads exactly the compressed points that a reference reads', () => {
    const encodings = fc.oneof(
      scalars.map((factor) => point(factor).toBytes(true)),
      fc
        .tuple(fc.constantFrom(0, 2, 3, 4), fc.uint8Array({ minLength: 32, maxLength: 32 }))
        .map(([prefix, x]) => Uint8Array.of(prefix, ...x)),
      fc.constantFrom(...Object.values(HOSTILE_COMPRESSED)),
    );
    fc.assert(
      fc.property(encodings, (encoded) => {
        let expected: string | undefined;
        try {
          const read = p256.Point.fromBytes(encoded);
          expected = encoded.length === 33 && !read.is0() ? read.toHex(true) : undefined;
        } catch {
          expected = undefined;
        }
        if (expected === undefined)
          expect(() => decodeCompressed(encoded)).toThrow(expect.objectContaining({ code: 'malformed' }));
        else expect(bytesToHex(encodeCompressed(decodeCompressed(encoded)))).toBe(expected);
      }),
      { numRuns: 150 },
    );
  });
});

describe('the record’s scalar', () => {
  const withPrf = (prf: EvaluationPrimitives['prf']) => ({ ...honest(7n).primitives, prf });

  it('is 1 + (PRF(.., 1) || PRF(.., 2)) mod (q - 1), over these exact bytes', async () => {
    const seen: string[] = [];
    const scalar = tweakScalar(
      withPrf((inputs) => {
        seen.push(...inputs.map((input) => bytesToHex(input)));
        return [new Uint8Array(32).fill(0xab), new Uint8Array(32).fill(0xcd)];
      }),
      utf8('record'),
    );
    const label = `00000011${bytesToHex(utf8('holdfast/tweak/v1'))}`;
    const input = `00000006${bytesToHex(utf8('record'))}`;
    expect(seen).toEqual([1, 2].map((counter) => `${label}${input}00000008000000000000000${counter}`));
    expect(scalar).toBe(1n + (BigInt(`0x${'ab'.repeat(32)}${'cd'.repeat(32)}`) % (ORDER - 1n)));
  });

  it('is never zero', async () => {
    expect(
      tweakScalar(
        withPrf(() => [new Uint8Array(32), new Uint8Array(32)]),
        utf8('r'),
      ),
    ).toBe(1n);
    const last = hexToBytes((ORDER - 2n).toString(16).padStart(64, '0'));
    expect(
      tweakScalar(
        withPrf(() => [new Uint8Array(32), last]),
        utf8('r'),
      ),
    ).toBe(ORDER - 1n);
  });

  it('is refused from a PRF of the wrong length', async () => {
    const short = withPrf(() => [new Uint8Array(32), new Uint8Array(31)]);
    expect(() => tweakScalar(short, utf8('r'))).toThrow(expect.objectContaining({ code: 'token_failed' }));
  });
});
