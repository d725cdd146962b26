/** What every implementation of `Token` must do, tried through the port alone. */

import { createECDH, createPublicKey, verify } from 'node:crypto';
import { p256, p256_oprf } from '@noble/curves/nist.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, toBase64Url, utf8 } from '../../src/core/index.ts';
import { verifyEcdsa } from '../../src/crypto/index.ts';
import type { Token } from '../../src/token/port.ts';

export interface Subject {
  token: Token;
  /** Closes the token and opens the same one again. */
  reopen(): Promise<Token>;
}

const hex = (values: readonly Uint8Array[]) => values.map((value) => bytesToHex(value)).sort();

function publicKey(point: Uint8Array) {
  const [x, y] = [toBase64Url(point.subarray(1, 33)), toBase64Url(point.subarray(33))];
  return createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
}

const fieldPrime = Buffer.from('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff', 'hex');
const onCurve = p256.Point.BASE.toBytes(false);

export const HOSTILE_COMPRESSED: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  'identity, one byte': Uint8Array.of(0),
  'identity, 33 bytes': new Uint8Array(33),
  'x off the curve': Uint8Array.of(2, ...new Uint8Array(31), 1),
  'x equal to the field prime': Uint8Array.of(2, ...fieldPrime),
  'x above the field prime': Uint8Array.of(2, ...new Uint8Array(32).fill(255)),
  'uncompressed form': onCurve,
  'hybrid form': Uint8Array.of(6, ...onCurve.subarray(1)),
  'unknown prefix': Uint8Array.of(5, ...onCurve.subarray(1, 33)),
  'one byte too many': Uint8Array.of(...p256.Point.BASE.toBytes(true), 0),
  'one byte too few': p256.Point.BASE.toBytes(true).subarray(0, 32),
};

const HOSTILE_UNCOMPRESSED: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  zero: Uint8Array.of(4, ...new Uint8Array(64)),
  'y changed': Uint8Array.of(...onCurve.subarray(0, 64), onCurve[64]! ^ 1),
  'x not reduced': Uint8Array.of(4, ...fieldPrime, ...onCurve.subarray(33)),
  compressed: p256.Point.BASE.toBytes(true),
  'hybrid form': Uint8Array.of(6 + (onCurve[64]! & 1), ...onCurve.subarray(1)),
};

