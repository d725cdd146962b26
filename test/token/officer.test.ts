/** The security officer's steps one by one, and what is read back of keys and certificates, on a real token. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createTokenKeys,
  destroyKeys,
  findKeys,
  initialiseSlot,
  nodeKeySpecs,
  openToken,
  readCertificates,
  readKeys,
  readSlots,
  replaceSoPin,
  setUserPin,
  tokenRandom,
  tryPin,
} from '../../src/token/index.ts';
import { bytesAttribute, CK, flagAttribute, numberAttribute, textAttribute } from '../../src/token/pkcs11/cryptoki.ts';
import { connect, type SoftHsm, secret, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
});
afterAll(() => hsm.remove());

describe('a token, step by step', () => {
  it('goes from an empty slot to one whose officer nobody can be', async () => {
    const access = { module: hsm.module };
    const empty = (await readSlots(access)).find(({ initialised }) => !initialised)!;
    expect(empty.token).toMatchObject({ label: '', manufacturer: 'SoftHSM project' });
    await initialiseSlot(access, empty.slot, 'steps', secret('set-up-1'));
    const made = (await readSlots(access)).find(({ token }) => token.label === 'steps')!;
    expect(made).toMatchObject({ initialised: true, userPinSet: false, hasRandom: true, protectedPath: false });
    expect(made.pinLength).toEqual({ minimum: 4, maximum: 255 });
    const { serial } = made.token;
    expect(await tryPin(access, { serial }, 'user', secret('user-pin-1'))).toBe('not_set');
    await setUserPin(access, { serial }, secret('set-up-1'), secret('user-pin-1'));
    expect(await tryPin(access, { serial }, 'user', secret('user-pin-1'))).toBe('accepted');
    expect(await tryPin(access, { serial }, 'user', secret('user-pin-2'))).toBe('refused');
    const [one, other] = [await tokenRandom(access, { serial }, 32), await tokenRandom(access, { serial }, 32)];
    expect(one).toHaveLength(32);
    expect(one).not.toEqual(other);
    await replaceSoPin(access, { serial }, secret('set-up-1'), secret('nobody-1'));
    expect(await tryPin(access, { serial }, 'security officer', secret('set-up-1'))).toBe('refused');
    expect(await tryPin(access, { serial }, 'security officer', secret('nobody-1'))).toBe('accepted');
    await expect(replaceSoPin(access, { serial }, secret('set-up-1'), secret('x-pin'))).rejects.toMatchObject({
      code: 'token_pin_incorrect',
    });
    await expect(tryPin(access, { serial: 'none' }, 'user', secret('a-pin'))).rejects.toMatchObject({
      code: 'token_removed',
    });
  });
});

describe('reading keys back', () => {
  it('gives every attribute of a node’s keys, beside what is asked of them', async () => {
    const place = hsm.options('read');
    const { publicKeys, profile } = await createTokenKeys(place);
    const specs = nodeKeySpecs(place);
    const readings = await readKeys(place, specs, profile);
    expect(
      readings.map(({ name, object, type, curve, length, faults }) => [name, object, type, curve, length, faults]),
    ).toEqual([
      ['identity', 'private key', 'EC', 'P-256', null, []],
      ['session', 'private key', 'EC', 'P-256', null, []],
      ['oprf', 'private key', 'EC', 'P-256', null, []],
      ['tweak', 'secret key', 'generic secret', null, 32, []],
      ['anchor', 'secret key', 'generic secret', null, 32, []],
    ]);
    expect(readings[0]).toMatchObject({
      label: 'holdfast/fleet/read/identity',
      mechanism: 'CKM_EC_KEY_PAIR_GEN',
      attributes: { CKA_LOCAL: true, CKA_EXTRACTABLE: false, CKA_SIGN: true, CKA_DERIVE: false, CKA_MODIFIABLE: false },
      required: { CKA_LOCAL: true, CKA_EXTRACTABLE: false, CKA_SIGN: true, CKA_DERIVE: false },
    });
    expect(readings[2]!.publicKey).toEqual(publicKeys.oprf);
    // A service that has the token open keeps its login.
    const token = await openToken(place);
    await readKeys(place, specs, profile);
    expect(await token.sign(Uint8Array.of(1))).toHaveLength(64);
    await token.close();
  });

  it('tells of a key that may leave the token, and of one that may do more', async () => {
    const connection = connect(hsm);
    const label = 'holdfast/fleet/bad/identity';
    connection.run('test', false, (session) => {
      const named = [textAttribute(CK.CKA_LABEL, label)];
      connection.module.C_GenerateKeyPair(
        session,
        { mechanism: CK.CKM_EC_KEY_PAIR_GEN },
        [
          bytesAttribute(CK.CKA_EC_PARAMS, Uint8Array.of(6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7)),
          flagAttribute(CK.CKA_TOKEN, true),
          ...named,
        ],
        [
          ...[CK.CKA_TOKEN, CK.CKA_PRIVATE, CK.CKA_SIGN, CK.CKA_DERIVE, CK.CKA_EXTRACTABLE].map((type) =>
            flagAttribute(type, true),
          ),
          flagAttribute(CK.CKA_SENSITIVE, true),
          ...named,
        ],
      );
    });
    connection.close();
    const specs = nodeKeySpecs({ fleet: 'fleet', node: 'bad' });
    const [reading, ...others] = await readKeys(hsm.options('bad'), specs, {});
    expect(others).toEqual([]);
    expect(reading!.faults).toEqual(
      expect.arrayContaining([
        'CKA_EXTRACTABLE is true instead of false',
        'CKA_NEVER_EXTRACTABLE is false instead of true',
        'CKA_DERIVE is true instead of false',
      ]),
    );
    expect(await findKeys(hsm.options('bad'), specs)).toEqual([label]);
    expect(await destroyKeys(hsm.options('bad'), specs)).toBe(2);
    expect(await findKeys(hsm.options('bad'), specs)).toEqual([]);
  });

  it('finds certificates', async () => {
    expect(await readCertificates(hsm.options('read'))).toEqual([]);
    const der = Uint8Array.of(0x30, 3, 2, 1, 5);
    const connection = connect(hsm);
    connection.run('test', false, (session) =>
      connection.module.C_CreateObject(session, [
        numberAttribute(CK.CKA_CLASS, CK.CKO_CERTIFICATE),
        numberAttribute(0x80, 0), // CKA_CERTIFICATE_TYPE: CKC_X_509
        flagAttribute(CK.CKA_TOKEN, true),
        textAttribute(CK.CKA_LABEL, 'vendor'),
        bytesAttribute(0x101, der), // CKA_SUBJECT
        bytesAttribute(CK.CKA_ID, Uint8Array.of(7)),
        bytesAttribute(CK.CKA_VALUE, der),
      ]),
    );
    connection.close();
    expect(await readCertificates(hsm.options('read'))).toEqual([{ label: 'vendor', id: '07', der }]);
  });
});
