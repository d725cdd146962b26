/** A process that uses a store folder, for the tests of locks, kills and full disks: `lmdb-child.ts MODE FOLDER`. */

import { utf8 } from '../../src/core/index.ts';
import { openLmdbStore } from '../../src/store/index.ts';

const [mode, folder] = process.argv.slice(2) as [string, string];
const say = (text: string) => process.stdout.write(`${text}\n`);

/** Prints the number of each commit after it resolved, until it is killed. */
async function writeForEver(): Promise<never> {
  const store = await openLmdbStore(folder);
  for (let i = 0; ; i++) {
    const value = new Uint8Array(3000).fill(i & 255);
    await store.commit([
      { table: 'record', key: utf8(String(i)), value },
      { table: 'meta', key: utf8('last'), value: utf8(String(i)) },
    ]);
    say(String(i));
  }
}

/** Commits until the file-size limit set by the test is hit, then shows what is left. */
async function fillDisk(): Promise<void> {
  const store = await openLmdbStore(folder);
  let committed = 0;
  const big = () => ({ table: 'record' as const, key: utf8(`big ${committed}`), value: new Uint8Array(100_000) });
  try {
    for (; committed < 1000; committed++) await store.commit([big(), big()]);
    say('no error');
  } catch (error) {
    say(JSON.stringify({ code: (error as { code: string }).code, details: (error as { details: object }).details }));
  }
  say(JSON.stringify({ committed, stored: [...store.entries('record')].length }));
  // As a store does by itself when much of it has been read.
  await store.release!();
  const again = await store.commit([big()]).then(
    () => 'resolved',
    (error) => error.code,
  );
  say(again);
  await store.commit([{ table: 'record', key: utf8('big 0'), value: undefined }]).then(
    () => say('deleted'),
    (error) => say(error.code),
  );
  await store.close();
}

await (mode === 'write' ? writeForEver() : fillDisk());
