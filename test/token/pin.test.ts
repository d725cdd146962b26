import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { fromUtf8 } from '../../src/core/index.ts';
import { readPin } from '../../src/token/index.ts';

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-pin-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array, mode = 0o600): string {
  const path = join(directory, name);
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
}

const text = async (...args: Parameters<typeof readPin>) => fromUtf8((await readPin(...args)).pin.reveal());
const usage = { code: 'usage' };

describe('from a file', () => {
  it.each(['1234', '1234\n', '1234\r\n'])('reads %j without its line break', async (content) => {
    const { pin, warnings } = await readPin({ file: file('pin', content) });
    expect(fromUtf8(pin.reveal())).toBe('1234');
    expect(warnings).toEqual([]);
  });

  it.each([0o644, 0o640, 0o604])('warns of mode %o, without telling the PIN', async (mode) => {
    const { pin, warnings } = await readPin({ file: file('open', 'pin-4711', mode) });
    expect(warnings).toHaveLength(1);
    expect(warnings.join() + inspect(pin) + JSON.stringify(pin)).not.toContain('pin-4711');
  });

  it.each([0o620, 0o602, 0o666])('refuses mode %o', async (mode) => {
    await expect(readPin({ file: file('writable', '1234', mode) })).rejects.toMatchObject(usage);
  });

  it.each(['', '\n', 'two\nlines', '12\u000034', 'x'.repeat(256)])('refuses %j', async (content) => {
    await expect(readPin({ file: file('bad', content) })).rejects.toMatchObject(usage);
  });

  it('takes the longest PIN', async () => {
    expect(await text({ file: file('long', `${'x'.repeat(255)}\r\n`) })).toHaveLength(255);
  });

  it('refuses what is no file', async () => {
    await expect(readPin({ file: join(directory, 'none') })).rejects.toMatchObject(usage);
    mkdirSync(join(directory, 'folder'));
    await expect(readPin({ file: join(directory, 'folder') })).rejects.toMatchObject(usage);
  });
});

describe('from the environment', () => {
  it('reads a variable, and warns', async () => {
    expect((await readPin({ variable: 'PIN' }, { PIN: '1234' })).warnings).toHaveLength(1);
    expect(await text({ variable: 'PIN' }, { PIN: '1234' })).toBe('1234');
    await expect(readPin({ variable: 'PIN' }, {})).rejects.toMatchObject(usage);
  });

  it('reads a systemd credential', async () => {
    file('token-pin', '4711\n', 0o400);
    const environment = { CREDENTIALS_DIRECTORY: directory };
    expect(await text({ credential: 'token-pin' }, environment)).toBe('4711');
    await expect(readPin({ credential: 'token-pin' }, {})).rejects.toMatchObject(usage);
    for (const name of ['../pin', '..', '', 'a/b']) {
      await expect(readPin({ credential: name }, environment)).rejects.toMatchObject(usage);
    }
  });
});

it('asks a person', async () => {
  expect(await text({ prompt: async () => '1234' })).toBe('1234');
  await expect(readPin({ prompt: async () => '' })).rejects.toMatchObject(usage);
});
