/** The watch over a node's token: what it says, when it gives the token up, and what it leaves alone. */

import { expect, test } from 'vitest';
import { type Clock, HoldfastError, utf8 } from '../../src/core/index.ts';
import { TokenWatch } from '../../src/node/token-watch.ts';
import { SoftwareToken } from '../../src/token/index.ts';

/** A clock whose sleeps take no time but are counted. */
function instantClock() {
  const clock = {
    slept: 0,
    now: () => 0,
    sleep: async (milliseconds: number) => {
      clock.slept += milliseconds;
    },
  } satisfies Clock & { slept: number };
  return clock;
}

/** A watched token whose next `failures` operations fail. */
function watched(failures: number) {
  let left = failures;
  const failing = new SoftwareToken({ faults: () => (left-- > 0 ? 'token_failed' : undefined) });
  const said: string[] = [];
  const clock = instantClock();
  const settled = Promise.withResolvers<void>();
  const watch = new TokenWatch(failing, {
    clock,
    onFailing: ({ code: what }) => said.push(`failing ${what}`),
    onWell: () => {
      said.push('well');
      settled.resolve();
    },
    onLost: ({ code: what }) => {
      said.push(`lost ${what}`);
      settled.resolve();
    },
  });
  return { watch, said, clock, settled: settled.promise };
}

test('one failure is its caller’s, is said once, and is over when the token answers again', async () => {
  const { watch, said, settled } = watched(3);
  await expect(watch.token.sign(utf8('x'))).rejects.toMatchObject({ code: 'token_failed' });
  await settled;
  expect(said).toEqual(['failing token_failed', 'well']);
  expect(watch.failing).toBeUndefined();
  expect((await watch.token.sign(utf8('x'))).length).toBe(64);
});

test('a token that keeps failing is given up after about five seconds, once', async () => {
  const { watch, said, clock, settled } = watched(1000);
  await expect(watch.token.anchorMac(utf8('x'))).rejects.toMatchObject({ code: 'token_failed' });
  await expect(watch.token.readAnchors()).rejects.toMatchObject({ code: 'token_failed' });
  await settled;
  expect(said).toEqual(['failing token_failed', 'lost token_failed']);
  expect(clock.slept).toBe(5000);
  expect(watch.failing).toMatchObject({ code: 'token_failed' });
});

test('what is wrong with a request is not the token’s failure', async () => {
  const { watch, said } = watched(0);
  await expect(watch.token.evaluate(utf8('x'), new Uint8Array(33))).rejects.toMatchObject({ code: 'malformed' });
  expect(said).toEqual([]);
  expect(watch.failing).toBeUndefined();
});

test('a closed token is watched no longer', async () => {
  const { watch, said } = watched(1000);
  await watch.token.close();
  await expect(watch.token.sign(utf8('x'))).rejects.toMatchObject({ code: 'token_failed' });
  expect(said).toEqual([]);
});

test('a token of which a call never returned is given up at once', async () => {
  const token = new SoftwareToken();
  token.anchorMac = () =>
    Promise.reject(new HoldfastError('token_failed', 'no answer', { details: { operation: 'prf', hung: true } }));
  const clock = instantClock();
  const { promise, resolve } = Promise.withResolvers<HoldfastError>();
  const watch = new TokenWatch(token, { clock, onFailing: () => {}, onWell: () => {}, onLost: resolve });
  await expect(watch.token.anchorMac(utf8('x'))).rejects.toMatchObject({ code: 'token_failed' });
  expect(await promise).toMatchObject({ code: 'token_failed', details: { hung: true } });
  expect(clock.slept).toBe(0);
});
