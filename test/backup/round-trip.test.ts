/** What goes into a backup comes out of it, with this program and with stock age and tar. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  type BackupKeyPair,
  createBackup,
  generateIdentity,
  recipientOf,
  restoreBackup,
} from '../../src/backup/index.ts';
import { describeTree, scratch, writeFiles } from './helpers.ts';

let keys: BackupKeyPair;
beforeAll(async () => {
  keys = await generateIdentity();
});

/** A tree with everything that is hard about names, modes and times. */
function hardTree(root: string): string {
  const tree = join(root, 'tree');
  const long = `${'long '.repeat(20)}name`;
  const deep = Array.from({ length: 6 }, (_, level) => `level ${level} ${'x'.repeat(60)}`).join('/');
  writeFiles(tree, {
    'empty file': '',
    'with space and “quotes”.txt': 'a',
    'ünï/cödé/日本語.txt': 'b',
    'line\nbreak': 'c',
    '-rf': 'd',
    [long]: 'e',
    [`${deep}/${long}`]: 'f',
    [`u${'é'.repeat(100)}`]: 'g',
    '.hidden': 'h',
    'exactly one block': 'x'.repeat(512),
    'one chunk and a byte': 'y'.repeat(65537),
  });
  mkdirSync(join(tree, 'empty folder'));
  mkdirSync(join(tree, 'read-only folder'));
  writeFileSync(join(tree, 'read-only folder', 'file'), 'i');
  symlinkSync('../outside/of it', join(tree, 'dangling link'));
  symlinkSync('/etc', join(tree, 'absolute link'));
  symlinkSync('ünï', join(tree, 'link to folder'));
  symlinkSync(`${deep}/${long}`, join(tree, 'link with long target'));
  chmodSync(join(tree, '.hidden'), 0o600);
  chmodSync(join(tree, '-rf'), 0o755);
  chmodSync(join(tree, 'empty file'), 0o000);
  utimesSync(join(tree, '-rf'), 1_600_000_000.123456, 1_600_000_000.123456);
  utimesSync(join(tree, '.hidden'), 5_000_000_000, 5_000_000_000);
  utimesSync(join(tree, 'empty file'), new Date('1969-07-20T20:17:40Z'), new Date('1969-07-20T20:17:40Z'));
  lutimesSync(join(tree, 'dangling link'), 1_500_000_000.5, 1_500_000_000.5);
  utimesSync(join(tree, 'empty folder'), 1_400_000_000, 1_400_000_000);
  utimesSync(join(tree, 'read-only folder'), 1_300_000_000, 1_300_000_000);
  chmodSync(join(tree, 'read-only folder'), 0o555);
  return tree;
}

/** Times to the microsecond, give or take the rounding of a double. */
function expectSameTree(actual: Record<string, string>, expected: Record<string, string>): void {
  const timesOf = (text: string) => Number(/@(-?\d+)/.exec(text)?.[1]);
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, text] of Object.entries(expected)) {
    expect(Math.abs(timesOf(actual[name] ?? '') - timesOf(text)), name).toBeLessThanOrEqual(1);
    const withoutTime = (line: string) => line.replace(/@-?\d+/, '');
    expect(withoutTime(actual[name] ?? ''), name).toBe(withoutTime(text));
  }
}

