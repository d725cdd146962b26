/** A page at an address or in a folder, held against the hashes of its build: every change is named, and ends with 6. */

import { createHash } from 'node:crypto';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { run } from './run.ts';

const PAGE: Readonly<Record<string, string>> = {
  'index.html': '<!doctype html><script src="./transparency-0a35.js"></script>',
  'transparency-0a35.js': 'check();\n',
  'transparency-91ab.css': 'body { color: black }\n',
};
const hash = (text: string) => createHash('sha256').update(text).digest('hex');
const lines = Object.entries(PAGE).map(([name, text]) => `${hash(text)}  transparency/${name}\n`);
const other = `${hash('x')}  client/index.html\n`;

const root = mkdtempSync(join(tmpdir(), 'page-'));
const list = join(root, 'pages.sha256');
const built = join(root, 'built');
let served = new Map<string, string>();
let server: Server;
let address: string;

beforeAll(async () => {
  writeFileSync(list, other + lines.join(''));
  mkdirSync(built);
  for (const [name, text] of Object.entries(PAGE)) {
    writeFileSync(join(built, name), text);
    writeFileSync(join(built, `${name}.gz`), gzipSync(text));
    writeFileSync(join(built, `${name}.br`), brotliCompressSync(text));
  }
  for (const name of ['page.json', 'THIRD-PARTY-LICENSES.txt']) writeFileSync(join(built, name), 'for servers');
  server = createServer(({ url }, answer) => {
    const text = served.get(url!);
    answer.writeHead(text === undefined ? 404 : 200).end(text);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((closed) => server.close(closed));
  rmSync(root, { recursive: true });
});

async function check(where: string, ...more: string[]) {
  const { code, out } = await run('page', 'check', where, '--list', list, ...more, '--json');
  const { differences, error } = JSON.parse(out);
  const found = (differences as { file: string; difference: string }[] | undefined)?.map(
    ({ file, difference }) => `${difference} ${file}`,
  );
  return { code, found, error };
}

describe('at an address', () => {
  beforeEach(() => {
    served = new Map(Object.entries(PAGE).map(([name, text]) => [name === 'index.html' ? '/' : `/${name}`, text]));
  });

  it('is right as it was built, below any path', async () => {
    expect(await check(address)).toMatchObject({ code: 0, found: [] });
    served = new Map([...served].map(([path, text]) => [`/a/page${path}`, text]));
    expect(await check(`${address}/a/page`)).toMatchObject({ code: 0, found: [] });
  });

  it('is not where a byte of any file differs, or one is not there', async () => {
    for (const path of [...served.keys()]) {
      const before = served.get(path)!;
      const file = path === '/' ? 'index.html' : path.slice(1);
      served.set(path, `${before} `);
      expect(await check(address)).toMatchObject({ code: 6, found: [`changed ${file}`] });
      served.delete(path);
      expect(await check(address)).toMatchObject({ code: 6, found: [`missing ${file}`] });
      served.set(path, before);
    }
  });

  it('says what it compared with, and that it saw one answer', async () => {
    served.set('/', 'another page');
    const { code, out } = await run('page', 'check', address, '--list', list);
    expect(code).toBe(6);
    expect(out).toContain(`changed  index.html: ${hash('another page')} instead of ${hash(PAGE['index.html']!)}`);
    expect(out).toContain(`SHA-256 of the list, as statements on software name it: ${hash(other + lines.join(''))}`);
    expect(out).toContain('what others get, this does not show');
  });
});

describe('in a folder', () => {
  let copy: string;
  beforeEach(() => {
    copy = mkdtempSync(join(root, 'copy-'));
    cpSync(built, copy, { recursive: true });
  });

  it('is right as it was built, with compressed copies and without', async () => {
    expect(await check(copy)).toMatchObject({ code: 0, found: [] });
    for (const name of Object.keys(PAGE)) rmSync(join(copy, `${name}.br`));
    expect(await check(`${copy}/`)).toMatchObject({ code: 0, found: [] });
  });

  it.each<[string, () => void, string[]]>([
    [
      'changed',
      () => writeFileSync(join(copy, 'transparency-0a35.js'), 'steal();\n'),
      ['changed transparency-0a35.js'],
    ],
    ['taken away', () => rmSync(join(copy, 'transparency-91ab.css')), ['missing transparency-91ab.css']],
    ['added', () => writeFileSync(join(copy, 'worker.js'), 'x'), ['added worker.js']],
    [
      'added below',
      () => {
        mkdirSync(join(copy, 'deep'));
        writeFileSync(join(copy, 'deep/index.html'), 'x');
      },
      ['added deep/index.html'],
    ],
    [
      'changed in the copy that browsers get',
      () => writeFileSync(join(copy, 'index.html.br'), brotliCompressSync('another page')),
      ['changed index.html.br'],
    ],
    ['not compressed at all', () => writeFileSync(join(copy, 'index.html.gz'), 'x'), ['changed index.html.gz']],
  ])('is not where a file is %s', async (_what, change, found) => {
    change();
    expect(await check(copy)).toEqual({ code: 6, found, error: undefined });
  });
});

describe('is refused', () => {
  it('without a page of that name, a list in its form, or a place', async () => {
    expect(await check(built, '--page', 'dashboard')).toMatchObject({ code: 2 });
    expect(await check(join(root, 'nowhere'))).toMatchObject({ code: 2 });
    for (const text of ['', 'x\n', lines[0]!.trimEnd(), lines[0]!.replace('  ', ' '), lines[0]!.replace('/', '/../')]) {
      writeFileSync(join(root, 'wrong'), text);
      const { code } = await run('page', 'check', built, '--list', join(root, 'wrong'));
      expect([text, code]).toEqual([text, 9]);
    }
  });
});
