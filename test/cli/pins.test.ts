/** A PIN as commands take it: read as the client will read it, before anything else is done with it. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { askPin } from '../../src/cli/pins.ts';

const folder = mkdtempSync(join(tmpdir(), 'pins-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

const { signal } = new AbortController();

function ask(content: string | Uint8Array, more: { recoveryCode?: boolean; confirm?: boolean } = {}): Promise<string> {
  const { confirm = false, ...flags } = more;
  writeFileSync(join(folder, 'pin'), content);
  return askPin({ pinFile: join(folder, 'pin'), ...flags }, { prompt: 'PIN: ', confirm, signal });
}

describe('a PIN that cannot be one', () => {
  it.each([
    ['not in UTF-8', Uint8Array.of(0x31, 0xff), /PIN is not text in UTF-8/],
    ['with a control character', '12\x003', /this PIN cannot be used: it has a character/],
    ['too long', '9'.repeat(1025), /this PIN cannot be used: enter at most 1024/],
  ])('because it is %s is wrong usage, and nothing is sent', async (_, content, message) => {
    await expect(ask(content)).rejects.toMatchObject({ code: 'usage', message: expect.stringMatching(message) });
    await expect(ask(content)).rejects.toThrow(/nothing was sent/);
  });

  it('is said to be a recovery code where it should be one', async () => {
    await expect(ask('ABCD!', { recoveryCode: true })).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/this recovery code cannot be used/),
    });
    expect(await ask('ab cd-12', { recoveryCode: true })).toBe('ab cd-12');
  });
});

describe('a short PIN', () => {
  const warnings = () => vi.spyOn(process.stderr, 'write').mockReturnValue(true).mock.calls;

  it('is warned of when it is new, by its characters', async () => {
    const said = warnings();
    expect(await ask('äöü', { confirm: true })).toBe('äöü');
    expect(String(said[0]?.[0])).toMatch(/^warning: a PIN of fewer than 4 characters/);
    expect(said).toHaveLength(1);
  });

  it('is not where it is long enough, a code, or the one that is there', async () => {
    const said = warnings();
    await ask('4930', { confirm: true });
    await ask('ABC', { confirm: true, recoveryCode: true });
    await ask('1');
    expect(said).toEqual([]);
  });
});
