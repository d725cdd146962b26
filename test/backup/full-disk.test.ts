/** A disk that is full while a backup is restored is not taken for a damaged backup. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { createBackup, generateIdentity, restoreBackup } from '../../src/backup/index.ts';
import { failureOf, scratch, writeFiles } from './helpers.ts';

const disk = vi.hoisted(() => ({ room: 0 }));
vi.mock('../../src/backup/positioned.ts', () => ({
  async writeUnlessZero(_handle: unknown, bytes: Uint8Array) {
    disk.room -= bytes.length;
    if (disk.room < 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
  },
}));

it.each([0, 100_000, 600_000])('at %i bytes it says so, and leaves nothing', async (room) => {
  const root = scratch();
  const keys = await generateIdentity();
  writeFiles(root, { 'tree/a': 'a'.repeat(500_000), 'tree/b': 'b'.repeat(500_000) });
  await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), ...keys });
  disk.room = room;
  const error = await failureOf(restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), ...keys }));
  expect(error).toMatchObject({
    code: 'unexpected',
    message: expect.stringMatching(/cannot restore .*tree\/[ab].*no space left on the disk/),
  });
  expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
});
