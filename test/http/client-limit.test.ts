/** Limits of one client: nobody gets more by having more addresses of one network. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fastify } from 'fastify';
import { expect, it } from 'vitest';
import { addRateLimit } from '../../src/http/index.ts';

async function limited() {
  const app = fastify();
  await addRateLimit(app, { requests: 2, windowMilliseconds: 60_000 });
  app.get('/', async () => 'ok');
  return async (remoteAddress: string) => (await app.inject({ url: '/', remoteAddress })).statusCode === 200;
}

it('is one for all addresses of a network of IPv6, and another for the next network', async () => {
  const ask = await limited();
  expect(await ask('2001:db8:1:2::1')).toBe(true);
  expect(await ask('2001:db8:1:2::2')).toBe(true);
  expect(await ask('2001:db8:1:2:ffff::3')).toBe(false);
  expect(await ask('2001:db8:1:2:8000::')).toBe(false);
  expect(await ask('2001:db8:1:3::1')).toBe(true);
});

it('is one for each address of IPv4', async () => {
  const ask = await limited();
  const mapped = '::ffff:192.0.2.1';
  expect([await ask(mapped), await ask(mapped), await ask(mapped)]).toEqual([true, true, false]);
  expect(await ask('::ffff:192.0.2.2')).toBe(true);
  expect(await ask('192.0.2.3')).toBe(true);
});

it('is what every listener limits by', () => {
  const root = join(import.meta.dirname, '../../src');
  const users = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .filter((name) => readFileSync(join(root, name), 'utf8').includes("from '@fastify/rate-limit'"));
  expect(users).toEqual(['http/app.ts']);
});
