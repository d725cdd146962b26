/** The images that the tests of containers need: base images, and that of a checkout on top of them. */

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { root } from './engine.ts';

export const CURRENT = 'holdfast-test:current';

export function timed<T>(what: string, work: () => T): T {
  const began = performance.now();
  const result = work();
  console.log(`${what}: ${((performance.now() - began) / 1000).toFixed(1)} s`);
  return result;
}

/** A base that is here or can be made here: images are not pulled for tests. */
export function haveBase(): string {
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
  const { id, seconds } = JSON.parse(output) as { id: string; seconds: Readonly<Record<string, number>> };
  console.log(`  ${tag}: ${JSON.stringify(seconds)}`);
  return id;
}
