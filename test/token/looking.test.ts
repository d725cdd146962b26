/** SoftHSM hides a token for the moment of another process's login, so that a token that is not there is looked for again. */

import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSigningToken } from '../../src/token/index.ts';
import { openSigningToken as openWith } from '../../src/token/pkcs11/signing-token.ts';
import { PIN, type SoftHsm, secret, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm('looking');
});
afterAll(() => hsm.remove());

const access = () => ({ module: hsm.module, pin: secret(PIN) });

it('is found when it is there again', async () => {
  const tokens = join(hsm.directory, 'tokens');
  renameSync(tokens, `${tokens}-away`);
  mkdirSync(tokens);
  let looks = 0;
  const token = await openWith({ ...access(), label: hsm.label }, (setup) => {
    looks++;
    if (looks === 2) {
      rmdirSync(tokens);
      renameSync(`${tokens}-away`, tokens);
    }
    return new Worker(new URL('../../src/token/pkcs11/worker.ts', import.meta.url), { workerData: setup });
  });
  expect(looks).toBeGreaterThanOrEqual(2);
  expect(token.description.serial).toBe(hsm.serial);
  await token.close();
});

it('is given up in the end', async () => {
  const opening = openSigningToken({ ...access(), serial: 'none' });
  await expect(opening).rejects.toMatchObject({ code: 'token_removed' });
});
