/** One backup key behind several ways: each opens it alone, each can be taken away, and a passkey is never the only one. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import {
  addPasskey,
  addPin,
  addRecoveryCode,
  decryptBackup,
  encryptBackup,
  methodsIn,
  methodsStanza,
  newRecoveryCode,
  noMethods,
  openMethods,
  openWith,
  type RecoveryMethods,
  readMethods,
  removeMethod,
  renewKey,
  sealMethods,
  standingOf,
} from '../../src/recovery/index.ts';
import { Authenticator, domError } from './authenticator.ts';

const NOW = 1_800_000_000_000;
const CONTENT = utf8('letters and photographs');

let identity: string;
let other: string;
const code = newRecoveryCode();
const passkeys = new Authenticator();
/** PIN, code and passkey. */
let all: RecoveryMethods;
let sealed: Uint8Array;

beforeAll(async () => {
  identity = await generateX25519Identity();
  other = await generateX25519Identity();
  all = addPin(await noMethods({ identity }), { fleet: 'main', now: NOW });
  all = await addRecoveryCode(all, { identity }, { code, now: NOW });
  all = await addPasskey(all, { identity }, { name: 'laptop', now: NOW, passkeys });
  sealed = sealMethods(all, identity);
});

const kinds = (list: RecoveryMethods) => list.methods.map(({ kind }) => kind);
const idOf = (list: RecoveryMethods, kind: string) => list.methods.find((one) => one.kind === kind)!.id;
const passkeyWay = () => ({ kind: 'passkey', id: idOf(all, 'passkey'), passkeys }) as const;
const fails = (code: string) => expect.objectContaining({ code });

describe('each way alone', () => {
  it('opens the same key', async () => {
    for (const way of [{ kind: 'identity', identity }, { kind: 'recovery-code', code }, passkeyWay()] as const) {
      expect(await openWith(sealed, way)).toEqual({ identity, list: all });
    }
    expect(kinds(all)).toEqual(['pin', 'recovery-code', 'passkey']);
    expect(all.revision).toBe(3);
  });

  it('opens nothing else: another code, another passkey, another key', async () => {
    const another = newRecoveryCode();
    await expect(openWith(sealed, { kind: 'recovery-code', code: another })).rejects.toMatchObject({
      code: 'recovery_code_wrong',
      details: { entered: another.name, names: [code.name] },
    });
    const keys = new Authenticator();
    for (const credential of passkeys.keys.keys()) keys.keys.set(credential, Buffer.alloc(32, 1));
    await expect(openWith(sealed, { ...passkeyWay(), passkeys: keys })).rejects.toMatchObject({
      code: 'passkey_wrong',
    });
    await expect(openWith(sealed, { kind: 'identity', identity: other })).rejects.toMatchObject({ code: 'untrusted' });
    const unknown = { kind: 'passkey', id: new Uint8Array(8), passkeys } as const;
    await expect(openWith(sealed, unknown)).rejects.toMatchObject({ code: 'not_found' });
  });

  it('says what went wrong at the authenticator', async () => {
    for (const [name, expected] of [
      ['NotAllowedError', 'cancelled'],
      ['AbortError', 'cancelled'],
      ['Error', 'passkey_unsupported'],
      ['SecurityError', 'passkey_unsupported'],
    ] as const) {
      passkeys.refusal = domError(name);
      await expect(openWith(sealed, passkeyWay())).rejects.toMatchObject({ code: expected });
      passkeys.refusal = domError(name);
      const adding = addPasskey(all, { identity }, { name: 'phone', now: NOW, passkeys });
      await expect(adding).rejects.toMatchObject({ code: expected });
    }
    expect(await openWith(sealed, passkeyWay())).toMatchObject({ identity });
  });
});

