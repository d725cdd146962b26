/** Bundles the SDK and the page for browsers with Vite, which vitest brings. */

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Vite } from 'vitest/node';

export interface Bundle {
  /** By file name, such as `sdk.js`. */
  readonly files: ReadonlyMap<string, string>;
  /** What the files import that is in none of them. */
  readonly outside: readonly string[];
  /** Ids of all modules inside. */
  readonly modules: readonly string[];
}

/** Vite is not a dependency of ours but of vitest, so it is found from there. */
async function loadVite(): Promise<typeof Vite> {
  const { resolve } = createRequire(import.meta.resolve('vitest/package.json'));
  return (await import(/* @vite-ignore */ pathToFileURL(resolve('vite')).href)) as typeof Vite;
}

const pathOf = (name: string) => join(import.meta.dirname, `${name}.ts`);

/** `sdk.js` holds all of the SDK; `page.js`, where it is asked for, imports that. Minified, ES2024. */
export async function bundle(...names: readonly ('sdk' | 'page')[]): Promise<Bundle> {
  const { build } = await loadVite();
  const built = await build({
    configFile: false,
    logLevel: 'error',
    root: import.meta.dirname,
    build: {
      write: false,
      target: 'es2024',
      minify: true,
      lib: { entry: Object.fromEntries(names.map((name) => [name, pathOf(name)])), formats: ['es'] },
      rolldownOptions: { output: { entryFileNames: '[name].js', chunkFileNames: '[name].js' } },
    },
  });
  const [result, ...more] = Array.isArray(built) ? built : [built];
  if (!result || !('output' in result) || more.length > 0) throw new Error('the bundler gave no single output');
  const chunks = result.output.flatMap((part) => (part.type === 'chunk' ? [part] : []));
  const files = new Map(chunks.map(({ fileName, code }) => [fileName, code]));
  return {
    files,
    outside: chunks.flatMap((one) => [...one.imports, ...one.dynamicImports]).filter((name) => !files.has(name)),
    modules: chunks.flatMap(({ moduleIds }) => moduleIds),
  };
}
