/** When a process counts as gone: not before the last of its threads has, with what they share. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { identityOf, isAlive } from '../../src/fleet/index.ts';
import { signalProcess, waitUntilGone } from '../../src/fleet/process.ts';
import { lockFile } from '../../src/lock/index.ts';

/** Its first thread ends at once, as that of a killed process may while others have no processor yet; another one stays. */
const FIRST_THREAD_ENDS = `
import ctypes, sqlite3, sys, threading, time
lock = sqlite3.connect(sys.argv[1], check_same_thread=False)
lock.execute('BEGIN EXCLUSIVE')
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
`;

test('a process whose first thread has ended is there for as long as another one is, and holds what it held', async () => {
  const held = join(mkdtempSync(join(tmpdir(), 'process-')), 'held');
  const child = spawn('python3', ['-c', FIRST_THREAD_ENDS, `${held}.lock`], { stdio: 'ignore' });
  const gone = once(child, 'exit');
  try {
    const state = () => readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1]?.[0];
    await expect.poll(state, { timeout: 60_000 }).toBe('Z');
    const own = identityOf(child.pid!);
    expect(own).toMatchObject({ pid: child.pid });
    expect(await waitUntilGone(own, 100)).toBe(false);
    await expect(lockFile(held, 0)).rejects.toMatchObject({ code: 'not_ready' });
    expect(signalProcess(own, 'SIGKILL')).toBe(true);
    expect(await waitUntilGone(own, 60_000)).toBe(true);
    expect(isAlive(own)).toBe(false);
    (await lockFile(held, 0)).release();
  } finally {
    child.kill('SIGKILL');
    await gone;
  }
});
