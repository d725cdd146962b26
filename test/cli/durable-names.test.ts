/** What is said to be on the disk: the content, then the name, then the folder that has the name. */

import { mkdtempSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { beforeEach, expect, test, vi } from 'vitest';
import { writeWholeFile } from '../../src/cli/files.ts';
import { HoldfastError, Secret, utf8 } from '../../src/core/index.ts';
import { openUnlessRefused, REFUSED_PIN_FILE } from '../../src/token/index.ts';

const steps: string[] = vi.hoisted(() => []);
vi.mock('node:fs/promises', async (original) => {
  const files = await original<typeof import('node:fs/promises')>();
  return {
    ...files,
    open: async (path: string, ...rest: never[]): Promise<FileHandle> => {
      const file = await files.open(path, ...rest);
      const sync = file.sync.bind(file);
      file.sync = async () => {
        steps.push(`sync ${path}`);
        await sync();
      };
      return file;
    },
    rename: async (from: string, to: string) => {
      steps.push(`name ${to}`);
      await files.rename(from, to);
    },
    link: async (from: string, to: string) => {
      steps.push(`name ${to}`);
      await files.link(from, to);
    },
  };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'durable-'));
  steps.length = 0;
});

/** Steps with the temporary file's name left out. */
const seen = (path: string) =>
  steps.map((step) => (step.endsWith(path) || step === `sync ${folder}` ? step : step.replace(/ .*/, ' beside')));
const inOrder = (path: string) => ['sync beside', `name ${path}`, `sync ${folder}`];

test.each([true, false])('a file that a command writes, overwrite: %s', async (overwrite) => {
  const path = join(folder, 'made.key');
  await writeWholeFile(path, 'text', { mode: 0o600, overwrite });
  expect(seen(path)).toEqual(inOrder(path));
});

test('a PIN that was refused', async () => {
  const memory = { folder, token: { module: '/module.so', label: 'vault' } };
  const refused = async () => {
    throw new HoldfastError('token_pin_incorrect', 'the token refused login with CKR_PIN_INCORRECT');
  };
  await expect(openUnlessRefused(memory, new Secret(utf8('0000')), refused)).rejects.toThrow();
  const path = join(folder, basename(REFUSED_PIN_FILE));
  expect(seen(path)).toEqual(inOrder(path));
});
