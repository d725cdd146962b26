/**
 * Loaded before `holdfast` itself: ends the process with SIGKILL around one write to a transcript. HOLDFAST_TEST_KILL is
 * `before KIND STEP`, when that record is about to be written, or `after KIND STEP`, when it is on stable storage and nothing
 * else was done.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const [when, kind, step] = (process.env.HOLDFAST_TEST_KILL ?? '').split(' ');
const folder = mkdtempSync(join(tmpdir(), 'kill-'));
const file = await open(join(folder, 'any'), 'w');
const prototype = Object.getPrototypeOf(file) as FileHandle;
await file.close();
rmSync(folder, { recursive: true });

let isIt = false;
function die(): Promise<never> {
  process.kill(process.pid, 'SIGKILL');
  return new Promise(() => undefined);
}

const { appendFile, datasync } = prototype;
prototype.appendFile = async function (this: FileHandle, ...given: Parameters<FileHandle['appendFile']>) {
  const text = Buffer.from(given[0] as Uint8Array).toString();
  isIt = text.includes(`"kind":"${kind}"`) && (step === undefined || text.includes(`"step":"${step}"`));
  if (isIt && when === 'before') await die();
  return await appendFile.apply(this, given);
};
prototype.datasync = async function (this: FileHandle) {
  await datasync.apply(this);
  if (isIt && when === 'after') await die();
};