describe('a passkey', () => {
  it('is never the only way, and none is made for nothing', async () => {
    const before = passkeys.gestures;
    const empty = await noMethods({ identity });
    const adding = addPasskey(empty, { identity }, { name: 'alone', now: NOW, passkeys });
    await expect(adding).rejects.toMatchObject({ code: 'passkey_alone' });
    expect(passkeys.gestures).toBe(before);
    expect(() => sealMethods({ ...all, methods: all.methods.slice(2) }, identity)).toThrowError(fails('passkey_alone'));
  });

  it('is not left alone by removing the others, in whatever order', () => {
    const withoutPin = removeMethod(all, idOf(all, 'pin'));
    expect(() => removeMethod(withoutPin, idOf(all, 'recovery-code'))).toThrowError(fails('passkey_alone'));
    const withoutCode = removeMethod(all, idOf(all, 'recovery-code'));
    expect(() => removeMethod(withoutCode, idOf(all, 'pin'))).toThrowError(fails('passkey_alone'));
  });

  it('may be lost: the others still open', async () => {
    const lost = { ...passkeyWay(), passkeys: new Authenticator() };
    await expect(openWith(sealed, lost)).rejects.toMatchObject({ code: 'cancelled' });
    expect(await openWith(sealed, { kind: 'recovery-code', code })).toMatchObject({ identity });
  });
});

describe('taking a way off the list', () => {
  it('never takes the last one, and names one that is not there', () => {
    const only = removeMethod(removeMethod(all, idOf(all, 'passkey')), idOf(all, 'pin'));
    expect(kinds(only)).toEqual(['recovery-code']);
    expect(() => removeMethod(only, idOf(all, 'recovery-code'))).toThrowError(fails('last_method'));
    expect(() => removeMethod(only, idOf(all, 'pin'))).toThrowError(fails('not_found'));
  });

  it('alone takes nothing from whoever kept the old list, as the documents say', async () => {
    const shorter = removeMethod(all, idOf(all, 'recovery-code'));
    const resealed = sealMethods(shorter, identity);
    await expect(openWith(resealed, { kind: 'recovery-code', code })).rejects.toMatchObject({
      code: 'recovery_code_wrong',
    });
    expect(await openWith(sealed, { kind: 'recovery-code', code })).toMatchObject({ identity });
  });

  it.each(['pin', 'recovery-code', 'passkey'] as const)(
    'with a new key ends for the %s what is encrypted from then on',
    async (kind) => {
      const { list, dropped } = await renewKey(
        all,
        { identity: other },
        { without: [idOf(all, kind)], codes: [code], passkeys },
      );
      expect(dropped).toEqual([]);
      expect(kinds(list)).toEqual(['pin', 'recovery-code', 'passkey'].filter((one) => one !== kind));
      expect(list.recipient).toBe(await identityToRecipient(other));
      const renewed = sealMethods(list, other);
      const ways = { 'recovery-code': { kind: 'recovery-code', code }, passkey: passkeyWay() } as const;
      for (const one of ['recovery-code', 'passkey'] as const) {
        if (one === kind) await expect(openWith(renewed, ways[one])).rejects.toThrow();
        else expect(await openWith(renewed, ways[one])).toMatchObject({ identity: other });
      }
      // The old key opens nothing of the new one's, and the new list does not verify under it.
      await expect(openWith(renewed, { kind: 'identity', identity })).rejects.toMatchObject({ code: 'untrusted' });
      const file = await encryptBackup(CONTENT, { recipient: list.recipient, sealed: renewed });
      await expect(decryptBackup(file, identity)).rejects.toMatchObject({ code: 'bad_input' });
    },
  );

  it('with a new key leaves out a passkey that is not at hand, and refuses what would leave passkeys only', async () => {
    passkeys.refusal = domError('NotAllowedError');
    const { list, dropped } = await renewKey(all, { identity: other }, { codes: [code], passkeys });
    expect(kinds(list)).toEqual(['pin', 'recovery-code']);
    expect(dropped.map(({ label }) => label)).toEqual(['laptop']);
    const before = passkeys.gestures;
    const without = [idOf(all, 'pin'), idOf(all, 'recovery-code')];
    await expect(renewKey(all, { identity: other }, { without, passkeys })).rejects.toMatchObject({
      code: 'passkey_alone',
    });
    expect(passkeys.gestures).toBe(before);
  });
});