describe('a backup', () => {
  test('restores names, modes, times, links and contents', async () => {
    const root = scratch();
    const tree = hardTree(root);
    const created = await createBackup({ paths: [tree], out: join(root, 'b.age'), recipient: keys.recipient });
    expect(created).toMatchObject({ files: 12, symbolicLinks: 4, warningCount: 0 });
    const restored = await restoreBackup({
      file: join(root, 'b.age'),
      directory: join(root, 'to'),
      identity: keys.identity,
    });
    expect(restored).toMatchObject({
      files: 12,
      symbolicLinks: 4,
      warningCount: 0,
      contentBytes: created.contentBytes,
    });
    expectSameTree(describeTree(join(root, 'to')), onlyTree(root));
  });

  test('is readable by its owner only, and its size is the one reported', async () => {
    const root = scratch();
    writeFiles(root, { 'a/b': 'c' });
    const created = await createBackup({
      paths: [join(root, 'a')],
      out: join(root, 'b.age'),
      recipient: keys.recipient,
    });
    expect(statSync(join(root, 'b.age')).mode & 0o777).toBe(0o600);
    expect(statSync(join(root, 'b.age')).size).toBe(created.bytes);
  });

  test('opens with stock age and tar', async () => {
    const root = scratch();
    const tree = hardTree(root);
    await createBackup({ paths: [tree], out: join(root, 'b.age'), recipient: keys.recipient });
    writeFileSync(join(root, 'key'), `${keys.identity}\n`);
    mkdirSync(join(root, 'to'));
    execFileSync('age', ['-d', '-i', join(root, 'key'), '-o', join(root, 'b.tar'), join(root, 'b.age')]);
    const unpacked = spawnSync('tar', ['-xpf', join(root, 'b.tar'), '-C', join(root, 'to')], { encoding: 'utf8' });
    expect(unpacked.stderr).not.toMatch(/error|corrupt|unknown/i);
    expectSameTree(describeTree(join(root, 'to')), onlyTree(root));
  });

  test.each(['gnu', 'pax', 'ustar'])('restores what tar (%s format) and stock age made', async (format) => {
    const root = scratch();
    const tree = hardTree(root);
    // ustar can hold neither the longest names nor these two times.
    if (format !== 'pax') utimesSync(join(tree, '-rf'), 1_600_000_000, 1_600_000_000);
    if (format !== 'pax') lutimesSync(join(tree, 'dangling link'), 1_500_000_000, 1_500_000_000);
    if (format === 'ustar') {
      for (const name of ['empty file', 'link with long target']) rmSync(join(tree, name));
      for (const name of Object.keys(describeTree(tree))) {
        if (name.startsWith('level') || Buffer.byteLength(name) > 100)
          rmSync(join(tree, name), { recursive: true, force: true });
      }
      utimesSync(tree, 1_200_000_000, 1_200_000_000);
    }
    const archive = execFileSync('tar', [`--format=${format}`, '-C', root, '-cf', '-', 'tree'], { maxBuffer: 2 ** 26 });
    execFileSync('age', ['-r', keys.recipient, '-o', join(root, 'b.age')], { input: archive });
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity });
    const seconds = (described: Record<string, string>) =>
      Object.fromEntries(
        Object.entries(described).map(([name, text]) => [name, text.replace(/@(-?\d+)\d{6}\b/, '@$1')]),
      );
    expect(seconds(describeTree(join(root, 'to')))).toEqual(seconds(onlyTree(root)));
  });

  test('takes an identity that age-keygen made, comments and all', async () => {
    const root = scratch();
    execFileSync('age-keygen', ['-o', join(root, 'key')], { stdio: 'ignore' });
    const identity = readFileSync(join(root, 'key'), 'utf8');
    writeFiles(root, { 'a/b': 'c' });
    const recipient = execFileSync('age-keygen', ['-y', join(root, 'key')], { encoding: 'utf8' }).trim();
    expect(await recipientOf(identity)).toBe(recipient);
    await createBackup({ paths: [join(root, 'a')], out: join(root, 'b.age'), recipient });
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity });
    expect(readFileSync(join(root, 'to', 'a', 'b'), 'utf8')).toBe('c');
  });

  test('keeps hard links of a foreign archive', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/one': 'same' });
    execFileSync('ln', [join(root, 'tree', 'one'), join(root, 'tree', 'two')]);
    const archive = execFileSync('tar', ['-C', root, '-cf', '-', 'tree']);
    execFileSync('age', ['-r', keys.recipient, '-o', join(root, 'b.age')], { input: archive });
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity });
    expect(statSync(join(root, 'to/tree/one')).ino).toBe(statSync(join(root, 'to/tree/two')).ino);
  });

  test('keeps hard links, and the content of each file once', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/a/one': 'x'.repeat(5000), 'tree/alone': 'y' });
    linkSync(join(root, 'tree/a/one'), join(root, 'tree/two'));
    linkSync(join(root, 'tree/a/one'), join(root, 'outside'));
    linkSync(join(root, 'tree/alone'), join(root, 'tree/not alone'));
    const created = await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), ...keys });
    expect(created).toMatchObject({ files: 4, contentBytes: 5001, warningCount: 0 });
    const restored = await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), ...keys });
    expect(restored).toMatchObject({ files: 4, contentBytes: 5001 });
    expect(statSync(join(root, 'to/tree/two'))).toMatchObject({
      ino: statSync(join(root, 'to/tree/a/one')).ino,
      nlink: 2,
    });
    expect(statSync(join(root, 'to/tree/alone'))).toMatchObject({
      ino: statSync(join(root, 'to/tree/not alone')).ino,
    });
    expectSameTree(describeTree(join(root, 'to')), onlyTree(root));
  });

  test('keeps names and targets of links that are not UTF-8, byte for byte, for stock tar too', async () => {
    const root = scratch();
    const bytes = (...parts: (string | number)[]) =>
      Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : Buffer.from([part]))));
    const tree = join(root, 'tree');
    const long = 'x'.repeat(200);
    mkdirSync(tree);
    mkdirSync(bytes(tree, '/folder', 0xe4));
    writeFileSync(bytes(tree, '/folder', 0xe4, '/', long, 0xff, long.slice(180), '\n'), 'long', { mode: 0o640 });
    writeFileSync(bytes(tree, '/K', 0xf6, 'ln'), 'in Latin-1');
    linkSync(bytes(tree, '/K', 0xf6, 'ln'), join(tree, 'second'));
    symlinkSync(bytes('K', 0xf6, 'ln'), join(tree, 'to latin'));
    symlinkSync('second', bytes(tree, '/', 0xfc));
    const time = 1_600_000_000.123456;
    utimesSync(bytes(tree, '/K', 0xf6, 'ln'), time, time);
    lutimesSync(join(tree, 'to latin'), time, time);
    utimesSync(bytes(tree, '/folder', 0xe4), time, time);
    utimesSync(tree, time, time);
    const created = await createBackup({ paths: [tree], out: join(root, 'b.age'), ...keys });
    expect(created).toMatchObject({ files: 3, symbolicLinks: 2, warningCount: 0 });

    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), ...keys });
    expectSameTree(describeTree(join(root, 'to')), onlyTree(root));

    writeFileSync(join(root, 'key'), `${keys.identity}\n`);
    mkdirSync(join(root, 'by-tar'));
    execFileSync('age', ['-d', '-i', join(root, 'key'), '-o', join(root, 'b.tar'), join(root, 'b.age')]);
    const unpacked = spawnSync('tar', ['-xpf', join(root, 'b.tar'), '-C', join(root, 'by-tar')], { encoding: 'utf8' });
    expect(unpacked).toMatchObject({ status: 0, stderr: '' });
    expectSameTree(describeTree(join(root, 'by-tar')), onlyTree(root));
  });

  test('of a sparse file takes no more room than it did where it is restored', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/sparse': 'begin' });
    truncateSync(join(root, 'tree/sparse'), 64 * 2 ** 20);
    writeFiles(root, { 'tree/zeros': '\0'.repeat(70_000) });
    await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), ...keys });
    await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), ...keys });
    expectSameTree(describeTree(join(root, 'to')), onlyTree(root));
    expect(statSync(join(root, 'to/tree/sparse')).blocks * 512).toBeLessThan(2 ** 20);
  });

  test('tells of what a restore left that was killed', async () => {
    const root = scratch();
    writeFiles(root, { 'tree/x': 'x', '.to.holdfast-restore-a1B2c3/tree/x': 'x' });
    await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), ...keys });
    const restored = await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), ...keys });
    expect(restored.warnings).toEqual([expect.stringMatching(/\.to\.holdfast-restore-a1B2c3” is of another restore/)]);
    const elsewhere = await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'other'), ...keys });
    expect(elsewhere.warnings).toEqual([]);
  });

  test('tells its progress, and ends where it said it would', async () => {
    const root = scratch();
    writeFiles(root, { 'a/b': 'c'.repeat(600_000), 'a/d': 'e' });
    const seen: { bytes: number; totalBytes?: number; entries: number }[] = [];
    const out = join(root, 'b.age');
    await createBackup({
      paths: [join(root, 'a')],
      out,
      recipient: keys.recipient,
      onProgress: (step) => seen.push(step),
    });
    expect(seen.at(-1)).toEqual({ bytes: 600_001, totalBytes: 600_001, entries: 3 });
    expect(seen.length).toBeGreaterThan(4);
    seen.length = 0;
    const directory = join(root, 'to');
    await restoreBackup({ file: out, directory, identity: keys.identity, onProgress: (step) => seen.push(step) });
    expect(seen.at(-1)).toMatchObject({ bytes: statSync(out).size, totalBytes: statSync(out).size });
  });
});

