/** Trees of files to back up, a way to compare them, and archives built by hand. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { HoldfastError } from '../../src/core/index.ts';

const made: string[] = [];

afterEach(() => {
  for (const path of made.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A folder that goes away after the test. */
export function scratch(): string {
  const path = mkdtempSync(join(tmpdir(), 'holdfast-backup-'));
  made.push(path);
  return path;
}

/** Every name under `root`, and every link's target, with kind, permissions, time (microseconds) and contents; what is not UTF-8 as `\\xff`. */
export function describeTree(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  const visit = (path: Buffer, name: string) => {
    const stats = lstatSync(path, { bigint: true });
    const time = stats.mtimeNs / 1000n;
    const mode = (Number(stats.mode) & 0o7777).toString(8);
    if (stats.isSymbolicLink()) found[name] = `link ${exactly(readlinkSync(path, 'buffer'))} @${time}`;
    else if (stats.isDirectory()) {
      found[name] = `folder ${mode} @${time}`;
      visitAll(path, `${name}/`);
    } else found[name] = `file ${mode} @${time} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
  };
  const visitAll = (path: Buffer, prefix: string) => {
    for (const child of readdirSync(path, 'buffer')) {
      visit(Buffer.concat([path, Buffer.from('/'), child]), prefix + exactly(child));
    }
  };
  visitAll(Buffer.from(root), '');
  return found;
}

function exactly(name: Buffer): string {
  const text = name.toString('utf8');
  if (Buffer.from(text).equals(name)) return text;
  return name.toString('latin1').replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
}

export function writeFiles(root: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(join(root, name, '..'), { recursive: true });
    writeFileSync(join(root, name), content);
  }
}

/** What a promise rejects with, which must be a HoldfastError. */
export async function failureOf(promise: Promise<unknown>): Promise<HoldfastError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof HoldfastError) return error;
  throw new Error(`expected a HoldfastError, got ${String(error)}`, { cause: error });
}

export interface RawEntry {
  readonly name: string | Uint8Array;
  /** ustar type flag: '0' file, '1' hard link, '2' symbolic link, '3' device, '5' folder, 'x' pax records. */
  readonly type?: string;
  readonly content?: string | Uint8Array;
  readonly size?: number;
  readonly mode?: number;
  readonly linkname?: string;
  readonly prefix?: string;
}

/** One entry of a ustar archive, with nothing checked, so that it can be as wrong as wanted. */
export function rawEntry(entry: RawEntry): Buffer {
  const content = Buffer.from(entry.content ?? '');
  const header = Buffer.alloc(512);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, '0');
  header.set(Buffer.from(entry.name).subarray(0, 100), 0);
  header.write(`${octal(entry.mode ?? 0o644, 7)}\0`, 100);
  header.write(`${octal(0, 7)}\0${octal(0, 7)}\0`, 108);
  header.write(`${octal(entry.size ?? content.length, 11)}\0${octal(1_700_000_000, 11)}\0`, 124);
  header.write('        ', 148);
  header.write(entry.type ?? '0', 156);
  header.write(entry.linkname ?? '', 157);
  header.write('ustar\x0000', 257);
  header.write(entry.prefix ?? '', 345);
  header.write(
    `${octal(
      header.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
  );
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** pax records before the entry that they describe. */
export function paxEntry(records: Record<string, string>): Buffer {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = Buffer.byteLength(rest) + 1;
    while (Buffer.byteLength(`${length}${rest}`) !== length) length++;
    return `${length}${rest}`;
  });
  return rawEntry({ name: 'PaxHeader', type: 'x', content: lines.join('') });
}

export const END_MARK = Buffer.alloc(1024);

/** Encrypts with stock age, so that nothing of ours stands behind the hostile archives. */
export function ageEncrypt(file: string, recipient: string, plaintext: Uint8Array): void {
  execFileSync('age', ['-r', recipient, '-o', file], { input: plaintext });
}
