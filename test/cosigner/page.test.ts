/** The transparency page on the cosigner's public listener: next to the log, with headers of its own. */

import { createHash } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BuiltPage, buildPages } from '../../scripts/build-pages.ts';
import { readPage } from '../../src/http/index.ts';
import { get, LOOPBACK, ServiceBench, until } from './service-fixture.ts';

let built: BuiltPage;
let bench: ServiceBench;
let reader: Pool;

beforeAll(async () => {
  const out = mkdtempSync(join(tmpdir(), 'page-'));
  [built] = (await buildPages({ out, only: ['transparency'] })) as [BuiltPage];
  const page = await readPage(join(out, 'transparency'));
  const listener = { listen: LOOPBACK, tls: undefined, rateLimit: undefined, trustedProxies: [], page };
  bench = await ServiceBench.start({ public: listener });
  reader = await bench.connect('public');
});
afterAll(() => bench.close());

test('the page is at the root, whole, and everything it names is beside it', async () => {
  const { status, headers, bytes } = await get(reader, '/');
  expect(status).toBe(200);
  expect(createHash('sha256').update(bytes).digest('hex')).toBe(built.sha256);
  expect(headers['content-security-policy']).toMatch(/script-src 'self';.*frame-ancestors 'none'$/);
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'cross-origin-opener-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'cache-control': 'no-cache',
  });
  for (const [name, content] of built.files) {
    const file = await get(reader, `/${name}`);
    expect([file.status, Buffer.from(content).equals(file.bytes)], name).toEqual([200, true]);
  }
});

test('the log stays where it was, under its own policy', async () => {
  const checkpoint = await until(async () => {
    const found = await get(reader, '/checkpoint');
    return found.status === 200 ? found : undefined;
  });
  expect(checkpoint.headers['content-security-policy']).toBe("default-src 'none'; frame-ancestors 'none'");
  expect((await get(reader, '/page.json')).status).toBe(404);
  expect((await get(reader, '/..%2fpackage.json')).status).toBe(404);
});
