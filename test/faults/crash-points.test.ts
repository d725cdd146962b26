/** Nodes that die at each point of a group commit: stored, anchored, signed or not yet (docs/protocol.md, section 7). */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FaultFleet, failure, recovers, WRONG } from './fault-fleet.ts';
import type { KillPoint } from './preload.ts';

const POINTS: readonly KillPoint[] = [
  'before-store',
  'before-anchor',
  'during-anchor',
  'after-anchor',
  'after-signing',
];

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.launch();
  await fleet.enrolled('alice');
});
beforeEach(async () => {
  await fleet.start(1, 2, 3, 4, 5);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

/** A client at whose first attempt these nodes are told to die; and when they have come back. */
async function struck(subject: string, point: KillPoint, ...nodes: number[]) {
  const before = new Map(nodes.map((node) => [`node-${node}`, fleet.pid(`node-${node}`)]));
  let told = false;
  const client = await fleet.client(subject, {
    onSend: ({ operation }) => {
      if (operation !== 'attempt' || told) return;
      told = true;
      fleet.killAt(point, ...nodes);
    },
  });
  return { client, back: () => fleet.untilAnew(before) };
}

const attemptsLeft = async () => (await (await fleet.client('alice')).status()).attemptsLeft;

// Each time another node: the pause before a restart doubles.
const DEATHS = POINTS.map((point, i) => [point, i + 1] as const);

test.each(DEATHS)(
  'a node killed %s: the attempt is charged once, and node %i takes its store up again',
  async (point, node) => {
    const left = await attemptsLeft();
    const logged = fleet.log(`node-${node}`).length;
    const { client, back } = await struck('alice', point, node);
    const wrong = await failure(client.recover(WRONG));
    expect(wrong).toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: left - 1 } });
    await back();
    expect(await attemptsLeft()).toBe(left - 1);
    const log = fleet.log(`node-${node}`).slice(logged);
    expect(log).toContain('"event":"serving"');
    expect(log).not.toContain('store refused');
    expect(log).not.toContain('store does not match');
  },
);

test('all of these deaths took no attempt from the right PIN, also with the node that died among the fewest', async () => {
  await fleet.kill(4, 5);
  expect(await recovers(await fleet.client('alice'))).toBe(true);
  expect(await attemptsLeft()).toBe(10);
  await fleet.start(4, 5);
});

test.each<KillPoint>(['before-store', 'before-anchor'])(
  'a majority killed %s: the guess is answered once when they are back, for two numbers at the most',
  async (point) => {
    const left = await attemptsLeft();
    const { client, back } = await struck('alice', point, 1, 2, 3);
    expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'wrong_pin' });
    await back();
    const after = await attemptsLeft();
    expect([left - 1, left - 2]).toContain(after);
    for (const node of [1, 2, 3]) expect(fleet.log(`node-${node}`)).not.toContain('store refused');
    expect(await recovers(await fleet.client('alice'))).toBe(true);
  },
);
