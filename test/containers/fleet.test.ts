/**
 * A fleet of containers: the demonstration's story, a rolling upgrade under load, nodes that die, cut networks, a lost store and
 * a spent record. One fleet for all of it, since making one takes longer than most of these.
 */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { COORDINATORS, ContainerFleet, NODES } from './fleet.ts';

const image = inject('image');
/** What a rolling upgrade begins with: without git, the same image. */
const before = inject('previousImage') ?? image;
const QUICK = ['--waits', '0', '--lifetime-limit', '10000', '--destroy-after', '3'];
const STRETCHED_LITTLE = ['--argon2-memory-kib', '256', '--argon2-passes', '1'];
const SECRET = 'the key to everything of Alice’s';
const ALL: readonly number[] = [];

let fleet: ContainerFleet;
let alice: string;
let right: string;
let wrong: string;

const get = (code: number, coordinators: readonly number[], pin: string) =>
  fleet.json(
    code,
    coordinators,
    ...['secret', 'get', '--user', alice, '--pin-file', pin, '--out', fleet.path(`secret-${coordinators.join('')}`)],
    // Whoever expects no majority has waited long enough soon; all others as long as the machine takes.
    ...['--overwrite', '--patience', code === 5 ? '3' : '300'],
  );

const status = (coordinators: readonly number[]) =>
  fleet.json(0, coordinators, 'secret', 'status', '--user', alice, '--patience', '300');
const attemptsLeft = async (coordinators: readonly number[]) => (await status(coordinators)).attemptsLeft;

beforeAll(async () => {
  fleet = await ContainerFleet.create(before, [...QUICK, ...STRETCHED_LITTLE]);
  right = fleet.file('right', '493027\n');
  wrong = fleet.file('wrong', '111111\n');
  const milliseconds = await fleet.up(before);
  console.log(`all serve ${(milliseconds / 1000).toFixed(1)} s after the first container was asked for`);
  alice = await fleet.user('alice');
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
});

// In this order: each test begins with what the one before it left.
describe('a fleet of containers', () => {
  it('keeps a secret for a client that verifies it by its log, and counts what is guessed', async () => {
    const secret = fleet.file('alice-secret', SECRET);
    const put = await fleet.json(
      0,
      ALL,
      ...['secret', 'put', '--user', alice, '--pin-file', right, '--secret-file', secret, '--patience', '300'],
    );
    expect(put).toMatchObject({ generation: 1, nodes: [1, 2, 3, 4, 5], degraded: false });
    expect(await get(3, ALL, wrong)).toMatchObject({ error: { code: 'wrong_pin', details: { attemptsLeft: 9 } } });
    expect(await status(ALL)).toMatchObject({ attemptsLeft: 9, trust: { mode: 'bundle', serial: 1 } });
    await get(0, ALL, right);
    expect(readFileSync(fleet.path('secret-'), 'utf8')).toBe(SECRET);
    expect(await attemptsLeft(ALL)).toBe(10);
  });

  it('is healthy in the engine’s eyes, each container by the image’s own check', async () => {
    const ill = async () => (await fleet.health()).filter((health) => health !== 'healthy');
    await expect.poll(ill, { timeout: 300_000, interval: 1000 }).toEqual([]);
    expect(await fleet.health()).toHaveLength(NODES.length + COORDINATORS.length + 4);
  });

  it('is upgraded node by node under load, and no recovery fails', async () => {
    let upgrading = true;
    let recovered = 0;
    const load = async () => {
      while (upgrading) {
        await get(0, ALL, right);
        recovered++;
      }
    };
    const upgrade = async () => {
      try {
        for (const node of NODES) {
          await fleet.stop(`node-${node}`, 'stop');
          await fleet.startNode(node, image);
          await fleet.untilServing(node);
        }
      } finally {
        upgrading = false;
      }
    };
    await Promise.all([upgrade(), load()]);
    expect(recovered).toBeGreaterThan(0);
    for (const coordinator of COORDINATORS) {
      await fleet.stop(`coordinator-${coordinator}`, 'stop');
      await fleet.startCoordinator(coordinator, image);
      await get(0, [coordinator], right);
    }
  });

  it('goes on when two nodes die, stops when three are dead, and counts nothing meanwhile', async () => {
    for (const node of [2, 4]) await fleet.stop(`node-${node}`, 'kill');
    await get(0, ALL, right);
    await fleet.stop('node-1', 'kill');
    await get(5, ALL, wrong);
    await Promise.all([1, 2, 4].map((node) => fleet.startNode(node, image)));
    for (const node of NODES) await fleet.untilServing(node);
    expect(await attemptsLeft(ALL)).toBe(10);
  });

  it('serves behind the coordinator that reaches a majority only, and both tell the same once the cut is healed', async () => {
    for (const node of [4, 5]) await fleet.cut(1, node);
    for (const node of [1, 2, 3]) await fleet.cut(2, node);
    await get(3, [1], wrong);
    await get(5, [2], wrong);
    await get(5, [2], right);
    expect(await attemptsLeft([1])).toBe(9);
    for (const node of [4, 5]) await fleet.join(1, node);
    for (const node of [1, 2, 3]) await fleet.join(2, node);
    // The guess on the majority's side was counted once, those on the other side never.
    expect(await attemptsLeft([2])).toBe(9);
    // Now with those that knew nothing of it, and one that does.
    for (const node of [1, 2]) for (const coordinator of COORDINATORS) await fleet.cut(coordinator, node);
    expect(await attemptsLeft([2])).toBe(9);
    for (const node of [1, 2]) for (const coordinator of COORDINATORS) await fleet.join(coordinator, node);
    await get(0, [2], right);
    expect(await attemptsLeft([1])).toBe(10);
  });

  it('repairs a node whose store was lost from the others', async () => {
    await fleet.stop('node-3', 'kill');
    await fleet.loseStore(3);
    await fleet.startNode(3, image);
    await fleet.untilServing(3);
    // With two others gone, the majority has to have the one that was repaired.
    for (const node of [1, 2]) await fleet.stop(`node-${node}`, 'kill');
    await get(0, ALL, right);
    await Promise.all([1, 2].map((node) => fleet.startNode(node, image)));
    for (const node of NODES) await fleet.untilServing(node);
  });

  it('spends a record after ten wrong PINs, whichever coordinator is asked, and destroys it', async () => {
    for (let left = 9; left >= 0; left--) {
      const refused = await get(3, [1 + (left % 2)], wrong);
      expect(refused).toMatchObject({ error: { code: 'wrong_pin', details: { attemptsLeft: left } } });
    }
    await get(4, ALL, right);
    await expect.poll(async () => (await status(ALL)).state, { timeout: 300_000, interval: 500 }).toBe('destroyed');
    await get(4, ALL, right);
  });
});
