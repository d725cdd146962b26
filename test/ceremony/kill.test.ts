/**
 * A ceremony whose process is killed, again and again, around every record that it writes: it comes to the same end as one
 * that was left alone, and does nothing twice.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Secret, utf8 } from '../../src/core/index.ts';
import { openSigningToken, openToken, readInventory, tryPin } from '../../src/token/index.ts';
import { json, Room, records } from './fixture.ts';

const PRELOAD = join(import.meta.dirname, 'kill-preload.ts');
const STEPS = [
  ...['inspect', 'set-up-pin', 'initialise', 'user-pin', 'keys', 'attributes', 'trial', 'certificates', 'officer'],
  ...['clean-up', 'seals', 'person-1'],
];
/** One after the other, each the end of one process: before the work of each step, and between the work and its record. */
const KILLS = [
  'before opened',
  'after opened',
  ...STEPS.flatMap((step) => [
    `before began ${step}`,
    `after began ${step}`,
    ...(step === 'officer' ? ['after answered officer'] : []),
    `before ended ${step}`,
  ]),
  'before closed',
  'after closed',
];

let room: Room;
beforeAll(() => {
  room = new Room();
});
afterAll(() => room.remove());

it('comes to its end, and does nothing twice', async () => {
  const answers = room.answers({ 'destroy:officer': 'node-1', seals: 'none', 'person:Anna': 'Anna' });
  const plan = ['--fleet=main', '--node=node-1', '--label=node-1', '--person=Anna=operator', '--seals'];
  const run = (kill: string, more: readonly string[]) => {
    const words = ['ceremony', 'run', room.file('one'), ...more, `--answers=${answers}`, '--json'];
    return room.holdfast(words, { preload: PRELOAD, environment: { HOLDFAST_TEST_KILL: kill } });
  };
  let setUpPin = '';
  for (const [i, kill] of KILLS.entries()) {
    const ran = await run(kill, i < 2 ? plan : []);
    expect([kill, ran.signal, ran.error]).toEqual([kill, 'SIGKILL', expect.any(String)]);
    if (room.has('one/private/set-up-pin')) setUpPin = room.read('one/private/set-up-pin').trimEnd();
  }
  const last = await run('never', []);
  expect(json(last)).toMatchObject({ code: 'ok', status: 'done', signedByToken: true });

  const told = records(room, 'one');
  // Each step was done once. Where a life ended in its middle, the next one asked the token.
  const ended = told.filter(({ kind }) => kind === 'ended');
  expect(ended.map(({ step, result }) => [step, result])).toEqual(STEPS.map((step) => [step, 'done']));
  const found = ended.filter(({ finding }) => finding!.startsWith('found done by an earlier attempt'));
  expect(found.map(({ step }) => step)).toEqual([
    'set-up-pin',
    'initialise',
    'user-pin',
    'keys',
    'officer',
    'clean-up',
  ]);
  expect(told.filter(({ kind, step }) => kind === 'began' && step === 'keys').map(({ attempt }) => attempt)).toEqual([
    1, 2, 3,
  ]);
  // Asked by the life that was killed after the answer, and by the one that then did it.
  expect(told.filter(({ kind, step }) => kind === 'answered' && step === 'officer').length).toBe(2);

  const { serial } = json(last).token as unknown as { serial: string };
  const pin = () => new Secret(utf8(room.read('one/private/pin').trimEnd()));
  const token = await openToken({
    module: room.module,
    serial,
    pin: pin(),
    fleet: 'main',
    node: 'node-1',
    timeout: 60_000,
  });
  await token.close();
  const { slots } = await readInventory({ module: room.module, login: { serial, pin: pin() } });
  expect(slots.filter((slot) => slot.token).length).toBe(1);
  const objects = slots.find((slot) => slot.token?.serial === serial)!.token!.objects;
  // Three pairs of the node, two secret keys, and the pair that signs for the ceremony: nothing is left of other attempts.
  expect(objects.map(({ class: kind }) => kind).sort()).toEqual([
    ...Array(4).fill('private key'),
    ...Array(4).fill('public key'),
    ...Array(2).fill('secret key'),
  ]);
  expect(room.has('one/private/set-up-pin')).toBe(false);
  expect(setUpPin).toHaveLength(24);
  const officer = await tryPin({ module: room.module }, { serial }, 'security officer', new Secret(utf8(setUpPin)));
  expect(officer).toBe('refused');
});

it('asks before it destroys the part of the keys that a dead attempt has made, and then makes all', async () => {
  const plan = ['--fleet=main', '--node=node-2', '--label=node-2', '--person=Anna=operator'];
  const run = (answers: Record<string, string>, kill: string, more: readonly string[] = []) => {
    const words = ['ceremony', 'run', room.file('two'), ...more, `--answers=${room.answers(answers)}`, '--json'];
    return room.holdfast(words, { preload: PRELOAD, environment: { HOLDFAST_TEST_KILL: kill } });
  };
  expect((await run({}, 'after began keys', plan)).signal).toBe('SIGKILL');
  const pin = () => new Secret(utf8(room.read('two/private/pin').trimEnd()));
  const access = { module: room.module, label: 'node-2', timeout: 60_000 };
  // As if it had died between two calls of C_GenerateKeyPair.
  const label = 'holdfast/main/node-2/identity';
  const half = await openSigningToken({ ...access, pin: pin() });
  const { publicKey } = await half.generate(label, 'P-256');
  await half.close();
  const willing = { 'destroy:officer': 'node-2', 'person:Anna': 'Anna' };
  const asked = json(await run(willing, 'never'));
  expect(asked).toMatchObject({ code: 'usage', error: { message: expect.stringContaining(label) } });
  expect(json(await run({ ...willing, 'remove:keys': 'yes' }, 'never'))).toMatchObject({ code: 'not_approved' });
  const kept = await openSigningToken({ ...access, pin: pin() });
  expect((await kept.open(label)).publicKey).toEqual(publicKey);
  await kept.close();
  expect(json(await run({ ...willing, 'remove:keys': 'node-2' }, 'never'))).toMatchObject({
    code: 'ok',
    status: 'done',
  });
  const token = await openToken({ ...access, pin: pin(), fleet: 'main', node: 'node-2' });
  expect(token.publicKeys.identity).not.toEqual(publicKey);
  await token.close();
  const answered = records(room, 'two').filter(({ kind, step }) => kind === 'answered' && step === 'keys');
  expect(answered.length).toBe(1);
});
