/** Processes of one fleet that may not do something at the same time wait for each other. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { planText } from '../../src/fleet/folder.ts';
import { FleetFolder, identityOf, isAlive, killProcess, recordFleet } from '../../src/fleet/index.ts';
import { type ProcessState, writeState } from '../../src/fleet/state.ts';
import { lockFile } from '../../src/lock/index.ts';

function folderWithoutLog(): FleetFolder {
  const folder = new FleetFolder(mkdtempSync(join(tmpdir(), 'turns-')));
  writeFileSync(
    folder.plan,
    planText({ name: 'f', nodes: 1, coordinators: 1, basePort: 10_000, log: { kind: 'none' } }),
  );
  return folder;
}

const options = (folder: FleetFolder) => ({ folder, useSoftHsm: () => {}, patience: 60_000 });

test('whoever wants the service record waits for a process that gathers it now, and then begins', async () => {
  const folder = folderWithoutLog();
  const other = await lockFile(join(folder.path, 'service-record'), 0);
  let gathering = true;
  setTimeout(() => {
    gathering = false;
    other.release();
  }, 100);
  // It gets no further than to see that there is no log.
  await expect(recordFleet(options(folder))).rejects.toMatchObject({ code: 'usage' });
  expect(gathering).toBe(false);
  // And has left the lock to the next one.
  await expect(recordFleet({ ...options(folder), patience: 0 })).rejects.toMatchObject({ code: 'usage' });
});

test('and can be told to give up', async () => {
  const folder = folderWithoutLog();
  const other = await lockFile(join(folder.path, 'service-record'), 0);
  const signal = AbortSignal.timeout(50);
  await expect(recordFleet({ ...options(folder), signal })).rejects.toMatchObject({ code: 'cancelled' });
  other.release();
});

test('a process is not killed before it is known whether its supervisor has just started it again', async () => {
  const folder = folderWithoutLog();
  folder.makeRunFolders();
  const supervisor = identityOf(process.pid)!;
  const state = (changes: Partial<ProcessState>) => {
    const ended = { name: 'node-1', condition: 'restarting', process: undefined, restarts: 1 } as const;
    writeState(folder, { supervisor, processes: [{ ...ended, ...changes }] });
  };
  // It has ended, and the supervisor has not written down yet that it runs again.
  state({});
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
  const gone = once(child, 'exit');
  const own = identityOf(child.pid!)!;
  const onAsked = () => state({ condition: 'running', process: own });
  process.once('SIGUSR2', onAsked);
  try {
    expect(await killProcess(folder, 'node-1')).toBe(child.pid);
    expect(isAlive(own)).toBe(false);
    // One that does not run stays so.
    state({});
    process.once('SIGUSR2', () => state({ condition: 'held' }));
    await expect(killProcess(folder, 'node-1')).rejects.toMatchObject({ code: 'usage' });
  } finally {
    process.removeAllListeners('SIGUSR2');
    child.kill('SIGKILL');
    await gone;
  }
});
