/** A backup written again for another key: the same content, or nothing at all. */

import { existsSync, readFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  createBackup,
  generateIdentity,
  isOpenedBy,
  methodsOf,
  restoreBackup,
  rewriteBackup,
} from '../../src/backup/index.ts';
import { addPin, noMethods, openMethods, sealMethods } from '../../src/recovery/index.ts';
import { describeTree, failureOf, scratch, writeFiles } from './helpers.ts';

async function backup() {
  const root = scratch();
  const files = join(root, 'letters');
  writeFiles(files, { 'first.txt': 'Dear all', 'deep/large.bin': 'x'.repeat(300_000) });
  const [before, after] = [await generateIdentity(), await generateIdentity()];
  const file = join(root, 'backup.age');
  await createBackup({ paths: [files], out: file, recipient: before.recipient });
  const methods = sealMethods(addPin(await noMethods(after), { fleet: 'first', now: 1 }), after.identity);
  const options = { file, identity: before.identity, recipient: after.recipient, methods };
  const restored = async (from: string, identity: string) => {
    const directory = join(root, `restored-${Math.trunc(performance.now() * 1000)}`);
    await restoreBackup({ file: from, directory, identity });
    return describeTree(directory);
  };
  return { root, file, before, after, options, restored };
}

it('opens with the new key only, and carries the new list, also in the place of the old one', async () => {
  const { root, file, before, after, options, restored } = await backup();
  const content = await restored(file, before.identity);
  const out = join(root, 'new.age');
  expect(await rewriteBackup({ ...options, out, overwrite: false })).toBe(out);
  expect(await restored(out, after.identity)).toEqual(content);
  expect(await failureOf(restored(out, before.identity))).toMatchObject({ code: 'bad_input' });
  expect(openMethods((await methodsOf(out))!, after.identity).methods).toHaveLength(1);
  await rewriteBackup({ ...options, out: file, overwrite: true });
  expect(await restored(file, after.identity)).toEqual(content);
});

it('does not undo what another command has made of the same file meanwhile', async () => {
  const { root, file, after, options } = await backup();
  const other = join(root, 'other.age');
  await rewriteBackup({ ...options, out: other, overwrite: false });
  const theirs = readFileSync(other);
  let replaced = false;
  const onProgress = () => {
    if (!replaced) renameSync(other, file);
    replaced = true;
  };
  const failure = await failureOf(rewriteBackup({ ...options, out: file, overwrite: true, onProgress }));
  expect(failure).toMatchObject({ code: 'conflict' });
  expect(readFileSync(file).equals(theirs)).toBe(true);
  expect(await isOpenedBy(file, after.identity)).toBe(true);
});

it('tells whose key it is for', async () => {
  const { file, before, after } = await backup();
  expect(await isOpenedBy(file, before.identity)).toBe(true);
  expect(await isOpenedBy(file, after.identity)).toBe(false);
  truncateSync(file, 60);
  expect(await failureOf(isOpenedBy(file, before.identity))).toMatchObject({ code: 'bad_input' });
});

it('leaves everything as it was where the file is damaged, cut short, or for another key', async () => {
  const { root, file, after, options } = await backup();
  const whole = readFileSync(file);
  const out = join(root, 'new.age');
  const refused = async (changes: Partial<typeof options> = {}) => {
    for (const to of [out, file]) {
      const before = readFileSync(file);
      const failure = await failureOf(rewriteBackup({ ...options, ...changes, out: to, overwrite: true }));
      expect(failure).toMatchObject({ code: 'bad_input' });
      expect(readFileSync(file).equals(before)).toBe(true);
    }
    expect(existsSync(out)).toBe(false);
  };
  await refused({ identity: after.identity });
  const damaged = Buffer.from(whole);
  damaged[damaged.length - 5]! ^= 1;
  writeFileSync(file, damaged);
  await refused();
  writeFileSync(file, whole);
  truncateSync(file, whole.length - 70_000);
  await refused();
});
