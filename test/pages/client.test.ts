/** The example application in a real browser against a fleet of real processes: one person, several devices, every way. */

import { readFileSync } from 'node:fs';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { ExampleServer } from '../../scripts/example/server.ts';
import { readPage } from '../../src/http/index.ts';
import { decryptBackup, methodsIn, openWith, readMethods, readRecoveryCode } from '../../src/recovery/index.ts';
import { TestFleet } from '../fleet/launcher.ts';
import { accessibilityFaults } from './axe.ts';
import { hold, openBrowser, overflows, shoot, VIEWS } from './browser.ts';
import { build } from './built.ts';
import { Phone } from './person.ts';

const PIN = '493 027';
const WRONG = '111 112';

const resources = new AsyncDisposableStack();
let server: ExampleServer;
let browser: Browser;

beforeAll(async () => {
  browser = await openBrowser();
  resources.defer(() => browser.close());
  const built = await build('client');
  // The eighth attempt in a row has to wait.
  const options = ['--waits', '0,0,0,0,0,0,0,3', '--takeover', 'immediate'];
  const fleet = resources.use(await TestFleet.launch({ nodes: 3, coordinators: 1, log: true, options }));
  // A device verifies the fleet by its bundle, which is accepted some time after the nodes serve.
  await fleet.until(({ announced }) => announced);
  server = resources.use(await ExampleServer.start({ fleet: fleet.folder.path, page: await readPage(built.folder) }));
});

afterAll(() => resources.disposeAsync());

/** A device whose page must not break its policy, fail, or ask anybody else. */
async function device(options = {}): Promise<Phone> {
  const phone = await Phone.fresh(browser, `${server.url}/`, options);
  onTestFinished(async () => {
    const { violations, errors, elsewhere } = phone.visit;
    await phone[Symbol.asyncDispose]();
    expect({ violations, errors, elsewhere }).toEqual({ violations: [], errors: [], elsewhere: [] });
  });
  return phone;
}

/** A person with a note, a backup, a PIN and a code. */
async function enrolled(name: string): Promise<{ phone: Phone; code: string[] }> {
  const phone = await device();
  await phone.signIn(name);
  await phone.write(`A note of ${name}`);
  await phone.turnOn(PIN);
  const code = await phone.keepCode();
  await phone.see('Add a passkey?');
  await phone.press('Not now');
  await phone.see('Your notes');
  return { phone, code };
}

const mistyped = (code: readonly string[], ...places: readonly number[]) => {
  const characters = [...code.join('')];
  for (const place of places) characters[place] = characters[place] === 'Q' ? 'P' : 'Q';
  return characters.join('').toLowerCase();
};

async function restoreWithPin(phone: Phone, pin = PIN): Promise<void> {
  await phone.see('Welcome back');
  await phone.press('PIN');
  await phone.fill('PIN', pin);
  await phone.press('Open my backup');
}

async function openCode(phone: Phone, typed: string): Promise<void> {
  await phone.see('Welcome back');
  await phone.press(/^Recovery code/);
  await phone.fill('Recovery code', typed);
  await phone.press('Open my backup');
}

test('a note written on one device is read on the next one with the PIN, and the server never sees it', async () => {
  const { phone } = await enrolled('alice');
  await phone.write('The second note');
  expect(server.backupsOf('alice')).toHaveLength(1);
  expect(server.backupsOf('alice')[0]!.bytes.includes('second note')).toBe(false);

  const next = await device();
  await next.signIn('alice');
  await restoreWithPin(next, WRONG);
  await next.text('That PIN is wrong');
  await next.text('9 of 10 tries left');
  await next.fill('PIN', PIN);
  await next.press('Open my backup');
  await next.see('Your notes');
  await next.text('A note of alice');
  await next.text('The second note');
  // It goes on backing up from here, without the PIN.
  await next.write('From the new device');
  await phone.page.reload();
  await phone.see('Your notes');
  await next.manage();
  expect(await next.ways()).toEqual(['PIN', expect.stringMatching(/^Recovery code .{4}…$/)]);
  await next.text('The vault was checked');
  await next.text('10 tries');
});

