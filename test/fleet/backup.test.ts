/** Backups end to end: a first one enrols, later ones need no PIN, and a new device restores with the PIN alone. */

import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compareTrees } from '../../scripts/compare-trees.ts';
import { TestFleet } from './launcher.ts';

const PIN = '5512 9034';

let fleet: TestFleet;
let pin: string;
let wrong: string;
let files: string;

beforeAll(async () => {
  fleet = await TestFleet.launch();
  pin = fleet.file('pin', `${PIN}\n`);
  wrong = fleet.file('wrong', '1111\n');
  files = fleet.path('photos');
  mkdirSync(join(files, 'summer'), { recursive: true });
  writeFileSync(join(files, 'summer', 'sea.raw'), Buffer.alloc(300_000, 7), { mode: 0o640 });
  writeFileSync(join(files, 'Größe “eins”.txt'), 'hello');
  utimesSync(join(files, 'Größe “eins”.txt'), 1_500_000_000, 1_500_000_000);
  symlinkSync('summer/sea.raw', join(files, 'best'));
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const create = (user: string, out: string, profile: string) => [
  ...['backup', 'create', files, '--out', out, '--user', user, '--profile', profile],
];

test('the first backup enrols, later ones need no PIN, and a new device restores everything', async () => {
  const user = await fleet.user('alice');
  const profile = fleet.path('alice-profile.json');
  const backup = fleet.path('alice.age');
  const first = await fleet.ok(...create(user, backup, profile), '--pin-file', pin);
  expect(first).toMatchObject({ files: 2, directories: 2, symbolicLinks: 1, warningCount: 0 });
  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ state: 'active', generation: 1 });
  expect(statSync(profile).mode & 0o777).toBe(0o600);
  expect(readFileSync(profile, 'utf8')).not.toContain('AGE-SECRET-KEY');

  const second = await fleet.ok(...create(user, backup, profile), '--overwrite');
  expect(second.recipient).toBe(first.recipient);
  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ lifetimeLeft: 49 });

  rmSync(profile);
  rmSync(user);
  const newUser = await fleet.user('alice');
  const to = fleet.path('restored');
  const words = ['backup', 'restore', backup, '--to', to, '--user', newUser, '--profile', profile];
  expect(await fleet.json(3, ...words, '--pin-file', wrong)).toMatchObject({ error: { details: { attemptsLeft: 9 } } });
  expect(existsSync(to)).toBe(false);
  expect(await fleet.ok(...words, '--pin-file', pin)).toMatchObject({ files: 2, warningCount: 0 });
  expect(compareTrees(files, join(to, 'photos'))).toEqual([]);
  // The new device backs up to the same recipient without the PIN.
  const third = await fleet.ok(...create(newUser, fleet.path('third.age'), profile));
  expect(third.recipient).toBe(first.recipient);
});

test('a backup goes to standard output, whole or with an error', async () => {
  const user = await fleet.user('henry');
  const profile = fleet.path('henry-profile.json');
  const words = create(user, '-', profile);
  const { code, stdout, stderr } = await fleet.run([...words, '--pin-file', pin]);
  expect({ code, stderr }).toEqual({
    code: 0,
    stderr: expect.stringMatching(/Backed up 2 files .* to standard output/),
  });
  const to = fleet.path('henry-restored');
  const backup = fleet.file('henry.age', stdout);
  await fleet.ok('backup', 'restore', backup, '--to', to, '--user', user, '--profile', profile, '--pin-file', pin);
  expect(compareTrees(files, join(to, 'photos'))).toEqual([]);
  expect(existsSync('-')).toBe(false);

  const json = await fleet.json(2, ...words);
  expect((json.error as { message: string }).message).toContain('name a file');
  const gone = await fleet.run(words, { onStart: (child) => child.stdout!.destroy() });
  expect(gone).toMatchObject({ code: 1, stderr: expect.stringContaining('its reader has gone') });
});

test('after a change of the PIN the profile is checked once with the new one', async () => {
  const user = await fleet.user('bob');
  const profile = fleet.path('bob-profile.json');
  const first = await fleet.ok(...create(user, fleet.path('bob.age'), profile), '--pin-file', pin);
  const newPin = fleet.file('new-pin', 'another pin\n');
  await fleet.ok('secret', 'change-pin', '--user', user, '--pin-file', pin, '--new-pin-file', newPin);
  const asked = await fleet.json(2, ...create(user, fleet.path('bob-2.age'), profile));
  expect((asked.error as { message: string }).message).toContain('--pin-file');
  const again = await fleet.ok(...create(user, fleet.path('bob-2.age'), profile), '--pin-file', newPin);
  expect(again.recipient).toBe(first.recipient);
  await fleet.ok(...create(user, fleet.path('bob-3.age'), profile));
});

