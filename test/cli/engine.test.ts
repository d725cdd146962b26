/** Every service has its engine's options, whoever starts it: a fleet on one machine, the image, systemd, or somebody by hand. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ownCommand } from '../../src/cli/commands/fleet-common.ts';
import { engineOptions, serviceOf } from '../../src/cli/engine.ts';

const root = resolve(import.meta.dirname, '../..');
const main = join(root, 'src/cli/main.ts');
const textOf = (name: string): string => readFileSync(join(root, name), 'utf8');

/** Says with which options each process of a command began, and with how many arenas. */
const TELL =
  '--import=data:text/javascript,console.error(JSON.stringify([process.execArgv,process.env.MALLOC_ARENA_MAX]))';

/** How often a command began, and with what; it ends by itself, because it lacks its configuration. */
function began(words: readonly string[], flags: readonly string[] = [], more = ''): unknown[] {
  const { PATH, HOME } = process.env;
  const { stderr, status } = spawnSync(process.execPath, [...flags, main, ...words], {
    encoding: 'utf8',
    env: { PATH, HOME, NODE_OPTIONS: `${TELL} ${more}` },
    timeout: 120_000,
  });
  expect(status, stderr).toBe(2);
  return stderr.split('\n').flatMap((line) => (line.startsWith('[') ? [JSON.parse(line)] : []));
}

describe('a service', () => {
  it.each([
    [['node', 'run', '--config', '/nowhere'], 'node'],
    [['coordinator', 'run', '--config', '/nowhere'], 'coordinator'],
    [['cosigner', 'serve', '--config', '/nowhere'], 'cosigner'],
    [['witness', 'serve', '--config', '/nowhere'], 'witness'],
    [['monitor', '--config', '/nowhere', '--watch'], 'monitor'],
  ] as const)('%j begins anew with the options of its kind, once', (words, purpose) => {
    expect(began(words)).toEqual([
      [[], null],
      [engineOptions(purpose), '2'],
    ]);
  });

  it('does not, where somebody gave the runtime options, or the engine its memory', () => {
    const words = ['witness', 'serve', '--config', '/nowhere'];
    expect(began(words, ['--max-semi-space-size=2'])).toEqual([[['--max-semi-space-size=2'], null]]);
    expect(began(words, [], '--max_semi_space_size=2')).toEqual([[[], null]]);
  });

  it('is no command that ends by itself', () => {
    expect(began(['monitor', '--config', '/nowhere'])).toEqual([[[], null]]);
    for (const words of [[], ['node'], ['node', 'init'], ['fleet', 'up'], ['secret', 'get'], ['run', 'node']]) {
      expect(serviceOf(words)).toBeUndefined();
    }
  });

  it('has the same options as a child of a fleet on one machine', () => {
    for (const purpose of ['node', 'coordinator', 'cosigner', 'witness', 'supervisor', 'command'] as const) {
      expect(ownCommand().prefix(purpose).slice(0, -1)).toEqual(engineOptions(purpose));
    }
  });
});

describe('the options', () => {
  it('give a coordinator a larger nursery than a node, and a node a limit where there is room for it', () => {
    const GIB = 2 ** 30;
    expect(engineOptions('coordinator', GIB)).toContain('--max-semi-space-size=16');
    expect(engineOptions('node', GIB).slice(-2)).toEqual(['--max-semi-space-size=8', '--max-old-space-size=512']);
    expect(engineOptions('node', 0)).toEqual(engineOptions('node', GIB));
    expect(engineOptions('node', GIB - 1)).toEqual(engineOptions('node', GIB).slice(0, -1));
  });

  it('are written nowhere else: the image, its services and the scripts start the entry and no more', () => {
    const dockerfile = textOf('Dockerfile');
    expect(dockerfile).toContain('ENTRYPOINT ["node", "/app/dist/cli/main.js"]');
    for (const name of ['Dockerfile', 'compose.yaml', 'scripts/holdfast', 'docs/deploy/kubernetes/node.yaml']) {
      expect(textOf(name)).not.toContain('space-size');
    }
    const services = [...textOf('compose.yaml').matchAll(/^ +command: \[([^\]]*--config[^\]]*)\]$/gm)];
    const started = services.map(([, words]) => serviceOf(words!.split(', ')));
    expect(started.sort()).toEqual(['coordinator', 'cosigner', 'monitor', 'node', 'witness']);
  });
});