test('a recovery code opens the backup with four typing mistakes, shows them, and then a new PIN can be set', async () => {
  const { code } = await enrolled('bob');
  const next = await device();
  await next.signIn('bob');
  await openCode(next, mistyped(code, 1, 22, 23, 63));
  await next.see('Restored');
  await next.text('4 mistakes were put right');
  await next.text(`Group 6 is ${code[5]}`);
  await next.press('No, set a new one');
  await next.fill('New PIN', 'another one');
  await next.fill('The same again', 'another one');
  await next.press('Set this PIN');
  await next.text('The new PIN is set, and was tried.');

  const third = await device();
  await third.signIn('bob');
  await restoreWithPin(third);
  await third.text('That PIN is wrong');
  await third.fill('PIN', 'another one');
  await third.press('Open my backup');
  await third.text('A note of bob');
});

test('a code with too many mistakes, too few characters or of another backup is refused in words that help', async () => {
  const { code } = await enrolled('carol');
  const { code: other } = await enrolled('carla');
  const next = await device();
  await next.signIn('carol');
  await openCode(next, mistyped(code, 1, 9, 17, 25, 33));
  await next.text('More than four characters are wrong');
  expect(await next.field('Recovery code').getAttribute('aria-invalid')).toBe('true');
  await next.fill('Recovery code', code.slice(0, 15).join(' '));
  await next.text('60 of 64 characters');
  await next.press('Open my backup');
  await next.text('60 were typed');
  await next.fill('Recovery code', other.join('-'));
  await next.press('Open my backup');
  await next.text('This code is for another backup');
  await next.text(`begins with ${code[0]}`);
  await next.fill('Recovery code', code.join('-'));
  await next.press('Open my backup');
  await next.see('Restored');
});

test('after the last wrong PIN the vault is locked, with a wait before, and the code still opens', async () => {
  const { code } = await enrolled('dave');
  const next = await device();
  await next.signIn('dave');
  const { clock } = next.page;
  const wait = next.page.locator('.wait:not(:empty)');
  // The page's clock stands while a PIN is tried: on a slow machine the wait would be over before it is seen.
  await clock.setFixedTime(Date.now());
  await restoreWithPin(next, WRONG);
  for (let left = 9; left >= 0; left--) {
    await next.text(left === 0 ? 'No tries left' : left === 1 ? 'One try left' : `${left} of 10 tries left`);
    if (left === 3) {
      await next.text('After the last one the vault locks this way for good');
      await next.text(/You can try again in \d+ seconds?/);
      await shoot(next.page, 'client-few-tries');
    }
    if (left === 0) break;
    // The page says when the wait is over. Set before each attempt: of a time long past, the wait would be minutes.
    do await clock.setFixedTime(Date.now());
    while ((await wait.count()) > 0);
    await next.press('Open my backup');
    if (left === 1) await next.text('No tries');
  }
  await next.fill('PIN', PIN);
  await next.press('Open my backup');
  await next.text('not even the right one');
  await openCode(next, code.join(''));
  await next.see('Restored');
});

test('a passkey opens the backup on a device that has it, and losing it loses nothing', async () => {
  const { phone, code } = await enrolled('erin');
  await phone.addAuthenticator();
  await phone.manage();
  await phone.press('Add a passkey');
  await phone.fill('Name', 'My laptop');
  await phone.press('Add a passkey');
  await phone.text('The passkey opens your backup now');
  expect(await phone.ways()).toEqual(['PIN', `Recovery code ${code[0]}…`, 'Passkey: My laptop']);
  const [passkey] = await phone.passkeys();
  expect(passkey).toMatchObject({ isResidentCredential: true, rpId: 'localhost' });

  // Signed in anew in the same browser: the page has forgotten everything, the authenticator has not.
  await phone.page.evaluate(() => localStorage.clear());
  await phone.page.reload();
  await phone.signIn('erin');
  await phone.press('Passkey: My laptop');
  await phone.press('Use this passkey');
  await phone.see('Restored');
  await phone.press('Yes, go to my notes');
  await phone.text('A note of erin');

  const next = await device();
  await next.addAuthenticator();
  await next.signIn('erin');
  await next.press('Passkey: My laptop');
  await next.press('Use this passkey');
  await next.text('that passkey is not on this device');
  await restoreWithPin(next);
  await next.text('A note of erin');
});