function onlyTree(root: string): Record<string, string> {
  return Object.fromEntries(
    Object.entries(describeTree(root)).filter(([name]) => name === 'tree' || name.startsWith('tree/')),
  );
}

const nameCharacter = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...'abcXYZ012 .-_') },
  { weight: 1, arbitrary: fc.constantFrom(...'é日ñ\n\\"*?~\u0301', '😀') },
);
const fileName = fc
  .oneof(
    { weight: 9, arbitrary: fc.string({ unit: nameCharacter, minLength: 1, maxLength: 20 }) },
    { weight: 1, arbitrary: fc.string({ unit: nameCharacter, minLength: 50, maxLength: 60 }) },
  )
  .filter((name) => name !== '.' && name !== '..');
const randomFile = fc.record({
  path: fc.array(fileName, { minLength: 1, maxLength: 5 }),
  content: fc.oneof(
    fc.uint8Array({ maxLength: 1100 }),
    fc.constantFrom(0, 512, 65536).map((size) => new Uint8Array(size)),
  ),
  mode: fc.integer({ min: 0, max: 0o777 }),
  seconds: fc.integer({ min: 1, max: 2 ** 33 }),
});

test('any tree comes back as it was', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(randomFile, { maxLength: 8 }), async (files) => {
      const root = scratch();
      mkdirSync(join(root, 'tree'));
      for (const file of files) {
        const path = join(root, 'tree', ...file.path);
        try {
          mkdirSync(dirname(path), { recursive: true });
          writeFileSync(path, file.content);
        } catch {
          continue; // Two random names collided, one as a folder: the tree is what could be made.
        }
        chmodSync(path, file.mode);
        utimesSync(path, file.seconds, file.seconds);
      }
      await createBackup({ paths: [join(root, 'tree')], out: join(root, 'b.age'), recipient: keys.recipient });
      await restoreBackup({ file: join(root, 'b.age'), directory: join(root, 'to'), identity: keys.identity });
      expectSameTree(describeTree(join(root, 'to')), onlyTree(root));
      rmSync(root, { recursive: true });
    }),
    { numRuns: 40 },
  );
});
