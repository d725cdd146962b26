/** The command as it is shipped, bundled once for a run of the tests: each start of it takes half the time of the sources'. */

import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { inject } from 'vitest';
import { bundleCommand } from '../scripts/build.ts';

const root = resolve(import.meta.dirname, '..');

/** Shared by all files of one run of the tests (test/run-directory.ts), and removed with it. */
export const shared = inject('runDirectory');

/** Whoever comes first makes `path`, which must be whole when `done` is there; other processes wait for that. */
export async function makeOnce(path: string, done: string, make: (path: string) => Promise<void>): Promise<void> {
  const lock = `${path}.lock`;
  const end = performance.now() + 280_000;
  // What is there may be worked at still, by whoever has the lock.
  while (!existsSync(join(path, done)) || existsSync(lock)) {
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

/**
 * `preload` is a module that puts itself into those of the command: then it is bundled with them, as preload.js beside the entry.
 * @returns the path of the bundle's entry.
 */
export async function builtCommand(preload?: string): Promise<string> {
  const folder = join(shared, preload === undefined ? 'command' : 'command-preload');
  await makeOnce(folder, 'node_modules', async () => {
    mkdirSync(folder, { recursive: true });
    await bundleCommand(join(folder, 'dist/cli'), preload === undefined ? {} : { preload });
    for (const name of ['dist/pages', 'package.json', 'node_modules'])
      symlinkSync(join(root, name), join(folder, name));
  });
  return join(folder, 'dist/cli/main.js');
}
