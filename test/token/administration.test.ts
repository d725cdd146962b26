import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  createTokenKeys,
  initialiseToken,
  openToken,
  readInventory,
  writeSoftHsmConfiguration,
} from '../../src/token/index.ts';
import { PIN, type SoftHsm, secret, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
});
afterAll(() => hsm.remove());

describe('the configuration of SoftHSM', () => {
  it('is for its owner only, tokens included', () => {
    const path = join(hsm.directory, 'softhsm2.conf');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(hsm.directory, 'tokens')).mode & 0o777).toBe(0o700);
    expect(readFileSync(path, 'utf8').split('\n')).toEqual([
      `directories.tokendir = ${join(hsm.directory, 'tokens')}`,
      'objectstore.backend = file',
      'log.level = ERROR',
      'slots.removable = false',
      '',
    ]);
  });

  it('is the one that the shell script writes', () => {
    const directory = mkdtempSync(join(tmpdir(), 'holdfast-script-'));
    const [soPin, userPin] = [join(directory, 'so'), join(directory, 'user')];
    writeFileSync(soPin, 'officer-1\n', { mode: 0o600 });
    writeFileSync(userPin, `${PIN}\n`, { mode: 0o600 });
    const script = join(import.meta.dirname, '../../softhsm/initialise');
    const folder = join(directory, 'it is');
    const run = () => execFileSync(script, [folder, 'of the script', soPin, userPin], { encoding: 'utf8' });
    expect(run()).toContain('is ready');
    expect(run()).toContain('is there already');
    const written = readFileSync(join(folder, 'softhsm2.conf'), 'utf8').replace(/^#.*\n/, '');
    rmSync(join(folder, 'softhsm2.conf'));
    expect(readFileSync(writeSoftHsmConfiguration(folder), 'utf8')).toBe(written);
    rmSync(directory, { recursive: true });
  });
});

describe('initialising', () => {
  const another = (label: string) =>
    initialiseToken({ module: hsm.module, label, soPin: secret('officer-2'), userPin: secret('other-pin') });

  it('makes a second token beside the first', async () => {
    const { serial, label } = await another('second');
    expect(label).toBe('second');
    await createTokenKeys({ ...hsm.options('n'), label: 'second', pin: secret('other-pin') });
    const token = await openToken({ module: hsm.module, serial, pin: secret('other-pin'), fleet: 'fleet', node: 'n' });
    expect(token.description.serial).toBe(serial);
    await token.close();
  });

  it('never touches a token that is there', async () => {
    await expect(another('test')).rejects.toMatchObject({ code: 'token_unsuitable' });
    const { slots } = await readInventory({ module: hsm.module });
    const taken = slots.find((slot) => slot.token?.serial === hsm.serial)!.number;
    const over = { module: hsm.module, label: 'over', soPin: secret('officer-1'), userPin: secret(PIN), slot: taken };
    await expect(initialiseToken(over)).rejects.toMatchObject({ code: 'token_unsuitable' });
  });

  it('refuses a label that a token cannot hold, and a PIN that it does not take', async () => {
    await expect(another('')).rejects.toMatchObject({ code: 'usage' });
    await expect(another('x'.repeat(33))).rejects.toMatchObject({ code: 'usage' });
    const short = { module: hsm.module, label: 'short', soPin: secret('1'), userPin: secret('1') };
    await expect(initialiseToken(short)).rejects.toMatchObject({ code: 'token_pin_incorrect' });
  });

  it('asks for a serial where a label is on two tokens', async () => {
    const open = openToken({ module: hsm.module, pin: secret(PIN), fleet: 'fleet', node: 'n' });
    await expect(open).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('the inventory', () => {
  it('shows module, tokens, mechanisms, and private objects only after a login', async () => {
    await createTokenKeys(hsm.options('shown'));
    const ours = (inventory: Awaited<ReturnType<typeof readInventory>>) =>
      inventory.slots.find((slot) => slot.token?.serial === hsm.serial)!.token!;
    const inventory = await readInventory({ module: hsm.module });
    const shown = ours(inventory);
    expect(inventory).toMatchObject({ manufacturer: 'SoftHSM', cryptokiVersion: '2.40' });
    expect(shown).toMatchObject({ label: 'test', model: 'SoftHSM v2' });
    expect(shown.flags).toContain('CKF_LOGIN_REQUIRED');
    expect(shown.mechanisms.map((mechanism) => mechanism.name)).toContain('CKM_ECDH1_DERIVE');
    expect(new Set(shown.objects.map((object) => object.class))).toEqual(new Set(['public key']));
    const all = ours(await readInventory({ module: hsm.module, login: { serial: hsm.serial, pin: secret(PIN) } }));
    expect(new Set(all.objects.map((object) => object.class))).toEqual(
      new Set(['public key', 'private key', 'secret key']),
    );
  });

  it('can be taken while a node works on the token', async () => {
    const token = await openToken(hsm.options('shown'));
    await readInventory({ module: hsm.module });
    expect(await token.sign(Uint8Array.of(1))).toHaveLength(64);
    await token.close();
  });

  it('says so when PIN or serial are wrong', async () => {
    const login = (serial: string, pin: string) =>
      readInventory({ module: hsm.module, login: { serial, pin: secret(pin) } });
    await expect(login(hsm.serial, 'wrong')).rejects.toMatchObject({ code: 'token_pin_incorrect' });
    await expect(login('00', PIN)).rejects.toMatchObject({ code: 'token_removed' });
    await expect(readInventory({ module: '/nowhere.so' })).rejects.toMatchObject({ code: 'usage' });
  });
});
