import { expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { SoftwareToken } from '../../src/token/index.ts';
import { tokenSuite } from './suite.ts';

tokenSuite('SoftwareToken', async () => {
  let token = new SoftwareToken();
  return {
    token,
    reopen: async () => {
      await token.close();
      token = new SoftwareToken({ state: token.snapshot() });
      return token;
    },
  };
});

it('rolls its anchors back to a snapshot, and keeps its keys', async () => {
  const token = new SoftwareToken();
  await token.writeAnchor(utf8('old'));
  const image = token.snapshot();
  await token.writeAnchor(utf8('new'));
  expect(await token.readAnchors()).toHaveLength(2);
  token.rollback(image);
  expect(await token.readAnchors()).toEqual([utf8('old')]);
});

it('injects a failure without effect, and an unclear one with effect', async () => {
  const token = new SoftwareToken({
    faults: (operation) => (operation === 'anchor_write' ? 'token_removed' : undefined),
  });
  await expect(token.writeAnchor(utf8('a'))).rejects.toMatchObject({ code: 'token_removed' });
  expect(await token.readAnchors()).toEqual([]);
  token.faults = (operation) => (operation === 'anchor_write' ? 'unclear' : undefined);
  await expect(token.writeAnchor(utf8('a'))).rejects.toMatchObject({ code: 'token_failed' });
  expect(await token.readAnchors()).toEqual([utf8('a')]);
});

it('never answers an evaluation whose ECDH was wrong', async () => {
  let wrong = 1;
  const token = new SoftwareToken();
  const blinded = Uint8Array.from(
    Buffer.from('03723a1e5c09b8b9c18d1dcbca29e8007e95f14f4732d9346d490ffc195110368d', 'hex'),
  );
  const right = await token.evaluate(utf8('r'), blinded);
  token.faults = (operation) => (operation === 'ecdh' && wrong-- > 0 ? 'wrong_result' : undefined);
  expect(await token.evaluate(utf8('r'), blinded)).toEqual(right);
  expect(token.usage().find((entry) => entry.operation === 'fault')?.count).toBe(1);
  token.faults = (operation) => (operation === 'ecdh' ? 'wrong_result' : undefined);
  await expect(token.evaluate(utf8('r'), blinded)).rejects.toMatchObject({ code: 'token_failed' });
});
