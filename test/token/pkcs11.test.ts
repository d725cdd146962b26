import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTokenKeys, openToken, type TokenProfile } from '../../src/token/index.ts';
import { type SoftHsm, softHsm } from './fixture.ts';
import { tokenSuite } from './suite.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
});
afterAll(() => hsm.remove());

const CASES: readonly [string, number, Partial<TokenProfile>][] = [
  ['as probed', 1, {}],
  ['as probed, two workers', 2, {}],
  ['profile: PRF by ECDH', 1, { prf: 'ecdh' }],
  ['profile: DER points', 1, { ecdhPoint: 'der' }],
  ['profile: anchors by create and destroy', 1, { anchor: 'replace' }],
];

for (const [index, [name, workers, profile]] of CASES.entries()) {
  tokenSuite(`PKCS#11 on SoftHSM, ${name}`, async () => {
    const options = { ...hsm.options(`node-${index}`), profile, workers };
    await createTokenKeys(options);
    let token = await openToken(options);
    return {
      token,
      reopen: async () => {
        await token.close();
        token = await openToken(options);
        return token;
      },
    };
  });
}

describe('one token for several nodes', () => {
  it('finds SoftHSM’s profile by trying', async () => {
    await createTokenKeys(hsm.options('profiled'));
    const token = await openToken(hsm.options('profiled'));
    expect(token.profile).toEqual({ ecdhPoint: 'raw', ecdsa: 'digest', prf: 'hmac-generic', anchor: 'label' });
    expect(token.description).toMatchObject({ label: 'test', model: 'SoftHSM v2', serial: hsm.serial });
    await token.close();
  });

  it('keeps the nodes’ keys apart, open at the same time', async () => {
    await createTokenKeys(hsm.options('left'));
    await createTokenKeys(hsm.options('right'));
    const [left, right] = await Promise.all([openToken(hsm.options('left')), openToken(hsm.options('right'))]);
    expect(left.publicKeys.oprf).not.toEqual(right.publicKeys.oprf);
    await left.writeAnchor(Uint8Array.of(1));
    expect(await right.readAnchors()).toEqual([]);
    await left.close();
    expect(await right.sign(Uint8Array.of(2))).toHaveLength(64);
    await right.close();
  });
});
