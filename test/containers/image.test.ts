/** The image itself: its size, its user, that it needs no file system to write to, what it lists, and its digest. */

import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, inject, it } from 'vitest';
import { engineOptions } from '../../src/cli/engine.ts';
import { root } from './engine.ts';
import { build } from './images.ts';

const image = inject('image');
const docker = (...words: string[]) => execFileSync('docker', words, { encoding: 'utf8' });
const isolated = ['run', '--rm', '--read-only', '--network=none', '--cap-drop=ALL', '--security-opt=no-new-privileges'];

describe('the container image', () => {
  it('has less than 250 MB and runs as nobody in particular', () => {
    const [details] = JSON.parse(docker('image', 'inspect', image)) as [{ Size: number; Config: { User: string } }];
    expect(details.Size).toBeLessThan(250e6);
    expect(details.Config.User).toBe('10001:10001');
    expect(docker(...isolated, '--entrypoint=id', image, '-u').trim()).toBe('10001');
  });

  it('runs with nothing to write to', () => {
    expect(docker(...isolated, image, '--help')).toContain('Usage: holdfast');
    const listed = ['token', 'list', '--module', '/usr/lib/softhsm/libsofthsm2.so'];
    expect(spawnSync('docker', [...isolated, image, ...listed]).status).not.toBe(2);
  });

  it.each([
    ['node', 'run'],
    ['coordinator', 'run'],
  ] as const)('gives the engine of %s %s the options of its kind, as the first process', (role, verb) => {
    const tell = '--import=data:text/javascript,console.error(JSON.stringify([process.pid,...process.execArgv]))';
    const environment = ['--env', `NODE_OPTIONS=${tell}`];
    const { stderr, status } = spawnSync(
      'docker',
      [...isolated, ...environment, image, role, verb, '--config', '/nowhere'],
      { encoding: 'utf8' },
    );
    expect(status, stderr).toBe(2);
    const [first, second, ...more] = stderr.split('\n').flatMap((line) => {
      return line.startsWith('[') ? [JSON.parse(line) as unknown[]] : [];
    });
    expect([first, more]).toEqual([[1], []]);
    // Besides, how large a heap may be: that depends on the container's limit.
    expect(second?.filter((word) => !String(word).startsWith('--max-old-space-size'))).toEqual([
      1,
      ...engineOptions(role, 1),
    ]);
  });

  it('has no compiler, package manager of Node, or set-uid program of ours', () => {
    const found = docker(
      ...isolated,
      '--entrypoint=sh',
      image,
      '-c',
      'command -v npm gcc make python3 curl wget || true',
    );
    expect(found.trim()).toBe('');
    const owned = docker(
      ...isolated,
      '--entrypoint=sh',
      image,
      '-c',
      'find /app /usr/local -perm /022 ! -type l | head',
    );
    expect(owned.trim()).toBe('');
  });

  it('lists every package of Debian and npm that is in it', () => {
    const bill = JSON.parse(docker(...isolated, '--entrypoint=cat', image, '/app/sbom.cdx.json')) as {
      bomFormat: string;
      components: { name: string; version: string; purl: string }[];
    };
    expect(bill.bomFormat).toBe('CycloneDX');
    const purls = new Set(bill.components.map(({ purl }) => purl));
    const installed = docker(
      ...[...isolated, '--entrypoint=dpkg-query', image],
      // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query has placeholders of its own
      ...['-W', '-f', '${Package} ${Version} ${Status}\n'],
    )
      .trim()
      .split('\n')
      .filter((line) => line.endsWith(' install ok installed'))
      .map((line) => line.split(' ') as [string, string]);
    expect(installed.length).toBeGreaterThan(50);
    for (const [name, version] of installed) {
      const purl = `pkg:deb/debian/${name}@${encodeURIComponent(version)}?`;
      expect(
        [...purls].some((one) => one.startsWith(purl)),
        `${name} ${version}`,
      ).toBe(true);
    }
    const packages = docker(
      ...[...isolated, '--entrypoint=sh', image, '-c'],
      "cd /app/node_modules && find . -name package.json -path '*/node_modules/*' -prune -o -maxdepth 3 -name package.json -print | sed 's#^./##;s#/package.json##'",
    )
      .trim()
      .split('\n')
      .filter((name) => /^(@[^/]+\/)?[^/]+$/.test(name));
    const names = new Set(bill.components.map(({ purl }) => decodeURIComponent(purl).replace(/@[^@]*$/, '')));
    expect(packages.length).toBeGreaterThan(20);
    expect(packages.filter((name) => !names.has(`pkg:npm/${name}`))).toEqual([]);
    expect(bill.components.some(({ purl }) => purl === 'pkg:npm/node@24.21.0')).toBe(true);
  });

  it('has the same digest when it is built again, every step anew but for what is fetched by its hash', () => {
    const base = inject('base');
    if (base === undefined) {
      console.log('not checked: the image was not built here, it was given');
      expect(image).not.toBe('');
      return;
    }
    expect(build('holdfast-test:again', base, root, '--anew')).toBe(image);
    docker('rmi', 'holdfast-test:again');
  });
});