test('an authenticator that cannot encrypt is named as such, and nothing is added', async () => {
  const { phone } = await enrolled('frank');
  await phone.addAuthenticator(false);
  await phone.manage();
  await phone.press('Add a passkey');
  await phone.press('Add a passkey');
  await phone.text('This passkey cannot protect a backup');
  await phone.press('Cancel');
  await phone.see('Backup and recovery');
  expect(await phone.ways()).toHaveLength(2);
});

test('a passkey is never left alone, and the last way never goes', async () => {
  const { phone } = await enrolled('grace');
  await phone.addAuthenticator();
  await phone.manage();
  await phone.press(/^Remove Recovery code/);
  await phone.press('Only remove it');
  await phone.text('is off the list');
  await phone.press('Remove PIN');
  await phone.text('This is the last way to your backup');
  await phone.press('Add a passkey');
  await phone.press('Add a passkey');
  await phone.text('The passkey opens your backup now');
  await phone.press('Remove PIN');
  await phone.text('A passkey cannot be the only way');
  expect(await phone.ways()).toEqual(['PIN', 'Passkey: This device']);
});

test('a way that is removed with a change of the key opens nothing any more, and the others do', async () => {
  const { phone, code } = await enrolled('heidi');
  await phone.addAuthenticator();
  await phone.manage();
  await phone.press('Add a passkey');
  await phone.press('Add a passkey');
  await phone.text('The passkey opens your backup now');
  const [old] = server.backupsOf('heidi');

  await phone.press(/^Remove Passkey/);
  await phone.press('Remove and change the key');
  await phone.see('Your new recovery code');
  const fresh = await phone.keepCode();
  await phone.fill('PIN', WRONG);
  await phone.press('Change the key');
  await phone.text('That PIN is wrong');
  expect(server.backupsOf('heidi')).toHaveLength(1);
  await phone.fill('PIN', PIN);
  await phone.press('Change the key');
  await phone.text('The key is changed');
  expect(await phone.ways()).toEqual(['PIN', `Recovery code ${fresh[0]}…`]);

  const kept = server.backupsOf('heidi');
  expect(kept).toHaveLength(1);
  expect(kept[0]!.id).not.toBe(old!.id);
  // What somebody copied before still opens, as the page says; what is there now does not.
  const oldWay = { kind: 'recovery-code', code: readRecoveryCode(code.join('')).code } as const;
  const { identity } = await openWith((await methodsIn(old!.bytes))!, oldWay);
  expect(new TextDecoder().decode(await decryptBackup(old!.bytes, identity))).toContain('A note of heidi');
  await expect(decryptBackup(kept[0]!.bytes, identity)).rejects.toMatchObject({ code: 'bad_input' });
  await expect(openWith((await methodsIn(kept[0]!.bytes))!, oldWay)).rejects.toMatchObject({
    code: 'recovery_code_wrong',
  });

  const next = await device();
  await next.signIn('heidi');
  await restoreWithPin(next);
  await next.text('A note of heidi');
});

test('the PIN too can be removed: the vault deletes its record, and the code opens the backup', async () => {
  const { phone } = await enrolled('ivan');
  await phone.manage();
  await phone.press('Remove PIN');
  await phone.press('Remove and change the key');
  const fresh = await phone.keepCode();
  await phone.fill('PIN', PIN);
  await phone.press('Change the key');
  await phone.text('The key is changed');
  expect(await phone.ways()).toEqual([`Recovery code ${fresh[0]}…`]);
  expect(readMethods((await methodsIn(server.backupsOf('ivan')[0]!.bytes))!).methods).toHaveLength(1);
  const next = await device();
  await next.signIn('ivan');
  await openCode(next, fresh.join(' '));
  await next.see('Restored');
  await next.text('Your backup has no PIN.');
});

