/** Archives and files made to harm: nothing outside the folder is touched, nothing crashes or hangs, and the reason is said. */

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type BackupKeyPair,
  createBackup,
  generateIdentity,
  type RestoreBackupOptions,
  restoreBackup,
} from '../../src/backup/index.ts';
import { HoldfastError } from '../../src/core/index.ts';
import { ageEncrypt, END_MARK, failureOf, paxEntry, rawEntry, scratch, writeFiles } from './helpers.ts';

let keys: BackupKeyPair;
beforeAll(async () => {
  keys = await generateIdentity();
});

/** Restores a tar archive given as its blocks; `root` has `to` (not there yet), and `outside`, which must not change. */
async function restoreBlocks(root: string, blocks: Uint8Array[], options: Partial<RestoreBackupOptions> = {}) {
  mkdirSync(join(root, 'outside'), { recursive: true });
  ageEncrypt(join(root, 'b.age'), keys.recipient, Buffer.concat(blocks));
  return restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity, ...options });
}

/** Nothing but the backup and the folder that must stay empty. */
function expectNothingRestored(root: string): void {
  expect(readdirSync(root).sort()).toEqual(['b.age', 'outside']);
  expect(readdirSync(join(root, 'outside'))).toEqual([]);
}

describe('an archive is refused as bad_input, with nothing restored, when it has', () => {
  const absolute = '/tmp/holdfast-must-not-exist';
  test.each<[string, Uint8Array[]]>([
    ['a name with ..', [rawEntry({ name: '../outside/x', content: 'x' })]],
    ['a name with .. inside', [rawEntry({ name: 'a/../../outside/x', content: 'x' })]],
    ['a name that ends in ..', [rawEntry({ name: 'a/..', type: '5' })]],
    ['an absolute name', [rawEntry({ name: absolute, content: 'x' })]],
    ['.. in the prefix field', [rawEntry({ name: 'outside/x', prefix: '..', content: 'x' })]],
    ['.. in a pax record', [paxEntry({ path: '../outside/x' }), rawEntry({ name: 'x', content: 'x' })]],
    ['a zero byte in a pax record', [paxEntry({ path: 'a\0b' }), rawEntry({ name: 'x', content: 'x' })]],
    [
      '.. in a GNU long name',
      [rawEntry({ name: 'L', type: 'L', content: '../outside/x\0' }), rawEntry({ name: 'x', content: 'x' })],
    ],
    [
      'a file behind its own symbolic link',
      [rawEntry({ name: 'l', type: '2', linkname: '../outside' }), rawEntry({ name: 'l/x', content: 'x' })],
    ],
    [
      'a folder behind its own symbolic link',
      [rawEntry({ name: 'l', type: '2', linkname: '../outside' }), rawEntry({ name: 'l/x', type: '5' })],
    ],
    [
      'a folder in place of a symbolic link',
      [
        rawEntry({ name: 'l', type: '2', linkname: '../outside' }),
        rawEntry({ name: 'l', type: '5' }),
        rawEntry({ name: 'l/x', content: 'x' }),
      ],
    ],
    [
      'a symbolic link in place of a folder',
      [rawEntry({ name: 'l', type: '5' }), rawEntry({ name: 'l', type: '2', linkname: '../outside' })],
    ],
    ['a hard link to the outside', [rawEntry({ name: 'h', type: '1', linkname: '../b.age' })]],
    ['a hard link to an absolute name', [rawEntry({ name: 'h', type: '1', linkname: '/etc/passwd' })]],
    ['a hard link to nothing', [rawEntry({ name: 'h', type: '1', linkname: 'missing' })]],
    [
      'a hard link to itself',
      [rawEntry({ name: 'h', content: 'x' }), rawEntry({ name: 'h', type: '1', linkname: 'h' })],
    ],
    [
      'a hard link through a symbolic link',
      [rawEntry({ name: 'l', type: '2', linkname: '..' }), rawEntry({ name: 'h', type: '1', linkname: 'l/b.age' })],
    ],
    ['a file below a file', [rawEntry({ name: 'f', content: 'x' }), rawEntry({ name: 'f/x', content: 'x' })]],
    ['a file in place of a folder', [rawEntry({ name: 'f', type: '5' }), rawEntry({ name: 'f', content: 'x' })]],
    ['a symbolic link without a target', [rawEntry({ name: 'l', type: '2' })]],
    ['a file without a name', [rawEntry({ name: '.', content: 'x' })]],
    [
      'a name longer than any file system takes',
      [paxEntry({ path: 'n'.repeat(300) }), rawEntry({ name: 'x', content: 'x' })],
    ],
    ['a size that is not a number', [paxEntry({ size: 'many' }), rawEntry({ name: 'x', content: 'x' })]],
    ['a size that is negative', [paxEntry({ size: '-512' }), rawEntry({ name: 'x', content: 'x' })]],
    ['less content than its header says', [rawEntry({ name: 'x', content: 'x', size: 5000 })]],
    ['a size beyond all disks', [paxEntry({ size: '99999999999999999999' }), rawEntry({ name: 'x', content: 'x' })]],
    ['a pax record that is too large', [rawEntry({ name: 'p', type: 'x', size: 2 ** 30 })]],
    ['a wrong checksum', [Buffer.from(rawEntry({ name: 'x', content: 'x' })).fill(0x31, 100, 104)]],
    ['no tar in it', [Buffer.from('just some text '.repeat(100))]],
  ])('%s', async (_, blocks) => {
    const root = scratch();
    const error = await failureOf(restoreBlocks(root, [...blocks, END_MARK]));
    expect(error.code).toBe('bad_input');
    expect(error.message).toMatch(/nothing was restored/);
    expectNothingRestored(root);
    expect(existsSync(absolute)).toBe(false);
  });

  test('no end mark', async () => {
    const root = scratch();
    const error = await failureOf(restoreBlocks(root, [rawEntry({ name: 'x', content: 'x' })]));
    expect(error.message).toMatch(/end mark/);
    expect(error.details).toEqual({ files: 1, contentBytes: 1, kept: false });
    expectNothingRestored(root);
  });
});

