/** What every implementation of `SigningToken` must do, tried through the port alone; node:crypto is the judge. */

import { createPublicKey, verify } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, toBase64Url, utf8 } from '../../src/core/index.ts';
import type { SigningAlgorithm, SigningKey, SigningToken } from '../../src/token/port.ts';

export interface SigningSubject {
  token: SigningToken;
  /** Closes the token and opens the same one again. */
  reopen(): Promise<SigningToken>;
}

const HALF_ORDER = 0x7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8n;

/** Whether node:crypto takes the signature. */
export function isRight({ algorithm, publicKey }: SigningKey, message: Uint8Array, signature: Uint8Array): boolean {
  if (algorithm === 'Ed25519') {
    const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(publicKey) }, format: 'jwk' });
    return verify(null, message, key, signature);
  }
  const [x, y] = [toBase64Url(publicKey.subarray(1, 33)), toBase64Url(publicKey.subarray(33))];
  const key = createPublicKey({ key: { kty: 'EC', crv: 'P-256', x, y }, format: 'jwk' });
  return verify('sha256', message, { key, dsaEncoding: 'ieee-p1363' }, signature);
}

/** @param prefix of every label, so that several runs can share a token. */
export function signingSuite(name: string, prefix: string, make: () => Promise<SigningSubject>): void {
  describe(name, () => {
    let subject: SigningSubject;
    beforeAll(async () => {
      subject = await make();
    });
    afterAll(() => subject.token.close());

    it('does both algorithms, Ed25519 first', () => {
      expect(subject.token.algorithms).toEqual(['Ed25519', 'P-256']);
    });

    it.each<SigningAlgorithm>(['Ed25519', 'P-256'])('generates, signs and reopens a key of %s', async (algorithm) => {
      const label = `${prefix}suite/${algorithm}`;
      const made = await subject.token.generate(label, algorithm);
      expect(made.algorithm).toBe(algorithm);
      expect(made.publicKey).toHaveLength(algorithm === 'Ed25519' ? 32 : 65);
      for (const text of ['a', 'statement', 'x'.repeat(5000)]) {
        const signature = await made.sign(utf8(text));
        expect(signature).toHaveLength(64);
        expect(isRight(made, utf8(text), signature)).toBe(true);
        expect(isRight(made, utf8(`${text}!`), signature)).toBe(false);
        const s = BigInt(`0x${bytesToHex(signature.subarray(32))}`);
        if (algorithm === 'P-256') expect(s <= HALF_ORDER).toBe(true);
      }
      subject.token = await subject.reopen();
      const again = await subject.token.open(label);
      expect(again).toMatchObject({ algorithm, publicKey: made.publicKey });
      expect(isRight(made, utf8('later'), await again.sign(utf8('later')))).toBe(true);
      await expect(subject.token.generate(label, algorithm)).rejects.toMatchObject({ code: 'token_unsuitable' });
    });

    it('works with several keys at once, each its own', async () => {
      const labels = ['a', 'b', 'c'].map((each) => `${prefix}several/${each}`);
      const keys = await Promise.all(labels.map((label) => subject.token.generate(label, 'Ed25519')));
      const mixed = await subject.token.generate(`${prefix}several/d`, 'P-256');
      expect(new Set(keys.map((key) => bytesToHex(key.publicKey))).size).toBe(3);
      const message = utf8('the same for all');
      const made = await Promise.all([...keys, mixed].map((key) => key.sign(message)));
      for (const [index, key] of [...keys, mixed].entries()) expect(isRight(key, message, made[index]!)).toBe(true);
      expect(isRight(keys[0]!, message, made[1]!)).toBe(false);
    });

    it('finds keys by how their labels begin, sorted', async () => {
      await subject.token.generate(`${prefix}found/z`, 'P-256');
      await subject.token.generate(`${prefix}found/a`, 'Ed25519');
      await subject.token.generate(`${prefix}foundry`, 'Ed25519');
      expect(await subject.token.find(`${prefix}found/`)).toEqual([
        { label: `${prefix}found/a`, algorithm: 'Ed25519' },
        { label: `${prefix}found/z`, algorithm: 'P-256' },
      ]);
      expect(await subject.token.find(`${prefix}none/`)).toEqual([]);
    });

    it('refuses a key that is not there, impossible labels, and impossible messages', async () => {
      await expect(subject.token.open(`${prefix}missing`)).rejects.toMatchObject({ code: 'token_unsuitable' });
      for (const label of ['', 'a b', 'ü', 'x'.repeat(201)]) {
        await expect(subject.token.generate(label, 'Ed25519')).rejects.toMatchObject({ code: 'usage' });
        await expect(subject.token.open(label)).rejects.toMatchObject({ code: 'usage' });
      }
      const key = await subject.token.generate(`${prefix}messages`, 'Ed25519');
      await expect(key.sign(new Uint8Array())).rejects.toMatchObject({ code: 'usage' });
      await expect(key.sign(new Uint8Array(1_048_577))).rejects.toMatchObject({ code: 'too_large' });
      expect(isRight(key, utf8('after'), await key.sign(utf8('after')))).toBe(true);
    });

    it('finishes what was begun, and rejects after closing', async () => {
      const key = await subject.token.generate(`${prefix}closing`, 'Ed25519');
      const begun = Array.from({ length: 8 }, (_, i) => key.sign(utf8(`${i}`)));
      await subject.token.close();
      expect((await Promise.all(begun)).every((signature) => signature.length === 64)).toBe(true);
      await expect(key.sign(utf8('late'))).rejects.toMatchObject({ code: 'token_failed' });
      await expect(subject.token.open(`${prefix}closing`)).rejects.toMatchObject({ code: 'token_failed' });
      subject.token = await subject.reopen();
    });
  });
}
