/**
 * Serving a page that scripts/build-pages.ts has built: every file as it was hashed, never another, and with the headers
 * that keep it to itself: Content Security Policy (CSP level 3), Cross-Origin Opener Policy, Referrer Policy.
 */

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HoldfastError, type JsonValue, parseJson } from '../core/index.ts';

const FORMAT = 'holdfast/page/v1';
const INDEX = 'index.html';
/** Beside the pages' folders, written by scripts/build-pages.ts. */
const PAGE_LIST = 'pages.sha256';
const NAME = /^[a-z0-9][a-z0-9-]*\.[a-z]+$/;
const IMMUTABLE = 'public, max-age=31536000, immutable';
/** Where a build puts the pages: next to the compiled program, or in the checkout whose sources run. */
const FOLDERS = ['../pages/', '../../dist/pages/'];

export type PageName = 'transparency' | 'client' | 'dashboard';

interface PageFile {
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
  readonly etag: string;
  readonly encodings: ReadonlyMap<string, Buffer>;
}

export interface Page {
  /** SHA-256 of its `index.html` in hexadecimal, which stands for the whole page. */
  readonly sha256: string;
  readonly contentSecurityPolicy: string;
  readonly files: readonly PageFile[];
}

/** The page of this program's own build, or undefined where pages were not built. @throws HoldfastError `usage`. */
export async function builtPage(name: PageName): Promise<Page | undefined> {
  for (const folder of FOLDERS) {
    const path = join(fileURLToPath(new URL(folder, import.meta.url)), name);
    const description = await readFile(join(path, 'page.json'), 'utf8').catch(() => '');
    // Next to the sources the file of that name says how to build the page.
    if (description.includes(`"${FORMAT}"`)) return await readPage(path);
  }
  return undefined;
}

/** The hashes of all pages of this program's own build, as `sha256sum` writes them; undefined where none were built. */
export async function builtPageList(): Promise<string | undefined> {
  for (const folder of FOLDERS) {
    const path = join(fileURLToPath(new URL(folder, import.meta.url)), PAGE_LIST);
    const text = await readFile(path, 'utf8').catch(() => undefined);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** Reads a built page whole, and checks every hash. @throws HoldfastError `usage`. */
export async function readPage(folder: string): Promise<Page> {
  try {
    const text = await readFile(join(folder, 'page.json'), 'utf8');
    const description = parseJson(text, 'usage').object(['format', 'contentSecurityPolicy', 'files']);
    description.required('format').word([FORMAT]);
    const list = description.required('files').array(1, 100);
    const files = await Promise.all(list.map((file) => readPageFile(folder, file)));
    const index = files.find(({ name }) => name === INDEX);
    if (!index) throw new HoldfastError('usage', `${INDEX} is missing`);
    const contentSecurityPolicy = description.required('contentSecurityPolicy').text(2000);
    return { sha256: sha256(index.bytes), contentSecurityPolicy, files };
  } catch (cause) {
    throw new HoldfastError('usage', `${folder} holds no page as it was built; run npm run build, or name its folder`, {
      cause,
    });
  }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function readPageFile(folder: string, described: JsonValue): Promise<PageFile> {
  const file = described.object(['name', 'type', 'size', 'sha256']);
  const [name, type] = [file.required('name').text(100), file.required('type').text(100)];
  if (!NAME.test(name)) throw new HoldfastError('usage', 'a file of the page has no name of a file');
  const bytes = await readFile(join(folder, name));
  const digest = sha256(bytes);
  if (digest !== file.required('sha256').text(64)) {
    throw new HoldfastError('usage', `${name} is not the file that was built`);
  }
  const encodings = new Map<string, Buffer>();
  for (const [encoding, ending] of [
    ['br', 'br'],
    ['gzip', 'gz'],
  ] as const) {
    const compressed = await readFile(join(folder, `${name}.${ending}`)).catch(() => undefined);
    if (compressed) encodings.set(encoding, compressed);
  }
  return { name, type, bytes, etag: `"${digest.slice(0, 32)}"`, encodings };
}

/** Adds the page's routes: its index at `prefix`, which ends in a slash, its files below. */
export function addPage(app: FastifyInstance, page: Page, prefix = '/'): void {
  for (const file of page.files) {
    const index = file.name === INDEX;
    const headers = {
      'content-type': file.type,
      // The index names all others by their hashes, so that it alone can change.
      'cache-control': index ? 'no-cache' : IMMUTABLE,
      etag: file.etag,
      vary: 'accept-encoding',
      ...pageHeaders(page),
    };
    const answer = async (request: FastifyRequest, reply: FastifyReply) => {
      reply.headers(headers);
      if (request.headers['if-none-match'] === file.etag) return reply.code(304).send();
      const [encoding, bytes] = encoded(file, request.headers['accept-encoding']);
      if (encoding) reply.header('content-encoding', encoding);
      return reply.send(bytes);
    };
    app.get(index ? prefix : `${prefix}${file.name}`, answer);
    // The same file under its own name, as where a page's folder is served as it is.
    if (index) app.get(`${prefix}${INDEX}`, answer);
  }
}

/** What every answer with a part of a page carries. */
export function pageHeaders({ contentSecurityPolicy }: Pick<Page, 'contentSecurityPolicy'>): Record<string, string> {
  return {
    'content-security-policy': `${contentSecurityPolicy}; frame-ancestors 'none'`,
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
  };
}

function encoded(file: PageFile, accepted: string | string[] | undefined): readonly [string | undefined, Buffer] {
  const words = String(accepted ?? '')
    .split(',')
    .map((word) => word.trim().toLowerCase());
  for (const [encoding, bytes] of file.encodings) if (words.includes(encoding)) return [encoding, bytes];
  return [undefined, file.bytes];
}
