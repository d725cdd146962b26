import type { Mechanism } from 'pkcs11js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sha256 } from '../../src/core/index.ts';
import { createData } from '../../src/token/pkcs11/anchors.ts';
import type { Connection } from '../../src/token/pkcs11/connection.ts';
import {
  type Attribute,
  CK,
  type Cryptoki,
  findObjects,
  type Template,
  ulongBytes,
} from '../../src/token/pkcs11/cryptoki.ts';
import { probeProfile } from '../../src/token/pkcs11/probing.ts';
import { altered, ckr, connect, type SoftHsm, softHsm } from './fixture.ts';

let hsm: SoftHsm;
let connection: Connection;
let real: Cryptoki;
beforeAll(async () => {
  hsm = await softHsm();
  connection = connect(hsm);
  real = connection.module;
});
afterAll(() => {
  connection.close();
  hsm.remove();
});

const objects = () => connection.run('count', true, (session) => findObjects(real, session, []).length);
let before = 0;
beforeEach(() => {
  before = objects();
});

/** The profile of SoftHSM with `changes`, after which it must hold what it held before. */
function probe(changes: Partial<Cryptoki>) {
  try {
    return connection.run('probe', false, (session) => probeProfile(altered(real, changes), session, 'test/probe'));
  } finally {
    expect(objects()).toBe(before);
  }
}

const refuse = (name: string) => () => {
  throw ckr(name);
};
const type = (template: Template, attribute: number) =>
  template.find((each) => each.type === attribute)?.value as Buffer;
/** Turns one mechanism away, as a token without it does. */
const without =
  (mechanism: number, call: 'C_SignInit' | 'C_DeriveKey'): Partial<Cryptoki>[typeof call] =>
  (session: Buffer, wanted: Mechanism, key: Buffer, template: Template) => {
    if (wanted.mechanism === mechanism) throw ckr('CKR_MECHANISM_INVALID');
    return call === 'C_SignInit'
      ? (real.C_SignInit(session, wanted, key) as never)
      : (real.C_DeriveKey(session, wanted, key, template) as never);
  };

const SOFTHSM = { ecdhPoint: 'raw', ecdsa: 'digest', prf: 'hmac-generic', anchor: 'label' };

it('finds what SoftHSM does', () => {
  expect(probe({})).toEqual(SOFTHSM);
});