describe('a key that was left', () => {
  const renewal = (list: RecoveryMethods, next: string) =>
    renewKey(list, { identity: next }, { codes: [code], passkeys });

  it('is known as such to every list after it, and to none before', async () => {
    const third = await generateX25519Identity();
    const { list: second } = await renewal(all, other);
    const { list: last } = await renewal(second, third);
    expect(second.left).toEqual([all.recipient]);
    expect(last.left).toEqual([second.recipient, all.recipient]);
    expect(openMethods(sealMethods(last, third), third)).toEqual(last);
    const lists = [all, second, last];
    const standings = lists.map((known) => lists.map((list) => standingOf(list, known)));
    expect(standings).toEqual([
      ['next', 'next', 'next'],
      ['left', 'next', 'next'],
      ['left', 'left', 'next'],
    ]);
    // Changes of the ways keep it.
    const shorter = removeMethod(last, idOf(last, 'recovery-code'));
    expect(standingOf(all, shorter)).toBe('left');
  });

  it('takes no device back, whatever whoever still has it writes', async () => {
    const { list: renewed } = await renewal(all, other);
    // Somebody with the old key: the newest of all lists, which says that the new key was left for the old one.
    const forged = sealMethods({ ...all, revision: 99, left: [renewed.recipient] }, identity);
    const { list } = await openWith(forged, passkeyWay());
    expect(standingOf(list, renewed)).toBe('left');
  });

  it('leaves an older list of the same key to be told from a newer one', () => {
    const shorter = removeMethod(all, idOf(all, 'recovery-code'));
    expect([standingOf(all, shorter), standingOf(shorter, all), standingOf(all, undefined)]).toEqual([
      'older',
      'next',
      'next',
    ]);
  });

  it('is never the key of the list itself, nor none', () => {
    expect(() => readMethods(sealMethods({ ...all, left: [all.recipient] }, identity))).toThrowError(
      fails('malformed'),
    );
    expect(readMethods(sealMethods({ ...all, left: [] }, identity))).toEqual(all);
  });

  it('is forgotten only after 64 others', async () => {
    const left = Array.from({ length: 64 }, (_, i) => `age1${String(i).padStart(58, '0')}`);
    const { list } = await renewal({ ...all, left }, other);
    expect(list.left).toEqual([all.recipient, ...left.slice(0, 63)]);
    expect(readMethods(sealMethods(list, other)).left).toEqual(list.left);
  });
});

describe('the list', () => {
  it('is refused with any bit changed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(sealed.length * 8 - 1), async (bit) => {
        const changed = Uint8Array.from(sealed);
        changed[bit >> 3]! ^= 1 << (bit & 7);
        expect(() => openMethods(changed, identity)).toThrowError(
          expect.objectContaining({ code: expect.stringMatching(/^(untrusted|malformed|too_large|passkey_alone)$/) }),
        );
      }),
      { numRuns: 300 },
    );
  });

  it('is refused where it is cut, goes on, is another key’s, names an id twice, or is too large', async () => {
    for (let length = 0; length < sealed.length; length += 7) {
      expect(() => readMethods(sealed.subarray(0, length))).toThrowError(fails('malformed'));
    }
    expect(() => readMethods(Uint8Array.of(...sealed, 0))).toThrowError(fails('malformed'));
    expect(() => readMethods(new Uint8Array(70_000))).toThrowError(fails('too_large'));
    const twice = { ...all, methods: [all.methods[0]!, all.methods[0]!] };
    expect(() => readMethods(sealMethods(twice, identity))).toThrowError(fails('malformed'));
    // Sealed by somebody under a key of their own, for somebody else's recipient.
    const foreign = sealMethods(all, other);
    await expect(openWith(foreign, { kind: 'identity', identity: other })).rejects.toMatchObject({ code: 'untrusted' });
  });

  it('cannot be made by whoever has it, to lead the owner of a code or passkey to another key', async () => {
    // All that a thief of the list can do: their own key, wrapped by their own means, under the ways' old names.
    const theirs = newRecoveryCode();
    const wrapped = (
      await addRecoveryCode(await noMethods({ identity: other }), { identity: other }, { code: theirs, now: NOW })
    ).methods[0]!.wrapped;
    const thief = new Authenticator();
    const credential = await thief.create({ name: 'laptop' });
    const encrypter = new Encrypter();
    encrypter.addRecipient(thief.recipient(credential));
    const forPasskey = await encrypter.encrypt(other);
    const forged = sealMethods(
      {
        recipient: await identityToRecipient(other),
        revision: 9,
        methods: all.methods.map((one) => ({ ...one, wrapped: one.kind === 'passkey' ? forPasskey : wrapped })),
      },
      other,
    );
    await expect(openWith(forged, { kind: 'recovery-code', code })).rejects.toMatchObject({
      code: 'recovery_code_wrong',
    });
    await expect(openWith(forged, { kind: 'identity', identity })).rejects.toMatchObject({ code: 'untrusted' });
    await expect(openWith(forged, passkeyWay())).rejects.toMatchObject({ code: 'passkey_wrong' });
  });

  it('cannot make a device work for hours on a recovery code', async () => {
    const encrypter = new Encrypter();
    encrypter.setScryptWorkFactor(15);
    encrypter.setPassphrase(code.passphrase());
    const wrapped = await encrypter.encrypt(identity);
    const methods = all.methods.map((one) => (one.kind === 'recovery-code' ? { ...one, wrapped } : one));
    const costly = sealMethods({ ...all, methods }, identity);
    await expect(openWith(costly, { kind: 'recovery-code', code })).rejects.toMatchObject({
      code: 'recovery_code_wrong',
    });
  });

  it('holds at most 16 ways', async () => {
    let list = all;
    while (list.methods.length < 16)
      list = await addRecoveryCode(list, { identity }, { code: newRecoveryCode(), now: NOW });
    expect(openMethods(sealMethods(list, identity), identity)).toEqual(list);
    await expect(addRecoveryCode(list, { identity }, { code: newRecoveryCode(), now: NOW })).rejects.toMatchObject({
      code: 'too_large',
    });
  });
});

