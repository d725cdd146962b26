/**
 * NSS softokn: a module of another origin than SoftHSM. It is no vault's token, which is found out; but with one attribute
 * put right by the module of test/hil/shim, all of our code runs on it, its way to keep anchors without data objects included:
 * suite-others.test.ts runs the suite of tokens on it.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTokenKeys, openToken, type TokenOptions } from '../../src/token/index.ts';
import { PIN, secret } from '../token/fixture.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';
import { makeSoftokn, type Softokn } from './softokn.ts';

let nss: Softokn;
let shim: string;
let control: FaultControl;
beforeAll(() => {
  nss = makeSoftokn(PIN);
  const directory = mkdtempSync(join(tmpdir(), 'shim-'));
  shim = buildFaultyModule(directory);
  control = new FaultControl(join(directory, 'control'));
  process.env.FAULTY_MODULE = nss.module;
  process.env.FAULTY_CONTROL = control.path;
  // CKA_LOCAL, which softokn never sets.
  control.set('C_GetAttributeValue 1 0 set 0x163 1');
});
afterAll(() => nss.remove());

const options = (node: string, module = shim): TokenOptions => {
  const { moduleParameters, slot, label } = nss;
  return { module, moduleParameters, slot, label, pin: secret(PIN), fleet: 'fleet', node };
};

it('is refused as it is: it does not say of keys that they were made on it', async () => {
  await expect(createTokenKeys(options('refused', nss.module))).rejects.toMatchObject({
    code: 'token_unsuitable',
    message: expect.stringContaining('CKA_LOCAL'),
  });
});

it('is found to keep anchors in the labels of keys, and tells when those were made', async () => {
  await createTokenKeys(options('profiled'));
  const token = await openToken(options('profiled'));
  expect(token.profile).toEqual({ ecdhPoint: 'raw', ecdsa: 'digest', prf: 'hmac-generic', anchor: 'key-label' });
  expect(token.description).toMatchObject({ model: 'NSS 3' });
  expect(token.keysCreatedAt).toBeGreaterThan(Date.now() - 2 * 86_400_000);
  expect(token.keysCreatedAt).toBeLessThanOrEqual(Date.now());
  await token.close();
});