describe('by trying, finds a token that', () => {
  it('hashes before it signs', () => {
    let hashing = false;
    const profile = probe({
      C_SignInit: (session, mechanism, key) => {
        if (mechanism.mechanism === CK.CKM_ECDSA) throw ckr('CKR_MECHANISM_INVALID');
        hashing = mechanism.mechanism === CK.CKM_ECDSA_SHA256;
        real.C_SignInit(session, hashing ? { mechanism: CK.CKM_ECDSA } : mechanism, key);
      },
      C_Sign: ((session: Buffer, data: Buffer, out: Buffer) =>
        real.C_Sign(session, hashing ? Buffer.from(sha256(data)) : data, out)) as Cryptoki['C_Sign'],
    });
    expect(profile).toEqual({ ...SOFTHSM, ecdsa: 'message' });
  });

  it('takes points only as DER', () => {
    const C_DeriveKey = ((session: Buffer, mechanism: Mechanism, key: Buffer, template: Template) => {
      const { publicData } = mechanism.parameter as unknown as { publicData: Buffer };
      if (publicData.length !== 67) throw ckr('CKR_MECHANISM_PARAM_INVALID');
      return real.C_DeriveKey(session, mechanism, key, template);
    }) as Cryptoki['C_DeriveKey'];
    expect(probe({ C_DeriveKey })).toEqual({ ...SOFTHSM, ecdhPoint: 'der' });
  });

  it('wants its HMAC keys called so', () => {
    const C_GenerateKey = ((session: Buffer, mechanism: Mechanism, template: Template) => {
      const plain = ulongBytes(CK.CKK_GENERIC_SECRET);
      if (type(template, CK.CKA_KEY_TYPE).equals(plain)) throw ckr('CKR_ATTRIBUTE_VALUE_INVALID');
      const translate = (each: Attribute) => (each.type === CK.CKA_KEY_TYPE ? { ...each, value: plain } : each);
      return real.C_GenerateKey(session, mechanism, template.map(translate));
    }) as Cryptoki['C_GenerateKey'];
    expect(probe({ C_GenerateKey })).toEqual({ ...SOFTHSM, prf: 'hmac-sha256' });
  });

  it('has no HMAC', () => {
    expect(probe({ C_SignInit: without(CK.CKM_SHA256_HMAC, 'C_SignInit') as Cryptoki['C_SignInit'] })).toEqual({
      ...SOFTHSM,
      prf: 'ecdh',
    });
  });

  it('changes no label either', () => {
    expect(probe({ C_SetAttributeValue: refuse('CKR_ACTION_PROHIBITED') })).toEqual({ ...SOFTHSM, anchor: 'replace' });
  });

  it('claims a change that it does not make', () => {
    expect(probe({ C_SetAttributeValue: () => undefined })).toEqual({ ...SOFTHSM, anchor: 'replace' });
  });

  it('refuses data objects, but names keys anew', () => {
    expect(probe({ C_CreateObject: refuse('CKR_ATTRIBUTE_VALUE_INVALID') })).toEqual({
      ...SOFTHSM,
      anchor: 'key-label',
    });
  });

  it('refuses data objects and makes no secret keys', () => {
    const C_CreateObject = refuse('CKR_ATTRIBUTE_VALUE_INVALID');
    const C_GenerateKey = refuse('CKR_FUNCTION_NOT_SUPPORTED');
    expect(probe({ C_CreateObject, C_GenerateKey })).toEqual({ ...SOFTHSM, prf: 'ecdh', anchor: 'key-label' });
  });

  it('keeps no session keys', () => {
    const C_GenerateKeyPair = ((session: Buffer, mechanism: Mechanism, open: Template, closed: Template) => {
      if (open.some((each) => each.type === CK.CKA_TOKEN && each.value === false))
        throw ckr('CKR_TEMPLATE_INCONSISTENT');
      return real.C_GenerateKeyPair(session, mechanism, open, closed);
    }) as Cryptoki['C_GenerateKeyPair'];
    expect(probe({ C_GenerateKeyPair })).toEqual(SOFTHSM);
  });
});

describe('calls unsuitable a token', () => {
  const unsuitable = (missing: RegExp) =>
    expect.objectContaining({ code: 'token_unsuitable', details: { missing: expect.stringMatching(missing) } });

  it('without EC keys', () => {
    expect(() => probe({ C_GenerateKeyPair: refuse('CKR_MECHANISM_INVALID') })).toThrow(unsuitable(/ECDSA/));
  });

  it('without ECDH', () => {
    const C_DeriveKey = without(CK.CKM_ECDH1_DERIVE, 'C_DeriveKey') as Cryptoki['C_DeriveKey'];
    expect(() => probe({ C_DeriveKey })).toThrow(unsuitable(/ECDH/));
  });

  it('whose signatures do not verify', () => {
    const C_Sign = ((session: Buffer, data: Buffer, out: Buffer) => {
      const made = real.C_Sign(session, data, out);
      return made.length === 64 ? Buffer.alloc(64, 1) : made;
    }) as Cryptoki['C_Sign'];
    expect(() => probe({ C_Sign })).toThrow(unsuitable(/ECDSA/));
  });

  it('that keeps no data objects and names no key anew', () => {
    const C_CreateObject = refuse('CKR_TEMPLATE_INCONSISTENT');
    const C_SetAttributeValue = refuse('CKR_ACTION_PROHIBITED');
    expect(() => probe({ C_CreateObject, C_SetAttributeValue })).toThrow(unsuitable(/data objects/));
  });
});

it('sweeps up what a probe left that did not end', () => {
  connection.run('leave', false, (session) => createData(real, session, 'test/probe', Uint8Array.of(1), 'label'));
  expect(objects()).toBe(before + 1);
  expect(probe({})).toEqual(SOFTHSM);
});
