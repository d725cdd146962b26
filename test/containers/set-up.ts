/** Before the tests of containers: an engine, base images, the image of this checkout and that of the commit before it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { root, startEngine } from './engine.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Identifiers of images, and the environment in which they were built. */
    image: string;
    previousImage: string | undefined;
    /** Undefined where the image was not built here. */
    base: string | undefined;
  }
}

const CURRENT = 'holdfast-test:current';
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
    const base = haveBase();
    const current = build(CURRENT, base, root);
    const previous = buildPrevious(base);
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

/** A base that is here or can be made here: images are not pulled for tests. */
function haveBase(): string {
  execFileSync(join(root, 'scripts/base-image'), { stdio: 'inherit' });
  return 'holdfast-base:local';
}

export function build(tag: string, base: string, context: string, ...more: readonly string[]): string {
  const words = ['--tag', tag, '--base', base, '--builder', 'holdfast-builder:local', '--context', context, '--json'];
  const output = execFileSync(join(root, 'scripts/image'), [...words, ...more], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    // Any time will do, as long as it is the same for both.
    env: { ...process.env, SOURCE_DATE_EPOCH: '1750000000' },
  });
  return (JSON.parse(output) as { id: string }).id;
}

/** The sources of the last commit but one, or of the last where something is not committed yet; undefined without git. */
function buildPrevious(base: string): string | undefined {
  const git = (...words: string[]) => spawnSync('git', ['-C', root, ...words], { maxBuffer: 256 * 1024 * 1024 });
  const changed = git('diff', '--quiet', 'HEAD', '--', 'src', 'package-lock.json').status === 1;
  const commit = changed ? 'HEAD' : 'HEAD~1';
  if (git('rev-parse', '--verify', '--quiet', `${commit}^{commit}`).status !== 0) return undefined;
  const context = mkdtempSync(join(tmpdir(), 'previous-'));
  try {
    const names = [
      'src',
      'package.json',
      'package-lock.json',
      'tsconfig.json',
      'tsconfig.build.json',
      'LICENSE',
      'softhsm',
    ];
    const { stdout, status } = git('archive', commit, ...names);
    if (status !== 0) return undefined;
    execFileSync('tar', ['-x', '-C', context], { input: stdout });
    // How an image is made may be newer than what is in it.
    for (const name of ['container', 'scripts', '.dockerignore'])
      cpSync(join(root, name), join(context, name), { recursive: true });
    return build(PREVIOUS, base, context);
  } finally {
    rmSync(context, { recursive: true });
  }
}
