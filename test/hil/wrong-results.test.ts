/** One bit that a device gets wrong, anywhere in an operation: the token's caller gets the right result or an error. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { p256_oprf } from '@noble/curves/nist.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bytesToHex, utf8 } from '../../src/core/index.ts';
import { createTokenKeys, openToken, type Token } from '../../src/token/index.ts';
import { type SoftHsm, softHsm } from '../token/fixture.ts';
import { buildFaultyModule, FaultControl } from './faulty-module.ts';

let hsm: SoftHsm;
let control: FaultControl;
let token: Token;
beforeAll(async () => {
  hsm = await softHsm();
  control = new FaultControl(join(mkdtempSync(join(tmpdir(), 'shim-')), 'control'));
  process.env.FAULTY_MODULE = hsm.module;
  process.env.FAULTY_CONTROL = control.path;
  const options = { ...hsm.options(), module: buildFaultyModule(hsm.directory) };
  await createTokenKeys(options);
  token = await openToken(options);
});
afterAll(async () => {
  await token.close();
  hsm.remove();
});

const { blinded } = p256_oprf.oprf.blind(utf8('a PIN'));
const OPERATIONS = {
  evaluate: () => token.evaluate(utf8('record'), blinded),
  anchorMac: () => token.anchorMac(utf8('root')),
};

test.each([
  ['evaluate', 'C_Sign', 0x251],
  ['evaluate', 'C_GetAttributeValue', 0x11],
  ['anchorMac', 'C_Sign', 0x251],
] as const)('%s, with the result of %s wrong', async (operation, name, type) => {
  control.clear();
  const right = bytesToHex(await OPERATIONS[operation]());
  let call = 1;
  for (; call < 20; call++) {
    control.set(`${name} ${call} 1 flip ${type}`);
    const result = await OPERATIONS[operation]().then(bytesToHex, (error: { code: string }) => error.code);
    expect([right, 'token_failed']).toContain(result);
    if (control.done === 0) break;
  }
  expect(call).toBeGreaterThan(1);
  control.set(`${name} 1 0 flip ${type}`);
  const always = await OPERATIONS[operation]().then(bytesToHex, (error: { code: string }) => error.code);
  // A device that is wrong in the same way each time is another function, which nobody can tell from here.
  if (name === 'C_GetAttributeValue') expect(always).toBe('token_failed');
});
