/**
 * Builds the pages under src/pages: for each folder with an `index.html`, one script, one style sheet and the HTML file
 * that names both by their hashes; compressed copies besides; and `page.json`, by which a server knows what is what.
 * The same sources and packages give the same bytes, wherever and whenever they are built.
 */

import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { licensesOf } from './build.ts';
import { bundleScript, bundleStyle } from './pages/bundle.ts';
import { type Asset, contentSecurityPolicy, hashedName, parsePageOptions, renderHtml, sha256 } from './pages/html.ts';

const here = resolve(import.meta.dirname, '..');

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/** A page as it was built. */
export interface BuiltPage {
  readonly name: string;
  /** SHA-256 of `index.html`, in hexadecimal. It holds the hashes of all else, so it stands for the page. */
  readonly sha256: string;
  /** By file name; `page.json` and compressed copies are not among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface BuildPagesOptions {
  /** The folder that gets one folder for each page. */
  readonly out: string;
  /** Where `src` and `node_modules` are; default this checkout. */
  readonly root?: string;
  /** Only these pages; default all. */
  readonly only?: readonly string[];
}

/** Builds pages; what stood in their folders is gone. @throws Error where a page does not build as a whole. */
export async function buildPages({ out, root = here, only }: BuildPagesOptions): Promise<BuiltPage[]> {
  const names = globSync('src/pages/*/index.html', { cwd: root })
    .map((path) => basename(dirname(path)))
    .sort();
  const wanted = only ?? names;
  for (const name of wanted) if (!names.includes(name)) throw new Error(`there is no page ${name} in src/pages`);
  const built: BuiltPage[] = [];
  for (const name of wanted) built.push(await buildPage(name, root, out));
  writeFileSync(join(out, 'pages.sha256'), listOf(built));
  return built;
}

/** The hashes of all files that browsers get, for `sha256sum -c`, `holdfast page check` and statements on software. */
export function listOf(pages: readonly BuiltPage[]): string {
  const lines = pages.flatMap(({ name, files }) =>
    [...files].map(([file, bytes]) => `${sha256(bytes)}  ${name}/${file}\n`),
  );
  return lines.sort((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join('');
}

async function buildPage(name: string, root: string, out: string): Promise<BuiltPage> {
  const folder = join(root, 'src/pages', name);
  const options = parsePageOptions(readFileSync(join(folder, 'page.json'), 'utf8'));
  const template = readFileSync(join(folder, 'index.html'), 'utf8');
  const assets = new Map<string, Asset>();
  const modules: string[] = [];
  for (const [, path] of template.matchAll(/\b(?:href|src)="(\.[^"#?:]*)"/g)) {
    const bytes = await contentOf(join(folder, path!), root, modules);
    const extension = path!.split('.').at(-1)!.replace('ts', 'js');
    assets.set(path!, { name: hashedName(name, extension, bytes), bytes });
  }
  const policy = contentSecurityPolicy(options);
  const html = Buffer.from(renderHtml(template, assets, policy));
  const files = new Map<string, Uint8Array>([['index.html', html]]);
  for (const asset of assets.values()) files.set(asset.name, asset.bytes);
  write(join(out, name), files, policy);
  // For whoever passes the folder on; the page itself has no use for it.
  writeFileSync(join(out, name, 'THIRD-PARTY-LICENSES.txt'), licensesOf(modules));
  return { name, sha256: sha256(html), files };
}

/** @param modules gets the paths of what is bundled. */
async function contentOf(path: string, root: string, modules: string[]): Promise<Uint8Array> {
  if (!existsSync(path)) throw new Error(`${path} is missing`);
  if (path.endsWith('.ts')) {
    const script = await bundleScript(path, root);
    modules.push(...script.modules);
    return Buffer.from(script.code);
  }
  return path.endsWith('.css') ? Buffer.from(bundleStyle(path)) : readFileSync(path);
}

function write(folder: string, files: ReadonlyMap<string, Uint8Array>, policy: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const list = [];
  for (const [name, bytes] of files) {
    writeFileSync(join(folder, name), bytes);
    writeFileSync(join(folder, `${name}.gz`), gzipSync(bytes, { level: 9 }));
    const params = { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
    writeFileSync(join(folder, `${name}.br`), brotliCompressSync(bytes, { params }));
    list.push({ name, type: TYPES[name.split('.').at(-1)!], size: bytes.length, sha256: sha256(bytes) });
  }
  const page = { format: 'holdfast/page/v1', contentSecurityPolicy: policy, files: list };
  writeFileSync(join(folder, 'page.json'), `${JSON.stringify(page, undefined, 2)}\n`);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { out: { type: 'string', default: join(here, 'dist/pages') } } });
  const built = await buildPages({ out: values.out });
  for (const { name, sha256: digest, files } of built) {
    const script = [...files].find(([file]) => file.endsWith('.js'))?.[1];
    const size = script ? `, script ${gzipSync(script, { level: 9 }).length} bytes gzip` : '';
    console.log(`${name}: SHA-256 ${digest}${size}`);
  }
}
