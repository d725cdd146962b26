/** Opening sealed requests with a token that errs: the sender is not blamed for it. */

import { expect, test } from 'vitest';
import { systemRandom, utf8 } from '../../src/core/index.ts';
import { sealRequest } from '../../src/crypto/index.ts';
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
  const sealed = sealRequest({
    publicKey: token.publicKeys.session,
    info: encodeSealingInfo({ fleet: outer.fleet, epoch: outer.epoch, node: outer.node }),
    aad: encodeOuter(outer),
    plaintext: utf8('a request'),
  });
  return { sealed, opener: createRequestSealing(token, systemRandom), derivations: () => count };
}

test('a derivation that was wrong once is made again', async () => {
  const { sealed, opener, derivations } = sealing((derivation) => derivation === 0);
  const { enc, ciphertext } = await sealed;
  expect(new TextDecoder().decode((await opener.open(outer, enc, ciphertext)).plaintext)).toBe('a request');
  expect(derivations()).toBe(2);
});

test('what is not sealed to this key is refused, after the second derivation agreed', async () => {
  const { sealed, opener, derivations } = sealing(() => false);
  const { enc, ciphertext } = await sealed;
  ciphertext[0]! ^= 1;
  await expect(opener.open(outer, enc, ciphertext)).rejects.toMatchObject({ code: 'malformed' });
  expect(derivations()).toBe(2);
});

test('one derivation is enough for a request that opens', async () => {
  const { sealed, opener, derivations } = sealing(() => false);
  const { enc, ciphertext } = await sealed;
  await opener.open(outer, enc, ciphertext);
  expect(derivations()).toBe(1);
});
