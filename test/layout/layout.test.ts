import { describe, expect, it } from 'vitest';
import { WITH_EFFECTS } from '../../scripts/build.ts';
import {
  isNodeModule,
  packageOf,
  read,
  runtimeGraph,
  runtimeSpecifiersIn,
  sourceFiles,
  specifiersIn,
  target,
} from './imports.ts';

/**
 * The folders of src and what each may import of the others: a folder's name stands for its index.ts, and single files
 * are named. It is what docs say of the layout; a new folder needs a line here.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  crypto: ['core'],
  protocol: ['core', 'crypto'],
  trust: ['core', 'crypto', 'protocol'],
  evidence: ['core', 'crypto', 'protocol', 'trust'],
  audit: ['core', 'crypto', 'protocol', 'trust', 'evidence'],
  access: ['core', 'crypto'],
  backup: ['core', 'recovery'],
  recovery: ['core', 'crypto'],
  configuration: ['core'],
  http: ['core'],
  token: ['core', 'crypto'],
  lock: ['core'],
  store: ['core', 'lock', 'protocol'],
  pki: ['core', 'crypto', 'token/port.ts'],
  node: ['core', 'crypto', 'protocol', 'access', 'pki', 'http', 'token/port.ts', 'store/port.ts'],
  dashboard: ['core'],
  coordinator: ['core', 'protocol', 'trust', 'access', 'pki', 'http', 'dashboard'],
  service: [
    'core',
    'crypto',
    'protocol',
    'configuration',
    'http',
    'trust',
    'evidence',
    'pki',
    'store',
    'store/port.ts',
    'token',
    'token/port.ts',
    'node',
    'node/http/index.ts',
    'coordinator/http/index.ts',
    'signer',
    'cosigner/log/index.ts',
    'cosigner/monitor/index.ts',
    'cosigner/replay/index.ts',
    'cosigner/service/index.ts',
    'cosigner/witness/index.ts',
  ],
  fleet: [
    'core',
    'lock',
    'crypto',
    'protocol',
    'trust',
    'access',
    'pki',
    'token',
    'token/port.ts',
    'signer',
    'evidence',
    'operator',
  ],
  signer: ['core', 'lock', 'crypto', 'trust', 'evidence', 'pki', 'token/port.ts'],
  cosigner: ['core', 'trust', 'evidence', 'token', 'token/port.ts', 'pki', 'http', 'store', 'store/port.ts', 'signer'],
  ceremony: ['core', 'lock', 'crypto', 'trust', 'token', 'token/port.ts', 'signer', 'evidence'],
  operator: ['core', 'protocol', 'trust', 'evidence', 'signer', 'pki', 'cosigner/replay/index.ts'],
  client: ['core', 'crypto', 'protocol', 'trust', 'access/client.ts'],
  pages: [
    'core',
    'crypto',
    'protocol',
    'trust',
    'evidence',
    'audit',
    'access/client.ts',
    'client',
    'client/download.ts',
    'recovery',
    'dashboard',
  ],
  cli: ['*'],
};

const BROWSER_SAFE = [
  'src/{core,crypto,protocol,trust,evidence,audit,client,recovery,dashboard,pages}/**/*.ts',
  'src/access/client*.ts',
  'src/ceremony/transcript/*.ts',
];

/** What browser-safe code may load from outside. Each of these runs in browsers itself. */
const BROWSER_PACKAGES = [
  '@noble/ciphers',
  '@noble/curves',
  '@noble/hashes',
  'age-encryption',
  'hash-wasm',
  'hpke',
  'jose',
  'shamir-secret-sharing',
  'uplot',
  'uplot',
];

const files = sourceFiles('src/**/*.ts');
const folderOf = (file: string) => file.split('/')[1]!;

/** Why `file` may not import `specifier`, or undefined. */
function fault(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) {
    const name = packageOf(specifier);
    if (name === 'pkcs11js' && !file.startsWith('src/token/pkcs11/')) return 'only src/token/pkcs11 uses pkcs11js';
    if (name === 'graphene-pk11' && !file.startsWith('src/token/')) return 'only src/token uses graphene-pk11';
    return undefined;
  }
  const imported = target(file, specifier);
  if (imported === 'package.json' && file.startsWith('src/cli/')) return undefined;
  if (!imported.startsWith('src/')) return 'it is outside src';
  const folder = folderOf(imported);
  if (folder === folderOf(file)) return undefined;
  const allowed = MAY_IMPORT[folderOf(file)] ?? [];
  const inFolder = imported.slice(`src/${folder}/`.length);
  if (allowed.includes(`${folder}/${inFolder}`)) return undefined;
  if (!allowed.includes('*') && !allowed.includes(folder)) return `${folderOf(file)} may not import ${folder}`;
  if (inFolder === 'index.ts' || (allowed.includes('*') && inFolder === 'port.ts')) return undefined;
  return `${folder} is imported by its index.ts`;
}

