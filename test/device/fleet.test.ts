/** A vault node on one slot by itself, and a small fleet: the slots that were named, and SoftHSM for the rest. */

import { expect, test } from 'vitest';
import { findSoftHsm } from '../../src/token/index.ts';
import { DeviceFleet, PATIENCE } from './device-fleet.ts';
import { devices } from './devices.ts';

const [PIN, WRONG, SECRET] = ['5512 9034', '1111 2222', 'what the vault keeps'];
const RIGHT = { code: 0, output: SECRET };

test.runIf(findSoftHsm())(
  'one node: keeps a secret, counts a wrong PIN, and serves again after it was killed',
  async () => {
    await using fleet = await DeviceFleet.launch(1);
    await fleet.put(PIN, SECRET);
    expect(await fleet.get(PIN)).toEqual(RIGHT);
    expect((await fleet.get(WRONG)).code).toBe(3);
    await fleet.fleet('kill', 'node-1');
    expect((await fleet.get(PIN, '3')).code).toBe(5);
    await fleet.fleet('start', 'node-1');
    expect(await fleet.get(PIN)).toEqual(RIGHT);
  },
);

/** 3 or 5 nodes. */
const nodes = devices.slots.length > 3 ? 5 : 3;

test.runIf(findSoftHsm())(`${nodes} nodes: any minority may be down, and repairs when it is back`, async () => {
  await using fleet = await DeviceFleet.launch(nodes);
  await fleet.put(PIN, SECRET);
  for (const down of nodes === 3
    ? [['node-1'], ['node-2'], ['node-3']]
    : [
        ['node-1', 'node-2'],
        ['node-4', 'node-5'],
      ]) {
    await fleet.fleet('kill', ...down);
    expect(await fleet.get(PIN)).toEqual(RIGHT);
    expect((await fleet.get(WRONG)).code).toBe(3);
    await fleet.fleet('start', ...down);
    expect(await fleet.get(PIN)).toEqual(RIGHT);
  }
  const { output } = await fleet.user(['secret', 'status', '--patience', PATIENCE, '--json']);
  expect(JSON.parse(output)).toMatchObject({ attemptsLeft: 10 });
});
