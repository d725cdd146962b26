/** Waiting for a fleet: who is asked how often, with processes that answer as the test says. */

import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/core/index.ts';
import { planText, portsOf } from '../../src/fleet/folder.ts';
import { FleetFolder, fleetStatus, identityOf, waitForFleet } from '../../src/fleet/index.ts';
import { allServe } from '../../src/fleet/replace.ts';
import { type ProcessState, writeState } from '../../src/fleet/state.ts';
import { reservePorts } from '../ports.ts';

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
    basePort: await reservePorts(),
    log: { kind: 'none' },
  } as const;
  writeFileSync(folder.plan, planText(plan));
  folder.makeRunFolders();
  const own = identityOf(process.pid)!;
  const names = Object.keys(answers);
  /** What the supervisor tells of itself and of each process. */
  const state = (supervisor = own, changes: Partial<ProcessState> = {}) => {
    const running = { condition: 'running', process: own, restarts: 0, ...changes } as const;
    writeState(folder, { supervisor, processes: names.map((name) => ({ ...running, name })) });
  };
  state();
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
  return { folder, looks, own, state };
}

const clock = { ...systemClock, sleep: async () => {} };
/** As long as nothing takes, on whatever machine. */
const wait = { timeout: 120_000, clock, parts: { counters: false, bundle: false } };
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

test('a process that was killed a moment ago is told as that, before its supervisor has heard of it', async () => {
  const { folder, own, state } = await fleetThatSays({ 'node-1': () => true, 'coordinator-1': () => true });
  state(own, { process: { ...own, started: 'another-boot:1' } });
  writeFileSync(folder.held('node-1'), '');
  const { processes } = await fleetStatus(folder);
  expect(processes.map(({ name, condition, pid }) => [name, condition, pid])).toEqual([
    ['node-1', 'held', null],
    ['coordinator-1', 'restarting', null],
  ]);
});

test('processes that still answer when their supervisor was killed are no fleet that is up', async () => {
  const { folder, own, state } = await fleetThatSays({ 'node-1': () => true, 'coordinator-1': () => true });
  state({ ...own, started: 'long ago' });
  let looks = 0;
  const onStatus = () => {
    // Another one has taken over.
    if (++looks === 3) state();
  };
  expect(await waitForFleet(folder, serves, { ...wait, onStatus })).toMatchObject({ up: true, serving: true });
  expect(looks).toBeGreaterThan(3);
});

describe('a process that ends again and again', () => {
  const failing = { condition: 'restarting', process: undefined } as const;
  const ready = () => true;

  test.each(['node-1', 'coordinator-1'])('is not waited for: %s says why', async (name) => {
    const { folder, state } = await fleetThatSays({ [name]: ready });
    writeFileSync(folder.log(name), 'holdfast: its token is gone\n');
    let restarts = 7;
    state(undefined, { ...failing, restarts });
    const onStatus = () => state(undefined, { ...failing, restarts: ++restarts });
    await expect(waitForFleet(folder, serves, { ...wait, onStatus })).rejects.toMatchObject({
      ...{ code: 'not_ready', message: `${name} does not start; its log says: its token is gone` },
      details: { final: true },
    });
    expect(restarts).toBeGreaterThanOrEqual(7 + 4);
  });

  test('is waited for however often it was started before', async () => {
    const { folder, own, state } = await fleetThatSays({ 'node-1': ready, 'coordinator-1': ready });
    // As a supervisor that was killed has left it, then as the next one goes on.
    state({ ...own, started: 'long ago' }, { ...failing, restarts: 100 });
    let looks = 0;
    const onStatus = () => {
      looks++;
      if (looks === 2) state(undefined, { ...failing, restarts: 50 });
      if (looks === 4) state(undefined, { restarts: 51 });
    };
    expect(await waitForFleet(folder, serves, { ...wait, onStatus })).toMatchObject({ serving: true });
  });
});

test('after a replacement nobody counts as serving who was told to end and says still that it is ready', () => {
  const serving = { condition: 'running', ready: true } as const;
  const node = { ...serving, name: 'node-1', pid: 11 };
  const cosigner = { name: 'cosigner', condition: 'held', ready: false, pid: null } as const;
  const holds = (pid: number, ready = true) =>
    allServe({ processes: [node, { ...serving, name: 'coordinator-1', pid, ready }, cosigner] }, ended);
  const ended = new Map([['coordinator-1', 12]]);
  expect([holds(12), holds(13, false), holds(13)]).toEqual([false, false, true]);
});
