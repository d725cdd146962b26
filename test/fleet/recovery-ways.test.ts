/** Recovery codes end to end: a backup that carries one opens with it alone, also where there is no fleet any more. */

import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestFleet } from './launcher.ts';

const PIN = '5512 9034';

let fleet: TestFleet;
let pin: string;
let files: string;
let code: string;

beforeAll(async () => {
  fleet = await TestFleet.launch();
  pin = fleet.file('pin', `${PIN}\n`);
  files = fleet.path('letters');
  mkdirSync(files);
  writeFileSync(join(files, 'first.txt'), 'Dear all');
  code = fleet.path('code.txt');
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const create = (user: string, out: string, profile: string, ...more: string[]) => [
  ...['backup', 'create', files, '--out', out, '--user', user, '--profile', profile, ...more],
];
/** The code's file with some of its characters changed. */
function mistyped(name: string, ...places: number[]): string {
  const lines = readFileSync(code, 'utf8').trim().split('\n');
  const typed = [...lines.at(-1)!.replaceAll('-', '')];
  for (const place of places) typed[place] = typed[place] === 'Q' ? 'P' : 'Q';
  return fleet.file(name, `${typed.join('').toLowerCase()}\n`);
}
const nothing = { HOLDFAST_TRUST: '/nowhere', HOLDFAST_USER: '/nowhere' };

test('a code is made once, for its owner only, and nothing but its name is told', async () => {
  const made = await fleet.ok('recovery-code', 'new', '--out', code);
  const text = readFileSync(code, 'utf8');
  expect(text).toMatch(/^# Holdfast recovery code (.{4}), .*\n# .*\n\1(-[0-9A-Z]{4}){15}\n$/);
  expect(made).toMatchObject({ name: text.slice(25, 29), out: code });
  expect(JSON.stringify(made)).not.toContain(text.split('\n')[2]!.slice(5, 14));
  expect(statSync(code).mode & 0o777).toBe(0o600);
  await fleet.json(2, 'recovery-code', 'new', '--out', code);
  await fleet.json(2, 'recovery-code', 'new');
});

test('a backup that carries a code opens with it, mistyped and without any fleet', async () => {
  const user = await fleet.user('alice');
  const profile = fleet.path('alice-profile.json');
  const backup = fleet.path('alice.age');
  await fleet.ok(...create(user, backup, profile, '--recovery-code-file', code), '--pin-file', pin);
  expect(readFileSync(profile, 'utf8')).not.toContain('AGE-SECRET-KEY');

  const restore = (to: string, file: string) => ['backup', 'restore', backup, '--to', to, '--recovery-code-file', file];
  const typed = mistyped('typed', 3, 17, 40, 63);
  const to = fleet.path('restored');
  const restored = await fleet.run([...restore(to, typed), '--json'], { environment: nothing });
  expect(restored).toMatchObject({ code: 0 });
  expect(restored.stderr).toContain('character 4 of group 1, 2 of group 5, 1 of group 11, 4 of group 16');
  expect(readFileSync(join(to, 'letters', 'first.txt'), 'utf8')).toBe('Dear all');

  const tooMany = await fleet.run([...restore(fleet.path('no'), mistyped('bad', 1, 2, 3, 4, 5)), '--json']);
  expect(tooMany.code).toBe(9);
  expect(tooMany.stdout.toString()).toContain('recovery_code_unreadable');
  expect(existsSync(fleet.path('no'))).toBe(false);

  const other = fleet.path('other.txt');
  await fleet.ok('recovery-code', 'new', '--out', other);
  expect(await fleet.json(3, ...restore(fleet.path('no'), other))).toMatchObject({ code: 'recovery_code_wrong' });
  expect(await fleet.ok('recovery-code', 'check', typed, '--backup', backup)).toMatchObject({
    corrected: [3, 17, 40, 63],
    opens: backup,
  });
  expect(await fleet.json(3, 'recovery-code', 'check', other, '--backup', backup)).toMatchObject({
    code: 'recovery_code_wrong',
  });
  expect(await fleet.ok('backup', 'ways', backup)).toMatchObject({
    ways: [
      { kind: 'pin', label: 'development' },
      { kind: 'recovery-code', label: readFileSync(code, 'utf8').slice(25, 29) },
    ],
  });
});

test('later backups carry the code without the PIN, also those of a device restored with the PIN', async () => {
  const user = await fleet.user('bob');
  const profile = fleet.path('bob-profile.json');
  const first = fleet.path('bob.age');
  await fleet.ok(...create(user, first, profile, '--recovery-code-file', code), '--pin-file', pin);
  const opens = (file: string) => fleet.ok('recovery-code', 'check', code, '--backup', file);
  await fleet.ok(...create(user, fleet.path('bob-2.age'), profile));
  await opens(fleet.path('bob-2.age'));
  // The code is listed already, so naming it again asks for nothing.
  await fleet.ok(...create(user, fleet.path('bob-3.age'), profile, '--recovery-code-file', code));
  rmSync(profile);
  const words = ['backup', 'restore', first, '--to', fleet.path('bob-restored'), '--user', user, '--profile', profile];
  await fleet.ok(...words, '--pin-file', pin);
  await fleet.ok(...create(user, fleet.path('bob-4.age'), profile));
  await opens(fleet.path('bob-4.age'));
});

test('a code is added later with the PIN, and a backup without one says so', async () => {
  const user = await fleet.user('carol');
  const profile = fleet.path('carol-profile.json');
  const plain = fleet.path('carol.age');
  await fleet.ok(...create(user, plain, profile), '--pin-file', pin);
  const refused = await fleet.json(
    9,
    'backup',
    'restore',
    plain,
    '--to',
    fleet.path('no'),
    '--recovery-code-file',
    code,
  );
  expect((refused.error as { message: string }).message).toContain('without a recovery code');
  expect(await fleet.ok('backup', 'ways', plain)).toMatchObject({ ways: [] });
  await fleet.json(2, ...create(user, fleet.path('no.age'), profile, '--recovery-code-file', code));
  const later = fleet.path('carol-2.age');
  await fleet.ok(...create(user, later, profile, '--recovery-code-file', code), '--pin-file', pin);
  await fleet.ok('recovery-code', 'check', code, '--backup', later);
});

/** The ways that a backup says it carries, as the person names them: `pin`, or a code's first four characters. */
async function waysOf(file: string): Promise<string[]> {
  const { ways } = (await fleet.ok('backup', 'ways', file)) as { ways: { kind: string; label: string }[] };
  return ways.map(({ kind, label }) => (kind === 'pin' ? 'pin' : label));
}
const newCode = async (name: string): Promise<{ file: string; name: string }> => {
  const file = fleet.path(name);
  const made = (await fleet.ok('recovery-code', 'new', '--out', file)) as { name: string };
  return { file, name: made.name };
};
const contentOf = async (backup: string, to: string, ...how: string[]) => {
  await fleet.ok('backup', 'restore', backup, '--to', fleet.path(to), ...how);
  return readFileSync(join(fleet.path(to), 'letters', 'first.txt'), 'utf8');
};

test('a code is added to a backup, which then opens with either, and is taken off its list again', async () => {
  const user = await fleet.user('dora');
  const profile = fleet.path('dora-profile.json');
  const backup = fleet.path('dora.age');
  const me = ['--user', user, '--profile', profile];
  await fleet.ok(...create(user, backup, profile), '--pin-file', pin);
  const [first, second] = [await newCode('dora-1.txt'), await newCode('dora-2.txt')];
  await fleet.json(2, 'backup', 'add-way', backup, ...me);
  await fleet.json(2, 'backup', 'add-way', backup, ...me, '--enrol', '--pin-file', pin);
  const add = ['backup', 'add-way', backup, '--recovery-code-file'];
  await fleet.ok(...add, first.file, ...me, '--pin-file', pin);
  // The second one by the first, where there is no fleet.
  const alone = await fleet.run([...add, second.file, '--with-code', first.file, '--json'], { environment: nothing });
  expect(alone).toMatchObject({ code: 0 });
  expect(await waysOf(backup)).toEqual(['pin', first.name, second.name]);
  // A device that has the backup's profile makes its next backup with what was added, also without the fleet's word.
  const third = await newCode('dora-3.txt');
  await fleet.ok(...add, third.file, '--with-code', first.file, '--profile', profile);
  await fleet.ok(...create(user, fleet.path('dora-2.age'), profile));
  expect(await waysOf(fleet.path('dora-2.age'))).toEqual(['pin', first.name, second.name, third.name]);
  await fleet.ok('backup', 'revoke-way', backup, third.name, '--keep-key', '--with-code', third.file);
  for (const { file } of [first, second]) {
    expect(await contentOf(backup, `dora-${file.at(-5)}`, '--recovery-code-file', file)).toBe('Dear all');
  }
  expect(await contentOf(backup, 'dora-pin', ...me, '--pin-file', pin)).toBe('Dear all');

  const revoke = ['backup', 'revoke-way', backup];
  expect(await fleet.json(8, ...revoke, 'XXXX', '--keep-key', '--with-code', second.file)).toMatchObject({
    code: 'not_found',
  });
  const off = await fleet.ok(...revoke, first.name, '--keep-key', '--with-code', second.file);
  expect(off).toMatchObject({ newKey: false, revoked: { label: first.name } });
  expect(await waysOf(backup)).toEqual(['pin', second.name]);
  expect(await fleet.json(3, 'recovery-code', 'check', first.file, '--backup', backup)).toMatchObject({
    code: 'recovery_code_wrong',
  });
  await fleet.ok(...revoke, 'pin', '--keep-key', '--with-code', second.file);
  expect(await fleet.json(7, ...revoke, second.name, '--keep-key', '--with-code', second.file)).toMatchObject({
    code: 'last_method',
  });
});

test('a way is ended with a new key, in the file and in the vault; an interrupted change goes on', async () => {
  const user = await fleet.user('emil');
  const profile = fleet.path('emil-profile.json');
  const backup = fleet.path('emil.age');
  const me = ['--user', user, '--profile', profile, '--pin-file', pin];
  const [lost, kept] = [await newCode('emil-1.txt'), await newCode('emil-2.txt')];
  await fleet.ok(...create(user, backup, profile, '--recovery-code-file', lost.file), '--pin-file', pin);
  copyFileSync(backup, fleet.path('emil-before.age'));
  await fleet.ok('backup', 'add-way', backup, '--recovery-code-file', kept.file, ...me);
  const revoke = ['backup', 'revoke-way', backup, lost.name, '--keep-code', kept.file, ...me];
  // The vault refuses: the PIN is wrong. Nothing is changed, and nothing lies about.
  const wrong = fleet.file('wrong', '0000 0000\n');
  await fleet.json(3, ...revoke.with(-1, wrong));
  expect(existsSync(`${backup}.new`)).toBe(false);
  expect(await fleet.ok(...revoke)).toMatchObject({ newKey: true, revoked: lost.name, dropped: [] });
  expect(await waysOf(backup)).toEqual(['pin', kept.name]);
  expect(await fleet.json(3, 'recovery-code', 'check', lost.file, '--backup', backup)).toMatchObject({
    code: 'recovery_code_wrong',
  });
  // As docs/recovery-methods.md says, what somebody copied before stays open.
  await fleet.ok('recovery-code', 'check', lost.file, '--backup', fleet.path('emil-before.age'));
  expect(await contentOf(backup, 'emil-code', '--recovery-code-file', kept.file)).toBe('Dear all');
  expect(await contentOf(backup, 'emil-pin', ...me)).toBe('Dear all');
  // The next backup of this device is made for the new key, with the same ways, without the PIN.
  const next = fleet.path('emil-2.age');
  await fleet.ok(...create(user, next, profile));
  await fleet.ok('recovery-code', 'check', kept.file, '--backup', next);

  // Somebody's file of that name is not touched.
  writeFileSync(`${backup}.new`, 'a diary');
  await fleet.json(2, 'backup', 'revoke-way', backup, kept.name, ...me);
  expect(readFileSync(`${backup}.new`, 'utf8')).toBe('a diary');
  // Interrupted before the vault was changed: the new file is of no use, and is made again.
  writeFileSync(`${backup}.new`, readFileSync(fleet.path('emil-before.age')));
  expect(await fleet.ok('backup', 'revoke-way', backup, kept.name, ...me)).toMatchObject({ newKey: true });
  expect(await waysOf(backup)).toEqual(['pin']);
  // Interrupted after: the vault has the key of the new file, which takes its place.
  writeFileSync(`${backup}.new`, readFileSync(backup));
  writeFileSync(backup, readFileSync(next));
  expect(await fleet.ok('backup', 'revoke-way', backup, kept.name, ...me)).toMatchObject({ newKey: true });
  expect(existsSync(`${backup}.new`)).toBe(false);
  expect(await waysOf(backup)).toEqual(['pin']);
  expect(await contentOf(backup, 'emil-last', ...me)).toBe('Dear all');
});

test('who has forgotten the PIN gets a new one with the code', async () => {
  const user = await fleet.user('fay');
  const profile = fleet.path('fay-profile.json');
  const backup = fleet.path('fay.age');
  const me = ['--user', user, '--profile', profile];
  const code = await newCode('fay.txt');
  await fleet.ok(...create(user, backup, profile, '--recovery-code-file', code.file), '--pin-file', pin);
  // The PIN is ended with a new key; the vault goes on keeping the old one until it is deleted there.
  const ended = ['backup', 'revoke-way', backup, 'pin', '--with-code', code.file, '--keep-code', code.file];
  expect(await fleet.ok(...ended)).toMatchObject({ newKey: true, ways: [{ kind: 'recovery-code' }] });
  await fleet.ok('secret', 'delete', '--user', user, '--pin-file', pin);
  const other = fleet.file('fay-pin', '7781 2290\n');
  const add = ['backup', 'add-way', backup, '--enrol', '--with-code', code.file, '--new-pin-file', other, ...me];
  await fleet.ok(...add);
  expect(await waysOf(backup)).toEqual([code.name, 'pin']);
  expect(await contentOf(backup, 'fay-new', ...me, '--pin-file', other)).toBe('Dear all');
  expect(await fleet.json(7, ...add)).toMatchObject({ code: 'owner_required' });
});
