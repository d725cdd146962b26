/** Recovery codes end to end: a backup that carries one opens with it alone, also where there is no fleet any more. */

import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
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
