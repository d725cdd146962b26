/** The program of docs/user-tokens.md: a tenant that is written after it, with stock libraries, is taken by nodes. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createUserTokenVerifier, generateTenantKey, OPERATIONS, SCOPE_SETS } from '../../src/access/index.ts';
import { generateClientKey } from '../../src/client/index.ts';
import { fromBase64Url, systemClock, systemRandom, toBase64Url } from '../../src/core/index.ts';

const document = readFileSync(new URL('../../docs/user-tokens.md', import.meta.url), 'utf8');

/** Beside the tests, so that the program finds its library. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(import.meta.dirname, 'document-'));
  writeFileSync(join(folder, 'tenant.ts'), /```ts\n([\s\S]*?)```/.exec(document)![1]!);
});
afterAll(() => rmSync(folder, { recursive: true }));

it('signs tokens that nodes take, with the record id that they compute', async () => {
  const { userToken } = await import(join(folder, 'tenant.ts'));
  const { privateKey, publicKey } = await generateTenantKey('ES256');
  const recordIdKey = systemRandom(32);
  const issuer = 'https://accounts.example';
  const clientKey = generateClientKey().publicKey;
  const tenant = { issuer, privateKey, recordIdKey: toBase64Url(recordIdKey) };
  const { token, record } = await userToken(tenant, 'main', 'Zoë', clientKey);
  const verify = createUserTokenVerifier({
    fleet: 'main',
    tenants: [{ issuer, algorithm: 'ES256', keys: [publicKey], recordIdKey }],
    clock: systemClock,
  });
  const use = { operation: 'attempt', record: fromBase64Url(record) } as const;
  await expect(verify(token, use)).resolves.toMatchObject({ subject: 'Zoë', clientKey });
  await expect(verify(token, { ...use, operation: 'open' })).rejects.toMatchObject({ details: { reason: 'scope' } });
});

it('names for each purpose the operations that it needs', () => {
  const rows = [...document.matchAll(/^\| [^|]+ \| `((?:[a-z]+ )+[a-z]+)` \|$/gm)].map(([, words]) => words!);
  expect(rows.map((row) => row.split(' '))).toEqual([
    [...SCOPE_SETS.recover],
    [...SCOPE_SETS.enrol],
    ['status', 'attempt', 'confirm', 'delete'],
    ['status', 'attempt', 'confirm', 'cancel'],
  ]);
  expect(new Set(rows.join(' ').split(' '))).toEqual(new Set(OPERATIONS));
});
