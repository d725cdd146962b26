/** The package as others get it: built, packed and unpacked as a dependency of a project that has nothing else. */

import { execFile } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, test } from 'vitest';
import { isNodeModule, packageOf, runtimeSpecifiersIn } from '../layout/imports.ts';

const root = resolve(import.meta.dirname, '../..');
const modules = join(root, 'node_modules');

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly dependencies: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;

/** Neither the registry nor the settings of whoever runs the tests matter. */
const environment = {
  ...process.env,
  PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
  npm_config_cache: join(tmpdir(), 'npm-cache'),
  npm_config_offline: 'true',
  npm_config_yes: 'false',
  npm_config_update_notifier: 'false',
  npm_config_loglevel: 'error',
};

/** Standard output of a command that has to succeed; the error of one that does not holds what it said. */
async function run(cwd: string, command: string, ...words: readonly string[]): Promise<string> {
  const options = { cwd, env: environment, timeout: 300_000, maxBuffer: 2 ** 24 };
  try {
    return (await promisify(execFile)(command, words, options)).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${words.join(' ')}: ${stdout}${stderr}`, { cause: error });
  }
}

/** Paths in the tarball. */
let packed: string[];
/** A project whose only dependency is the package. */
let project: string;

beforeAll(async () => {
  // In a copy, so that neither an old build nor another one at the same time counts.
  const checkout = mkdtempSync(join(tmpdir(), 'checkout-'));
  for (const name of [
    'src',
    'scripts',
    'package.json',
    'package-lock.json',
    'tsconfig.json',
    'tsconfig.build.json',
    ...manifest.files,
  ]) {
    if (name !== 'dist' && existsSync(join(root, name))) {
      cpSync(join(root, name), join(checkout, name), { recursive: true });
    }
  }
  symlinkSync(modules, join(checkout, 'node_modules'));
  await run(checkout, 'npm', 'run', 'build');
  const [pack] = JSON.parse(await run(checkout, 'npm', 'pack', '--json')) as [
    { filename: string; files: { path: string }[] },
  ];
  packed = pack.files.map(({ path }) => path);

  project = mkdtempSync(join(tmpdir(), 'project-'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'project', private: true, type: 'module' }));
  const installed = join(project, 'node_modules', manifest.name);
  mkdirSync(installed, { recursive: true });
  await run(project, 'tar', '-xzf', join(checkout, pack.filename), '--strip-components=1', '-C', installed);
  // What an installation would fetch: what the package declares, not what its development needs besides.
  for (const name of Object.keys(manifest.dependencies)) link(name);
  const commands = join(project, 'node_modules/.bin');
  mkdirSync(commands);
  for (const [name, path] of Object.entries(manifest.bin)) {
    chmodSync(join(installed, path), 0o755);
    symlinkSync(join('..', manifest.name, path), join(commands, name));
  }
});

function link(name: string): void {
  const path = join(project, 'node_modules', name);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(join(modules, name), path);
}

test('the package holds what it declares and nothing of the development', () => {
  const pages = ['dist/pages/transparency/index.html', 'dist/pages/transparency/page.json'];
  for (const path of ['dist/client/index.js', 'dist/client/index.d.ts', 'dist/cli/main.js', 'LICENSE', ...pages]) {
    expect(packed).toContain(path);
  }
  const allowed = new RegExp(`^(package\\.json|(${manifest.files.join('|').replaceAll('.', '\\.')})(/|$))`);
  expect(packed.filter((path) => !allowed.test(path))).toEqual([]);
  expect(packed.filter((path) => /(?<!\.d)\.ts$|\.test\.|(^|\/)(test|scripts|work)\//.test(path))).toEqual([]);
});

test('plain JavaScript uses holdfast/client, and nothing behind it', async () => {
  writeFileSync(
    join(project, 'use.js'),
    `import { HoldfastError, HttpTransport, standardSuite } from 'holdfast/client';
    const suite = standardSuite();
    const { blindedElement } = suite.blind(new Uint8Array(3));
    const stretched = await suite.stretch(new Uint8Array(6), new Uint8Array(32), { memoryKiB: 8, passes: 1, parallelism: 1 });
    let refusal;
    try {
      new HttpTransport({ urls: ['http://coordinator.example'] });
    } catch (error) {
      refusal = error instanceof HoldfastError && error.code;
    }
    const inner = await import('holdfast/dist/core/index.js').catch(({ code }) => code);
    console.log(JSON.stringify({ element: blindedElement.length, stretched: stretched.length, refusal, inner }));`,
  );
  expect(JSON.parse(await run(project, process.execPath, 'use.js'))).toEqual({
    element: 33,
    stretched: 32,
    refusal: 'usage',
    inner: 'ERR_PACKAGE_PATH_NOT_EXPORTED',
  });
});

test.each(['nodenext', 'bundler'])('its types resolve with module resolution %s, and mean something', async (kind) => {
  writeFileSync(
    join(project, 'use.ts'),
    `import { type Credential, HttpTransport, type Recovered, VaultClient, type VaultClientOptions } from 'holdfast/client';
    export async function recover(options: Omit<VaultClientOptions, 'transport' | 'credential'>, credential: Credential, pin: string): Promise<Uint8Array> {
      const transport = new HttpTransport({ urls: ['https://coordinator.example'] });
      const client = new VaultClient({ ...options, transport, credential: async () => credential });
      const recovered: Recovered = await client.recover(pin);
      // @ts-expect-error There is no such member.
      recovered.nothing;
      // @ts-expect-error A PIN is text.
      await client.recover(1234);
      return recovered.secret.reveal();
    }`,
  );
  const module = kind === 'bundler' ? 'esnext' : kind;
  const flags = ['--strict', '--noEmit', '--module', module, '--moduleResolution', kind, '--target', 'es2024'];
  const lib = ['--lib', 'es2024,esnext.disposable,dom', '--skipLibCheck', '--types', ''];
  await run(project, join(modules, '.bin/tsc'), ...flags, ...lib, 'use.ts');
});

test('npx finds the command, which tells the version', async () => {
  expect(await run(project, 'npx', '--', 'holdfast', '--version')).toBe(`${manifest.version}\n`);
});

test('the built command makes a fleet, with tokens, stores and certificates', async () => {
  const words = ['fleet', 'create', 'fleet', '--nodes', '1', '--json'];
  expect(JSON.parse(await run(project, 'npx', '--', 'holdfast', ...words))).toMatchObject({ nodes: 1 });
  expect(existsSync(join(project, 'fleet', 'trust.json'))).toBe(true);
});

/** In a bundle, packages' code holds imports in strings and comments; the bundler's own are written in these forms only. */
const bundledSpecifiers = (code: string) =>
  [
    ...code
      .replace(/^\s*\*.*$/gm, '')
      .matchAll(/(?:^(?:import|export)\b[^"\n]*|\b__require\(|\bimport\()"([^"\n]+)"/gm),
  ].map(([, found]) => found!);

test('every module of the build finds what it imports, among files and declared dependencies', () => {
  const folder = join(project, 'node_modules', manifest.name, 'dist');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
  const missing = files.flatMap((name) => {
    const code = readFileSync(join(folder, name), 'utf8');
    return (name.startsWith('cli/') ? bundledSpecifiers(code) : runtimeSpecifiersIn(code))
      .filter((specifier) =>
        specifier.startsWith('.')
          ? !existsSync(resolve(folder, dirname(name), specifier))
          : !isNodeModule(specifier) && !Object.hasOwn(manifest.dependencies, packageOf(specifier)),
      )
      .map((specifier) => `${name}: ${specifier}`);
  });
  expect(files.length).toBeGreaterThan(100);
  expect(missing).toEqual([]);
  // What the bundle leaves outside is native, and nothing else.
  const outside = files
    .filter((name) => name.startsWith('cli/'))
    .flatMap((name) => bundledSpecifiers(readFileSync(join(folder, name), 'utf8')))
    .filter((specifier) => !specifier.startsWith('.') && !isNodeModule(specifier));
  expect([...new Set(outside)].sort()).toEqual(['lmdb', 'pkcs11js']);
});

test('the licences of what is bundled lie beside it', () => {
  const page = join(project, 'node_modules', manifest.name, 'dist/pages/transparency/THIRD-PARTY-LICENSES.txt');
  expect(readFileSync(page, 'utf8')).toMatch(/^@noble\/curves \d+\.\d+\.\d+$/m);
  const folder = join(project, 'node_modules', manifest.name, 'dist/cli');
  const text = readFileSync(join(folder, 'THIRD-PARTY-LICENSES.txt'), 'utf8');
  for (const name of ['fastify', 'undici', '@noble/curves', '@peculiar/x509']) {
    expect(text).toMatch(new RegExp(`^${name} \\d+\\.\\d+\\.\\d+$`, 'm'));
  }
});
