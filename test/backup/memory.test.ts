/** A backup larger than the memory it may use: 200 MB of data made up on the way. */

import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scratch } from './helpers.ts';

const MEGABYTES = 200;

/** Runs `body` in a fresh process. @returns by how much its peak memory grew over what it needed to start, bytes. */
function memoryOf(body: string): number {
  const program = `
    import { createBackup, generateIdentity, restoreBackup } from ${JSON.stringify(new URL('../../src/backup/index.ts', import.meta.url).pathname)};
    const before = process.resourceUsage().maxRSS;
    ${body}
    console.log(process.resourceUsage().maxRSS - before);
  `;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
  expect(child.stderr).toBe('');
  return Number(child.stdout) * 1024;
}

test('memory stays the same however large the data, and no temporary data stays behind', () => {
  const root = scratch();
  mkdirSync(join(root, 'tree'));
  // Holes cost no disk and read as zeros; the marks make sure that something is there to compare.
  const file = openSync(join(root, 'tree/large'), 'w');
  ftruncateSync(file, MEGABYTES * 1_000_000);
  for (let megabyte = 0; megabyte < MEGABYTES; megabyte += 50)
    writeSync(file, `mark ${megabyte}`, megabyte * 1_000_000);
  closeSync(file);
  for (let index = 0; index < 500; index++) mkdirSync(join(root, 'tree', `folder ${index}`));

  const key = 'AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX';
  const create = memoryOf(`
    import { recipientOf } from ${JSON.stringify(new URL('../../src/backup/index.ts', import.meta.url).pathname)};
    const recipient = await recipientOf('${key}');
    await createBackup({ paths: [${JSON.stringify(join(root, 'tree'))}], out: ${JSON.stringify(join(root, 'b.age'))}, recipient });
  `);
  expect(create).toBeLessThan(100_000_000);
  expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  expect(statSync(join(root, 'b.age')).size).toBeGreaterThan(MEGABYTES * 1_000_000);

  const restore = memoryOf(`
    await restoreBackup({ file: ${JSON.stringify(join(root, 'b.age'))}, directory: ${JSON.stringify(join(root, 'to'))}, identity: '${key}' });
  `);
  expect(restore).toBeLessThan(100_000_000);
  expect(readdirSync(root).sort()).toEqual(['b.age', 'to', 'tree']);
  expect(spawnSync('cmp', [join(root, 'tree/large'), join(root, 'to/tree/large')]).status).toBe(0);
  expect(readdirSync(join(root, 'to/tree')).length).toBe(501);
  rmSync(join(root, 'to'), { recursive: true });
});
