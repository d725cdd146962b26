/** What a test run that was killed leaves is removed, and nothing of one that goes on. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { removeOldRuns } from '../../scripts/left-behind.ts';

const started: ChildProcess[] = [];
const folder = mkdtempSync(join(tmpdir(), 'runs-'));
afterEach(() => {
  for (const child of started.splice(0)) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

/** As an engine's run has it: a shim whose command line names the folder, and a container below that does not. */
async function runOf(pid: number): Promise<{ run: string; shim: ChildProcess; container: number }> {
  const run = join(folder, `holdfast-${pid}`);
  mkdirSync(join(run, 'exec'), { recursive: true });
  writeFileSync(join(run, 'exec/state'), '');
  const shim = spawn('sh', ['-c', 'sleep 1000 & echo $!; wait', `${run}/exec/containerd.sock`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  started.push(shim);
  const [said] = (await once(shim.stdout!, 'data')) as [Buffer];
  return { run, shim, container: Number(said) };
}

function runs(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Until it is gone, or a zombie that nobody waits for. */
async function end(pid: number): Promise<void> {
  while (runs(pid)) {
    await new Promise((done) => setTimeout(done, 20));
  }
}

it.runIf(process.platform === 'linux')('is nothing of a run that is no more, and all of one that is', async () => {
  const died = spawn('true');
  await once(died, 'exit');
  const [old, living] = [await runOf(died.pid!), await runOf(process.pid)];
  const ended = once(old.shim, 'exit');
  removeOldRuns(folder);
  await Promise.all([ended, end(old.container)]);
  expect(existsSync(old.run)).toBe(false);
  expect(existsSync(join(living.run, 'exec/state'))).toBe(true);
  process.kill(living.container, 0);
  expect(living.shim.exitCode).toBe(null);
  process.kill(living.container, 'SIGKILL');
});
