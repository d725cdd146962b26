/**
 * A ceremony whose process is killed, again and again, around every record that it writes: it comes to the same end as one
 * that was left alone, and does nothing twice.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret, utf8 } from '../../src/core/index.ts';
import { openToken, readInventory, tryPin } from '../../src/token/index.ts';
import { json, Room, records } from './fixture.ts';

const PRELOAD = join(import.meta.dirname, 'kill-preload.ts');
/** For the lives of a process, in turn: enough for a step and a little more, what was resumed, began, was answered, ended. */
const KILLS = [['before 4', 'before 5'], ['after 4', 'after 2'], ['after 5', 'before 6', 'before 4']];

let room: Room;
beforeAll(() => {
  room = new Room();
});
afterAll(() => room.remove());

/** For each record that was the last when a process died: its kind and step. */
const deaths = new Set<string>();

async function untilItEnds(label: string, kills: readonly string[]) {
  let setUpPin = '';
  const answers = room.answers({ 'destroy:officer': label, seals: 'none', 'person:Anna': 'Anna' });
  const plan = ['--fleet=main', `--node=${label}`, `--label=${label}`, '--person=Anna=operator', '--seals'];
  for (let lives = 1; lives < 60; lives++) {
    const began = room.has(`${label}/transcript.jsonl`) && room.read(`${label}/transcript.jsonl`) !== '';
    const words = ['ceremony', 'run', room.file(label), ...(began ? [] : plan), `--answers=${answers}`, '--json'];
    const last = await room.holdfast(words, {
      preload: PRELOAD,
      environment: { HOLDFAST_TEST_KILL: kills[lives % kills.length]! },
    });
    if (room.has(`${label}/private/set-up-pin`)) setUpPin = room.read(`${label}/private/set-up-pin`).trimEnd();
    if (last.signal !== 'SIGKILL') return { last, lives, setUpPin };
    const { kind, step = '' } = records(room, label).at(-1) ?? { kind: 'nothing' };
    deaths.add(`${kind} ${step}`.trim());
  }
  throw new Error('the ceremony came to no end');
}

describe.each(KILLS.map((kills) => ({ kills })))('a ceremony that is killed $kills', ({ kills }) => {
  const label = kills.join('-').replaceAll(' ', '-');

  it('comes to its end, and does nothing twice', async () => {
    const { last, lives, setUpPin } = await untilItEnds(label, kills);
    expect(json(last)).toMatchObject({ code: 'ok', status: 'done', signedByToken: true });
    expect(lives).toBeGreaterThan(8);
    const told = records(room, label);
    expect(told.filter(({ kind }) => kind === 'resumed').length).toBeGreaterThanOrEqual(lives - 2);
    // Each step was done once, and where a life ended in the middle the token was asked.
    const ended = told.filter(({ kind, result }) => kind === 'ended' && result === 'done');
    expect(new Set(ended.map(({ step }) => step)).size).toBe(ended.length);
    expect(told.filter(({ result }) => result === 'failed')).toEqual([]);
    const { serial } = json(last).token as unknown as { serial: string };
    const pin = () => new Secret(utf8(room.read(`${label}/private/pin`).trimEnd()));
    const token = await openToken({
      module: room.module,
      serial,
      pin: pin(),
      fleet: 'main',
      node: label,
      timeout: 60_000,
    });
    await token.close();
    const { slots } = await readInventory({ module: room.module, login: { serial, pin: pin() } });
    const objects = slots.find(({ token: each }) => each?.serial === serial)!.token!.objects;
    // Three pairs of the node, two secret keys, and the pair that signs for the ceremony: nothing is left of other attempts.
    expect(objects.map(({ class: kind }) => kind).sort()).toEqual([
      ...Array(4).fill('private key'),
      ...Array(4).fill('public key'),
      ...Array(2).fill('secret key'),
    ]);
    expect(room.has(`${label}/private/set-up-pin`)).toBe(false);
    expect(setUpPin).toHaveLength(24);
    const officer = (text: string) =>
      tryPin({ module: room.module }, { serial }, 'security officer', new Secret(utf8(text)));
    expect(await officer(setUpPin)).toBe('refused');
  }, 300_000);
});

it('died in every step, with the step’s work undone and done', () => {
  const steps = [
    ...['inspect', 'set-up-pin', 'initialise', 'user-pin', 'keys', 'attributes', 'trial', 'certificates', 'officer'],
    ...['clean-up', 'seals', 'person-1'],
  ];
  const began = steps.filter((step) => deaths.has(`began ${step}`) || deaths.has(`answered ${step}`));
  expect(began).toEqual(steps);
  expect([...deaths]).toEqual(
    expect.arrayContaining(['answered officer', 'ended person-1', 'closed', 'ended initialise']),
  );
});
