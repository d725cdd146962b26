/** A PIN that a token refused is not tried again by the process's next start, nor the one after that. */

import { mkdirSync, mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, it } from 'vitest';
import { HoldfastError, Secret, utf8 } from '../../src/core/index.ts';
import { openUnlessRefused, REFUSED_PIN_FILE } from '../../src/token/index.ts';

const secret = (text: string) => new Secret(utf8(text));

let folder: string;
/** PINs that the token was asked with. */
let asked: string[];
let right = '4711';

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'refused-')), 'store');
  asked = [];
  right = '4711';
});

const open = (pin: string, label = 'vault') =>
  openUnlessRefused({ folder, token: { module: '/module.so', label } }, secret(pin), async () => {
    asked.push(pin);
    if (pin === right) return 'open';
    throw new HoldfastError('token_pin_incorrect', 'the token refused login with CKR_PIN_INCORRECT');
  });

const refused = { code: 'token_pin_incorrect' };

it('the token is asked once with a wrong PIN, and each new one costs one try', async () => {
  for (let start = 0; start < 3; start++) await expect(open('0000')).rejects.toMatchObject(refused);
  expect(asked).toEqual(['0000']);
  for (let start = 0; start < 3; start++) await expect(open('0001')).rejects.toMatchObject(refused);
  expect(asked).toEqual(['0000', '0001']);
  expect(await open('4711')).toBe('open');
});

it('the right PIN ends the memory', async () => {
  await expect(open('0000')).rejects.toMatchObject(refused);
  expect(await open('4711')).toBe('open');
  right = '0000';
  expect(await open('0000')).toBe('open');
});

it('says which file to delete where the token was given that PIN afterwards', async () => {
  await expect(open('0000')).rejects.toMatchObject(refused);
  right = '0000';
  const path = join(folder, REFUSED_PIN_FILE);
  await expect(open('0000')).rejects.toMatchObject({ message: expect.stringContaining(path) });
  expect(asked).toEqual(['0000']);
});

it('the same PIN may be another token’s', async () => {
  await expect(open('0000')).rejects.toMatchObject(refused);
  await expect(open('0000', 'another')).rejects.toMatchObject(refused);
  expect(asked).toEqual(['0000', '0000']);
});

it('other failures say nothing about the PIN', async () => {
  const fail = () =>
    openUnlessRefused({ folder, token: { module: '/module.so' } }, secret('0000'), async () => {
      throw new HoldfastError('token_removed', 'gone');
    });
  for (let start = 0; start < 2; start++) await expect(fail()).rejects.toMatchObject({ code: 'token_removed' });
});

it('what is kept does not tell the PIN, and is for its owner only', async () => {
  await expect(open('13572468')).rejects.toMatchObject(refused);
  const path = join(folder, REFUSED_PIN_FILE);
  expect(readFileSync(path, 'utf8')).not.toContain('13572468');
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

it.each(['', '{}', '{"format":"holdfast/refused-pin/v1","salt":"AA","hash":"AA"}', '{"format":"x"'])(
  'with a damaged file (%j) the token is not asked at all',
  async (content) => {
    await expect(open('0000')).rejects.toMatchObject(refused);
    writeFileSync(join(folder, REFUSED_PIN_FILE), content);
    await expect(open('4711')).rejects.toMatchObject({ code: 'usage', message: expect.stringContaining('delete') });
    expect(asked).toEqual(['0000']);
  },
);

it('where it cannot be noted, that is said', async () => {
  mkdirSync(join(folder, `${REFUSED_PIN_FILE}.new`), { recursive: true });
  await expect(open('0000')).rejects.toMatchObject({ ...refused, message: expect.stringContaining('cannot be noted') });
});
