/** The SDK as a browser gets it: one file that needs nothing of Node, and stays small. */

import { brotliCompressSync, gzipSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { type Bundle, bundle } from './bundle.ts';

let built: Bundle;
let code: string;

beforeAll(async () => {
  built = await bundle('sdk');
  code = built.files.get('sdk.js') ?? '';
});

test('the SDK is one file that imports nothing', () => {
  expect([...built.files.keys()]).toEqual(['sdk.js']);
  expect(built.outside).toEqual([]);
  expect(code).toContain('VaultClient');
});

test('it holds only our browser-safe folders and packages, no stand-in for a module of Node, no Node in code', () => {
  const ids = built.modules.map((id) => id.replace(/^.*\/(?=src\/|node_modules\/)/, ''));
  const ours = ids.filter((id) => id.startsWith('src/')).map((id) => id.split('/')[1]);
  expect([...new Set(ours)].sort()).toEqual(['access', 'client', 'core', 'crypto', 'protocol', 'trust']);
  expect(ids.filter((id) => /__vite-browser-external|^node:/.test(id))).toEqual([]);
  // The one mention of a module of Node asks the runtime, and takes no for an answer (src/core/native.ts).
  expect(code.match(/node:[a-z_/]+/g)).toEqual(['node:crypto']);
  expect(code).not.toMatch(/\brequire\s*\(|\bBuffer\.(from|alloc)|\b__dirname\b|\bprocess\.env\b/);
  expect(code).not.toMatch(/\beval\s*\(|new Function\b/);
});

test('its size is what docs/browser.md says, give or take', () => {
  const sizes = {
    minified: code.length,
    gzip: gzipSync(code, { level: 9 }).length,
    brotli: brotliCompressSync(code).length,
  };
  console.log(`the SDK for browsers, bytes: ${JSON.stringify(sizes)}`);
  // A guard: whoever passes it by mistake has probably pulled in a package that does not belong in a browser.
  expect(sizes.gzip).toBeLessThan(120_000);
  expect(sizes.gzip).toBeGreaterThan(10_000);
});
