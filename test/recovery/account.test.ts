/** What the example application takes from a backup that a server, or somebody with an old key, has put in its way. */

import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Recovered } from '../../src/client/index.ts';
import { fromBase64Url, Secret, utf8 } from '../../src/core/index.ts';
import { Account, readBackup, readNotes } from '../../src/pages/client/account.ts';
import { Device } from '../../src/pages/client/device.ts';
import {
  addPin,
  addRecoveryCode,
  encryptBackup,
  newRecoveryCode,
  noMethods,
  type RecoveryMethods,
  removeMethod,
  renewKey,
  sealMethods,
} from '../../src/recovery/index.ts';
import { anchorOf, serialiseTrustAnchor } from '../../src/trust/index.ts';
import { signPolicy, trustPolicy } from '../trust/fixture.ts';

const NOW = 1_800_000_000_000;
const note = (id: string) => ({ id, text: `note ${id}`, writtenAt: NOW });
const code = newRecoveryCode();
let device: Device;
let account: Account;
let first: { readonly identity: string; readonly list: RecoveryMethods };
let second: { readonly identity: string; readonly list: RecoveryMethods };

const backupOf = async ({ identity, list }: typeof first, notes: unknown) => {
  const sealed = sealMethods(list, identity);
  const recipient = await identityToRecipient(identity);
  return await readBackup(await encryptBackup(utf8(JSON.stringify(notes)), { recipient, sealed }), NOW);
};
/** The vault is out of reach throughout: nothing here needs it. */
const byCode = { kind: 'recovery-code', code } as const;

beforeEach(async () => {
  const stored = new Map<string, string>();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => stored.get(key) ?? null,
    setItem: (key: string, value: string) => void stored.set(key, value),
    removeItem: (key: string) => void stored.delete(key),
  });
  const anchor = serialiseTrustAnchor(anchorOf(await signPolicy(trustPolicy()), ['https://log.example']));
  vi.stubGlobal('fetch', async (path: string) => {
    if (path === './app/configuration') return Response.json({ anchor });
    throw new TypeError('out of reach');
  });
  device = Device.create('ann');
  account = await Account.open(device);
  const identity = await generateX25519Identity();
  const list = addPin(await noMethods({ identity }), { fleet: 'first', now: NOW });
  first = { identity, list: await addRecoveryCode(list, { identity }, { code, now: NOW }) };
  const next = await generateX25519Identity();
  const renewed = await renewKey(first.list, { identity: next }, { codes: [code] });
  second = { identity: next, list: renewed.list };
});
afterEach(() => vi.unstubAllGlobals());