/** Runs the suite against the token that `make` gives. */
/** `dated`: whether the token must tell when its keys were made; hardware need not. */
export function tokenSuite(name: string, make: () => Promise<Subject>, { dated = true } = {}): void {
  describe(name, () => {
    let subject: Subject;
    beforeAll(async () => {
      subject = await make();
    });
    afterAll(() => subject.token.close());

    it('signs with identity, s in the lower half', async () => {
      const key = publicKey(subject.token.publicKeys.identity);
      for (let i = 0; i < 16; i++) {
        const message = utf8(`statement ${i}`);
        const signature = await subject.token.sign(message);
        expect(signature).toHaveLength(64);
        expect(verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
        expect(p256.Signature.fromBytes(signature).hasHighS()).toBe(false);
      }
    });

    it('derives what the other side of the exchange derives', async () => {
      const other = createECDH('prime256v1');
      const point = Uint8Array.from(other.generateKeys());
      const expected = other.computeSecret(subject.token.publicKeys.session);
      expect(bytesToHex(await subject.token.deriveSession(point))).toBe(expected.toString('hex'));
    });

    it.each(Object.entries(HOSTILE_UNCOMPRESSED))('refuses to derive from a point that is %s', async (_, point) => {
      await expect(subject.token.deriveSession(point)).rejects.toMatchObject({ code: 'malformed' });
    });

    it('evaluates as one OPRF key per tweak input, whatever the blind', async () => {
      const input = utf8('a PIN');
      const outputs: string[] = [];
      for (let i = 0; i < 4; i++) {
        const { blind, blinded } = p256_oprf.oprf.blind(input);
        const evaluated = await subject.token.evaluate(utf8('record 1'), blinded);
        outputs.push(bytesToHex(p256_oprf.oprf.finalize(input, blind, evaluated)));
      }
      expect(new Set(outputs).size).toBe(1);
      const { blind, blinded } = p256_oprf.oprf.blind(input);
      const other = await subject.token.evaluate(utf8('record 2'), blinded);
      expect(bytesToHex(p256_oprf.oprf.finalize(input, blind, other))).not.toBe(outputs[0]);
    });

    it('evaluates ±G like every other point', async () => {
      const tweak = utf8('record 1');
      const { BASE, fromBytes } = p256.Point;
      const key = fromBytes(await subject.token.evaluate(tweak, BASE.toBytes(true)));
      const negated = await subject.token.evaluate(tweak, BASE.negate().toBytes(true));
      expect(bytesToHex(negated)).toBe(key.negate().toHex(true));
      for (const factor of [2n, 3n, 1n << 200n]) {
        const evaluated = await subject.token.evaluate(tweak, BASE.multiply(factor).toBytes(true));
        expect(bytesToHex(evaluated)).toBe(key.multiply(factor).toHex(true));
      }
    });

    it.each(Object.entries(HOSTILE_COMPRESSED))('refuses to evaluate: %s', async (_, point) => {
      await expect(subject.token.evaluate(utf8('record'), point)).rejects.toMatchObject({ code: 'malformed' });
    });

    it('authenticates with the anchor key, the same each time', async () => {
      const mac = await subject.token.anchorMac(utf8('root 1'));
      expect(mac).toHaveLength(32);
      expect(await subject.token.anchorMac(utf8('root 1'))).toEqual(mac);
      expect(await subject.token.anchorMac(utf8('root 2'))).not.toEqual(mac);
    });

    it('keeps the two newest anchors, across a reopening', async () => {
      expect(await subject.token.readAnchors()).toEqual([]);
      const values = Array.from({ length: 5 }, (_, i) => Uint8Array.from({ length: i === 3 ? 256 : 100 }, () => i));
      await subject.token.writeAnchor(values[0]!);
      expect(hex(await subject.token.readAnchors())).toEqual(hex([values[0]!]));
      for (let i = 1; i < values.length; i++) {
        await subject.token.writeAnchor(values[i]!);
        expect(hex(await subject.token.readAnchors())).toEqual(hex([values[i - 1]!, values[i]!]));
        if (i === 2) subject.token = await subject.reopen();
      }
      await expect(subject.token.writeAnchor(new Uint8Array(257))).rejects.toMatchObject({ code: 'too_large' });
      expect(hex(await subject.token.readAnchors())).toEqual(hex([values[3]!, values[4]!]));
    });

    it('signs after the anchor is written, and nothing where it cannot be', async () => {
      const signed = await subject.token.anchorThenSign(Uint8Array.of(77), utf8('batch'));
      expect(signed).toBeInstanceOf(Uint8Array);
      expect(verifyEcdsa(subject.token.publicKeys.identity, utf8('batch'), signed as Uint8Array)).toBe(true);
      expect(hex(await subject.token.readAnchors())).toContain('4d');
      const signatures = () => subject.token.usage().find(({ operation }) => operation === 'sign')?.count;
      const before = signatures();
      await expect(subject.token.anchorThenSign(new Uint8Array(257), utf8('batch'))).rejects.toMatchObject({
        code: 'too_large',
      });
      expect(signatures()).toBe(before);
    });

    it('is the same token after reopening', async () => {
      const before = subject.token.publicKeys;
      const mac = await subject.token.anchorMac(utf8('same'));
      const created = subject.token.keysCreatedAt;
      subject.token = await subject.reopen();
      expect(subject.token.publicKeys).toEqual(before);
      expect(await subject.token.anchorMac(utf8('same'))).toEqual(mac);
      expect(subject.token.keysCreatedAt).toBe(created);
      if (created === undefined && !dated) return;
      expect(created).toBeGreaterThan(Date.now() - 2 * 86_400_000);
      expect(created).toBeLessThanOrEqual(Date.now());
    });

    it('counts what it did', async () => {
      const count = () => subject.token.usage().find((entry) => entry.operation === 'sign')?.count ?? 0;
      const before = count();
      await subject.token.sign(utf8('one'));
      expect(count()).toBe(before + 1);
    });

    it('finishes what was begun, and rejects after closing', async () => {
      const token = await subject.reopen();
      subject.token = token;
      const begun = Array.from({ length: 20 }, (_, i) => token.sign(utf8(`${i}`)));
      await token.close();
      expect((await Promise.all(begun)).every((signature) => signature.length === 64)).toBe(true);
      await expect(token.sign(utf8('late'))).rejects.toMatchObject({ code: 'token_failed' });
      await expect(token.readAnchors()).rejects.toMatchObject({ code: 'token_failed' });
    });
  });
}
