/** Which modules of the bundled command are put into one file: what is loaded together, and never so that files need each other. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FILE_COST, mergeParts, type Part } from '../../scripts/build-chunks.ts';

const part = (name: string, size: number, ...imports: string[]): Part => ({ name, size, isEntry: false, imports });
const entry = (name: string, ...imports: string[]): Part => ({ name, size: 1, isEntry: true, imports });
const sorted = (groups: readonly string[][]) => groups.map((group) => group.toSorted().join(' ')).toSorted();

/** Parts of which each imports only later ones, as the bundler's do. */
const graphs = fc
  .array(
    fc.record({
      size: fc.integer({ min: 1, max: 8 * FILE_COST }),
      isEntry: fc.boolean(),
      steps: fc.array(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }),
    }),
    { minLength: 1, maxLength: 14 },
  )
  .map((all) =>
    all.map(({ size, isEntry, steps }, i): Part => {
      const imports = [...new Set(steps.map((step) => i + step))].filter((other) => other < all.length);
      return { name: `${i}`, size, isEntry, imports: imports.map(String) };
    }),
  );

/** What each entry loads, in bytes, with `FILE_COST` for each file. */
function costOf(parts: readonly Part[], groups: readonly string[][]): number {
  const of = new Map(parts.map((one) => [one.name, one]));
  const groupOf = new Map(groups.flatMap((group) => group.map((name) => [name, group] as const)));
  return parts
    .filter(({ isEntry }) => isEntry)
    .map(({ name }) => {
      const loaded = new Set<string>();
      const files = new Set<readonly string[]>();
      const visit = (next: string): void => {
        if (loaded.has(next)) return;
        const file = groupOf.get(next) ?? [next];
        files.add(file);
        for (const member of file) loaded.add(member);
        for (const member of file) for (const needed of of.get(member)!.imports) visit(needed);
      };
      visit(name);
      return files.size * FILE_COST + [...loaded].reduce((sum, member) => sum + of.get(member)!.size, 0);
    })
    .reduce((sum, cost) => sum + cost, 0);
}

/** Whether files need each other, each for what is in the other. */
function isCircular(parts: readonly Part[], groups: readonly string[][]): boolean {
  const fileOf = new Map(parts.map(({ name }) => [name, name]));
  for (const group of groups) for (const name of group) fileOf.set(name, group[0]!);
  const left = new Set(fileOf.values());
  for (;;) {
    const free = [...left].find((file) =>
      parts.every(
        ({ name, imports }) =>
          fileOf.get(name) !== file ||
          imports.every((other) => fileOf.get(other) === file || !left.has(fileOf.get(other)!)),
      ),
    );
    if (free === undefined) return left.size > 0;
    left.delete(free);
  }
}

describe('the files of the bundled command', () => {
  it('has in one file what the same commands load', () => {
    const parts = [entry('get', 'a', 'b'), entry('put', 'a', 'b'), part('a', 1000), part('b', 1000)];
    expect(sorted(mergeParts(parts, []))).toEqual(['a b']);
  });

  it('keeps apart what is large and what most commands load without it', () => {
    const parts = [
      ...[entry('get', 'small', 'large'), entry('put', 'small'), entry('status', 'small')],
      ...[part('small', 1000), part('large', 100 * FILE_COST)],
    ];
    expect(sorted(mergeParts(parts, []))).toEqual(['large', 'small']);
  });

  it('keeps a small part, which needs a large one, away from what most commands load', () => {
    const parts = [
      ...[entry('get', 'small', 'needing'), entry('put', 'small', 'other'), entry('status', 'small', 'other')],
      ...[part('small', 1), part('other', 1), part('needing', 1, 'large'), part('large', 100 * FILE_COST)],
    ];
    const found = sorted(mergeParts(parts, []));
    expect(found).toContain('large needing');
  });

  it('counts for every command what is loaded before all of them', () => {
    const parts = [
      ...[entry('main', 'first'), entry('get', 'a', 'second'), entry('put', 'second'), entry('status', 'second')],
      ...[part('first', 1), part('second', 1), part('a', 1)],
    ];
    expect(sorted(mergeParts(parts, ['main']))).toContainEqual(expect.stringContaining('first'));
    expect(sorted(mergeParts(parts, ['main'])).find((group) => group.includes('first'))).toContain('second');
    expect(sorted(mergeParts(parts, [])).find((group) => group.includes('first'))).toBe('first');
  });

  it('puts no two together that one which stays a file of its own stands between', () => {
    const parts = [entry('get', 'a'), entry('put', 'a'), part('a', 1, 'both'), entry('both', 'b'), part('b', 1)];
    expect(sorted(mergeParts(parts, []))).toEqual(['a', 'b']);
  });

  it('has every part in one file, entries in none, makes no file that needs another around a third, and costs no more', () => {
    fc.assert(
      fc.property(graphs, (parts) => {
        const groups = mergeParts(parts, []);
        const shared = parts.filter(({ isEntry }) => !isEntry).map(({ name }) => name);
        expect(groups.flat().toSorted()).toEqual(shared.toSorted());
        expect(isCircular(parts, groups)).toBe(false);
        expect(costOf(parts, groups)).toBeLessThanOrEqual(costOf(parts, []));
      }),
    );
  });
});
