import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createTokenKeys, openToken } from '../../src/token/index.ts';
import { FolderSync } from '../../src/token/sync.ts';
import { PIN, type SoftHsm, softHsm } from './fixture.ts';

let hsm: SoftHsm;
beforeAll(async () => {
  hsm = await softHsm();
  await createTokenKeys(hsm.options());
});
afterAll(() => hsm.remove());

/**
 * Writes rising numbers as anchors for ever, and tells of each once it is acknowledged, before it begins the next:
 * `process.stdout` would keep lines back where their reader is slow, and they would die with the process.
 */
const WRITER = `
  const { writeSync } = await import('node:fs');
  const { openToken } = await import(process.env.TOKEN_INDEX);
  const { Secret } = await import(process.env.CORE_INDEX);
  const options = JSON.parse(process.env.OPTIONS);
  const token = await openToken({ ...options, pin: new Secret(new TextEncoder().encode(options.pin)) });
  for (let i = Number(process.env.FROM); ; i++) {
    await token.writeAnchor(new TextEncoder().encode(String(i)));
    writeSync(1, i + '\\n');
  }
`;

const newest = (anchors: readonly Uint8Array[]) =>
  Math.max(...anchors.map((each) => Number(Buffer.from(each).toString())));

it('a process killed in the middle of writing loses no acknowledged anchor', async () => {
  const options = { ...hsm.options(), pin: PIN };
  let from = 0;
  for (const stopAfter of [1, 2, 7, 40, 41, 90]) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', WRITER], {
      env: {
        ...process.env,
        TOKEN_INDEX: new URL('../../src/token/index.ts', import.meta.url).href,
        CORE_INDEX: new URL('../../src/core/index.ts', import.meta.url).href,
        OPTIONS: JSON.stringify(options),
        FROM: String(from),
      },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    let acknowledged = -1;
    let count = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      acknowledged = Number(line);
      if (++count === stopAfter) child.kill('SIGKILL');
    }
    await exited;
    expect(count).toBeGreaterThanOrEqual(stopAfter);
    const token = await openToken(hsm.options());
    const anchors = await token.readAnchors();
    expect([acknowledged, acknowledged + 1]).toContain(newest(anchors));
    await token.close();
    from = newest(anchors) + 1;
  }
});

function objectFiles(): Map<string, string> {
  const folder = join(hsm.directory, 'tokens');
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const objects = names.filter((name) => name.endsWith('.object') && !name.endsWith('token.object'));
  return new Map(objects.map((name) => [join(folder, name), readFileSync(join(folder, name), 'hex')]));
}

it.each([0, 0.5, 0.99])(
  'an object file torn at %f of its length leaves the other anchor, and the next write works',
  async (part) => {
    const options = hsm.options(`torn-${part * 100}`);
    await createTokenKeys(options);
    const before = await openToken(options);
    await before.writeAnchor(Uint8Array.of(49));
    const contents = objectFiles();
    await before.writeAnchor(Uint8Array.of(50));
    await before.close();
    // By what it holds: two files that were written within one tick of the file system's clock have the same time.
    const written = [...objectFiles()]
      .filter(([path, content]) => contents.get(path) !== content)
      .map(([path]) => path);
    expect(written).toHaveLength(1);
    const newestFile = written[0]!;
    truncateSync(newestFile, Math.floor(statSync(newestFile).size * part));
    const after = await openToken(options);
    expect((await after.readAnchors()).map((each) => each[0])).toEqual([49]);
    await after.writeAnchor(Uint8Array.of(51));
    expect((await after.readAnchors()).map((each) => each[0]).sort()).toEqual([49, 51]);
    await after.close();
    const again = await openToken(options);
    expect((await again.readAnchors()).map((each) => each[0]).sort()).toEqual([49, 51]);
    await again.close();
  },
);

it('syncs exactly what changed since the last time, and rejects a write whose folder is gone', async () => {
  const folder = join(hsm.directory, 'tokens');
  const options = { ...hsm.options('synced'), syncFolder: folder };
  await createTokenKeys(options);
  const token = await openToken(options);
  for (const value of [1, 2, 3]) await token.writeAnchor(Uint8Array.of(value));
  // On a clock that is ahead, so that no change counts as too new for its time to tell.
  const sync = new FolderSync(folder, () => Date.now() + 60_000);
  expect(sync.sync()).toBeGreaterThan(3);
  expect(sync.sync()).toBe(0);
  await token.writeAnchor(Uint8Array.of(4));
  expect(sync.sync()).toBeGreaterThanOrEqual(1);
  expect(sync.sync()).toBe(0);
  await token.close();
  const elsewhere = await openToken({ ...options, syncFolder: join(hsm.directory, 'none') });
  await expect(elsewhere.writeAnchor(Uint8Array.of(5))).rejects.toMatchObject({ code: 'token_failed' });
  const signed = elsewhere.usage().find(({ operation }) => operation === 'sign')?.count;
  await expect(elsewhere.anchorThenSign(Uint8Array.of(6), Uint8Array.of(1))).rejects.toMatchObject({
    code: 'token_failed',
  });
  expect(elsewhere.usage().find(({ operation }) => operation === 'sign')?.count).toBe(signed);
  await elsewhere.close();
});

it('syncs a change that has the time of the one before it, and no content twice', () => {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-sync-'));
  try {
    const path = join(folder, 'object');
    const tick = 1_000_000;
    const write = (content: string) => {
      writeFileSync(path, content);
      utimesSync(path, tick / 1000, tick / 1000);
      utimesSync(folder, tick / 1000 - 1, tick / 1000 - 1);
    };
    let now = tick + 1;
    const sync = new FolderSync(folder, () => now);
    write('first');
    expect(sync.sync()).toBe(2);
    expect(sync.sync()).toBe(0);
    write('later');
    expect(sync.sync()).toBe(1);
    for (const content of ['', 'x', '']) {
      write(content);
      expect(sync.sync()).toBe(1);
      expect(sync.sync()).toBe(0);
    }
    write('third');
    now = tick + 1000;
    expect(sync.sync()).toBe(1);
    expect(sync.sync()).toBe(0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
