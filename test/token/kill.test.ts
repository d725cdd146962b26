import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, statSync, truncateSync } from 'node:fs';
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

/** Writes rising numbers as anchors for ever, and prints each once it is acknowledged. */
const WRITER = `
  const { openToken } = await import(process.env.TOKEN_INDEX);
  const { Secret } = await import(process.env.CORE_INDEX);
  const options = JSON.parse(process.env.OPTIONS);
  const token = await openToken({ ...options, pin: new Secret(new TextEncoder().encode(options.pin)) });
  for (let i = Number(process.env.FROM); ; i++) {
    await token.writeAnchor(new TextEncoder().encode(String(i)));
    process.stdout.write(i + '\\n');
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

it.each([0, 0.5, 0.99])(
  'an object file torn at %f of its length leaves the other anchor, and the next write works',
  async (part) => {
    const options = hsm.options(`torn-${part * 100}`);
    await createTokenKeys(options);
    const before = await openToken(options);
    await before.writeAnchor(Uint8Array.of(49));
    await before.writeAnchor(Uint8Array.of(50));
    await before.close();
    const folder = join(hsm.directory, 'tokens');
    const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.object') && !name.endsWith('token.object'))
      .map((name) => ({ path: join(folder, name), at: statSync(join(folder, name), { bigint: true }).mtimeNs }))
      .sort((a, b) => (a.at < b.at ? 1 : -1));
    const newestFile = files[0]!.path;
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
  const sync = new FolderSync(folder);
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
