/** Signed checkpoints that prove misconduct, as files: for showing them to others, with any tool that reads notes. */

import { randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HoldfastError } from '../../core/index.ts';
import { type Contradiction, shortDigest } from './store.ts';

/**
 * Puts both notes into a folder of their own below `folder`, durably and once. @returns the paths of the files.
 * @throws HoldfastError `usage` where they cannot be written.
 */
export async function keepProofFiles(folder: string, contradiction: Contradiction): Promise<readonly string[]> {
  const { kind, source, reason, first, second, time } = contradiction;
  const place = join(folder, `${kind}-${shortDigest(second)}`);
  const about = { kind, source, reason, time: new Date(time).toISOString() };
  const files: [name: string, content: string][] = [
    ['about.json', `${JSON.stringify(about, undefined, 2)}\n`],
    ['second.checkpoint', second],
  ];
  if (first !== '') files.push(['first.checkpoint', first]);
  try {
    await mkdir(place, { recursive: true, mode: 0o700 });
    for (const [name, content] of files) await writeOnce(join(place, name), content);
    await sync(place);
    await sync(dirname(place));
  } catch (cause) {
    throw new HoldfastError('usage', `the proof of misconduct cannot be written to ${place}; make room there`, {
      cause,
    });
  }
  return files.filter(([name]) => name.endsWith('.checkpoint')).map(([name]) => join(place, name));
}

async function writeOnce(path: string, content: string): Promise<void> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  if (exists) return;
  const temporary = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    await using file = await open(temporary, 'wx', 0o600);
    await file.writeFile(content);
    await file.sync();
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}

async function sync(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
