/** How pages are built: the same bytes each time, nothing loaded from elsewhere, and served as they were hashed. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { fastify } from 'fastify';
import { beforeAll, describe, expect, test } from 'vitest';
import { type BuiltPage, buildPages, listOf } from '../../scripts/build-pages.ts';
import { contentSecurityPolicy, parsePageOptions, renderHtml } from '../../scripts/pages/html.ts';
import { addPage, readPage } from '../../src/http/index.ts';

const root = resolve(import.meta.dirname, '../..');
const folder = (name: string) => mkdtempSync(join(tmpdir(), `${name}-`));

let out: string;
let pages: BuiltPage[];

beforeAll(async () => {
  out = folder('out');
  pages = await buildPages({ out });
});

const textOf = (page: BuiltPage, ending: string) => {
  const [, bytes] = [...page.files].find(([name]) => name.endsWith(ending))!;
  return Buffer.from(bytes).toString('utf8');
};

describe('the build of all pages', () => {
  test('gives the same bytes from another folder and at another time', async () => {
    const elsewhere = folder('checkout');
    cpSync(join(root, 'src'), join(elsewhere, 'deeper/src'), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(elsewhere, 'deeper/node_modules'));
    const again = folder('again');
    const second = await buildPages({ out: again, root: join(elsewhere, 'deeper') });
    expect(second.map(({ name, sha256 }) => [name, sha256])).toEqual(pages.map(({ name, sha256 }) => [name, sha256]));
    for (const { name } of pages) {
      const files = readdirSync(join(out, name)).sort();
      expect(readdirSync(join(again, name)).sort()).toEqual(files);
      for (const file of files) {
        expect(readFileSync(join(again, name, file)).equals(readFileSync(join(out, name, file))), file).toBe(true);
      }
    }
  });

  test('writes the hashes of all files that browsers get, which sha256sum reads', () => {
    const list = readFileSync(join(out, 'pages.sha256'), 'utf8');
    expect(list).toBe(listOf(pages));
    expect(list.split('\n')).toHaveLength(pages.reduce((sum, { files }) => sum + files.size, 0) + 1);
    expect(() =>
      execFileSync('sha256sum', ['--strict', '-c', 'pages.sha256'], { cwd: out, stdio: 'ignore' }),
    ).not.toThrow();
  });

  test('lets nothing be loaded from elsewhere, and pins every file of the page by its hash', () => {
    expect(pages.length).toBeGreaterThan(0);
    for (const page of pages) {
      const html = textOf(page, '.html');
      const addresses = [...html.matchAll(/\b(?:href|src)="([^"]*)"/g)].map(([, address]) => address);
      expect(addresses.sort()).toEqual(
        [...page.files.keys()]
          .filter((name) => name !== 'index.html')
          .map((name) => `./${name}`)
          .sort(),
      );
      for (const [, name, integrity] of html.matchAll(/="\.\/([^"]+\.(?:js|css))" integrity="sha384-([^"]+)"/g)) {
        expect(createHash('sha384').update(page.files.get(name!)!).digest('base64')).toBe(integrity);
      }
      expect(html.match(/integrity=/g)).toHaveLength(2);
      expect(html).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon[a-z]+=/);
      expect(textOf(page, '.css')).not.toMatch(/@import|url\(/);
      expect(textOf(page, '.js')).not.toMatch(/\beval\s*\(|new Function\b|innerHTML|\bimport\s*\(/);
    }
  });
});

test('the page that checks a site is small enough for any connection', () => {
  const [page] = pages.filter(({ name }) => name === 'transparency');
  const [, script] = [...page!.files].find(([name]) => name.endsWith('.js'))!;
  const bytes = gzipSync(script, { level: 9 }).length;
  console.log(`the transparency page’s script: ${bytes} bytes gzip`);
  expect(bytes).toBeLessThan(100_000);
});

describe('a template', () => {
  test('may name only files of the page', () => {
    expect(() => renderHtml('<meta charset="utf-8"><script src="./other.js"></script>', new Map(), 'x')).toThrow(
      './other.js',
    );
    expect(() => renderHtml('<head></head>', new Map(), 'x')).toThrow('charset');
  });

  test('asks for nothing that its options do not name', () => {
    const policy = contentSecurityPolicy(parsePageOptions('{ "connect": [], "wasm": false }'));
    expect(policy).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';",
    );
    expect(contentSecurityPolicy({ connect: ['https:'], wasm: true })).toContain(
      "script-src 'self' 'wasm-unsafe-eval'",
    );
    expect(() => parsePageOptions('{ "connect": ["a; script-src *"], "wasm": false }')).toThrow('page.json');
    expect(() => parsePageOptions('{ "connect": [], "wasm": false, "inline": true }')).toThrow('page.json');
  });
});

describe('a page that is served', () => {
  const start = async () => {
    const app = fastify();
    addPage(app, await readPage(join(out, 'transparency')), '/there/');
    return app;
  };

  test('has headers that keep it to itself, and a policy that no frame may hold it', async () => {
    const { statusCode, headers, body } = await (await start()).inject('/there/');
    expect(statusCode).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      'cross-origin-opener-policy': 'same-origin',
      'referrer-policy': 'no-referrer',
    });
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; .*frame-ancestors 'none'$/);
    const [page] = pages.filter(({ name }) => name === 'transparency');
    expect(createHash('sha256').update(body).digest('hex')).toBe(page!.sha256);
  });

  test('is kept for good by caches but for its index, which is asked for by its hash', async () => {
    const app = await start();
    const [page] = pages.filter(({ name }) => name === 'transparency');
    for (const name of page!.files.keys()) {
      const { headers } = await app.inject(`/there/${name}`);
      const forGood = name !== 'index.html';
      expect(headers['cache-control'], name).toBe(forGood ? 'public, max-age=31536000, immutable' : 'no-cache');
      const again = await app.inject({ url: `/there/${name}`, headers: { 'if-none-match': headers.etag } });
      expect([again.statusCode, again.body]).toEqual([304, '']);
    }
    expect((await app.inject('/there/page.json')).statusCode).toBe(404);
  });

  test('is sent compressed to those who ask, and is the same', async () => {
    const app = await start();
    const get = (encoding: string) => app.inject({ url: '/there/', headers: { 'accept-encoding': encoding } });
    const plain = (await get('identity')).rawPayload;
    const [brotli, gzip] = [await get('gzip, deflate, br'), await get('gzip')];
    expect([brotli.headers['content-encoding'], gzip.headers['content-encoding']]).toEqual(['br', 'gzip']);
    expect(brotliDecompressSync(brotli.rawPayload).equals(plain)).toBe(true);
    expect(gunzipSync(gzip.rawPayload).equals(plain)).toBe(true);
    expect(brotli.headers.vary).toBe('accept-encoding');
  });

  test('is not served at all once a file is not the one that was built', async () => {
    const copy = folder('copy');
    cpSync(join(out, 'transparency'), copy, { recursive: true });
    const script = readdirSync(copy).find((name) => name.endsWith('.js'))!;
    writeFileSync(join(copy, script), 'alert(1)');
    await expect(readPage(copy)).rejects.toMatchObject({ code: 'usage' });
    await expect(readPage(folder('empty'))).rejects.toMatchObject({ code: 'usage' });
  });
});