test('nothing is encrypted to a recipient whose record is gone', async () => {
  const user = await fleet.user('carol');
  const profile = fleet.path('carol-profile.json');
  const first = await fleet.ok(...create(user, fleet.path('carol.age'), profile), '--pin-file', pin);
  await fleet.ok('secret', 'delete', '--user', user, '--pin-file', pin);
  await fleet.json(2, ...create(user, fleet.path('carol-2.age'), profile));
  expect(existsSync(fleet.path('carol-2.age'))).toBe(false);
  const anew = await fleet.ok(...create(user, fleet.path('carol-2.age'), profile), '--pin-file', pin);
  expect(anew.recipient).not.toBe(first.recipient);
});

test('without the fleet a device that has a profile backs up only when told to', async () => {
  const user = await fleet.user('dave');
  const profile = fleet.path('dave-profile.json');
  await fleet.ok(...create(user, fleet.path('dave.age'), profile), '--pin-file', pin);
  const nobody = ['--url', 'https://127.0.0.1:1', '--patience', '0'];
  await fleet.json(5, ...create(user, fleet.path('dave-2.age'), profile), ...nobody);
  await fleet.ok(...create(user, fleet.path('dave-2.age'), profile), ...nobody, '--offline');
});

test('a damaged backup is a bad input file, and a missing one costs no attempt', async () => {
  const user = await fleet.user('erin');
  const profile = fleet.path('erin-profile.json');
  const backup = fleet.path('erin.age');
  await fleet.ok(...create(user, backup, profile), '--pin-file', pin);
  const restore = ['--to', fleet.path('erin-restored'), '--user', user, '--profile', profile, '--pin-file', pin];
  truncateSync(backup, statSync(backup).size - 10);
  expect(await fleet.json(9, 'backup', 'restore', backup, ...restore)).toMatchObject({ code: 'bad_input' });
  expect(existsSync(fleet.path('erin-restored'))).toBe(false);
  const { lifetimeLeft } = await fleet.ok('secret', 'status', '--user', user);
  await fleet.json(2, 'backup', 'restore', fleet.path('nowhere.age'), ...restore);
  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ lifetimeLeft });
});

test('what cannot work is said before a PIN is asked for, an attempt is made or a record enrolled', async () => {
  const user = await fleet.user('grace');
  const profile = fleet.path('grace-profile.json');
  const backup = fleet.path('grace.age');
  const messageOf = async (code: number, ...words: string[]) =>
    ((await fleet.json(code, ...words)) as { error: { message: string } }).error.message;
  // Nobody gives a PIN, so that whoever would ask for one says so.
  expect(
    await messageOf(9, 'backup', 'create', fleet.path('nothing'), ...create(user, backup, profile).slice(3)),
  ).toMatch(/cannot read .*no such file/);
  expect(await messageOf(2, ...create(user, pin, profile))).toMatch(/exists already/);
  expect(await messageOf(2, ...create(user, fleet.path('no/folder.age'), profile))).toMatch(/cannot write/);
  expect(await fleet.ok('secret', 'status', '--user', user)).toMatchObject({ state: 'none' });

  await fleet.ok(...create(user, backup, profile), '--pin-file', pin);
  const restore = (file: string, to: string) => ['backup', 'restore', file, '--to', to, '--user', user];
  expect(await messageOf(2, ...restore(backup, files))).toMatch(/is not empty/);
  expect(await messageOf(2, ...restore(backup, fleet.path('no/folder')))).toMatch(/cannot restore to/);
  expect(await messageOf(9, ...restore(pin, fleet.path('grace-restored')))).toMatch(/not an age file/);
  expect(existsSync(fleet.path('grace-restored'))).toBe(false);
  expect(await messageOf(2, ...restore(backup, fleet.path('grace-restored')))).toMatch(/--pin-file/);
});

test('a record that holds something else is named as such', async () => {
  const user = await fleet.user('frank');
  await fleet.ok('secret', 'put', '--user', user, '--pin-file', pin, '--secret-file', pin);
  const profile = fleet.path('frank-profile.json');
  const refused = await fleet.json(9, ...create(user, fleet.path('frank.age'), profile), '--pin-file', pin);
  expect((refused.error as { message: string }).message).toContain('not an age X25519 identity');
});
