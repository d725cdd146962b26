/** Before the tests of containers: an engine, base images, the image of this checkout and that of the commit before it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { root, startEngine } from './engine.ts';
import { build, CURRENT, haveBase, timed } from './images.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Identifiers of images, and the environment in which they were built. */
    image: string;
    previousImage: string | undefined;
    /** Undefined where the image was not built here. */
    base: string | undefined;
  }
}

const PREVIOUS = 'holdfast-test:previous';

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const engine = await startEngine();
  if (engine.host) process.env.DOCKER_HOST = engine.host;
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  // An image that was built before can be tested as it is.
  const given = process.env.HOLDFAST_TEST_IMAGE;
  try {
    if (given !== undefined) {
      project.provide('image', given);
      project.provide('previousImage', undefined);
      project.provide('base', undefined);
      return async () => await engine[Symbol.asyncDispose]();
    }
    const base = timed('base images', haveBase);
    const current = timed('the image', () => build(CURRENT, base, root));
    const previous = timed('the image of the commit before', () => buildPrevious(base, CURRENT));
    project.provide('image', current);
    project.provide('previousImage', previous);
    project.provide('base', base);
  } catch (error) {
    await engine[Symbol.asyncDispose]();
    throw error;
  }
  return async () => {
    // What was built stays as a cache of the steps; what nobody can reach goes.
    spawnSync('docker', ['rmi', CURRENT, PREVIOUS], { stdio: 'ignore' });
    await engine[Symbol.asyncDispose]();
  };
}

/** Of the last commit but one, or of the last where something is not committed yet; undefined without git. */
function buildPrevious(base: string, current: string): string | undefined {
  const git = (...words: string[]) => spawnSync('git', ['-C', root, ...words], { maxBuffer: 256 * 1024 * 1024 });
  const changes = (from: string, ...paths: string[]) => git('diff', '--quiet', from, '--', ...paths).status !== 0;
  const commit = changes('HEAD', 'src', 'container', 'package-lock.json') ? 'HEAD' : 'HEAD~1';
  if (git('rev-parse', '--verify', '--quiet', `${commit}^{commit}`).status !== 0) return undefined;
  const context = mkdtempSync(join(tmpdir(), 'previous-'));
  try {
    const { stdout, status } = git('archive', commit);
    if (status !== 0) return undefined;
    execFileSync('tar', ['-x', '-C', context], { input: stdout });
    if (!changes(commit, 'package-lock.json', 'Dockerfile', 'softhsm')) return exchangeProgram(context, current);
    // How an image is made may be newer than what is in it.
    for (const name of ['scripts', '.dockerignore']) cpSync(join(root, name), join(context, name), { recursive: true });
    return build(PREVIOUS, base, context);
  } finally {
    rmSync(context, { recursive: true });
  }
}

/** The current image with another commit's program: all else in it is the same, and need not be made again. */
function exchangeProgram(context: string, current: string): string {
  symlinkSync(join(root, 'node_modules'), join(context, 'node_modules'));
  const dist = join(context, 'program/dist');
  const run = (...words: string[]) =>
    execFileSync(process.execPath, words, { cwd: context, stdio: ['ignore', 'inherit', 'inherit'] });
  run('scripts/build.ts', '--command-only', '--out', dist);
  run('scripts/build-pages.ts', '--out', join(dist, 'pages'));
  cpSync(join(context, 'container'), join(context, 'program/container'), { recursive: true });
  const text = `FROM ${current}\nUSER 0\nRUN rm -r /app/dist /app/container\nCOPY . /app/\nUSER 10001:10001\n`;
  writeFileSync(join(context, 'program/Dockerfile'), text);
  execFileSync('docker', ['build', '--quiet', '--tag', PREVIOUS, join(context, 'program')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  return PREVIOUS;
}
