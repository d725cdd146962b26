/** Nodes killed, stopped and ended in good order while clients are at work. */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FaultFleet, failure, PIN, recovers, until, WRONG } from './fault-fleet.ts';

let fleet: FaultFleet;

beforeAll(async () => {
  fleet = await FaultFleet.launch((down) => {
    for (const coordinator of [1, 2]) {
      down.edit(down.folder.configuration(`coordinator-${coordinator}`), (content) => {
        // A node that hangs is waited for several times.
        content.timeouts = { enrolmentGrace: 5000 };
      });
    }
  });
});
beforeEach(async () => {
  await fleet.start(1, 2, 3, 4, 5);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

test('two nodes killed in the middle of an attempt: it succeeds, they repair, and two others may fall', async () => {
  await fleet.enrolled('alice');
  const before = new Map([1, 2].map((node) => [`node-${node}`, fleet.pid(`node-${node}`)]));
  let told = false;
  const client = await fleet.client('alice', {
    onSend: ({ operation }) => {
      if (operation !== 'attempt' || told) return;
      told = true;
      // They die once each, with their votes counted and not yet answered.
      fleet.killAt('after-signing', 1, 2);
    },
  });
  expect(await recovers(client)).toBe(true);
  await fleet.untilAnew(before);
  await fleet.kill(4, 5);
  expect(await recovers(await fleet.client('alice'))).toBe(true);
  expect(await (await fleet.client('alice')).status()).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
});

test('three nodes killed: exit code 5, and nothing is counted', async () => {
  await fleet.enrolled('bob');
  await fleet.kill(1, 3, 5);
  const evaluated = await fleet.metric(2, 'holdfast_node_evaluations_total');
  const client = await fleet.client('bob', { patience: 1000 });
  expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'no_majority', retryable: true });
  const pin = ['--pin-file', fleet.of(2, 'pin'), '--patience', '1'];
  const shown = await fleet.run('bob', 'secret', 'get', ...pin, '--json');
  expect(shown.code).toBe(5);
  expect(JSON.parse(shown.stdout.toString('utf8'))).toMatchObject({ code: 'no_majority', exitCode: 5 });
  expect(await fleet.metric(2, 'holdfast_node_evaluations_total')).toBe(evaluated);
  await fleet.start(1, 3, 5);
  const whole = await fleet.client('bob');
  expect(await whole.status()).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
  expect(await recovers(whole)).toBe(true);
});

test('a node that hangs is not waited for, and catches up when it goes on', async () => {
  const client = await fleet.enrolled('carol');
  const moved = await fleet.enrolled('carla');
  fleet.signal('node-2', 'SIGSTOP');
  try {
    for (let i = 0; i < 3; i++) expect(await recovers(client)).toBe(true);
    expect(await failure(client.recover(WRONG))).toMatchObject({ code: 'wrong_pin', details: { attemptsLeft: 9 } });
    await moved.changePin(PIN, 'a new one', { acceptDegraded: true });
  } finally {
    fleet.signal('node-2', 'SIGCONT');
  }
  await fleet.untilServing(2);
  await fleet.untilAgreed('carol');
  // Without a share of the new generation it still knows, and counts, what the others do.
  await fleet.untilAgreed('carla');
  expect(await moved.status()).toMatchObject({ generation: 2, shares: 4 });
  await fleet.kill(4, 5);
  expect(await recovers(client)).toBe(true);
});

test('a node that is asked to end finishes what it has begun, ends with code 0, and forgets nothing', async () => {
  const client = await fleet.enrolled('dave');
  const before = fleet.pid('node-3');
  const busy = Array.from({ length: 4 }, async (_, i) => fleet.enrolled(`dave-${i}`));
  fleet.signal('node-3', 'SIGTERM');
  const acknowledged = (await Promise.allSettled(busy)).flatMap((one) =>
    one.status === 'fulfilled' ? [one.value] : [],
  );
  await fleet.untilAnew(new Map([['node-3', before]]));
  expect(fleet.log('supervisor')).toContain('node-3 ended with code 0');
  expect(fleet.log('node-3')).toContain('"event":"stopped"');
  expect(fleet.log('node-3')).not.toContain('store refused');
  await fleet.kill(1, 2);
  expect(await recovers(client)).toBe(true);
  expect(await client.status()).toMatchObject({ attemptsLeft: 10, shares: 5 });
  for (const one of acknowledged) expect(await recovers(one)).toBe(true);
});

test('all nodes and coordinators are restarted one after the other, and no client notices', async () => {
  const clients = await Promise.all(['erin', 'frank'].map((subject) => fleet.enrolled(subject)));
  let rolling = true;
  const successes = clients.map(() => 0);
  const all = Promise.all(
    clients.map(async (client, i) => {
      while (rolling) {
        if (!(await recovers(client))) throw new Error('another secret');
        successes[i]!++;
        // The machine must have time to start processes.
        await new Promise((done) => setTimeout(done, 150));
      }
    }),
  );
  let failed = false;
  all.catch(() => {
    failed = true;
  });
  try {
    for (const name of ['node-1', 'node-2', 'node-3', 'node-4', 'node-5', 'coordinator-1', 'coordinator-2']) {
      const count = [...successes];
      const before = fleet.signal(name, 'SIGTERM');
      await fleet.untilAnew(new Map([[name, before]]));
      await until(
        `both have recovered once more beside ${name}`,
        () => failed || successes.every((n, i) => n > count[i]!),
      );
    }
  } finally {
    rolling = false;
  }
  await all;
  for (const client of clients) {
    expect(await client.status()).toMatchObject({ attemptsLeft: 10, attemptsSinceSuccess: 0 });
  }
  await until('each has ended once more', () => fleet.log('supervisor').includes('coordinator-2 ended with code 0'));
});
