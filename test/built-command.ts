/** The command as it is shipped, bundled once for a run of the tests: each start of it takes half the time of the sources'. */

import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { bundleCommand } from '../scripts/build.ts';

const root = resolve(import.meta.dirname, '..');

/** For what puts itself into the modules of src, as test/faults/preload.ts does. */
export const sourceEntry = join(root, 'src/cli/main.ts');

/** Shared by all files of one run of the tests (test/run-directory.ts), and removed with it. */
export const shared = dirname(tmpdir());

/** Whoever comes first makes `path`, which must be whole when `done` is there; other processes wait for that. */
export async function makeOnce(path: string, done: string, make: (path: string) => Promise<void>): Promise<void> {
  const lock = `${path}.lock`;
  const end = performance.now() + 120_000;
  while (!existsSync(join(path, done))) {
    try {
      mkdirSync(lock);
    } catch {
      if (performance.now() > end) throw new Error(`${path} was not made in time`);
      await new Promise((resume) => setTimeout(resume, 100));
      continue;
    }
    try {
      if (!existsSync(join(path, done))) await make(path);
    } finally {
      rmSync(lock, { recursive: true });
    }
  }
}

/** @returns the path of the bundle's entry. */
export async function builtCommand(): Promise<string> {
  const folder = join(shared, 'command');
  await makeOnce(folder, 'node_modules', async () => {
    mkdirSync(folder, { recursive: true });
    await bundleCommand(join(folder, 'dist/cli'));
    for (const name of ['dist/pages', 'package.json', 'node_modules'])
      symlinkSync(join(root, name), join(folder, name));
  });
  return join(folder, 'dist/cli/main.js');
}
