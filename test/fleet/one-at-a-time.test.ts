/** Commands that meet in one folder: whoever comes second is told so, and takes nothing of the first one's away. */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { createFleet } from '../../src/fleet/create.ts';
import { planText, readPlan } from '../../src/fleet/folder.ts';
import {
  FleetFolder,
  identityOf,
  isAlive,
  readState,
  replaceNode,
  Supervisor,
  stopFleet,
} from '../../src/fleet/index.ts';
import { writeState } from '../../src/fleet/state.ts';
import { lockFile } from '../../src/lock/index.ts';
import { DEFAULT_POLICY } from '../../src/protocol/index.ts';
import { writeSoftHsmConfiguration } from '../../src/token/index.ts';

/** Ends with its standard input, as services do. */
const WAITS = ['-e', 'process.stdin.resume()', '--'];
const command = { executable: process.execPath, prefix: () => WAITS, environment: process.env };

function newFolder(nodes = 1): FleetFolder {
  const folder = new FleetFolder(mkdtempSync(join(tmpdir(), 'turns-')));
  const plan = { name: 'f', nodes, coordinators: 1, basePort: 20_000, log: { kind: 'none' } } as const;
  writeFileSync(folder.plan, planText(plan));
  for (const name of ['node-1', 'coordinator-1']) mkdirSync(folder.of(name));
  return folder;
}

describe('a fleet’s supervisors', () => {
  const started: Supervisor[] = [];
  afterEach(async () => {
    await Promise.all(started.splice(0).map((supervisor) => supervisor.stop()));
  });

  function supervisorOf(folder: FleetFolder): Supervisor {
    const supervisor = new Supervisor({ folder, plan: readPlan(folder), coordinators: 1, command, onEvent: () => {} });
    started.push(supervisor);
    return supervisor;
  }

  test('of two that start at the same time one runs the fleet, and the other is told', async () => {
    const folder = newFolder();
    folder.makeRunFolders();
    // Of one that was killed: whoever starts anew waits for the end of what it may have left.
    const dead = { pid: process.pid, started: 'another' };
    writeState(folder, {
      supervisor: dead,
      processes: [{ name: 'node-1', condition: 'running', process: dead, restarts: 0 }],
    });
    const outcomes = await Promise.allSettled([supervisorOf(folder).start(), supervisorOf(folder).start()]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    const refused = outcomes.find((outcome) => outcome.status === 'rejected');
    expect(refused?.reason).toMatchObject({ code: 'conflict' });
    expect(readState(folder)!.processes.map((one) => isAlive(one.process))).toEqual([true, true]);
  });

  test('the next one starts once the first has stopped', async () => {
    const folder = newFolder();
    const first = supervisorOf(folder);
    await first.start();
    await first.stop();
    // What a supervisor of another process would have taken along.
    writeState(folder, { supervisor: { pid: process.pid, started: 'another' }, processes: [] });
    await supervisorOf(folder).start();
    expect(readState(folder)!.processes.map((one) => isAlive(one.process))).toEqual([true, true]);
  });

  test('whoever stops one that has ended leaves the processes of the next one alone', async () => {
    const folder = newFolder();
    await supervisorOf(folder).start();
    const state = readState(folder)!;
    // The moment before the new supervisor has put its own state in the place of the old one's.
    writeState(folder, { ...state, supervisor: { pid: process.pid, started: 'another' } });
    writeFileSync(folder.held('node-1'), '');
    expect(await stopFleet(folder)).toBe(true);
    expect(state.processes.map((one) => isAlive(one.process))).toEqual([true, true]);
    expect([existsSync(folder.state), existsSync(folder.held('node-1'))]).toEqual([true, true]);
  });

  test('what a supervisor that was killed has left is ended, and its state is gone', async () => {
    const folder = newFolder();
    folder.makeRunFolders();
    const left = spawn(process.execPath, WAITS, { stdio: ['pipe', 'ignore', 'ignore'] });
    const identity = identityOf(left.pid!)!;
    const running = { name: 'node-1', condition: 'running', process: identity, restarts: 0 } as const;
    writeState(folder, { supervisor: { pid: process.pid, started: 'another' }, processes: [running] });
    expect(await stopFleet(folder)).toBe(true);
    expect([isAlive(identity), existsSync(folder.state)]).toEqual([false, false]);
  });
});

test('two nodes are not replaced at a time', async () => {
  const folder = newFolder(3);
  folder.makeRunFolders();
  writeState(folder, { supervisor: identityOf(process.pid)!, processes: [] });
  const replace = () =>
    replaceNode({ folder, node: 1, acceptLoss: false, command, useSoftHsm: () => {}, onProgress: () => {} });
  const lock = await lockFile(join(folder.path, 'replacement.json'), 0);
  try {
    await expect(replace()).rejects.toMatchObject({ code: 'conflict' });
  } finally {
    lock.release();
  }
  // Without its trust file it goes no further than that.
  await expect(replace()).rejects.toMatchObject({ code: 'ENOENT' });
});

test('a fleet that is being made is not taken for one that was not finished', async () => {
  const directory = join(mkdtempSync(join(tmpdir(), 'turns-')), 'fleet');
  const partial = `${directory}.partial`;
  mkdirSync(partial);
  const marker = join(partial, 'unfinished-fleet');
  const create = () =>
    createFleet({
      ...{ directory, name: 'f', environment: 'development', nodes: 1, coordinators: 1, basePort: 20_000 },
      ...{
        named: false,
        policy: DEFAULT_POLICY,
        log: 'none',
        vault: 'v',
        command,
        useSoftHsm: () => {},
        onProgress: () => {},
      },
      initialiseWitness: async () => {},
      signal: AbortSignal.abort(),
    });
  writeFileSync(marker, JSON.stringify(identityOf(process.pid)));
  writeFileSync(join(partial, 'half-made'), 'x');
  await expect(create()).rejects.toMatchObject({ code: 'conflict' });
  expect(readFileSync(join(partial, 'half-made'), 'utf8')).toBe('x');
  // One that was killed: made anew, here as far as its first process.
  writeFileSync(marker, JSON.stringify({ pid: process.pid, started: 'another' }));
  await expect(create()).rejects.not.toMatchObject({ code: 'conflict' });
  expect(existsSync(partial)).toBe(false);
});

test('SoftHSM’s configuration is at every moment there whole', () => {
  const folder = mkdtempSync(join(tmpdir(), 'turns-'));
  const path = writeSoftHsmConfiguration(folder);
  const { ino } = statSync(path);
  const text = readFileSync(path, 'utf8');
  expect(writeSoftHsmConfiguration(folder)).toBe(path);
  // Another file in its place, and not the same one cut and written anew.
  expect(statSync(path).ino).not.toBe(ino);
  expect(readFileSync(path, 'utf8')).toBe(text);
});
