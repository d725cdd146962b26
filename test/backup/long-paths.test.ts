/** Paths that are longer than the system takes in one call (PATH_MAX of limits.h): refused, named shortened, and nothing half-done. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createBackup, generateIdentity, restoreBackup } from '../../src/backup/index.ts';
import { failureOf, scratch, writeFiles } from './helpers.ts';

const LONG = 'd'.repeat(200);
/** So far below where it will be restored that what could be read fits there, too. */
const BELOW = 'p'.repeat(100);
const made: string[] = [];

afterEach(() => {
  // Node's own removal gives up at such a path; this one goes down folder by folder.
  for (const folder of made.splice(0)) spawnSync('rm', ['-rf', folder]);
});

/** A folder that may hold what has no path that can be given in one call. */
function deepScratch(): string {
  const folder = scratch();
  made.push(join(folder, BELOW), join(folder, 'to'));
  return folder;
}

/** Makes so many folders in one another below `folder`, from a process that goes down with them, and a file in the last. */
function dig(folder: string, depth: number): void {
  const program = `
    for (let i = 0; i < ${depth}; i++) {
      require('node:fs').mkdirSync('${LONG}');
      process.chdir('${LONG}');
    }
    require('node:fs').writeFileSync('file', 'deep');`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', program], { cwd: folder, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}

async function deep(depth: number) {
  const root = deepScratch();
  const keys = await generateIdentity();
  const tree = join(root, BELOW, 'tree');
  writeFiles(tree, { a: 'first', z: 'last' });
  dig(tree, depth);
  return { root, keys, tree, file: join(root, 'b.age') };
}

describe('a backup of a path that is too long', () => {
  it('is refused with 9, naming where it begins, and is not there', async () => {
    const { root, keys, tree, file } = await deep(25);
    const error = await failureOf(createBackup({ paths: [tree], out: file, ...keys }));
    expect(error).toMatchObject({ code: 'bad_input', exitCode: 9 });
    expect(error.message).toContain(`cannot read “${root}/ppp`);
    expect(error.message).toMatch(/the name or path is too long for this system.*give its folders shorter names/);
    expect(error.message.length).toBeLessThan(600);
    expect(readdirSync(root)).toEqual([BELOW]);
  });

  it('has all the rest where unreadable things are to be skipped, and says what it lacks', async () => {
    const { root, keys, tree, file } = await deep(25);
    const { warnings, warningCount, files } = await createBackup({
      paths: [tree],
      out: file,
      ...keys,
      skipUnreadable: true,
    });
    expect({ warningCount, files }).toEqual({ warningCount: 1, files: 2 });
    expect(warnings[0]).toMatch(/^skipped “.*ddd.*”: the name or path is too long for this system$/);
    await restoreBackup({ file, directory: join(root, 'to'), ...keys });
    expect(['a', 'z'].map((name) => readFileSync(join(root, 'to/tree', name), 'utf8'))).toEqual(['first', 'last']);
  });
});

describe('a restore to a path that is too long', () => {
  async function tooDeep() {
    const { root, keys, tree, file } = await deep(18);
    await createBackup({ paths: [tree], out: file, ...keys });
    const parent = join(root, 'to', LONG, LONG, LONG);
    mkdirSync(parent, { recursive: true });
    const directory = join(parent, 'here');
    return { parent, options: { file, directory, ...keys } };
  }

  it('is refused with 9, naming where it begins, and leaves nothing', async () => {
    const { parent, options } = await tooDeep();
    const error = await failureOf(restoreBackup(options));
    expect(error).toMatchObject({ code: 'bad_input', exitCode: 9, details: { files: 1, kept: false } });
    expect(error.message).toMatch(
      /^cannot restore “tree\/ddd.*: the name or path is too long for this system.*restore to a folder nearer/,
    );
    expect(error.message.length).toBeLessThan(800);
    expect(readdirSync(parent)).toEqual([]);
  });

  it('leaves alone what was in the folder', async () => {
    const { options } = await tooDeep();
    writeFiles(options.directory, { 'tree/a': 'mine', other: 'mine too' });
    await failureOf(restoreBackup({ ...options, overwrite: true }));
    expect(readdirSync(options.directory).sort()).toEqual(['other', 'tree']);
    expect(readFileSync(join(options.directory, 'tree/a'), 'utf8')).toBe('mine');
  });

  it('keeps what was whole before it where that is wanted, and still fails', async () => {
    const { options } = await tooDeep();
    const error = await failureOf(restoreBackup({ ...options, keepPartial: true }));
    expect(error).toMatchObject({ code: 'bad_input', details: { files: 1, kept: true } });
    expect(readFileSync(join(options.directory, 'tree/a'), 'utf8')).toBe('first');
    expect(existsSync(join(options.directory, 'tree/z'))).toBe(false);
  });

  it('gives back all of it in a folder that is near enough', async () => {
    const { options } = await tooDeep();
    const directory = `${scratch()}/r`;
    made.push(directory);
    await restoreBackup({ ...options, directory });
    expect(readFileSync(join(directory, 'tree', ...Array<string>(18).fill(LONG), 'file'), 'utf8')).toBe('deep');
    expect(readFileSync(join(directory, 'tree/z'), 'utf8')).toBe('last');
    writeFileSync(join(directory, 'tree/after'), '');
  });
});
