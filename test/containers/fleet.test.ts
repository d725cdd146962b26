/** A fleet of containers: a rolling upgrade under load, and nodes that die. */

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { ContainerFleet, NODES } from './fleet.ts';

const image = inject('image');
/** What a rolling upgrade begins with: without git, the same image. */
const before = inject('previousImage') ?? image;
const QUICK = [
  '--waits',
  '0',
  '--lifetime-limit',
  '10000',
  '--destroy-after',
  '3',
  '--argon2-memory-kib',
  '256',
  '--argon2-passes',
  '1',
];
const ALL: readonly number[] = [];

let fleet: ContainerFleet;
let alice: string;
let right: string;
let wrong: string;

const get = (code: number, coordinators: readonly number[], pin: string, ...more: readonly string[]) =>
  fleet.json(
    code,
    coordinators,
    ...['secret', 'get', '--user', alice, '--pin-file', pin, '--out', fleet.path(`secret-${coordinators.join('')}`)],
    ...['--overwrite', '--patience', '3', ...more],
  );

const attemptsLeft = async (coordinators: readonly number[]) =>
  (await fleet.json(0, coordinators, 'secret', 'status', '--user', alice)).attemptsLeft;

beforeAll(async () => {
  fleet = await ContainerFleet.create(before, QUICK);
  right = fleet.file('right', '493027\n');
  wrong = fleet.file('wrong', '111111\n');
  const milliseconds = await fleet.up(before);
  console.log(`all five nodes serve ${(milliseconds / 1000).toFixed(1)} s after the first container was asked for`);
  alice = await fleet.user('alice');
  const secret = fleet.file('alice-secret', 'the key to everything of Alice’s');
  const put = ['secret', 'put', '--user', alice, '--pin-file', right, '--secret-file', secret];
  await fleet.json(0, ALL, ...put);
});

afterAll(async () => {
  await fleet?.[Symbol.asyncDispose]();
});

// In this order: each test begins with what the one before it left.
describe('a fleet of containers', () => {
  it('is upgraded node by node under load, and no recovery fails', async () => {
    let upgrading = true;
    let recovered = 0;
    const load = async () => {
      while (upgrading) {
        await get(0, ALL, right, '--patience', '30');
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
    for (const coordinator of [1, 2]) {
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
    for (const node of [1, 2, 4]) await fleet.startNode(node, image);
    for (const node of NODES) await fleet.untilServing(node);
    expect(await attemptsLeft(ALL)).toBe(10);
  });
});
