/**
 * Loaded before `holdfast` itself: writes down, in the file that HOLDFAST_TEST_SYNCS names, which files were synced by fsync or fdatasync,
 * and which records a ceremony's transcript got, in their order.
 */

import fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const told = process.env.HOLDFAST_TEST_SYNCS!;
const note = (line: string) => fs.appendFileSync(told, `${line}\n`);

for (const name of ['fsyncSync', 'fdatasyncSync'] as const) {
  const sync = fs[name];
  fs[name] = (file) => {
    sync(file);
    note(`synced ${fs.readlinkSync(`/proc/self/fd/${file}`)}`);
  };
}
syncBuiltinESMExports();

const folder = fs.mkdtempSync(join(tmpdir(), 'sync-'));
const file = await open(join(folder, 'any'), 'w');
const prototype = Object.getPrototypeOf(file) as FileHandle;
await file.close();
fs.rmSync(folder, { recursive: true });
const { appendFile } = prototype;
prototype.appendFile = async function (this: FileHandle, ...given: Parameters<FileHandle['appendFile']>) {
  const [, kind, step = ''] =
    /"kind":"([a-z]+)"(?:.*"step":"([a-z0-9-]+)")?/.exec(Buffer.from(given[0] as Uint8Array).toString()) ?? [];
  if (kind !== undefined) note(`record ${kind} ${step}`.trimEnd());
  return await appendFile.apply(this, given);
};
