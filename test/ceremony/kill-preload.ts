/**
 * Loaded before `holdfast` itself: ends the process with SIGKILL around one write to a journal. HOLDFAST_TEST_KILL is
 * `before N`, when the Nth record is about to be written, or `after N`, when it is on stable storage and nothing else.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [when, number] = (process.env.HOLDFAST_TEST_KILL ?? '').split(' ');
const folder = mkdtempSync(join(tmpdir(), 'kill-'));
const file = await open(join(folder, 'any'), 'w');
const prototype = Object.getPrototypeOf(file) as FileHandle;
await file.close();
rmSync(folder, { recursive: true });

let written = 0;
function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

const { appendFile, datasync } = prototype;
prototype.appendFile = async function (this: FileHandle, ...given: Parameters<FileHandle['appendFile']>) {
  written++;
  if (when === 'before' && written === Number(number)) await die();
  return await appendFile.apply(this, given);
};
prototype.datasync = async function (this: FileHandle) {
  await datasync.apply(this);
  if (when === 'after' && written === Number(number)) await die();
};
