/** Maintenance on timers: rounds never overlap, a failing one is followed by the next, and closing waits for those begun. */

import { afterEach, describe, expect, it } from 'vitest';
import { Background, CoordinatorMetrics } from '../../src/coordinator/http/index.ts';
import type { NodeInfo } from '../../src/coordinator/index.ts';
import { silent, until } from './fixtures.ts';

const info = (node: number, phase: NodeInfo['phase']) => [node, { node, phase, incarnation: 1 } as NodeInfo] as const;
const intervals = { repairing: 1, idle: 1, antiEntropy: 1, destroySpent: 1 };
let background: Background | undefined;
afterEach(async () => background?.close());

type Parts = ConstructorParameters<typeof Background>[0]['maintenance'];
function start(parts: Partial<Parts>, idle = intervals.idle) {
  const maintenance: Parts = {
    infos: async () => new Map(),
    repairAll: async () => {},
    antiEntropy: async () => {},
    destroySpent: async () => {},
    ...parts,
  };
  const metrics = new CoordinatorMetrics(silent);
  background = new Background({ maintenance, nodes: 3, intervals: { ...intervals, idle }, metrics });
  background.start();
  return background;
}

describe('background work', () => {
  it('never overlaps itself, however long a round takes', async () => {
    let running = 0;
    let most = 0;
    let rounds = 0;
    start({
      async destroySpent() {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 10));
        running--;
        rounds++;
      },
    });
    await until(() => rounds >= 5);
    expect(most).toBe(1);
  });

  it('carries repair traffic only while a node repairs', async () => {
    let phase: NodeInfo['phase'] = 'serving';
    let looks = 0;
    let repairs = 0;
    start({
      async infos() {
        looks++;
        return new Map([info(1, phase), info(2, 'serving')]);
      },
      async repairAll() {
        repairs++;
      },
    });
    await until(() => looks >= 3);
    expect(repairs).toBe(0);
    phase = 'repairing';
    await until(() => repairs >= 3);
  });

  it('looks for a node that has gone as often as if it repaired, and at a whole fleet when it is time', async () => {
    const never = 2 ** 31 - 1;
    let looks = 0;
    const answering = [info(1, 'serving'), info(2, 'serving'), info(3, 'serving')];
    start(
      {
        async infos() {
          looks++;
          return new Map(looks < 5 ? answering.slice(1) : answering);
        },
      },
      never,
    );
    await until(() => looks >= 5);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(looks).toBe(5);
  });

  it('goes on after a round that failed', async () => {
    let rounds = 0;
    start({
      async antiEntropy() {
        if (++rounds < 3) throw new Error('once more');
      },
    });
    await until(() => rounds >= 4);
    expect(rounds).toBeGreaterThanOrEqual(4);
  });

  it('ends with the round under way when closed', async () => {
    let release = () => {};
    let rounds = 0;
    const one = start({
      destroySpent: () => {
        rounds++;
        return new Promise((resolve) => {
          release = resolve;
        });
      },
    });
    await until(() => rounds === 1);
    let closed = false;
    const closing = one.close().then(() => {
      closed = true;
    });
    await new Promise(setImmediate);
    expect(closed).toBe(false);
    release();
    await closing;
    expect(rounds).toBe(1);
  });
});
