/** The script and the style of a page, each in one file that needs no other. */

import { readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { rolldown } from 'rolldown';

export interface BundledScript {
  readonly code: string;
  /** Paths of all modules in it. */
  readonly modules: readonly string[];
}

/** Bundles a page's script and all it imports: one ECMAScript module, minified, for browsers that know ES2024. */
export async function bundleScript(entry: string, root: string): Promise<BundledScript> {
  const build = await rolldown({
    input: entry,
    cwd: root,
    platform: 'browser',
    // Whoever imports what a browser lacks has made a mistake; a bundle that loads it from elsewhere would hide that.
    onLog(level, log) {
      if (level === 'warn') throw new Error(`${entry}: ${log.message}`);
    },
    transform: { target: 'es2024' },
    tsconfig: false,
  });
  try {
    const { output } = await build.generate({ format: 'esm', minify: true, sourcemap: false, codeSplitting: false });
    const [chunk, ...more] = output;
    const outside = [...chunk.imports, ...chunk.dynamicImports];
    if (more.length > 0 || outside.length > 0)
      throw new Error(`${entry} needs more than itself: ${outside.join(', ')}`);
    return { code: chunk.code, modules: chunk.moduleIds };
  } finally {
    await build.close();
  }
}

const IMPORT = /^@import "(\.[^"]+)";\n/gm;

/** A style sheet with what it imports in its place, each file once, without comments and indentation. */
export function bundleStyle(entry: string, seen = new Set<string>()): string {
  const path = resolve(entry);
  if (seen.has(path)) return '';
  seen.add(path);
  const whole = readFileSync(path, 'utf8').replace(IMPORT, (_, name: string) =>
    bundleStyle(join(dirname(path), name), seen),
  );
  if (/@import|url\(/.test(whole)) throw new Error(`${entry} loads something at run time; pages carry all they need`);
  return `${whole
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s+/gm, '')
    .trim()}\n`;
}
