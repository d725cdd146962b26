import { createECDH } from 'node:crypto';
import { p256_oprf } from '@noble/curves/nist.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { createTokenKeys, measureToken, openToken } from '../../src/token/index.ts';
import { type SoftHsm, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
  await createTokenKeys(hsm.options());
});
afterAll(() => hsm.remove());

it.each([1, 2])('answers a thousand mixed calls at once rightly, with %i workers', async (workers) => {
  const token = await openToken({ ...hsm.options(), workers });
  const other = createECDH('prime256v1');
  const point = Uint8Array.from(other.generateKeys());
  const { blinded } = p256_oprf.oprf.blind(utf8('pin'));
  const expected = [
    'signed',
    other.computeSecret(token.publicKeys.session).toString('hex'),
    bytesToHex(await token.evaluate(utf8('r'), blinded)),
    bytesToHex(await token.anchorMac(utf8('m'))),
    'written',
  ];
  const calls: (() => Promise<string>)[] = [
    async () => ((await token.sign(utf8('s'))).length === 64 ? 'signed' : 'wrong'),
    async () => bytesToHex(await token.deriveSession(point)),
    async () => bytesToHex(await token.evaluate(utf8('r'), blinded)),
    async () => bytesToHex(await token.anchorMac(utf8('m'))),
    async () => token.writeAnchor(utf8('a')).then(() => 'written'),
  ];
  const results = await Promise.all(Array.from({ length: 1000 }, (_, index) => calls[index % 5]!()));
  expect(results.every((result, index) => result === expected[index % 5])).toBe(true);
  expect(await token.readAnchors()).toEqual([utf8('a'), utf8('a')]);
  const usage = Object.fromEntries(token.usage().map((entry) => [entry.operation, entry]));
  expect(usage.anchor_write?.count).toBe(200);
  expect(usage.ecdh?.count).toBeGreaterThanOrEqual(200 + 2 * 201);
  expect(usage.ecdh?.seconds).toBeGreaterThan(0);
  expect(usage.fault).toBeUndefined();
  await token.close();
});

it('opens and closes tokens in turn while others work', async () => {
  const first = await openToken(hsm.options());
  const busy = Array.from({ length: 200 }, () => first.sign(utf8('busy')));
  const second = await openToken({ ...hsm.options(), workers: 2 });
  await second.close();
  expect((await Promise.all(busy)).length).toBe(200);
  const third = openToken(hsm.options());
  await first.close();
  expect(await (await third).sign(utf8('still here'))).toHaveLength(64);
  await (await third).close();
  const fourth = await openToken(hsm.options());
  await fourth.close();
});

it('measures each operation', async () => {
  const token = await openToken(hsm.options());
  const rates = await measureToken(token, { calls: 20, concurrency: 4 });
  expect(rates.map((rate) => rate.operation)).toEqual(['sign', 'ecdh', 'hmac', 'evaluate', 'anchor_write']);
  expect(rates.every((rate) => rate.perSecond > 0 && rate.medianMicroseconds > 0)).toBe(true);
  await token.close();
});
