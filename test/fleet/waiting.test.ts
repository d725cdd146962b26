/** Waiting for a fleet: who is asked how often, with processes that answer as the test says. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { planText, portsOf } from '../../src/fleet/folder.ts';
import { FleetFolder, identityOf, waitForFleet } from '../../src/fleet/index.ts';
import { findFreePorts } from '../../src/fleet/ports.ts';
import { writeState } from '../../src/fleet/state.ts';

const servers: Server[] = [];
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
});

/** A fleet of one node and one coordinator, both of them this process; `answers` says who is ready at its n-th look. */
async function fleetThatSays(answers: Readonly<Record<string, (look: number) => boolean>>) {
  const folder = new FleetFolder(mkdtempSync(join(tmpdir(), 'waiting-')));
  const plan = {
    name: 'f',
    nodes: 1,
    coordinators: 1,
    basePort: await findFreePorts(),
    log: { kind: 'none' },
  } as const;
  writeFileSync(folder.plan, planText(plan));
  folder.makeRunFolders();
  const own = identityOf(process.pid)!;
  const names = Object.keys(answers);
  const running = { condition: 'running', process: own, restarts: 0 } as const;
  writeState(folder, { supervisor: own, processes: names.map((name) => ({ name, ...running })) });
  const looks: Record<string, number> = {};
  for (const name of names) {
    looks[name] = 0;
    const server = createServer((request, response) => {
      if (request.url === '/readyz') looks[name]!++;
      response.statusCode = answers[name]!(looks[name]!) ? 200 : 503;
      response.end(JSON.stringify({ reason: 'as the test says' }));
    });
    servers.push(server);
    await new Promise<void>((done) => server.listen(portsOf(plan, name).monitoring, '127.0.0.1', done));
  }
  return { folder, looks };
}

const clock = { ...systemClock, sleep: async () => {} };
const wait = { timeout: 10_000, clock, parts: { counters: false, bundle: false } };
const serves = ({ serving }: { readonly serving: boolean }) => serving;

test('who is ready is asked once more at the end, and not meanwhile', async () => {
  const { folder, looks } = await fleetThatSays({ 'node-1': () => true, 'coordinator-1': (look) => look >= 20 });
  expect(await waitForFleet(folder, serves, wait)).toMatchObject({ serving: true, nodesServing: 1 });
  expect(looks).toEqual({ 'node-1': 2, 'coordinator-1': 21 });
});

test('a process that was ready and is so no more is found at the end, and waited for again', async () => {
  const { folder, looks } = await fleetThatSays({
    'node-1': (look) => look === 1 || look >= 5,
    'coordinator-1': (look) => look >= 3,
  });
  expect(await waitForFleet(folder, serves, wait)).toMatchObject({ serving: true });
  expect(looks['node-1']).toBeGreaterThanOrEqual(5);
});

test('where counters are wanted, everybody is asked each time', async () => {
  const { folder, looks } = await fleetThatSays({ 'node-1': () => true, 'coordinator-1': (look) => look >= 20 });
  await waitForFleet(folder, serves, { ...wait, parts: { bundle: false } });
  expect(looks['node-1']).toBe(20);
});
