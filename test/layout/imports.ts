/** What a TypeScript file imports: as written, and as it is left to run after its types are stripped. */

import { existsSync, globSync, readFileSync } from 'node:fs';
import { isBuiltin, stripTypeScriptTypes } from 'node:module';
import { join, relative, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

const STATEMENT = /(?:^|[;}\s])(?:import|export)\s[^'"`;]*?\bfrom\s*(['"])([^'"]+)\1/g;
const BARE = /(?:^|[;}\s])import\s*(['"])([^'"]+)\1/g;
const CALL = /\b(?:import|require|getBuiltinModule)\s*\(\s*(['"`])([^'"`]+)\1/g;
const URL_OF_FILE = /new URL\(\s*(['"])(\.[^'"]*)\1\s*,\s*import\.meta\.url/g;

function withoutComments(source: string): string {
  // Line comments only where nothing but space stands before them: "https://" in a string is none.
  return source.replace(/\/\*[\s\S]*?\*\//g, ' ').replace(/^\s*\/\/.*$/gm, '');
}

/** The specifiers of every static and dynamic import, re-export and worker in `source`, each once. */
export function specifiersIn(source: string): string[] {
  const text = withoutComments(source);
  const found = [STATEMENT, BARE, CALL, URL_OF_FILE].flatMap((form) =>
    [...text.matchAll(form)].map((match) => match[2]!),
  );
  return [...new Set(found)];
}

/** The same after Node's type stripping, which leaves `import type` and `typeof import()` out. */
export function runtimeSpecifiersIn(source: string): string[] {
  return specifiersIn(stripTypeScriptTypes(source));
}

/** Paths of the source files from the repository's root, in order. */
export function sourceFiles(pattern: string): string[] {
  return globSync(pattern, { cwd: root }).sort();
}

export function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

/** The file that a relative specifier names, from the repository's root. */
export function target(file: string, specifier: string): string {
  return relative(root, resolve(root, file, '..', specifier));
}

/** The name of the package that a bare specifier belongs to. */
export function packageOf(specifier: string): string {
  return specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
}

/** A module of Node itself, with or without its prefix. */
export function isNodeModule(specifier: string): boolean {
  return specifier.startsWith('node:') || isBuiltin(specifier);
}

/** Everything that is loaded along with `entries`: own files, and for each outside module the path that leads there. */
export function runtimeGraph(entries: readonly string[]): {
  files: Set<string>;
  outside: Map<string, string>;
} {
  const files = new Set<string>();
  const outside = new Map<string, string>();
  const walk = (file: string, path: string) => {
    if (files.has(file) || !existsSync(join(root, file))) return;
    files.add(file);
    for (const specifier of runtimeSpecifiersIn(read(file))) {
      if (specifier.startsWith('.')) walk(target(file, specifier), `${path} > ${target(file, specifier)}`);
      else if (!outside.has(specifier)) outside.set(specifier, `${path} > ${specifier}`);
    }
  };
  for (const entry of entries) walk(entry, entry);
  return { files, outside };
}