test('a saved file opens on another device without the server’s copy, and turning off deletes all others', async () => {
  const { phone, code } = await enrolled('judy');
  await phone.manage();
  const [saved] = await Promise.all([phone.page.waitForEvent('download'), phone.press('Save a copy')]);
  expect(saved.suggestedFilename()).toBe('keepsake.age');
  const path = (await saved.path())!;
  expect(readFileSync(path).subarray(0, 21).toString()).toBe('age-encryption.org/v1');

  const next = await device();
  await next.signIn('judy');
  await next.see('Welcome back');
  await next.press('Use a backup file instead');
  await next.field('Backup file').setInputFiles(path);
  await next.press('Open it');
  await openCode(next, code.join(''));
  await next.see('Restored');

  await phone.press('Turn off and delete');
  await phone.see('Turn the backup off?');
  await phone.fill('PIN', PIN);
  await phone.press('Turn off and delete');
  await phone.text('Your notes are on this device only');
  expect(server.backupsOf('judy')).toEqual([]);
  const third = await device();
  await third.signIn('judy');
  await third.see('Your notes');
});

test('what one device changes, the other takes over before it saves, and no note is lost', async () => {
  const { phone } = await enrolled('mallory');
  const laptop = await device();
  await laptop.signIn('mallory');
  await restoreWithPin(laptop);
  await laptop.write('From the laptop');

  // A way more: the phone, which does not know of it, must not save a list without it.
  await laptop.manage();
  await laptop.press('Add a recovery code');
  const added = await laptop.keepCode();
  await laptop.text('opens your backup now');
  await phone.fill('A new note', 'From the phone');
  await phone.press('Keep this note');
  await phone.text('Changed on another device');
  await phone.press('Open my backup here');
  await phone.fill('PIN', PIN);
  await phone.press('Continue');
  await phone.see('Your notes');
  await phone.text('From the laptop');
  await phone.text('From the phone');

  // Another key: the laptop must not save for the old one.
  await phone.manage();
  await phone.press(/^Remove Recovery code/);
  await phone.press('Remove and change the key');
  const fresh = await phone.keepCode();
  await phone.fill('PIN', PIN);
  await phone.press('Change the key');
  await phone.text('The key is changed');
  await laptop.press('Back to my notes');
  await laptop.fill('A new note', 'Later, from the laptop');
  await laptop.press('Keep this note');
  await laptop.text('Changed on another device');
  expect(server.backupsOf('mallory')).toHaveLength(1);
  await laptop.press('Open my backup here');
  await laptop.fill('PIN', PIN);
  await laptop.press('Continue');
  await laptop.see('Your notes');

  const third = await device();
  await third.signIn('mallory');
  await openCode(third, added.join(''));
  await third.text('This code is for another backup');
  await third.fill('Recovery code', fresh.join(''));
  await third.press('Open my backup');
  await third.see('Restored');
  await third.press('Yes, go to my notes');
  for (const note of ['A note of mallory', 'From the laptop', 'From the phone', 'Later, from the laptop'])
    await third.text(note);
});

test('the PIN is changed, and weak or mistyped new ones are refused before anything is sent', async () => {
  const { phone } = await enrolled('kim');
  await phone.manage();
  await phone.press('Change');
  await phone.see('Change the PIN');
  await phone.fill('PIN as it is now', PIN);
  for (const [first, second, words] of [
    ['12345', '12345', 'Use at least six characters.'],
    ['123456', '123456', 'among the first that anybody would try'],
    ['000000', '000000', 'among the first that anybody would try'],
    ['583016', '583061', 'The two are not the same.'],
  ] as const) {
    await phone.fill('New PIN', first);
    await phone.fill('The same again', second);
    await phone.press('Change it');
    await phone.text(words);
  }
  await phone.fill('The same again', '583016');
  await phone.press('Change it');
  await phone.text('The PIN is changed.');
  const next = await device();
  await next.signIn('kim');
  await restoreWithPin(next, '583016');
  await next.text('A note of kim');
});

