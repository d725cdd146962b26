/** The programs of package.json, in a checkout that is set up and in one that is not. */

import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

/** A checkout with nothing but the script. */
function checkout(): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'checkout-')));
  mkdirSync(join(folder, 'scripts'));
  copyFileSync(join(root, 'scripts/node'), join(folder, 'scripts/node'));
  return folder;
}

const run = (folder: string) =>
  spawnSync(join(folder, 'scripts/node'), ['-p', 'process.execPath'], { cwd: tmpdir(), encoding: 'utf8' });

test('before scripts/setup one is told to run that', () => {
  const folder = checkout();
  expect(run(folder)).toMatchObject({
    status: 2,
    stdout: '',
    stderr: `This checkout is not set up yet. Run ${folder}/scripts/setup first.\n`,
  });
});

test('afterwards it is the Node of the checkout, wherever it is called', () => {
  const folder = checkout();
  mkdirSync(join(folder, 'node_modules/.bin'), { recursive: true });
  symlinkSync(process.execPath, join(folder, 'node_modules/.bin/node'));
  expect(run(folder)).toMatchObject({ status: 0, stdout: `${process.execPath}\n`, stderr: '' });
});

test('every program in TypeScript is run by it', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Readonly<Record<string, string>>;
  };
  const programs = Object.values(scripts).flatMap((line) => line.split('&&').filter((part) => part.includes('.ts')));
  expect(programs.length).toBeGreaterThan(3);
  for (const program of programs) expect(program.trim()).toMatch(/^scripts\/node (scripts|test)\//);
});
