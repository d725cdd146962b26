/** What the operator is shown of a node: what it said at one time and what it said at another are not put together wrongly. */

import { afterEach, expect, it } from 'vitest';
import type { NodeInfo } from '../../src/coordinator/index.ts';
import { FleetObserver } from '../../src/coordinator/operator/index.ts';
import { utf8 } from '../../src/core/index.ts';
import { silent } from '../http/fixtures.ts';

let observer: FleetObserver | undefined;
afterEach(() => observer?.close());

const infoOf = (node: number, phase: NodeInfo['phase'], incarnation: number): NodeInfo => ({
  ...{ node, phase, incarnation, sequence: 1, records: 1, syncRoot: new Uint8Array(32), fences: [] },
  ...{ headsKnown: 2, headsNeeded: 2, reason: phase === 'repairing' ? 'has the heads of 0 of 2 nodes' : '' },
});

/** Three nodes of which the second answers `says` to whether it is ready; `look` is one round of looking at all of them. */
function watched(says: { ready: boolean; reason: string }) {
  const infos = new Map([1, 2, 3].map((node) => [node, infoOf(node, 'serving', 4)] as const));
  let slept = Promise.withResolvers<void>();
  let awake = Promise.withResolvers<void>();
  observer = new FleetObserver({
    ...{
      fleet: 'fleet-a',
      epoch: 1,
      nodes: ['node-1', 'node-2', 'node-3'],
      needed: 2,
      coordinator: 'c',
      coordinators: 1,
    },
    ...{ interval: 5000, log: () => null, expiries: [], logger: silent, looked: () => true, infos: () => infos },
    ownMetrics: async () => '',
    read: async (node, path) => {
      const { ready, reason } = node === 2 ? says : { ready: true, reason: '' };
      if (path !== '/readyz') return { status: 200, bytes: utf8('') };
      const body = ready ? { status: 'ready' } : { status: 'not_ready', reason };
      return { status: ready ? 200 : 503, bytes: utf8(JSON.stringify(body)) };
    },
    clock: {
      now: () => 1_000_000,
      sleep: (_, signal) => {
        signal?.addEventListener('abort', () => awake.resolve());
        slept.resolve();
        return awake.promise;
      },
    },
  });
  const one = observer;
  const look = async () => {
    one.start();
    await slept.promise;
  };
  const again = async () => {
    slept = Promise.withResolvers();
    const before = awake;
    awake = Promise.withResolvers();
    before.resolve();
    await slept.promise;
  };
  const shown = () => {
    const { nodes, alarms, quorum } = one.overview();
    const about = alarms.filter(({ node }) => node === 2).map(({ id }) => id);
    return { condition: nodes[1]!.condition, about, serving: quorum.serving };
  };
  return { infos, look, again, shown };
}

const WITHOUT = 'node_without_figures';
const well = { condition: 'serving', serving: 3 };

it('a node that serves is not said to fail by what it answered while it repaired', async () => {
  const { infos, look, shown } = watched({ ready: false, reason: 'repairing: has the heads of 0 of 2 nodes' });
  infos.set(2, infoOf(2, 'repairing', 4));
  await look();
  expect(shown()).toMatchObject({ condition: 'repairing', about: ['node_repairing'], serving: 2 });
  infos.set(2, infoOf(2, 'serving', 4));
  expect(shown()).toMatchObject(well);
  expect(shown().about).not.toContain('node_failing');
});

it('nor by what an earlier life of it was asked in, after it has started again', async () => {
  const { infos, look, shown } = watched({ ready: false, reason: 'repairing: has the heads of 0 of 2 nodes' });
  // It has just started again, which the coordinator’s last look at the nodes does not know of.
  await look();
  infos.set(2, infoOf(2, 'serving', 5));
  expect(shown()).toMatchObject(well);
});

it('a node that says while it serves that it is not ready fails, until it says that it is', async () => {
  const says = { ready: false, reason: 'the token failed' };
  const { look, again, shown } = watched(says);
  await look();
  expect(shown()).toMatchObject({ condition: 'failing', about: ['node_failing'], serving: 2 });
  says.ready = true;
  await again();
  expect(shown()).toMatchObject(well);
  expect(shown().about).not.toContain(WITHOUT);
});
