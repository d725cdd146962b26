/** `holdfast page check`: whether a page that somebody serves is the one that this release's sources give, file by file. */

import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { HoldfastError } from '../../core/index.ts';
import { builtPageList } from '../../http/index.ts';
import { checkUrl, Fetcher } from '../../operator/index.ts';
import { readSmallFile, readTextFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

export interface CheckFlags {
  readonly page: string;
  readonly list?: string;
  readonly authority?: string;
}

const INDEX = 'index.html';
/** Bytes of a list of hashes, of a file of a page, and of an authority's certificate. */
const MAXIMUM_LIST = 65_536;
const MAXIMUM_FILE = 8_388_608;
const MAXIMUM_PEM = 65_536;
/** Milliseconds for each answer. */
const TIMEOUT = 15_000;
/** As `sha256sum` writes them: 64 digits, two spaces, `<page>/<file>`. */
const LINE = /^([0-9a-f]{64}) {2}([a-z0-9-]{1,64})\/([a-z0-9][a-z0-9-]{0,98}\.[a-z]{1,8})$/;
const UNPACK: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  br: (bytes) => brotliDecompressSync(bytes, { maxOutputLength: MAXIMUM_FILE }),
  gz: (bytes) => gunzipSync(bytes, { maxOutputLength: MAXIMUM_FILE }),
};
/** What the build writes beside a page, and no browser loads. */
const BESIDES = new Set(['page.json', 'THIRD-PARTY-LICENSES.txt']);

interface Difference {
  readonly file: string;
  readonly difference: 'changed' | 'missing' | 'added';
  /** SHA-256 as listed, and as found. */
  readonly listed: string | null;
  readonly found: string | null;
}

/** The bytes of a file of the page; undefined where there is none. */
type ReadPageFile = (name: string) => Promise<Uint8Array | undefined>;

export async function check(where: string, flags: CheckFlags, signal: AbortSignal): Promise<CommandResult> {
  const { text, hashes } = await readList(flags);
  const listed = new Map(hashes.flatMap(({ page, file, sha256 }) => (page === flags.page ? [[file, sha256]] : [])));
  if (!listed.has(INDEX)) {
    const known = [...new Set(hashes.map(({ page }) => page))].join(', ');
    throw new HoldfastError('usage', `the list has no page ${flags.page}; it has ${known}`);
  }
  const found = /^https?:\/\//.test(where) ? await atSite(where, listed, flags, signal) : await inFolder(where, listed);
  const differences = found.sort((a, b) => (a.file < b.file ? -1 : 1));
  const lines = [
    ...differences.map(lineOf),
    differences.length === 0
      ? `${where}: all ${listed.size} files of the page ${flags.page} are those of the list.`
      : `${where} is not the page ${flags.page} of the list: ${differences.length} differences.`,
    `SHA-256 of the list, as statements on software name it: ${sha256(Buffer.from(text))}`,
    'It was served to you, this time: what others get, this does not show.',
  ];
  return {
    value: { where, page: flags.page, files: listed.size, list: sha256(Buffer.from(text)), differences },
    lines,
    ...(differences.length > 0 && { code: 'untrusted' as const }),
  };
}

async function readList({ list }: CheckFlags) {
  const text =
    list === undefined ? await builtPageList() : await readTextFile(list, 'the list of hashes', MAXIMUM_LIST);
  if (text === undefined) {
    throw new HoldfastError(
      'usage',
      'this program has no pages of its own: run npm run build, or name a list with --list',
    );
  }
  const hashes = text
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [, digest, page, file] = LINE.exec(line) ?? [];
      if (digest !== undefined && page !== undefined && file !== undefined) return { sha256: digest, page, file };
      throw new HoldfastError('bad_input', 'the list of hashes has a line that sha256sum would not have written');
    });
  if (!text.endsWith('\n') || hashes.length === 0)
    throw new HoldfastError('bad_input', 'the list of hashes is cut short');
  return { text, hashes };
}

async function atSite(
  where: string,
  listed: ReadonlyMap<string, string>,
  { authority }: CheckFlags,
  signal: AbortSignal,
): Promise<Difference[]> {
  const base = checkUrl('the page’s address', where.replace(/\/*$/, '/'));
  const pem = authority === undefined ? undefined : await readTextFile(authority, 'the authority', MAXIMUM_PEM);
  const fetcher = new Fetcher({ authority: pem });
  const read: ReadPageFile = async (name) => {
    const options = { maximumBytes: MAXIMUM_FILE, timeout: TIMEOUT, signal };
    const { status, body } = await fetcher.get(new URL(name, base), options);
    if (status === 200) return body;
    if (status === 404 || status === 410) return undefined;
    throw new HoldfastError('not_ready', `${new URL(name, base).href} answered with status ${status}`);
  };
  try {
    // Visitors load the folder; its index may have no name of its own.
    return await compared(listed, (name) => read(name === INDEX ? '' : name));
  } finally {
    await fetcher.close();
  }
}

async function inFolder(folder: string, listed: ReadonlyMap<string, string>): Promise<Difference[]> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw new HoldfastError('usage', 'name the page’s address, as https://log.example, or a folder with its files');
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.flatMap((entry) =>
    entry.isDirectory() ? [] : [join(entry.parentPath, entry.name).slice(join(folder, '/').length)],
  );
  const read: ReadPageFile = async (name) =>
    files.includes(name) ? await readSmallFile(join(folder, name), 'the file', MAXIMUM_FILE) : undefined;
  const differences = await compared(listed, read);
  for (const file of files) {
    if (listed.has(file) || BESIDES.has(file)) continue;
    const [, name, ending] = /^(.+)\.(br|gz)$/.exec(file) ?? [];
    const expected = listed.get(name ?? '') ?? null;
    const content = (await read(file))!;
    const plain = expected === null ? undefined : unpacked(content, ending!);
    if (plain !== undefined && sha256(plain) === expected) continue;
    differences.push({
      file,
      difference: expected === null ? 'added' : 'changed',
      listed: expected,
      found: sha256(plain ?? content),
    });
  }
  return differences;
}

/** A compressed copy, which servers send in the place of the file. */
function unpacked(content: Uint8Array, ending: string): Uint8Array | undefined {
  try {
    return UNPACK[ending]!(content);
  } catch {
    return undefined;
  }
}

async function compared(listed: ReadonlyMap<string, string>, read: ReadPageFile): Promise<Difference[]> {
  const differences: Difference[] = [];
  for (const [file, expected] of listed) {
    const content = await read(file);
    const found = content === undefined ? null : sha256(content);
    if (found === expected) continue;
    differences.push({ file, difference: found === null ? 'missing' : 'changed', listed: expected, found });
  }
  return differences;
}

function lineOf({ file, difference, listed, found }: Difference): string {
  if (difference === 'added') return `added    ${file}: ${found}`;
  return difference === 'missing' ? `missing  ${file}` : `changed  ${file}: ${found} instead of ${listed}`;
}

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
