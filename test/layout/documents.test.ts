/** The documents: every link between them leads somewhere, and every file that they name is there. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '../..');

function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name));
}

const documents = ['README.md', 'SECURITY.md', ...markdownIn('docs')];
const textOf = (path: string) => readFileSync(join(root, path), 'utf8').replaceAll(/^ *```[\s\S]*?^ *```$/gm, '');

/** A heading's anchor, as the usual renderers make it. */
function anchorOf(heading: string): string {
  const plain = heading.replaceAll(/[`*]/g, '').replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1');
  return plain
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
    .replaceAll(' ', '-');
}

const anchorsOf = (path: string) => [...textOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!));

describe.each(documents)('%s', (path) => {
  it('links to files and headings that are there', () => {
    const wrong = [...textOf(path).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].flatMap(([, link]) => {
      const [file, anchor] = link!.split('#') as [string, string?];
      const target = file === '' ? path : relative(root, resolve(root, dirname(path), file));
      if (!existsSync(join(root, target))) return [link];
      return anchor === undefined || anchorsOf(target).includes(anchor) ? [] : [link];
    });
    expect(wrong).toEqual([]);
  });

  it('names files and folders that are there', () => {
    const named = [...textOf(path).matchAll(/`((?:docs|scripts|src|test)\/[\w./-]+)`/g)].map(([, name]) => name!);
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([]);
  });
});
