/** What people are told of a file that a command cannot use: which one, and why, in words. */

import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkWritable, readParsed, readTextFile, reasonOf, writeWholeFile } from '../../src/cli/files.ts';
import { HoldfastError, parseJson } from '../../src/core/index.ts';
import { run } from './run.ts';

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-files-'));
  writeFileSync(at('file'), 'text\n');
  mkdirSync(at('folder'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('a file that cannot be read or written', () => {
  it.each([
    ['nothing', 'there is no such file or folder (ENOENT)'],
    ['folder', 'it is a folder (EISDIR)'],
    ['file/inside', 'a part of its path is not a folder (ENOTDIR)'],
  ])('%s: %s', async (name, reason) => {
    const message = `cannot read the file ${JSON.stringify(at(name))}: ${reason}`;
    await expect(readTextFile(at(name), 'the file', 100)).rejects.toMatchObject({ code: 'usage', message });
  });

  it('says so before anything is lost', async () => {
    const write = (path: string, overwrite: boolean) => writeWholeFile(path, 'new', { mode: 0o600, overwrite });
    await expect(write(at('file'), false)).rejects.toThrow('exists already; nothing was written');
    await expect(write(at('nowhere/file'), true)).rejects.toThrow('cannot be written: there is no such file or folder');
    await expect(readTextFile(at('file'), 'the file', 100)).resolves.toBe('text\n');
  });

  it('is seen before a person is asked for anything', async () => {
    await expect(checkWritable(at('file'), { overwrite: false })).rejects.toThrow(
      'exists already; nothing was written',
    );
    await expect(checkWritable(at('folder'), { overwrite: true })).rejects.toThrow('it is a folder');
    await expect(checkWritable(at('nowhere/file'), { overwrite: true })).rejects.toThrow('no such file or folder');
    for (const none of ['', at('folder/')]) {
      await expect(checkWritable(none, { overwrite: true })).rejects.toMatchObject({ code: 'usage' });
    }
    await checkWritable(at('file'), { overwrite: true });
    await checkWritable(at('new'), { overwrite: false });
  });

  it('has the system’s own name where there are no words for it', () => {
    expect(reasonOf(Object.assign(new Error(), { code: 'ENOSPC' }))).toBe('the disk is full (ENOSPC)');
    expect(reasonOf(Object.assign(new Error(), { code: 'EOTHER' }))).toBe('EOTHER');
    expect(reasonOf(Object.assign(new Error(), { code: 'constructor' }))).toBe('constructor');
    expect(reasonOf(undefined)).toBe('an error');
  });
});

describe('a file that is wrong', () => {
  it('is named, with the code and the details of what is wrong', async () => {
    const read = readParsed(at('file'), 'the draft', 100, (text) => parseJson(text, 'bad_input'));
    const message = `the draft ${JSON.stringify(at('file'))}: the text is not JSON`;
    await expect(read).rejects.toMatchObject({ code: 'bad_input', message });
    const details = { rule: 'x' };
    const thrown = readParsed(at('file'), 'the draft', 100, () => {
      throw new HoldfastError('policy_unsafe', 'why', { details });
    });
    await expect(thrown).rejects.toMatchObject({ code: 'policy_unsafe', details });
  });

  it.each([
    [['secret', 'get', '--user', 'x', '--trust'], 9],
    [['trust', 'show'], 9],
    [['policy', 'show'], 9],
    [['audit', 'https://127.0.0.1:1', '--anchor'], 9],
  ])('is named by %j, exit code %i', async (words, code) => {
    const { code: exit, error } = await run(...words, at('file'));
    expect(exit).toBe(code);
    expect(error).toContain(JSON.stringify(at('file')));
  });

  it('is told apart from one that somebody may not read', async () => {
    if (process.getuid?.() === 0) return expect(reasonOf({ code: 'EACCES' })).toContain('not allowed');
    chmodSync(at('file'), 0);
    await expect(readTextFile(at('file'), 'the file', 100)).rejects.toThrow('not allowed to (EACCES)');
    chmodSync(at('file'), 0o600);
  });
});

it('suggests on one line what a misspelt command may have meant', async () => {
  const { code, error } = await run('secret', 'gett');
  expect([code, error.split('\n')[0]]).toEqual([2, "holdfast: unknown command 'gett' (Did you mean get?)"]);
});
