/** Signing tokens: the suite on SoftHSM and on the double, what is refused, and what a faulty token may not let out. */

import { generateKeyPairSync } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import type { Mechanism } from 'pkcs11js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bytesToHex, concatBytes, fromBase64Url, Secret, sha256, utf8 } from '../../src/core/index.ts';
import { ed25519KeyFromSeed } from '../../src/crypto/index.ts';
import { openSigningToken, readInventory, SoftwareSigningToken } from '../../src/token/index.ts';
import { Connection } from '../../src/token/pkcs11/connection.ts';
import {
  bytesAttribute,
  CK,
  type Cryptoki,
  findObjects,
  flagAttribute,
  type Handle,
  loadModule,
  numberAttribute,
  plainMechanism,
  type Template,
  textAttribute,
} from '../../src/token/pkcs11/cryptoki.ts';
import { CKM_EC_EDWARDS_KEY_PAIR_GEN, CKM_EDDSA, CURVES } from '../../src/token/pkcs11/curves.ts';
import { pairTemplates } from '../../src/token/pkcs11/keys.ts';
import type { Request, WorkerSetup } from '../../src/token/pkcs11/messages.ts';
import { Executor } from '../../src/token/pkcs11/operations.ts';
import type { Spawn } from '../../src/token/pkcs11/pool.ts';
import { probeSigning } from '../../src/token/pkcs11/probing.ts';
import { SignatureCheck } from '../../src/token/signature.ts';
import { altered, ckr, connect, PIN, type SoftHsm, secret, softHsm } from './fixture.ts';
import { isRight, signingSuite } from './signing-suite.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm('signing');
});
afterAll(() => hsm.remove());

const access = () => ({ module: hsm.module, label: hsm.label, pin: secret(PIN) });

for (const workers of [1, 2]) {
  signingSuite(`SigningToken on SoftHSM, ${workers} worker(s)`, `${workers}/`, async () => {
    const options = { ...access(), workers };
    let token = await openSigningToken(options);
    return {
      token,
      reopen: async () => {
        await token.close();
        token = await openSigningToken(options);
        return token;
      },
    };
  });
}

signingSuite('SoftwareSigningToken', '', async () => {
  let token = new SoftwareSigningToken();
  return {
    token,
    reopen: async () => {
      await token.close();
      token = new SoftwareSigningToken({ state: token.snapshot() });
      return token;
    },
  };
});

/** Runs `body` in a session of its own. */
function look<T>(body: (module: Cryptoki, session: Handle) => T): T {
  const connection = connect(hsm);
  try {
    return connection.run('look', false, (session) => body(connection.module, session));
  } finally {
    connection.close();
  }
}

describe('a generated key', () => {
  it.each(['Ed25519', 'P-256'] as const)('of %s has exactly the attributes of the protocol', async (algorithm) => {
    const token = await openSigningToken(access());
    await token.generate(`attributes/${algorithm}`, algorithm);
    await token.close();
    const inventory = await readInventory({ module: hsm.module, login: { serial: hsm.serial, pin: secret(PIN) } });
    const objects = inventory.slots
      .flatMap((slot) => slot.token?.objects ?? [])
      .filter((object) => object.label === `attributes/${algorithm}`);
    expect(objects.map((object) => object.class).sort()).toEqual(['private key', 'public key']);
    expect(objects.find((object) => object.class === 'private key')?.attributes).toEqual({
      CKA_TOKEN: true,
      CKA_PRIVATE: true,
      CKA_MODIFIABLE: false,
      CKA_LOCAL: true,
      CKA_SENSITIVE: true,
      CKA_ALWAYS_SENSITIVE: true,
      CKA_EXTRACTABLE: false,
      CKA_NEVER_EXTRACTABLE: true,
      CKA_SIGN: true,
      CKA_DECRYPT: false,
      CKA_UNWRAP: false,
      CKA_DERIVE: false,
    });
  });
});

