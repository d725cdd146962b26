/**
 * Builds `dist`: the package `holdfast/client` as one file for each module with its types (tsc), and the command, bundled with
 * everything that it loads, so that it starts in half the time.
 *
 *   node scripts/build.ts [--out FOLDER] [--command-only]
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type CodeSplittingGroup, type OutputOptions, type Plugin, type RolldownOutput, rolldown } from 'rolldown';
import { mergeParts } from './build-chunks.ts';

const root = resolve(import.meta.dirname, '..');

/** What holds native code finds it beside its own files, so these stay where npm put them. */
const NATIVE = ['lmdb', 'pkcs11js'];

/**
 * What commander's `import process from 'node:process'` gives, without that import: it reads each property of `process`, which
 * opens the three standard streams whether or not anybody uses them.
 */
const globalProcess: Plugin = {
  name: 'global-process',
  resolveId: (specifier, importer) =>
    specifier === 'node:process' && importer?.includes('/node_modules/commander/') ? '\0process' : null,
  load: (id) => (id === '\0process' ? 'export default process;' : null),
};

/** What every command has loaded before its own modules. */
const BEGUN = ['main', 'standard-streams', 'program'];

/** The one module of src that is imported for what it does and not for what it exports (test/layout holds to that). */
export const WITH_EFFECTS = ['src/pki/reflect.ts'];

/**
 * Bundles the command into `folder`: main.js, the worker of tokens, and what they share in chunks. Names stay as they are and
 * maps lie beside the files, so that `NODE_OPTIONS=--enable-source-maps` gives traces of the source.
 * `folder` must lie two folders below package.json, from which the command knows its version. `more` are modules beside it, by
 * the names of their files, which share the command's own: tests put themselves into those.
 */
export async function bundleCommand(folder: string, more: Readonly<Record<string, string>> = {}): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const own = { main: join(root, 'src/cli/main.ts'), worker: join(root, 'src/token/pkcs11/worker.ts') };
  const entries = { ...own, ...more };
  const effects = [...Object.values(entries), ...WITH_EFFECTS.map((path) => join(root, path))];
  const source = join(root, 'src/');
  await using bundle = await rolldown({
    cwd: root,
    platform: 'node',
    input: entries,
    external: (specifier) => NATIVE.includes(specifier),
    plugins: [globalProcess],
    preserveEntrySignatures: 'allow-extension',
    // A module that gives a command nothing is not loaded for it, although the index of its folder names it.
    treeshake: { moduleSideEffects: (id) => (id.startsWith(source) ? effects.includes(id) : undefined) },
    onLog: (level, log, report) => {
      if (level === 'warn') throw new Error(log.message);
      report(level, log);
    },
  });
  const options: OutputOptions = {
    dir: folder,
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: '[name]-[hash].js',
  };
  const groups = [sharedFiles(await bundle.generate(options))];
  const { output } = await bundle.write({ ...options, sourcemap: true, codeSplitting: { groups } });
  const modules = output.flatMap((part) => (part.type === 'chunk' ? part.moduleIds : []));
  writeFileSync(join(folder, 'THIRD-PARTY-LICENSES.txt'), licensesOf(modules));
}

/** Bytes. Libraries compute tables and define much when they are loaded, and ours next to nothing. */
function costOf(modules: Readonly<Record<string, { readonly renderedLength: number }>>): number {
  const costs = Object.entries(modules).map(([id, { renderedLength }]) =>
    id.startsWith(join(root, 'src/')) ? renderedLength : 3 * renderedLength,
  );
  return costs.reduce((sum, cost) => sum + cost, 0);
}

/** What is to be in one file of the command, by what the bundler would make of it unasked. */
function sharedFiles({ output }: RolldownOutput): CodeSplittingGroup {
  const chunks = output.filter((part) => part.type === 'chunk');
  const parts = chunks.map(({ fileName, modules, isEntry, isDynamicEntry, imports }) => ({
    ...{ name: fileName, size: costOf(modules), imports },
    isEntry: isEntry || isDynamicEntry,
  }));
  const begun = chunks.filter(({ name }) => BEGUN.includes(name)).map(({ fileName }) => fileName);
  const modulesOf = new Map(chunks.map(({ fileName, moduleIds }) => [fileName, moduleIds]));
  const names = new Map<string, string>();
  for (const [i, files] of mergeParts(parts, begun).entries()) {
    for (const id of files.flatMap((file) => modulesOf.get(file) ?? [])) names.set(id, `shared-${i}`);
  }
  return { debugName: 'shared', name: (id) => names.get(id) ?? null, includeDependenciesRecursively: false };
}

/** The licence of every package that is in the bundle, as the package brings it. */
export function licensesOf(modules: readonly string[]): string {
  const packages = new Map<string, string>();
  for (const id of modules) {
    const [folder, name] = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(id) ?? [];
    if (folder !== undefined && name !== undefined) packages.set(folder, name);
  }
  const texts = [...packages].map(([folder, name]) => {
    const manifest = readFileSync(join(folder, 'package.json'), 'utf8');
    const { version, license } = JSON.parse(manifest) as { version: string; license?: string };
    const file = readdirSync(folder).find((one) => /^licen[cs]e(\.|$)/i.test(one));
    const text = file === undefined ? `Licence: ${license}` : readFileSync(join(folder, file), 'utf8').trim();
    return `${name} ${version}\n\n${text}\n`;
  });
  return texts.sort().join(`\n${'-'.repeat(80)}\n\n`);
}

/** Compiles what others import as `holdfast/client`, with its types. */
function compileClient(folder: string): void {
  const tsc = join(root, 'node_modules/.bin/tsc');
  const { status } = spawnSync(tsc, ['-p', join(root, 'tsconfig.build.json'), '--outDir', folder], {
    stdio: 'inherit',
  });
  if (status !== 0) process.exit(status ?? 1);
}

/** What the program will say of itself: the commit of sources that were not changed since, its lock file and its time. */
export function buildFacts(environment: NodeJS.ProcessEnv = process.env): string {
  const git = (...words: string[]) => spawnSync('git', ['-C', root, ...words], { encoding: 'utf8' });
  const given = environment.SOURCE_COMMIT;
  // Not of a repository that this folder only lies in.
  const top = git('rev-parse', '--show-toplevel');
  const clean = git('status', '--porcelain', '--untracked-files=no');
  const own = top.status === 0 && realpathSync(top.stdout.trim()) === realpathSync(root);
  const unchanged = own && clean.status === 0 && clean.stdout === '';
  const commit = given ?? (unchanged ? git('rev-parse', 'HEAD').stdout.trim() : '');
  const time = environment.SOURCE_DATE_EPOCH ?? (unchanged ? git('log', '-1', '--format=%ct').stdout.trim() : '0');
  const lockfile = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  return `${JSON.stringify({ commit, lockfile: commit === '' ? '' : lockfile, time: Number(time) })}\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { out: { type: 'string', default: 'dist' }, 'command-only': { type: 'boolean', default: false } },
  });
  const out = resolve(values.out);
  if (!values['command-only']) compileClient(out);
  await bundleCommand(join(out, 'cli'));
  writeFileSync(join(out, 'cli', 'build.json'), buildFacts());
}
