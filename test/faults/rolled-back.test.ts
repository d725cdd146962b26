/** Stores and tokens put back, emptied and exchanged (docs/protocol.md, section 7). */

import { cpSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FaultFleet, failure, PIN, recovers, SECRET, WRONG } from './fault-fleet.ts';

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.launch();
});
beforeEach(async () => {
  await fleet.start(1, 2, 3, 4, 5);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** The parts of a node that a fault puts back. */
const replace = (from: string, to: string): void => {
  rmSync(to, { recursive: true, force: true });
  cpSync(from, to, { recursive: true });
};

/** Two more guesses and a success that an older store does not know, and a record that it has never seen. */
async function live(subject: string): Promise<void> {
  const client = await fleet.client(subject);
  await client.changePin(PIN, PIN, { acceptDegraded: true });
  expect(await recovers(client)).toBe(true);
  await (await fleet.client(`${subject}-later`)).enrol(PIN, SECRET, { acceptDegraded: true });
  for (let i = 0; i < 2; i++) expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'wrong_pin' });
}

/** It knows what the others know, and is as good as any of them. */
async function isWhole(node: number, subject: string): Promise<void> {
  await fleet.untilAgreed(subject);
  await fleet.untilAgreed(`${subject}-later`);
  const others = [1, 2, 3, 4, 5].filter((each) => each !== node).slice(0, 2);
  await fleet.kill(...others);
  const client = await fleet.client(subject);
  expect(await client.status()).toMatchObject({ attemptsLeft: 8, attemptsSinceSuccess: 2, generation: 2 });
  expect(await recovers(client)).toBe(true);
  expect(await recovers(await fleet.client(`${subject}-later`))).toBe(true);
  await fleet.start(...others);
}

test('an older store put back is refused loudly, and repaired from the others', async () => {
  await fleet.enrolled('alice');
  await fleet.kill(1);
  cpSync(fleet.of(1, 'store'), fleet.of(1, 'old-store'), { recursive: true });
  await fleet.start(1);
  await live('alice');
  await fleet.kill(1);
  replace(fleet.of(1, 'old-store'), fleet.of(1, 'store'));
  await fleet.start(1);
  expect(fleet.log('node-1')).toMatch(/"level":(50|"error").*store refused: older than its anchor/);
  await isWhole(1, 'alice');
});

test('an older store and the token of that time, both put back, are found out by what the others know', async () => {
  await fleet.enrolled('bob');
  await fleet.kill(2);
  for (const part of ['store', 'token']) cpSync(fleet.of(2, part), fleet.of(2, `old-${part}`), { recursive: true });
  await fleet.start(2);
  await live('bob');
  await fleet.kill(2);
  for (const part of ['store', 'token']) replace(fleet.of(2, `old-${part}`), fleet.of(2, part));
  await fleet.start(2);
  // Store and anchor fit each other, so nothing on this machine says that they are old.
  expect(fleet.log('node-2')).not.toContain('store refused');
  await isWhole(2, 'bob');
});

test('an emptied store is refused loudly, and filled again from the others', async () => {
  await fleet.enrolled('carol');
  await live('carol');
  await fleet.kill(3);
  rmSync(fleet.of(3, 'store'), { recursive: true });
  await fleet.start(3);
  expect(fleet.log('node-3')).toContain('store refused');
  await isWhole(3, 'carol');
});

test('another node’s store is refused loudly, and nothing of it is used', async () => {
  await fleet.enrolled('dave');
  await live('dave');
  await fleet.kill(4, 5);
  replace(fleet.of(5, 'store'), fleet.of(4, 'store'));
  await fleet.start(4, 5);
  expect(fleet.log('node-4')).toContain('store refused: not of this token');
  expect(fleet.log('node-5')).not.toContain('store refused');
  await isWhole(4, 'dave');
});