describe('opening refuses', () => {
  /** Makes an Ed25519 pair with changed templates under `label`, and opens it. */
  async function openMade(label: string, edit: (template: Template) => Template) {
    look((module, session) => {
      const named = [textAttribute(CK.CKA_LABEL, label)];
      const pair = pairTemplates(CK.CKA_SIGN, true, named, [], CURVES.Ed25519.parameters({}));
      const generation = plainMechanism(CKM_EC_EDWARDS_KEY_PAIR_GEN);
      module.C_GenerateKeyPair(session, generation, pair.public, edit(pair.private));
    });
    return openFound(label);
  }
  async function openFound(label: string) {
    const token = await openSigningToken(access());
    try {
      return await token.open(label);
    } finally {
      await token.close();
    }
  }
  const set = (type: number, value: boolean) => (template: Template) => [
    ...template.filter((attribute) => attribute.type !== type),
    flagAttribute(type, value),
  ];
  const unsuitable = (problem: string) => ({ code: 'token_unsuitable', details: expect.objectContaining({ problem }) });

  it('nothing of a key that is as it should be', async () => {
    expect(await openMade('plain', (template) => template)).toMatchObject({ algorithm: 'Ed25519' });
  });

  it.each([
    ['extractable', CK.CKA_EXTRACTABLE, true, 'lacks CKA_NEVER_EXTRACTABLE'],
    ['readable', CK.CKA_SENSITIVE, false, 'lacks CKA_SENSITIVE'],
    ['public', CK.CKA_PRIVATE, false, 'lacks CKA_PRIVATE'],
    ['decrypting', CK.CKA_DECRYPT, true, 'has the wrong usages'],
    ['deriving', CK.CKA_DERIVE, true, 'has the wrong usages'],
    ['idle', CK.CKA_SIGN, false, 'has the wrong usages'],
  ])('a key that is %s', async (label, type, value, problem) => {
    await expect(openMade(label, set(type, value))).rejects.toMatchObject(unsuitable(problem));
  });

  it('an imported key, which others may hold too', async () => {
    look((module, session) => {
      module.C_CreateObject(session, [
        numberAttribute(CK.CKA_CLASS, CK.CKO_PRIVATE_KEY),
        textAttribute(CK.CKA_LABEL, 'imported'),
        numberAttribute(CK.CKA_KEY_TYPE, CURVES.Ed25519.keyType),
        flagAttribute(CK.CKA_TOKEN, true),
        flagAttribute(CK.CKA_PRIVATE, true),
        flagAttribute(CK.CKA_SENSITIVE, true),
        flagAttribute(CK.CKA_EXTRACTABLE, false),
        flagAttribute(CK.CKA_SIGN, true),
        bytesAttribute(CK.CKA_EC_PARAMS, CURVES.Ed25519.parameters({})),
        bytesAttribute(CK.CKA_VALUE, new Uint8Array(32).fill(7)),
      ]);
    });
    await expect(openFound('imported')).rejects.toMatchObject(unsuitable('lacks CKA_LOCAL'));
  });

  it('a second key of the same label, and one of another type beside it', async () => {
    await openMade('double', (template) => template);
    await expect(openMade('double', (template) => template)).rejects.toMatchObject(
      unsuitable('is there more than once'),
    );
  });

  it('a public key that is not the private key’s', async () => {
    await openMade('swapped', (template) => template);
    look((module, session) => {
      const ofLabel = (objectClass: number) =>
        findObjects(module, session, [
          numberAttribute(CK.CKA_CLASS, objectClass),
          textAttribute(CK.CKA_LABEL, 'swapped'),
        ]);
      for (const object of ofLabel(CK.CKO_PUBLIC_KEY)) module.C_DestroyObject(session, object);
      const pair = pairTemplates(
        CK.CKA_SIGN,
        true,
        [textAttribute(CK.CKA_LABEL, 'swapped')],
        [],
        CURVES.Ed25519.parameters({}),
      );
      const unnamed = pair.private.filter((attribute) => attribute.type !== CK.CKA_LABEL);
      const made = module.C_GenerateKeyPair(session, plainMechanism(CKM_EC_EDWARDS_KEY_PAIR_GEN), pair.public, unnamed);
      module.C_DestroyObject(session, made.privateKey);
    });
    await expect(openFound('swapped')).rejects.toMatchObject(unsuitable('does not sign for its public key'));
  });
});

