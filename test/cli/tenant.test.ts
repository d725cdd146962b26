/** `holdfast tenant` and `holdfast user-token --tenant`: what a node takes, and what it would refuse is not made. */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createUserTokenVerifier, TENANT_ALGORITHMS } from '../../src/access/index.ts';
import { readCredential } from '../../src/cli/credential.ts';
import { createProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/core/index.ts';
import { parseTenants } from '../../src/node/http/index.ts';
import { run } from './run.ts';

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-tenant-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const create = (name: string, ...more: string[]) =>
  run(
    ...['tenant', 'create', '--issuer', 'https://accounts.example'],
    ...['--key-out', at(`${name}.json`), '--out', at(`${name}-tenants.json`), ...more],
  );
const token = (...more: string[]) => run('user-token', '--subject', 'alice', '--out', at('alice.json'), ...more);
const ofTenant = (name: string) => ['--tenant', at(`${name}.json`), '--fleet-name', 'main'];
const verifier = (name: string, fleet = 'main') =>
  createUserTokenVerifier({
    fleet,
    tenants: parseTenants(readFileSync(at(`${name}-tenants.json`), 'utf8')),
    clock: systemClock,
  });

describe('a tenant', () => {
  it.each(TENANT_ALGORITHMS)('signs by %s what a node takes for its fleet, and for no other', async (algorithm) => {
    const made = await create(algorithm, '--algorithm', algorithm);
    expect([made.code, made.error]).toEqual([0, '']);
    rmSync(at('alice.json'), { force: true });
    expect((await token(...ofTenant(algorithm))).code).toBe(0);
    const { userToken, record, clientKey } = await readCredential(at('alice.json'));
    const verified = await verifier(algorithm)(userToken, { operation: 'attempt', record });
    expect(verified).toMatchObject({ issuer: 'https://accounts.example', subject: 'alice' });
    expect(verified.clientKey).toEqual(clientKey.publicKey);
    await expect(verifier(algorithm, 'other')(userToken, { operation: 'attempt', record })).rejects.toMatchObject({
      details: { reason: 'audience' },
    });
  });

  it('keeps both files to their owner, publishes no private key, and replaces nothing', async () => {
    expect((await create('kept')).code).toBe(0);
    for (const name of ['kept.json', 'kept-tenants.json']) expect(statSync(at(name)).mode & 0o777).toBe(0o600);
    const [tenant] = JSON.parse(readFileSync(at('kept-tenants.json'), 'utf8')).tenants;
    expect(Object.keys(tenant.keys[0])).not.toContain('d');
    const before = readFileSync(at('kept.json'), 'utf8');
    const again = await create('kept');
    expect([again.code, again.error]).toEqual([2, expect.stringContaining('exists already')]);
    expect(readFileSync(at('kept.json'), 'utf8')).toBe(before);
  });
});

describe('a user token', () => {
  it('is good for as long as the tenant allows, and is never made for longer', async () => {
    expect((await create('short', '--maximum-age', '90')).code).toBe(0);
    rmSync(at('alice.json'), { force: true });
    expect((await token(...ofTenant('short'))).code).toBe(0);
    const { userToken, record } = await readCredential(at('alice.json'));
    await expect(verifier('short')(userToken, { operation: 'status', record })).resolves.toBeDefined();
    const longer = await token(...ofTenant('short'), '--lifetime', '91');
    expect([longer.code, longer.error]).toEqual([2, expect.stringContaining('more than 90 seconds')]);
  });

  it('wants to know whose: a fleet’s tenant, or one with the name of a fleet', async () => {
    for (const wrong of [
      [],
      ['--tenant', at('short.json')],
      ['--fleet-name', 'main'],
      [...ofTenant('short'), '--fleet', folder],
    ]) {
      const refused = await token(...wrong);
      expect([refused.code, refused.error]).toEqual([2, expect.stringContaining('give --fleet FOLDER')]);
    }
  });

  it('comes of no file that is not a tenant’s key', async () => {
    expect((await create('public')).code).toBe(0);
    expect((await token('--tenant', at('public-tenants.json'), '--fleet-name', 'main')).code).toBe(9);
    expect((await token('--tenant', at('nothing.json'), '--fleet-name', 'main')).code).toBe(2);
    writeFileSync(at('large.json'), ' '.repeat(20_000));
    expect((await token('--tenant', at('large.json'), '--fleet-name', 'main')).code).toBe(9);
  });
});

it('offers the algorithms that nodes know', () => {
  const tenant = createProgram().commands.find((command) => command.name() === 'tenant')!;
  const algorithm = tenant.commands[0]!.options.find(({ long }) => long === '--algorithm')!;
  expect([...algorithm.argChoices!].sort()).toEqual([...TENANT_ALGORITHMS].sort());
});
