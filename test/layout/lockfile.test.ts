import { describe, expect, it } from 'vitest';
import { read } from './imports.ts';

interface Entry {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly optional?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const lock = JSON.parse(read('package-lock.json')) as { readonly packages: Readonly<Record<string, Entry>> };
const manifest = JSON.parse(read('package.json')) as Readonly<Record<string, Record<string, string> | undefined>>;
const entries = Object.entries(lock.packages);

/** Where a dependency of the package at `path` may lie: in its own folder, or in that of any package around it. */
function placesFor(path: string, name: string): string[] {
  const around = path.split('/node_modules/').map((_, i, parts) => parts.slice(0, i + 1).join('/node_modules/'));
  return [`node_modules/${name}`, ...around.map((folder) => `${folder}/node_modules/${name}`)];
}

describe('package-lock.json', () => {
  it('names no download address, so that it works with every registry', () => {
    expect(entries.filter(([, entry]) => entry.resolved !== undefined).map(([path]) => path)).toEqual([]);
    expect(read('package-lock.json')).not.toMatch(/"resolved"/);
  });

  it('has an entry for every platform’s variant of a package', () => {
    const missing = entries.flatMap(([path, entry]) =>
      Object.keys(entry.optionalDependencies ?? {})
        .filter((name) => !placesFor(path, name).some((place) => Object.hasOwn(lock.packages, place)))
        .map((name) => `${path} needs ${name}: run scripts/complete-lockfile.mjs`),
    );
    expect(missing).toEqual([]);
  });

  it('has a hash for every package that is not another platform’s', () => {
    const without = entries.filter(([path, entry]) => path !== '' && !entry.integrity && !entry.optional);
    expect(without.map(([path]) => path)).toEqual([]);
  });

  it('agrees with package.json, whose versions are exact', () => {
    const rootEntry = lock.packages[''] as typeof manifest;
    for (const kind of ['dependencies', 'devDependencies']) {
      expect(rootEntry[kind]).toEqual(manifest[kind]);
      for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
        expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/);
        expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
      }
    }
  });
});
