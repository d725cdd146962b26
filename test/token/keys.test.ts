import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createTokenKeys,
  createTokenSigner,
  openToken,
  openTokenSigner,
  probeToken,
  readInventory,
} from '../../src/token/index.ts';
import {
  bytesAttribute,
  CK,
  findObjects,
  flagAttribute,
  type Handle,
  numberAttribute,
  plainMechanism,
  type Template,
  textAttribute,
} from '../../src/token/pkcs11/cryptoki.ts';
import { P256_PARAMETERS } from '../../src/token/pkcs11/curves.ts';
import { loadKey, pairTemplates } from '../../src/token/pkcs11/keys.ts';
import { altered, connect, PIN, type SoftHsm, secret, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
});
afterAll(() => hsm.remove());

const labelled = (label: string, objectClass: number): Template => [
  numberAttribute(CK.CKA_CLASS, objectClass),
  textAttribute(CK.CKA_LABEL, label),
];

/** Runs `body` in a session of its own. */
function look<T>(body: (module: ReturnType<typeof connect>['module'], session: Handle) => T): T {
  const connection = connect(hsm);
  try {
    return connection.run('look', false, (session) => body(connection.module, session));
  } finally {
    connection.close();
  }
}

const objectsOf = async (node: string) => {
  const inventory = await readInventory({ module: hsm.module, login: { serial: hsm.serial, pin: secret(PIN) } });
  const objects = inventory.slots.flatMap((slot) => slot.token?.objects ?? []);
  return objects.filter((object) => object.label.startsWith(`holdfast/fleet/${node}/`));
};

describe('generated keys', () => {
  beforeAll(async () => {
    await createTokenKeys(hsm.options('made'));
  });

  it('have exactly the attributes of the protocol, and nothing else is left on the token', async () => {
    const objects = await objectsOf('made');
    const kept = {
      CKA_TOKEN: true,
      CKA_PRIVATE: true,
      CKA_MODIFIABLE: false,
      CKA_LOCAL: true,
      CKA_SENSITIVE: true,
      CKA_ALWAYS_SENSITIVE: true,
      CKA_EXTRACTABLE: false,
      CKA_NEVER_EXTRACTABLE: true,
    };
    const only = (usage: string, all: readonly string[]) =>
      Object.fromEntries(all.map((each) => [`CKA_${each}`, each === usage]));
    const privateUsages = ['SIGN', 'DECRYPT', 'UNWRAP', 'DERIVE'];
    const secretUsages = ['SIGN', 'VERIFY', 'ENCRYPT', 'DECRYPT', 'WRAP', 'UNWRAP', 'DERIVE'];
    const found = objects.map(({ class: kind, label, attributes }) => [
      `${kind} ${label.split('/').at(-1)}`,
      attributes,
    ]);
    expect(Object.fromEntries(found.filter(([name]) => !(name as string).startsWith('public')))).toEqual({
      'private key identity': { ...kept, ...only('SIGN', privateUsages) },
      'private key session': { ...kept, ...only('DERIVE', privateUsages) },
      'private key oprf': { ...kept, ...only('DERIVE', privateUsages) },
      'secret key tweak': { ...kept, ...only('SIGN', secretUsages) },
      'secret key anchor': { ...kept, ...only('SIGN', secretUsages) },
    });
    expect(found.map(([name]) => name).sort()).toEqual([
      'private key identity',
      'private key oprf',
      'private key session',
      'public key identity',
      'public key oprf',
      'public key session',
      'secret key anchor',
      'secret key tweak',
    ]);
    expect(new Set(objects.map((object) => object.id)).size).toBe(5);
  });

  it.each([
    ['identity', CK.CKO_PRIVATE_KEY],
    ['session', CK.CKO_PRIVATE_KEY],
    ['oprf', CK.CKO_PRIVATE_KEY],
    ['tweak', CK.CKO_SECRET_KEY],
    ['anchor', CK.CKO_SECRET_KEY],
  ])('%s cannot be read, wrapped, or made extractable', (name, objectClass) => {
    look((module, session) => {
      const [key] = findObjects(module, session, labelled(`holdfast/fleet/made/${name}`, objectClass));
      expect(() => module.C_GetAttributeValue(session, key!, [{ type: CK.CKA_VALUE }])).toThrow(
        'CKR_ATTRIBUTE_SENSITIVE',
      );
      const wrapping = module.C_GenerateKey(session, plainMechanism(CK.CKM_AES_KEY_GEN), [
        flagAttribute(CK.CKA_TOKEN, false),
        flagAttribute(CK.CKA_WRAP, true),
        numberAttribute(CK.CKA_VALUE_LEN, 32),
      ]);
      const wrapper = module as unknown as { C_WrapKey(...args: unknown[]): Buffer };
      const wrap = (mechanism: number) =>
        wrapper.C_WrapKey(session, plainMechanism(mechanism), wrapping, key, Buffer.alloc(512));
      expect(() => wrap(CK.CKM_AES_KEY_WRAP)).toThrow('CKR_KEY_UNEXTRACTABLE');
      expect(() => wrap(0x210a)).toThrow('CKR_KEY_UNEXTRACTABLE');
      for (const change of [
        flagAttribute(CK.CKA_EXTRACTABLE, true),
        flagAttribute(CK.CKA_SENSITIVE, false),
        flagAttribute(CK.CKA_DECRYPT, true),
        textAttribute(CK.CKA_LABEL, 'renamed'),
      ]) {
        expect(() => module.C_SetAttributeValue(session, key!, [change])).toThrow(/CKR_/);
      }
    });
  });

  it.each([
    ['20261121', Date.UTC(2026, 10, 21)],
    ['20261321', undefined],
    ['20260231', undefined],
    ['-1234567', undefined],
    ['00000000', undefined],
  ])('with the date %s count as made at %s', (date, expected) => {
    const createdAt = look((module, session) => {
      const dated = altered(module, {
        C_GetAttributeValue: (...args) =>
          args[2][0]?.type === CK.CKA_START_DATE
            ? [{ type: CK.CKA_START_DATE, value: Buffer.from(date) }]
            : module.C_GetAttributeValue(...args),
      });
      const spec = { name: 'oprf', label: 'holdfast/fleet/made/oprf', use: 'derive' } as const;
      return loadKey(dated, session, spec, {}).key.createdAt;
    });
    expect(createdAt).toBe(expected);
  });

  it('are not generated twice', async () => {
    await expect(createTokenKeys(hsm.options('made'))).rejects.toMatchObject({ code: 'token_unsuitable' });
    expect(await objectsOf('made')).toHaveLength(8);
  });

  it('leave nothing behind when one of them cannot be made', async () => {
    const forced = { ...hsm.options('halfway'), profile: { prf: 'hmac-sha256' } as const };
    await expect(createTokenKeys(forced)).rejects.toMatchObject({ code: 'token_failed' });
    expect(await objectsOf('halfway')).toEqual([]);
  });

  it('are refused under impossible names', async () => {
    for (const node of ['', 'a/b', 'A', 'x'.repeat(65), 'ü']) {
      await expect(createTokenKeys(hsm.options(node))).rejects.toMatchObject({ code: 'usage' });
    }
  });
});