describe('the layout of src', () => {
  it('has a line in the table for every folder', () => {
    expect(files.length).toBeGreaterThan(10);
    expect([...new Set(files.map(folderOf))].filter((folder) => !Object.hasOwn(MAY_IMPORT, folder))).toEqual([]);
  });

  it('has imports between folders only downwards, and by the front door', () => {
    const faults = files.flatMap((file) =>
      specifiersIn(read(file)).flatMap((specifier) => {
        const reason = fault(file, specifier);
        return reason === undefined ? [] : [`${file} imports ${specifier}: ${reason}`];
      }),
    );
    expect(faults).toEqual([]);
  });

  it('has a table without cycles', () => {
    const reach = (folder: string, path: readonly string[]): string[] =>
      path.includes(folder)
        ? [[...path, folder].join(' > ')]
        : (MAY_IMPORT[folder] ?? []).flatMap((next) =>
            next === '*' ? [] : reach(next.split('/')[0]!, [...path, folder]),
          );
    expect(Object.keys(MAY_IMPORT).flatMap((folder) => reach(folder, []))).toEqual([]);
  });

  it('keeps process.env to the command line and configuration', () => {
    const reads = files
      .filter((file) => !['cli', 'configuration'].includes(folderOf(file)))
      .filter((file) => /\bprocess\s*(\?\.|\.)\s*env\b|\{[^}]*\benv\b[^}]*\}\s*=\s*process\b/.test(read(file)));
    expect(reads).toEqual([]);
  });

  it('imports node:http for its types only: as a module it loads all of the runtime’s fetch', () => {
    const loading = files.filter((file) => /^import (?!type\b)[^;]*? from 'node:http';/m.test(read(file)));
    expect(loading).toEqual([]);
  });

  it('has no modules that are imported for their effects but those that the bundle keeps for that', () => {
    const imported = files.flatMap((file) =>
      [...read(file).matchAll(/^import '(\.[^']+)';/gm)].map(([, specifier]) => target(file, specifier!)),
    );
    expect([...new Set(imported)]).toEqual(WITH_EFFECTS);
  });

  it('has files of at most 500 lines', () => {
    expect(files.filter((file) => read(file).split('\n').length > 501)).toEqual([]);
  });
});

describe('browser-safe code', () => {
  const entries = BROWSER_SAFE.flatMap(sourceFiles);
  const graph = runtimeGraph(entries);

  it('loads no module of Node, nor anything that does', () => {
    expect(entries.length).toBeGreaterThan(5);
    const found = [...graph.outside].filter(([specifier]) => isNodeModule(specifier)).map(([, path]) => path);
    expect(found).toEqual([]);
  });

  it('loads only packages that run in browsers', () => {
    const found = [...graph.outside]
      .filter(([specifier]) => !isNodeModule(specifier) && !BROWSER_PACKAGES.includes(packageOf(specifier)))
      .map(([, path]) => path);
    expect(found).toEqual([]);
  });

  it('stays within the browser-safe folders, and what src/access/client.ts needs of its own', () => {
    const outside = [...graph.files].filter((file) => !entries.includes(file) && folderOf(file) !== 'access');
    expect(outside).toEqual([]);
  });
});

describe('the rules themselves', () => {
  it.each([
    ['src/core/a.ts', '../crypto/index.ts', 'core may not import crypto'],
    ['src/crypto/a.ts', '../core/errors.ts', 'core is imported by its index.ts'],
    ['src/protocol/transitions/a.ts', '../../core/errors.ts', 'core is imported by its index.ts'],
    ['src/node/a.ts', '../token/index.ts', 'node may not import token'],
    ['src/node/a.ts', '../token/pkcs11/index.ts', 'node may not import token'],
    ['src/client/a.ts', '../access/index.ts', 'client may not import access'],
    ['src/cli/a.ts', '../token/pkcs11/worker.ts', 'token is imported by its index.ts'],
    ['src/cli/a.ts', '../../test/fleet/launch.ts', 'it is outside src'],
    ['src/node/a.ts', 'pkcs11js', 'only src/token/pkcs11 uses pkcs11js'],
    ['src/token/a.ts', 'pkcs11js', 'only src/token/pkcs11 uses pkcs11js'],
    ['src/cli/a.ts', 'graphene-pk11/build/x.js', 'only src/token uses graphene-pk11'],
  ])('forbid %s to import %s', (file, specifier, reason) => {
    expect(fault(file, specifier)).toBe(reason);
  });

  it.each([
    ['src/crypto/a.ts', '../core/index.ts'],
    ['src/protocol/transitions/a.ts', '../record.ts'],
    ['src/protocol/transitions/a.ts', '../../core/index.ts'],
    ['src/node/a.ts', '../token/port.ts'],
    ['src/client/a.ts', '../access/client.ts'],
    ['src/cli/a.ts', '../store/port.ts'],
    ['src/token/pkcs11/a.ts', 'pkcs11js'],
    ['src/token/a.ts', 'graphene-pk11'],
  ])('allow %s to import %s', (file, specifier) => {
    expect(fault(file, specifier)).toBeUndefined();
  });

  const sample = `
    /* import 'comment-one'; */
    // import 'comment-two';
    import 'bare';
    import type { A } from 'type-only';
    import { type B } from 'inline-type';
    import c, {
      d,
    } from "many-lines";
    export * from './star.ts';
    export type { E } from './type-export.ts';
    const f = await import('dynamic');
    const g = process.getBuiltinModule('node:fs');
    const h = new Worker(new URL('./worker.ts', import.meta.url));
    let i: typeof import('node:tls');
    const text = 'see https://example.org // no comment';`;

  it('find every form of import', () => {
    const all = ['bare', 'type-only', 'inline-type', 'many-lines', './star.ts', './type-export.ts', 'dynamic'];
    expect(specifiersIn(sample).sort()).toEqual([...all, 'node:fs', './worker.ts', 'node:tls'].sort());
  });

  it('know which imports are left at run time', () => {
    const left = ['bare', 'inline-type', 'many-lines', './star.ts', 'dynamic', 'node:fs', './worker.ts'];
    expect(runtimeSpecifiersIn(sample).sort()).toEqual(left.sort());
  });
});
