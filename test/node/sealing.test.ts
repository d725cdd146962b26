/** Opening the sealed requests of a session, also with a token that errs: the sender is not blamed for it. */

import { expect, test } from 'vitest';
import { type Clock, systemRandom, utf8 } from '../../src/core/index.ts';
import { newRequestSender } from '../../src/crypto/index.ts';
import { createRequestSealing } from '../../src/node/sealing.ts';
import { encodeOuter, encodeSealingInfo, type Outer } from '../../src/protocol/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';

const outer: Outer = {
  fleet: 'fleet',
  epoch: 1,
  node: 1,
  operation: 'attempt',
  record: new Uint8Array(32),
  generation: 1,
  attempt: 1,
  argumentsHash: new Uint8Array(32),
};

/** A token whose derivations go wrong where `wrong` says so, by their number from 0. */
function sealing(wrong: (derivation: number) => boolean) {
  let count = 0;
  const token = new SoftwareToken({
    faults: (operation) => (operation === 'ecdh' && wrong(count++) ? 'wrong_result' : undefined),
  });
  const sender = newRequestSender({
    publicKey: token.publicKeys.session,
    info: encodeSealingInfo({ fleet: outer.fleet, epoch: outer.epoch, node: outer.node }),
  });
  const seal = async (text = 'a request') => (await sender).seal(encodeOuter(outer), utf8(text));
  const clock = { time: 1_000_000, now: () => clock.time, sleep: () => Promise.reject(new Error('nobody sleeps')) };
  const opener = createRequestSealing(token, systemRandom, clock satisfies Clock);
  const open = async ({ enc, ciphertext }: { enc: Uint8Array; ciphertext: Uint8Array }) =>
    new TextDecoder().decode((await opener.open(outer, enc, ciphertext)).plaintext);
  return { seal, open, clock, derivations: () => count };
}

test('a derivation that was wrong once is made again', async () => {
  const { seal, open, derivations } = sealing((derivation) => derivation === 0);
  expect(await open(await seal())).toBe('a request');
  expect(derivations()).toBe(2);
  expect(await open(await seal('another'))).toBe('another');
  expect(derivations()).toBe(2);
});

test('what is not sealed to this key is refused, after the second derivation agreed', async () => {
  const { seal, open, derivations } = sealing(() => false);
  const sealed = await seal();
  sealed.ciphertext[1]! ^= 1;
  await expect(open(sealed)).rejects.toMatchObject({ code: 'malformed' });
  expect(derivations()).toBe(2);
});

test('one derivation is enough for the requests of a session, whichever of them come', async () => {
  const { seal, open, derivations } = sealing(() => false);
  const requests = [await seal('status'), await seal('attempt'), await seal('confirm')];
  expect(await open(requests[1]!)).toBe('attempt');
  expect(await open(requests[2]!)).toBe('confirm');
  expect(derivations()).toBe(1);
});

test('what does not open in a session that is known is refused, and the session goes on', async () => {
  const { seal, open, derivations } = sealing(() => false);
  expect(await open(await seal())).toBe('a request');
  const forged = await seal();
  forged.ciphertext[9]! ^= 1;
  await expect(open(forged)).rejects.toMatchObject({ code: 'malformed' });
  expect(derivations()).toBe(1);
  expect(await open(await seal('another'))).toBe('another');
  expect(derivations()).toBe(1);
});

test('nothing is kept of a session none of whose requests opened', async () => {
  const { seal, open, derivations } = sealing(() => false);
  const forged = await seal();
  forged.ciphertext[9]! ^= 1;
  await expect(open(forged)).rejects.toMatchObject({ code: 'malformed' });
  expect(await open(await seal())).toBe('a request');
  expect(derivations()).toBe(3);
});

test('a session is forgotten after 30 seconds, and where the clock stepped back', async () => {
  const { seal, open, clock, derivations } = sealing(() => false);
  const request = await seal();
  await open(request);
  clock.time += 29_999;
  await open(request);
  expect(derivations()).toBe(1);
  clock.time += 1;
  await open(request);
  expect(derivations()).toBe(2);
  clock.time -= 60_000;
  await open(request);
  expect(derivations()).toBe(3);
});