describe('a backup file', () => {
  it('carries the list in its header, and every way opens it', async () => {
    const file = await encryptBackup(CONTENT, { recipient: all.recipient, sealed });
    const carried = await methodsIn(file);
    expect(carried).toEqual(sealed);
    for (const way of [{ kind: 'recovery-code', code }, passkeyWay()] as const) {
      const opened = await openWith(carried!, way);
      expect(await decryptBackup(file, opened.identity)).toEqual(CONTENT);
    }
  });

  it('whose list was changed or taken out does not decrypt: the header is authenticated', async () => {
    const file = await encryptBackup(CONTENT, { recipient: all.recipient, sealed });
    const text = Buffer.from(file).toString('latin1');
    const at = text.indexOf('holdfast.invalid/recovery-methods\n');
    expect(at).toBeGreaterThan(0);
    const changed = Uint8Array.from(file);
    changed[at + 200] = changed[at + 200] === 65 ? 66 : 65;
    await expect(decryptBackup(changed, identity)).rejects.toMatchObject({ code: 'bad_input' });
  });

  it('without a list has none, with two is refused, and other files are no backup', async () => {
    expect(await methodsIn(await encryptBackup(CONTENT, { recipient: all.recipient }))).toBeUndefined();
    const encrypter = new Encrypter();
    encrypter.addRecipient(all.recipient);
    encrypter.addRecipient(methodsStanza(sealed));
    encrypter.addRecipient(methodsStanza(sealed));
    await expect(methodsIn(await encrypter.encrypt(CONTENT))).rejects.toMatchObject({ code: 'bad_input' });
    await expect(methodsIn(utf8('hello'))).rejects.toMatchObject({ code: 'bad_input' });
    await expect(methodsIn(new Uint8Array())).rejects.toMatchObject({ code: 'bad_input' });
  });

  it('opens with stock age, with the identity, and from the code, which it takes as a passphrase', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'stock-'));
    const put = (name: string, content: string | Uint8Array) => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const age = (...words: string[]) => execFileSync('age', words, { timeout: 60_000 });
    const file = put('backup.age', await encryptBackup(CONTENT, { recipient: all.recipient, sealed }));
    expect(age('-d', '-i', put('identity', identity), file)).toEqual(Buffer.from(CONTENT));
    // age asks for passphrases at a terminal only, which `script` gives it.
    const { wrapped } = all.methods.find(({ kind }) => kind === 'recovery-code')!;
    const key = join(folder, 'key');
    execFileSync('script', ['-qec', `age -d -o ${key} ${put('wrapped.age', wrapped)}`, '/dev/null'], {
      input: `${code.passphrase()}\n`,
      timeout: 60_000,
    });
    expect(readFileSync(key, 'utf8')).toBe(identity);
    expect(age('-d', '-i', key, file)).toEqual(Buffer.from(CONTENT));
  });
});