describe('a device', () => {
  it('goes on from the key that it knows to the next one', async () => {
    expect(await account.restore([await backupOf(first, [note('a')])], byCode)).toBe(true);
    expect(device.backup?.recipient).toBe(first.list.recipient);
    expect(await account.restore([await backupOf(second, [note('b')])], byCode)).toBe(true);
    expect(device.backup?.recipient).toBe(second.list.recipient);
    expect(device.notes.map(({ id }) => id).toSorted()).toEqual(['a', 'b']);
  });

  it('is not led back to a key that was left, though its list says that it is the newest', async () => {
    await account.restore([await backupOf(second, [note('b')])], byCode);
    const forged = { ...first.list, revision: 99, left: [second.list.recipient] };
    const old = await backupOf({ identity: first.identity, list: forged }, [note('a')]);
    expect(await account.restore([old], byCode)).toBe(false);
    // Old notes are notes all the same.
    expect(device.notes.map(({ id }) => id).toSorted()).toEqual(['a', 'b']);
    expect(device.backup?.recipient).toBe(second.list.recipient);
    // Beside the newest one it changes nothing.
    expect(await account.restore([old, await backupOf(second, [])], byCode)).toBe(true);
    expect(device.backup?.recipient).toBe(second.list.recipient);
  });

  it('does go back where the vault gives that key for the PIN: a change of key that was cut short', async () => {
    await account.restore([await backupOf(second, [])], byCode);
    expect(await account.restore([await backupOf(first, [])], { kind: 'identity', identity: first.identity })).toBe(
      true,
    );
    expect(device.backup?.recipient).toBe(first.list.recipient);
  });

  it('keeps the newer of two lists of one key', async () => {
    const removed = first.list.methods.find(({ kind }) => kind === 'pin')!;
    const shorter = { ...first, list: removeMethod(first.list, removed.id) };
    await account.restore([await backupOf(shorter, [])], byCode);
    expect(await account.restore([await backupOf(first, [])], byCode)).toBe(true);
    expect(device.backup?.sealed).toEqual(sealMethods(shorter.list, first.identity));
    expect(account.ways.map(({ kind }) => kind)).toEqual(['recovery-code']);
  });

  it('takes no other key from a record that was enrolled without its PIN, which whoever makes user tokens can do', async () => {
    const opens = (identity: string, takenOver: boolean) => {
      const recovered = { secret: new Secret(utf8(identity)), takenOver } as Recovered;
      vi.spyOn(account.vault, 'recover').mockResolvedValue(recovered);
      return account.identityByPin('1234');
    };
    // A device that knows nothing yet tells the person.
    expect(await opens(first.identity, true)).toBe(first.identity);
    expect(account.isTakenOver).toBe(true);
    await account.restore([await backupOf(first, [])], byCode);
    // A forgotten PIN that was set anew, for the same key.
    expect(await opens(first.identity, true)).toBe(first.identity);
    await expect(opens(second.identity, true)).rejects.toMatchObject({ code: 'untrusted' });
    await expect(opens('no identity', true)).rejects.toMatchObject({ code: 'untrusted' });
    expect(await opens(second.identity, false)).toBe(second.identity);
    expect(account.isTakenOver).toBe(false);
  });

  it.each([
    ['no list', { id: 'a' }],
    ['text that is none', [{ ...note('a'), text: { length: 1 } }]],
    ['a time that is none', [{ ...note('a'), writtenAt: 9e15 }]],
    ['a time as text', [{ ...note('a'), writtenAt: '1' }]],
    ['more than notes', [{ ...note('a'), more: 1 }]],
    ['nothing where a note should be', [null]],
  ])('takes nothing over from a backup with %s, which anybody can make who knows the recipient', async (_, notes) => {
    await account.restore([await backupOf(first, [note('a')])], byCode);
    await expect(account.restore([await backupOf(first, notes)], byCode)).rejects.toMatchObject({ code: 'bad_input' });
    expect(device.notes).toEqual([note('a')]);
  });

  it('reads notes as they are written', () => {
    const notes = [note('a'), { ...note('b'), text: '<b>ü\n\u202e' }];
    expect(readNotes(utf8(JSON.stringify(notes)))).toEqual(notes);
    expect(() => readNotes(fromBase64Url('_w'))).toThrowError(expect.objectContaining({ code: 'malformed' }));
  });
});

describe('two tabs of one browser', () => {
  const place = { recipient: 'age1first', sealed: new Uint8Array([1]), savedAt: NOW, generation: 1 };

  it('take over what the other one has changed, and change only what they mean to', () => {
    const other = Device.load()!;
    device.notes = [note('a')];
    other.backup = place;
    other.notes = [note('b'), ...other.notes];
    expect([device.notes, other.notes].map((notes) => notes.map(({ id }) => id))).toEqual([
      ['b', 'a'],
      ['b', 'a'],
    ]);
    expect(device.backup).toEqual(place);
  });

  it('bring nothing back that the other one has forgotten', () => {
    const other = Device.load()!;
    device.forget();
    other.notes = [note('a')];
    expect(Device.load()).toBeUndefined();
  });

  it('a save that ends after the key was renewed does not go back to the old key', async () => {
    await account.restore([await backupOf(first, [note('a')])], byCode);
    const opened = device.backup!;
    const other = Device.load()!;
    Object.assign(account, { vault: { status: async () => ({ state: 'none', generation: 0 }) } });
    let kept = 0;
    vi.stubGlobal('fetch', async (_path: string, init?: RequestInit) => {
      if (init?.method !== 'PUT') return Response.json({ backups: [] });
      // The other tab renews the key while this one's backup is on its way.
      other.backup = { ...opened, recipient: second.list.recipient, generation: 2 };
      kept++;
      return new Response(null, { status: 204 });
    });
    await account.save();
    expect(kept).toBe(1);
    expect(device.backup?.recipient).toBe(second.list.recipient);
  });
});