test('what is slow takes nothing away that somebody has gone to meanwhile', async () => {
  const { phone, code } = await enrolled('niaj');
  // Of the vault, which is asked for the tries that are left.
  const address = '**/v1/status';
  const next = await device();
  await next.signIn('niaj');
  await next.see('Welcome back');
  const slow = await hold(next.page, address);
  await next.press('PIN');
  await slow.reached;
  await next.press(/^Recovery code/);
  await next.fill('Recovery code', code.join(' '));
  await slow.release();
  expect(await next.field('PIN').count()).toBe(0);
  expect(await next.field('Recovery code').inputValue()).toBe(code.join(' '));

  await phone.manage();
  await phone.press(/^Remove Recovery code/);
  await phone.see(`Remove “Recovery code ${code[0]}…”?`);
  const list = await hold(phone.page, address);
  await phone.press('Keep it');
  await list.reached;
  await phone.press('Remove and change the key');
  await phone.see('Your new recovery code');
  await list.release();
  expect(await phone.page.getByRole('heading', { level: 1 }).textContent()).toBe('Your new recovery code');
});

test('everything can be done with the keyboard alone', async () => {
  const phone = await device();
  const { keyboard } = phone.page;
  const focused = () => phone.page.evaluate(() => document.activeElement?.textContent ?? '');
  const tabTo = async (name: string) => {
    for (let i = 0; i < 60; i++) {
      await keyboard.press('Tab');
      const label = await phone.page.evaluate(() => {
        const active = document.activeElement as HTMLElement & { readonly labels?: NodeListOf<HTMLElement> };
        return active.labels?.[0]?.textContent ?? active.textContent ?? '';
      });
      if (label.trim() === name) return;
    }
    throw new Error(`no ${name} in the order of tabs`);
  };
  await phone.see('Notes that only you can read');
  expect(await focused()).toBe('Notes that only you can read');
  await tabTo('Your name');
  await keyboard.type('leo');
  await keyboard.press('Enter');
  await phone.see('Your notes');
  expect(await focused()).toBe('Your notes');
  await tabTo('Turn on backup');
  await keyboard.press('Enter');
  await phone.see('Choose a PIN');
  await tabTo('New PIN');
  await keyboard.type(PIN);
  await tabTo('The same again');
  await keyboard.type(PIN);
  await keyboard.press('Enter');
  await phone.see('Your recovery code');
  expect(await focused()).toBe('Your recovery code');
  await tabTo('Skip for now');
  await keyboard.press('Space');
  await phone.see('Add a passkey?');
  await tabTo('Not now');
  await keyboard.press('Space');
  await phone.see('Your notes');
  await tabTo('Backup and recovery');
  await keyboard.press('Enter');
  await phone.see('Backup and recovery');
});

test.each(Object.entries(VIEWS))('every view keeps the rules of accessibility: %s', async (name, options) => {
  const phone = await device(options);
  const check = async (view: string) => {
    expect(await accessibilityFaults(phone.page)).toEqual([]);
    expect(await overflows(phone.page)).toBe(false);
    await shoot(phone.page, `client-${view}-${name}`);
  };
  const person = `axe-${name}`;
  await phone.see('Notes that only you can read');
  await check('start');
  await phone.signIn(person);
  await phone.write('Grandmother’s recipe for plum cake');
  await check('home-off');
  await phone.press('Turn on backup');
  await phone.see('Choose a PIN');
  await phone.press('Turn on backup');
  await phone.text('Use at least six characters.');
  await check('setup');
  await phone.press('Not now');
  await phone.turnOn(PIN);
  await check('code');
  await phone.press('I have written it down');
  await phone.see('Check your paper');
  await check('confirm');
  await phone.press('Start again with another code');
  const code = await phone.keepCode();
  await phone.see('Add a passkey?');
  await check('passkey');
  await phone.press('Not now');
  await phone.manage();
  await check('ways');
  await phone.press(/^Remove Recovery code/);
  await phone.see(`Remove “Recovery code ${code[0]}…”?`);
  await check('remove');
  await phone.press('Keep it');

  await phone.page.evaluate(() => localStorage.clear());
  await phone.page.reload();
  await phone.signIn(person);
  await restoreWithPin(phone, WRONG);
  await phone.text('9 of 10 tries left');
  await check('restore-pin');
  await phone.press(/^Recovery code/);
  await phone.field('Recovery code').waitFor();
  await check('restore-code');
});
