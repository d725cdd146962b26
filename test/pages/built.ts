/** The pages as they are built, once for each test file. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuiltPage, buildPages } from '../../scripts/build-pages.ts';

export interface Built extends BuiltPage {
  /** Where its files are. */
  readonly folder: string;
}

/** Builds one page into a folder of its own. */
export async function build(name: string): Promise<Built> {
  const out = mkdtempSync(join(tmpdir(), 'pages-'));
  const [page] = await buildPages({ out, only: [name] });
  return { ...page!, folder: join(out, name) };
}