describe('opening refuses', () => {
  /** Opens a node in whose key `oprf` something was changed. */
  async function openChanged(
    node: string,
    change: (module: ReturnType<typeof connect>['module'], session: Handle, label: string) => void,
  ) {
    await createTokenKeys(hsm.options(node));
    look((module, session) => change(module, session, `holdfast/fleet/${node}/oprf`));
    return openToken(hsm.options(node));
  }

  const destroy = (
    module: ReturnType<typeof connect>['module'],
    session: Handle,
    label: string,
    classes = [CK.CKO_PRIVATE_KEY, CK.CKO_PUBLIC_KEY],
  ) => {
    for (const each of classes) {
      for (const object of findObjects(module, session, labelled(label, each))) module.C_DestroyObject(session, object);
    }
  };
  const unsuitable = (problem: string) => ({ code: 'token_unsuitable', details: expect.objectContaining({ problem }) });

  it('a node without keys', async () => {
    await expect(openToken(hsm.options('nobody'))).rejects.toMatchObject(unsuitable('is not on the token'));
  });

  it('a key that was destroyed', async () => {
    await expect(openChanged('gone', destroy)).rejects.toMatchObject(unsuitable('is not on the token'));
  });

  it('a second key of the same label', async () => {
    const opening = openChanged('double', (module, session, label) => {
      const pair = pairTemplates(CK.CKA_DERIVE, true, [textAttribute(CK.CKA_LABEL, label)]);
      module.C_GenerateKeyPair(session, plainMechanism(CK.CKM_EC_KEY_PAIR_GEN), pair.public, pair.private);
    });
    await expect(opening).rejects.toMatchObject(unsuitable('is there more than once'));
  });

  it('an imported key, which others may hold too', async () => {
    const opening = openChanged('imported', (module, session, label) => {
      destroy(module, session, label, [CK.CKO_PRIVATE_KEY]);
      module.C_CreateObject(session, [
        ...labelled(label, CK.CKO_PRIVATE_KEY),
        numberAttribute(CK.CKA_KEY_TYPE, CK.CKK_EC),
        flagAttribute(CK.CKA_TOKEN, true),
        flagAttribute(CK.CKA_PRIVATE, true),
        flagAttribute(CK.CKA_SENSITIVE, true),
        flagAttribute(CK.CKA_EXTRACTABLE, false),
        flagAttribute(CK.CKA_DERIVE, true),
        bytesAttribute(CK.CKA_EC_PARAMS, P256_PARAMETERS),
        bytesAttribute(CK.CKA_VALUE, new Uint8Array(32).fill(7)),
      ]);
    });
    await expect(opening).rejects.toMatchObject(unsuitable('lacks CKA_LOCAL'));
  });

  const replaced = (node: string, edit: (template: Template) => Template) =>
    openChanged(node, (module, session, label) => {
      destroy(module, session, label);
      const pair = pairTemplates(CK.CKA_DERIVE, true, [textAttribute(CK.CKA_LABEL, label)]);
      module.C_GenerateKeyPair(session, plainMechanism(CK.CKM_EC_KEY_PAIR_GEN), pair.public, edit(pair.private));
    });
  const set = (type: number, value: boolean) => (template: Template) => [
    ...template.filter((attribute) => attribute.type !== type),
    flagAttribute(type, value),
  ];

  it('an extractable key', async () => {
    const opening = replaced('extractable', set(CK.CKA_EXTRACTABLE, true));
    await expect(opening).rejects.toMatchObject(unsuitable('lacks CKA_NEVER_EXTRACTABLE'));
  });

  it('a key that is not sensitive', async () => {
    const opening = replaced('plain', set(CK.CKA_SENSITIVE, false));
    await expect(opening).rejects.toMatchObject(unsuitable('lacks CKA_SENSITIVE'));
  });

  it('a key with one usage more', async () => {
    const opening = replaced('versatile', set(CK.CKA_SIGN, true));
    await expect(opening).rejects.toMatchObject(unsuitable('has the wrong usages'));
  });

  it('a key on another curve', async () => {
    const opening = openChanged('curve', (module, session, label) => {
      destroy(module, session, label);
      const p384 = bytesAttribute(CK.CKA_EC_PARAMS, Uint8Array.of(0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22));
      const pair = pairTemplates(CK.CKA_DERIVE, true, [textAttribute(CK.CKA_LABEL, label)]);
      const open = pair.public.map((attribute) => (attribute.type === CK.CKA_EC_PARAMS ? p384 : attribute));
      module.C_GenerateKeyPair(session, plainMechanism(CK.CKM_EC_KEY_PAIR_GEN), open, pair.private);
    });
    await expect(opening).rejects.toMatchObject(unsuitable('is not on P-256'));
  });

  it('a public key that is not the private key’s', async () => {
    const opening = openChanged('swapped', (module, session, label) => {
      destroy(module, session, label, [CK.CKO_PUBLIC_KEY]);
      const common = [textAttribute(CK.CKA_LABEL, label)];
      const pair = pairTemplates(CK.CKA_DERIVE, true, common);
      const made = module.C_GenerateKeyPair(
        session,
        plainMechanism(CK.CKM_EC_KEY_PAIR_GEN),
        pair.public,
        pair.private.filter((attribute) => attribute.type !== CK.CKA_LABEL),
      );
      module.C_DestroyObject(session, made.privateKey);
    });
    await expect(opening).rejects.toMatchObject({ code: 'token_unsuitable' });
  });
});

describe('a signing key of its own', () => {
  it('is made once, opened again, and signs', async () => {
    const options = { module: hsm.module, label: hsm.label, pin: secret(PIN), key: 'holdfast/ca' };
    const made = await createTokenSigner(options);
    expect(await made.sign(Uint8Array.of(1))).toHaveLength(64);
    await made.close();
    const opened = await openTokenSigner(options);
    expect(opened.publicKey).toEqual(made.publicKey);
    await opened.close();
    await expect(createTokenSigner(options)).rejects.toMatchObject({ code: 'token_unsuitable' });
    await expect(openTokenSigner({ ...options, key: 'holdfast/none' })).rejects.toMatchObject({
      code: 'token_unsuitable',
    });
  });
});

it('probing leaves the token as it was', async () => {
  const all = async () =>
    (await readInventory({ module: hsm.module, login: { serial: hsm.serial, pin: secret(PIN) } })).slots.flatMap(
      (slot) => slot.token?.objects ?? [],
    ).length;
  const before = await all();
  expect(await probeToken(hsm.options())).toMatchObject({ anchor: 'label' });
  expect(await all()).toBe(before);
});