describe('public points', () => {
  const raw = Uint8Array.from({ length: 32 }, (_, i) => i);

  it('of Ed25519 are read bare, as an OCTET STRING and as a BIT STRING', () => {
    expect(CURVES.Ed25519.point(raw)).toEqual(raw);
    expect(CURVES.Ed25519.point(concatBytes(Uint8Array.of(4, 32), raw))).toEqual(raw);
    expect(CURVES.Ed25519.point(concatBytes(Uint8Array.of(3, 33, 0), raw))).toEqual(raw);
  });

  it.each([
    ['empty', new Uint8Array()],
    ['short', raw.subarray(1)],
    ['long', concatBytes(raw, Uint8Array.of(0))],
    ['another tag', concatBytes(Uint8Array.of(5, 32), raw)],
    ['unused bits', concatBytes(Uint8Array.of(3, 33, 1), raw)],
    ['a point of P-256', new Uint8Array(65).fill(4)],
  ])('of Ed25519 are refused: %s', (_, value) => {
    expect(() => CURVES.Ed25519.point(value)).toThrow(expect.objectContaining({ code: 'malformed' }));
  });
});

describe('probing finds a token that', () => {
  function probe(changes: Partial<Cryptoki>) {
    return look((module, session) => {
      const count = () => findObjects(module, session, []).length;
      const before = count();
      try {
        return probeSigning(altered(module, changes), session);
      } finally {
        expect(count()).toBe(before);
      }
    });
  }
  const real = loadModule('/usr/lib/softhsm/libsofthsm2.so');
  const turnAway = (...mechanisms: number[]): Partial<Cryptoki> => ({
    C_SignInit: (session: Handle, wanted: Mechanism, key: Handle) => {
      if (mechanisms.includes(wanted.mechanism)) throw ckr('CKR_MECHANISM_INVALID');
      real.C_SignInit(session, wanted, key);
    },
  });

  it('does all (SoftHSM)', () => {
    expect(probe({})).toEqual({ ecdsa: 'digest', eddsa: 'name' });
  });

  it('has no EdDSA, or no ECDSA', () => {
    expect(probe(turnAway(CKM_EDDSA))).toEqual({ ecdsa: 'digest', eddsa: undefined });
    expect(probe(turnAway(CK.CKM_ECDSA, CK.CKM_ECDSA_SHA256))).toEqual({ ecdsa: undefined, eddsa: 'name' });
  });

  it('has neither, and refuses it', () => {
    const none = turnAway(CKM_EDDSA, CK.CKM_ECDSA, CK.CKM_ECDSA_SHA256);
    expect(() => probe(none)).toThrow(expect.objectContaining({ code: 'token_unsuitable' }));
  });

  it('wants the curve by its object identifier', () => {
    const named = Buffer.from(CURVES.Ed25519.parameters({ eddsa: 'name' }));
    const profile = probe({
      C_GenerateKeyPair: (session, mechanism, publicTemplate, privateTemplate) => {
        if ((publicTemplate ?? []).some((each) => Buffer.isBuffer(each.value) && each.value.equals(named))) {
          throw ckr('CKR_ATTRIBUTE_VALUE_INVALID');
        }
        return real.C_GenerateKeyPair(session, mechanism, publicTemplate, privateTemplate);
      },
    });
    expect(profile).toEqual({ ecdsa: 'digest', eddsa: 'oid' });
  });
});

