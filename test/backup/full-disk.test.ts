/** A disk that is full while a backup is made or restored is not taken for a damaged backup, and nothing half-done stays. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createBackup, generateIdentity } from '../../src/backup/index.ts';
import { runUnshared, SMALL_DISK, withoutNamespace } from '../unshare.ts';
import { scratch, writeFiles } from './helpers.ts';

const missing = withoutNamespace(SMALL_DISK);
const modules = import.meta.resolve('../../src/backup/index.ts');

/** Runs `work` where `folder` is a disk of so many bytes. @returns how it failed, and what is in the folder then. */
const onDisk = (bytes: number, folder: string, work: string): unknown =>
  runUnshared(SMALL_DISK, {
    disk: { folder, bytes },
    program: `
      import { readdirSync } from 'node:fs';
      import { createBackup, restoreBackup } from ${JSON.stringify(modules)};
      const folder = ${JSON.stringify(folder)};
      const error = await ${work}.then(() => ({}), (thrown) => thrown);
      console.log(JSON.stringify({ code: error.code, message: error.message, left: readdirSync(folder) }));`,
  });

async function backedUp() {
  const root = scratch();
  const keys = await generateIdentity();
  writeFiles(root, { 'tree/a': 'a'.repeat(500_000), 'tree/b': 'b'.repeat(500_000), 'disk/..keep': '' });
  const tree = join(root, 'tree');
  const file = join(root, 'b.age');
  await createBackup({ paths: [tree], out: file, ...keys });
  return { keys, tree, file, disk: join(root, 'disk') };
}

test.for([4_096, 100_000, 600_000])('of %i bytes: a restore says so, and leaves nothing', async (bytes, { skip }) => {
  skip(missing !== undefined, missing);
  const { keys, file, disk } = await backedUp();
  const options = JSON.stringify({ ...keys, file, directory: join(disk, 'to') });
  expect(onDisk(bytes, disk, `restoreBackup(${options})`)).toEqual({
    code: 'unexpected',
    message: expect.stringMatching(/cannot restore .*tree\/[ab].*no space left on the disk/),
    left: [],
  });
});

test.for([4_096, 600_000])('of %i bytes: a backup says so, and is not there', async (bytes, { skip }) => {
  skip(missing !== undefined, missing);
  const { keys, tree, disk } = await backedUp();
  const options = JSON.stringify({ ...keys, paths: [tree], out: join(disk, 'b.age') });
  expect(onDisk(bytes, disk, `createBackup(${options})`)).toEqual({
    code: 'unexpected',
    message: expect.stringMatching(/cannot write .*b\.age.*no space left on the disk/),
    left: [],
  });
});

test('with room enough takes all of it', async ({ skip }) => {
  skip(missing !== undefined, missing);
  const { keys, file, disk } = await backedUp();
  const options = JSON.stringify({ ...keys, file, directory: join(disk, 'to') });
  expect(onDisk(2_000_000, disk, `restoreBackup(${options})`)).toEqual({ left: ['to'] });
});
