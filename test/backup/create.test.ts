/** What a backup does with files that cannot be read, change meanwhile, or are no files; and what it leaves when it fails. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type BackupKeyPair, createBackup, generateIdentity, restoreBackup } from '../../src/backup/index.ts';
import { describeTree, failureOf, scratch, writeFiles } from './helpers.ts';

let keys: BackupKeyPair;
beforeAll(async () => {
  keys = await generateIdentity();
});

const PIECE = 256 * 1024;

/** Runs `change` once, when the first piece of a file has been read. */
function afterFirstPiece(change: () => void): (progress: { bytes: number }) => void {
  let pending = true;
  return ({ bytes }) => {
    if (!pending || bytes === 0) return;
    pending = false;
    change();
  };
}

describe('names', () => {
  test('two paths that would get one name are refused', async () => {
    const root = scratch();
    writeFiles(root, { 'a/same/x': '1', 'b/same/x': '2' });
    const paths = [join(root, 'a/same'), join(root, 'b/same/')];
    const error = await failureOf(createBackup({ paths, out: join(root, 'b.age'), recipient: keys.recipient }));
    expect(error).toMatchObject({ code: 'usage', message: expect.stringMatching(/same name/) });
    expect(readdirSync(root).sort()).toEqual(['a', 'b']);
  });

  test('several files and folders keep the last part of their paths', async () => {
    const root = scratch();
    writeFiles(root, { 'a/folder/x': '1', 'b/file': '2' });
    const paths = [`${join(root, 'a/folder')}/`, join(root, 'a/../b/file')];
    await createBackup({ paths, out: join(root, 'b.age'), recipient: keys.recipient });
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity });
    expect(Object.keys(describeTree(join(root, 'to'))).sort()).toEqual(['file', 'folder', 'folder/x']);
  });
});

describe('the output', () => {
  test('is not replaced, unless told to', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x', 'b.age': 'precious' });
    const options = { paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient };
    expect(await failureOf(createBackup(options))).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/exists already/),
    });
    expect(readFileSync(join(root, 'b.age'), 'utf8')).toBe('precious');
    await createBackup({ ...options, overwrite: true });
    expect(readFileSync(join(root, 'b.age'), 'latin1')).toMatch(/^age-encryption\.org\/v1\n/);
  });

  test('that another program takes meanwhile is not replaced either', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x'.repeat(PIECE + 1) });
    const onProgress = afterFirstPiece(() => writeFileSync(join(root, 'b.age'), 'precious'));
    const options = { paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient, onProgress };
    expect(await failureOf(createBackup(options))).toMatchObject({ code: 'usage' });
    expect(readFileSync(join(root, 'b.age'), 'utf8')).toBe('precious');
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  });

  test('inside the folder backed up does not hold itself', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x', 'tree/b.age': 'the last one' });
    const out = join(root, 'tree/b.age');
    const created = await createBackup({
      paths: [join(root, 'tree')],
      out,
      recipient: keys.recipient,
      overwrite: true,
    });
    expect(created).toMatchObject({ files: 1, warningCount: 2 });
  });

  test('is a file of a name, and nothing that an unset variable leaves of one', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x' });
    const options = { paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient };
    for (const wrong of [
      { paths: [''] },
      { paths: [join(root, 'tree'), ''] },
      { out: '' },
      { out: `${root}/folder/` },
    ]) {
      expect(await failureOf(createBackup({ ...options, ...wrong }))).toMatchObject({ code: 'usage' });
    }
    expect(readdirSync(root)).toEqual(['tree']);
    await createBackup(options);
    const restoring = restoreBackup({
      file: join(root, 'b.age'),
      directory: '',
      identity: keys.identity,
      overwrite: true,
    });
    expect(await failureOf(restoring)).toMatchObject({ code: 'usage', message: 'the folder to restore to is empty' });
  });

  test('in a folder that does not exist is refused', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x' });
    const options = { paths: [join(root, 'tree')], out: join(root, 'missing/b.age'), recipient: keys.recipient };
    expect(await failureOf(createBackup(options))).toMatchObject({ code: 'usage' });
  });

  test.each(['', 'age1', `age1${'q'.repeat(58)}`, 'age1pq1qqqq', 'ssh-ed25519 AAAA'])(
    'for the recipient %j is refused',
    async (recipient) => {
      const root = scratch();
      writeFiles(root, { 'tree/x': 'x' });
      const options = { paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient };
      expect(await failureOf(createBackup(options))).toMatchObject({ code: 'usage' });
      expect(readdirSync(root)).toEqual(['tree']);
    },
  );

  test('leaves nothing when cancelled half-way', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x'.repeat(8 * PIECE) });
    const controller = new AbortController();
    const { signal } = controller;
    const onProgress = afterFirstPiece(() => controller.abort());
    const options = {
      paths: [join(root, 'tree')],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
      signal,
      onProgress,
    };
    expect(await failureOf(createBackup(options))).toMatchObject({ code: 'cancelled' });
    expect(readdirSync(root)).toEqual(['tree']);
  });

  test('a cancelled restore leaves nothing', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x'.repeat(8 * PIECE) });
    await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient });
    const controller = new AbortController();
    const restoring = restoreBackup({
      file: join(root, 'b.age'),
      directory: join(root, 'to'),
      identity: keys.identity,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    expect(await failureOf(restoring)).toMatchObject({ code: 'cancelled' });
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  });
});