describe('a restore', () => {
  test('drops set-id and sticky bits', async () => {
    const root = scratch();
    await restoreBlocks(root, [
      rawEntry({ name: 'd', type: '5', mode: 0o7755 }),
      rawEntry({ name: 'd/x', mode: 0o6755 }),
      END_MARK,
    ]);
    expect(statSync(join(root, 'to/d')).mode & 0o7777).toBe(0o755);
    expect(statSync(join(root, 'to/d/x')).mode & 0o7777).toBe(0o755);
  });

  test.each([
    ['character device', '3'],
    ['block device', '4'],
    ['named pipe', '6'],
    ['kind that is unknown', 'S'],
  ])('skips a %s with a warning', async (_, type) => {
    const root = scratch();
    const result = await restoreBlocks(root, [
      rawEntry({ name: 'odd\u001b[2J', type }),
      rawEntry({ name: 'x' }),
      END_MARK,
    ]);
    expect(readdirSync(join(root, 'to'))).toEqual(['x']);
    expect(result.warnings).toEqual([expect.stringMatching(/^skipped “odd\\u\{1b\}\[2J”: it is a /)]);
  });

  test('skips a GNU sparse file rather than restoring its map as contents', async () => {
    const root = scratch();
    const sparse = [
      paxEntry({ 'GNU.sparse.major': '1', 'GNU.sparse.name': 'x' }),
      rawEntry({ name: 'x', content: '0\n' }),
    ];
    const result = await restoreBlocks(root, [...sparse, END_MARK]);
    expect(result).toMatchObject({ files: 0, warningCount: 1 });
    expect(readdirSync(join(root, 'to'))).toEqual([]);
  });

  test('lets the later of two entries with one name win', async () => {
    const root = scratch();
    await restoreBlocks(root, [
      rawEntry({ name: 'a', content: 'first' }),
      rawEntry({ name: 'a', content: 'second' }),
      rawEntry({ name: 'b', type: '2', linkname: '../outside/b' }),
      rawEntry({ name: 'b', content: 'a file' }),
      rawEntry({ name: 'c', content: 'a file' }),
      rawEntry({ name: 'c', type: '2', linkname: 'a' }),
      END_MARK,
    ]);
    expect(readFileSync(join(root, 'to/a'), 'utf8')).toBe('second');
    expect(lstatSync(join(root, 'to/b')).isFile()).toBe(true);
    expect(readlinkSync(join(root, 'to/c'))).toBe('a');
    expect(readdirSync(join(root, 'outside'))).toEqual([]);
  });

  test('keeps names that are not UTF-8 byte for byte', async () => {
    const root = scratch();
    const name = Buffer.from([0x66, 0xff, 0xfe, 0x2e]);
    await restoreBlocks(root, [rawEntry({ name, content: 'x' }), END_MARK]);
    expect(readdirSync(join(root, 'to'), { encoding: 'buffer' })).toEqual([name]);
  });

  test('does not follow a symbolic link that is in the folder already', async () => {
    const root = scratch();
    mkdirSync(join(root, 'to'));
    mkdirSync(join(root, 'outside'));
    symlinkSync('../outside', join(root, 'to/d'));
    symlinkSync('../outside/f', join(root, 'to/f'));
    const folder = [rawEntry({ name: 'd/x', content: 'x' }), rawEntry({ name: 'f', content: 'x' }), END_MARK];
    const error = await failureOf(restoreBlocks(root, folder, { overwrite: true }));
    expect(error).toMatchObject({ code: 'usage', message: expect.stringMatching(/in the way/) });
    expect(readdirSync(join(root, 'outside'))).toEqual([]);
    expect(readdirSync(join(root, 'to')).sort()).toEqual(['d', 'f']);

    await restoreBlocks(root, [rawEntry({ name: 'f', content: 'x' }), END_MARK], { overwrite: true });
    expect(readdirSync(join(root, 'outside'))).toEqual([]);
    expect(lstatSync(join(root, 'to/f')).isFile()).toBe(true);
  });

  test('refuses a folder that is not empty, unless told to join', async () => {
    const root = scratch();
    writeFiles(root, { 'to/d/old': 'old', 'to/d/both': 'old' });
    const blocks = [
      rawEntry({ name: 'd/both', content: 'new' }),
      rawEntry({ name: 'd/new', content: 'new' }),
      END_MARK,
    ];
    expect(await failureOf(restoreBlocks(root, blocks))).toMatchObject({ code: 'usage' });
    await restoreBlocks(root, blocks, { overwrite: true });
    const contents = readdirSync(join(root, 'to/d'))
      .sort()
      .map((name) => readFileSync(join(root, 'to/d', name), 'utf8'));
    expect(contents).toEqual(['new', 'new', 'old']);
    expect(readdirSync(join(root, 'to'))).toEqual(['d']);
  });

  test('never crashes or hangs on an archive with flipped bytes, and leaves nothing behind when it fails', async () => {
    const archive = Buffer.concat([
      rawEntry({ name: 'd', type: '5' }),
      paxEntry({ path: 'd/ünï', mtime: '1.5' }),
      rawEntry({ name: 'x', content: 'hello' }),
      rawEntry({ name: 'd/l', type: '2', linkname: 'x' }),
      rawEntry({ name: 'L', type: 'L', content: 'd/long\0' }),
      rawEntry({ name: 'y', content: 'z'.repeat(600) }),
      END_MARK,
    ]);
    /** Makes the header of the block at `offset` valid again, so that what is behind the checksum is reached too. */
    const repair = (bytes: Buffer, offset: number) => {
      bytes.fill(0x20, offset + 148, offset + 156);
      const sum = bytes.subarray(offset, offset + 512).reduce((total, byte) => total + byte, 0);
      bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, offset + 148);
    };
    const flips = fc.array(fc.tuple(fc.nat(archive.length - 1), fc.integer({ min: 1, max: 255 })), {
      minLength: 1,
      maxLength: 4,
    });
    const root = scratch();
    await fc.assert(
      fc.asyncProperty(flips, fc.boolean(), async (changes, repaired) => {
        const bytes = Buffer.from(archive);
        for (const [at, change] of changes) bytes[at] = (bytes[at] ?? 0) ^ change;
        if (repaired) for (const [at] of changes) repair(bytes, at - (at % 512));
        const outcome = await restoreBlocks(root, [bytes], { directory: join(root, 'to') }).catch(
          (error: unknown) => error,
        );
        if (outcome instanceof Error) {
          expect(outcome).toBeInstanceOf(HoldfastError);
          expect(outcome).toMatchObject({ code: 'bad_input' });
          expectNothingRestored(root);
        } else {
          execFileSync('rm', ['-rf', join(root, 'to')]);
          expectNothingRestored(root);
        }
      }),
      // Sizes whose first byte makes them binary, of no known form: of the file x, and of y.
      {
        numRuns: 150,
        examples: [
          [[[1660, 0xff]], true],
          [[[4220, 191]], true],
        ],
      },
    );
  });
});