describe('a faulty token', () => {
  /** A worker in this thread, on a module whose signatures `spoil` changes. */
  const spoiled =
    (spoil: (signature: Buffer, input: Buffer) => Buffer): Spawn =>
    (setup: WorkerSetup) => {
      const real = loadModule(setup.module);
      const module = altered(real, {
        C_Sign: ((session: Handle, input: Buffer, out: Buffer) =>
          spoil(real.C_Sign(session, input, out), input)) as Cryptoki['C_Sign'],
      });
      const executor = new Executor(new Connection(module, setup.module, setup.selector, setup.pin?.slice()));
      const listeners = new Map<string, (value: never) => void>();
      return {
        on: (event: string, listener: (value: never) => void) => listeners.set(event, listener),
        unref: () => undefined,
        postMessage: (requests: readonly Request[]) => {
          const replies = requests.map((request) => {
            try {
              return { output: executor.execute(request) };
            } catch (error) {
              const { code, message, details } = error as { code: string; message: string; details: object };
              return { failure: { code, message, details } };
            }
          });
          queueMicrotask(() => {
            listeners.get('message')?.({ replies, timings: [] } as never);
            if (requests.some((request) => request.operation === 'close')) listeners.get('exit')?.(0 as never);
          });
        },
      };
    };

  it.each(['Ed25519', 'P-256'] as const)('releases no wrong signature of %s', async (algorithm) => {
    let wrong = false;
    const spawn = spoiled((signature) => {
      if (wrong) signature[40]! ^= 4;
      return signature;
    });
    const token = await openSigningToken(access(), spawn);
    const key = await token.generate(`faulty/${algorithm}`, algorithm);
    expect(isRight(key, utf8('right'), await key.sign(utf8('right')))).toBe(true);
    wrong = true;
    await expect(key.sign(utf8('wrong'))).rejects.toMatchObject({
      code: 'token_failed',
      message: expect.stringContaining('does not verify'),
    });
    expect(token.usage().find((entry) => entry.operation === 'fault')?.count).toBe(1);
    await token.close();
  });

  it('is refused when it is opened, if it never signs rightly', async () => {
    const opening = openSigningToken(
      access(),
      spoiled((signature) => {
        signature[0]! ^= 1;
        return signature;
      }),
    );
    await expect(opening).rejects.toMatchObject({ code: 'token_unsuitable' });
  });
});

describe('what a signature’s check lets out', () => {
  it('is never a second signature with the same nonce', () => {
    // ECDSA with one nonce twice: r is the same, s is not, and the two together give the private key away.
    const fault = nonceFault();
    expect(fault.check.release(fault.first.message, fault.first.signature)).toHaveLength(64);
    expect(fault.check.release(fault.first.message, fault.first.signature)).toHaveLength(64);
    expect(() => fault.check.release(fault.second.message, fault.second.signature)).toThrow(/nonce of another/);
  });

  it('is never what another key made', () => {
    const [one, other] = [1, 2].map((fill) => ed25519KeyFromSeed(new Secret(new Uint8Array(32).fill(fill))));
    const check = new SignatureCheck({ algorithm: 'Ed25519', publicKey: one!.publicKey });
    expect(check.release(utf8('a'), one!.sign(utf8('a')))).toHaveLength(64);
    expect(() => check.release(utf8('b'), other!.sign(utf8('b')))).toThrow(/does not verify/);
    expect(() => check.release(utf8('b'), new Uint8Array(63))).toThrow(/does not verify/);
    const ecdsa = new SignatureCheck({ algorithm: 'P-256', publicKey: nonceFault().publicKey });
    for (const length of [0, 63, 64, 65]) {
      expect(() => ecdsa.release(utf8('b'), new Uint8Array(length))).toThrow(/take it out of service/);
    }
  });
});

/** Two right signatures by one P-256 key with the same nonce, made by hand (FIPS 186-5 section 6.4.1). */
function nonceFault() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { d, x, y } = privateKey.export({ format: 'jwk' });
  const publicKey = Uint8Array.of(4, ...fromBase64Url(x!), ...fromBase64Url(y!));
  const { Fn, BASE } = p256.Point;
  const number = (bytes: Uint8Array) => BigInt(`0x${bytesToHex(bytes)}`);
  const nonce = Fn.create(number(sha256(utf8('one nonce for all'))));
  const r = Fn.create(BASE.multiply(nonce).toAffine().x);
  const sign = (text: string) => {
    const message = utf8(text);
    const s = Fn.mul(Fn.inv(nonce), Fn.create(number(sha256(message)) + r * number(fromBase64Url(d!))));
    return { message, signature: new p256.Signature(r, s).toBytes('compact') };
  };
  const check = new SignatureCheck({ algorithm: 'P-256', publicKey });
  return { publicKey, check, first: sign('first'), second: sign('second') };
}
