import { expect, it } from 'vitest';
import { Pace } from '../../src/coordinator/pace.ts';

/** A clock that only the test moves. */
function manual() {
  const clock = { time: 0, now: () => clock.time, sleep: async () => {} };
  return clock;
}

async function answers(pace: Pace, clock: { time: number }, took: number, times: number, node = 1): Promise<void> {
  for (let i = 0; i < times; i++) {
    const answer = Promise.withResolvers<void>();
    const measured = pace.measured(node, answer.promise);
    clock.time += took;
    answer.resolve();
    await measured;
  }
}

it('waits at least as long as it is told, and twice as long as answers usually take', async () => {
  const clock = manual();
  const pace = new Pace(clock, 50, 1);
  expect(pace.patience).toBe(50);
  await answers(pace, clock, 10, 100);
  expect(pace.patience).toBe(50);
  await answers(pace, clock, 200, 200);
  expect(pace.patience).toBeCloseTo(400, 0);
  await answers(pace, clock, 10, 100);
  expect(pace.patience).toBe(50);
});

it('has an end to its patience, and learns nothing from failures and stepping clocks', async () => {
  const clock = manual();
  const pace = new Pace(clock, 50, 1);
  await answers(pace, clock, 3_600_000, 200);
  expect(pace.patience).toBe(1000);
  await answers(pace, clock, -3_600_000, 200);
  expect(pace.patience).toBe(50);
  const failing = pace.measured(1, Promise.reject(new Error('gone')));
  clock.time += 10_000;
  await expect(failing).rejects.toThrow('gone');
  expect(pace.patience).toBe(50);
});

it('is more patient where answers take differently long', async () => {
  const clock = manual();
  const pace = new Pace(clock, 50, 1);
  for (let i = 0; i < 100; i++) {
    await answers(pace, clock, 20, 1);
    await answers(pace, clock, 180, 1);
  }
  // Mean 100, mean deviation 80: half of the answers are no exceptions.
  expect(pace.patience).toBeGreaterThan(380);
  expect(pace.patience).toBeLessThan(460);
});

it('goes by a majority: neither a node that answers late on purpose nor one that answers at once changes it', async () => {
  const clock = manual();
  const pace = new Pace(clock, 50, 2);
  for (const node of [1, 2]) await answers(pace, clock, 100, 200, node);
  const alone = pace.patience;
  expect(alone).toBeCloseTo(200, 0);
  await answers(pace, clock, 900, 200, 3);
  expect(pace.patience).toBeCloseTo(alone, 0);
  await answers(pace, clock, 0, 200, 3);
  expect(pace.patience).toBeCloseTo(alone, 0);
  // Where a majority is slow, more is waited for.
  await answers(pace, clock, 300, 200, 2);
  await answers(pace, clock, 300, 200, 1);
  expect(pace.patience).toBeCloseTo(600, 0);
});