describe('a file', () => {
  async function backup(root: string): Promise<string> {
    writeFiles(root, { 'tree/a': 'a'.repeat(200_000), 'tree/b': 'b'.repeat(200_000) });
    await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient });
    return join(root, 'b.age');
  }

  test.each([
    ['empty', Buffer.alloc(0), /not an age file/],
    ['plain text', Buffer.from('hello'), /not an age file/],
    ['zeros without a line end', Buffer.alloc(3_000_000), /not an age file/],
    ['armoured', Buffer.from('-----BEGIN AGE ENCRYPTED FILE-----\n'), /armoured/],
    [
      'an age header without an end',
      Buffer.concat([Buffer.from('age-encryption.org/v1\n'), Buffer.alloc(3_000_000, 0x61)]),
      /header has no end/,
    ],
    ['an age header cut short', Buffer.from('age-encryption.org/v1\n-> X25519 '), /damaged header/],
  ])('that is %s is refused as bad_input', async (_, bytes, message) => {
    const root = scratch();
    writeFileSync(join(root, 'f'), bytes);
    const error = await failureOf(
      restoreBackup({ file: join(root, 'f'), directory: join(root, 'to'), identity: keys.identity }),
    );
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(message) });
    expect(readdirSync(root)).toEqual(['f']);
  });

  test('that does not exist is refused as bad_input', async () => {
    const root = scratch();
    const error = await failureOf(
      restoreBackup({ file: join(root, 'f'), directory: join(root, 'to'), identity: keys.identity }),
    );
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(/no such file/) });
  });

  test('for another key is refused and says so, without the key', async () => {
    const root = scratch();
    const other = await generateIdentity();
    const error = await failureOf(
      restoreBackup({ file: await backup(root), directory: join(root, 'to'), identity: other.identity }),
    );
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(/another key/) });
  });

  test.each(['', 'AGE-SECRET-KEY-1QQQ', 'hunter2', `AGE-SECRET-KEY-1${'Q'.repeat(58)}`])(
    'is not opened with %j, and the error does not repeat it',
    async (identity) => {
      const root = scratch();
      const error = await failureOf(restoreBackup({ file: await backup(root), directory: join(root, 'to'), identity }));
      expect(error.code).toBe('bad_input');
      const told = `${error.message} ${JSON.stringify(error.details)} ${String(error.cause)}`;
      if (identity !== '') expect(told).not.toContain(identity);
    },
  );

  // 65,552 bytes are one encrypted chunk: cut in the middle of one, at the end of one, and by one byte.
  test.each([1, 16, 65_552, 100_000, 400_000])('cut short by %i bytes restores nothing', async (missing) => {
    const root = scratch();
    const file = await backup(root);
    truncateSync(file, statSync(file).size - missing);
    const error = await failureOf(restoreBackup({ file, directory: join(root, 'to'), identity: keys.identity }));
    expect(error).toMatchObject({ code: 'bad_input', message: expect.stringMatching(/damaged|cut short/) });
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  });

  test('cut at the end of a chunk restores nothing', async () => {
    const root = scratch();
    const file = await backup(root);
    const header = readFileSync(file, 'latin1').indexOf('\n', readFileSync(file, 'latin1').indexOf('\n---') + 1) + 1;
    truncateSync(file, header + 16 + 3 * 65_552);
    const error = await failureOf(restoreBackup({ file, directory: join(root, 'to'), identity: keys.identity }));
    expect(error).toMatchObject({ code: 'bad_input', details: { files: 0, kept: false } });
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
  });

  test('damaged late tells what was whole, and hands it over on request', async () => {
    const root = scratch();
    const file = await backup(root);
    const bytes = readFileSync(file);
    bytes[350_000] = (bytes[350_000] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const options = { file, directory: join(root, 'to'), identity: keys.identity };
    const error = await failureOf(restoreBackup(options));
    expect(error).toMatchObject({ code: 'bad_input', details: { files: 1, contentBytes: 200_000, kept: false } });
    expect(error.message).toMatch(/--keep-partial/);
    expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);

    const kept = await failureOf(restoreBackup({ ...options, keepPartial: true }));
    expect(kept).toMatchObject({ code: 'bad_input', details: { files: 1, contentBytes: 200_000, kept: true } });
    expect(readdirSync(join(root, 'to/tree'))).toEqual(['a']);
    expect(readFileSync(join(root, 'to/tree/a'), 'utf8')).toBe('a'.repeat(200_000));
  });

  test('with any byte flipped restores nothing', async () => {
    const root = scratch();
    const bytes = readFileSync(await backup(root));
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ change;
        writeFileSync(join(root, 'b.age'), damaged);
        const options = { file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity };
        expect((await failureOf(restoreBackup(options))).code).toBe('bad_input');
        expect(readdirSync(root).sort()).toEqual(['b.age', 'tree']);
      }),
      {
        numRuns: 40,
        examples: [
          [0, 1],
          [30, 1],
          [bytes.length - 1, 1],
        ],
      },
    );
  });
});
