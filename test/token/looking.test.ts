/** SoftHSM hides a token for the moment of another process's login, so that a token that is not there is looked for again. */

import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openSigningToken } from '../../src/token/index.ts';
import type { WorkerLike } from '../../src/token/pkcs11/channel.ts';
import { tokenError } from '../../src/token/pkcs11/errors.ts';
import { failureOf } from '../../src/token/pkcs11/messages.ts';
import { openSigningToken as openWith } from '../../src/token/pkcs11/signing-token.ts';
import { ckr, PIN, type SoftHsm, secret, softHsm } from './fixture.ts';

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

/** A worker that fails to open the token with this, as where another process is in the middle of writing it. */
function failing(operation: 'open' | 'login'): WorkerLike {
  const listeners = new Map<string, (argument: never) => void>();
  const tell = (event: string, what: unknown) => queueMicrotask(() => listeners.get(event)?.(what as never));
  return {
    on: (event: string, listener: (argument: never) => void) => listeners.set(event, listener),
    postMessage: (requests) => {
      const failure = failureOf(tokenError(ckr('CKR_GENERAL_ERROR'), operation));
      const replies = requests.map((one) => (one.operation === 'open' ? { failure } : { output: undefined }));
      tell('message', { replies, timings: [] });
      if (requests.some((one) => one.operation === 'close')) tell('exit', 0);
    },
    unref: () => {},
  };
}

it('is found although its slot cannot be asked about for a second', async () => {
  const end = performance.now() + 1000;
  const token = await openWith({ ...access(), label: hsm.label }, (setup) =>
    performance.now() < end
      ? failing('open')
      : new Worker(new URL('../../src/token/pkcs11/worker.ts', import.meta.url), { workerData: setup }),
  );
  expect(token.description.serial).toBe(hsm.serial);
  await token.close();
});

it('is logged in to no second time where that failed', async () => {
  let looks = 0;
  const opening = openWith({ ...access(), label: hsm.label }, () => {
    looks++;
    return failing('login');
  });
  await expect(opening).rejects.toMatchObject({ code: 'token_failed', details: { operation: 'login' } });
  expect(looks).toBe(1);
});

it('is given up in the end', async () => {
  const opening = openSigningToken({ ...access(), serial: 'none' });
  await expect(opening).rejects.toMatchObject({ code: 'token_removed' });
});