describe('a source', () => {
  test('that does not exist is bad_input naming it', async () => {
    const root = scratch();
    const options = { paths: [join(root, 'missing')], out: join(root, 'b.age'), recipient: keys.recipient };
    const error = await failureOf(createBackup(options));
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(/missing”: no such file/) });
    expect(readdirSync(root)).toEqual([]);
  });

  test('that is a socket or a pipe is skipped with a warning', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x' });
    execFileSync('mkfifo', [join(root, 'tree/pipe')]);
    const server = createServer().listen(join(root, 'tree/socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    const created = await createBackup({
      paths: [join(root, 'tree')],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
    });
    server.close();
    expect(created.files).toBe(1);
    expect(created.warnings).toEqual([expect.stringMatching(/named pipe/), expect.stringMatching(/socket/)]);
  });

  test('that is a symbolic link is stored as one, with a warning where it was named', async () => {
    const root = scratch();
    writeFiles(root, { 'secret/x': 'x' });
    symlinkSync('secret', join(root, 'link'));
    const created = await createBackup({
      paths: [join(root, 'link')],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
    });
    expect(created).toMatchObject({ files: 0, symbolicLinks: 1, warnings: [expect.stringMatching(/only the link/)] });
  });

  test('that shrinks is bad_input and no backup; with skipUnreadable a valid archive and a warning', async () => {
    const root = scratch();
    const file = join(root, 'tree/x');
    writeFiles(root, { 'tree/x': 'x'.repeat(8 * PIECE), 'tree/y': 'after it' });
    const shrink = () => afterFirstPiece(() => truncateSync(file, 10));
    const options = { paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient };
    const error = await failureOf(createBackup({ ...options, onProgress: shrink() }));
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(/tree\/x”: it shrank/) });
    expect(readdirSync(root)).toEqual(['tree']);

    writeFileSync(file, 'x'.repeat(8 * PIECE));
    const created = await createBackup({ ...options, skipUnreadable: true, onProgress: shrink() });
    expect(created.warnings[0]).toMatch(/shrank .* the rest as zeros/);
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity });
    expect(readFileSync(join(root, 'to/tree/x')).length).toBe(8 * PIECE);
    expect(readFileSync(join(root, 'to/tree/y'), 'utf8')).toBe('after it');
  });

  test('that grows is stored as it was when it was opened, with a warning', async () => {
    const root = scratch();
    const file = join(root, 'tree/x');
    writeFiles(root, { 'tree/x': 'x'.repeat(2 * PIECE) });
    const onProgress = afterFirstPiece(() => appendFileSync(file, 'more'));
    const created = await createBackup({
      paths: [file],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
      onProgress,
    });
    expect(created).toMatchObject({ contentBytes: 2 * PIECE, warnings: [expect.stringMatching(/grew/)] });
  });

  test('that is rewritten meanwhile is stored with a warning', async () => {
    const root = scratch();
    const file = join(root, 'tree/x');
    writeFiles(root, { 'tree/x': 'x'.repeat(2 * PIECE) });
    const onProgress = afterFirstPiece(() => utimesSync(file, 1, 1));
    const created = await createBackup({
      paths: [file],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
      onProgress,
    });
    expect(created.warnings).toEqual([expect.stringMatching(/changed while it was read/)]);
  });

  test('that may not be read is bad_input naming it, or skipped on request', () => {
    const root = scratch();
    writeFiles(root, { 'tree/secret': 'x', 'tree/open': 'x', 'tree/closed/x': 'x' });
    chmodSync(join(root, 'tree/secret'), 0);
    chmodSync(join(root, 'tree/closed'), 0);
    const program = `
      import { createBackup } from ${JSON.stringify(new URL('../../src/backup/index.ts', import.meta.url).pathname)};
      const options = { paths: [${JSON.stringify(join(root, 'tree'))}], recipient: ${JSON.stringify(keys.recipient)} };
      const out = ${JSON.stringify(join(root, 'b.age'))};
      const failure = await createBackup({ ...options, out }).catch((error) => error);
      const created = await createBackup({ ...options, out, skipUnreadable: true });
      console.log(JSON.stringify({ code: failure.code, message: failure.message, created }));
    `;
    // Root may read everything, unless its power to override permissions is taken away.
    const limited = ['setpriv', '--bounding-set=-dac_override,-dac_read_search'];
    const command = [
      ...(process.getuid?.() === 0 ? limited : []),
      process.execPath,
      '--input-type=module',
      '-e',
      program,
    ];
    const child = spawnSync(command[0] ?? '', command.slice(1), { encoding: 'utf8' });
    expect(child.stderr).toBe('');
    const { code, message, created } = JSON.parse(child.stdout);
    expect(code).toBe('bad_input');
    expect(message).toMatch(/tree\/closed”: permission denied/);
    expect(created).toMatchObject({ files: 1, directories: 2, warningCount: 2 });
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  });
});
