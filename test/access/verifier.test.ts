/** Which user tokens a node takes, and for what. */

import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  createUserToken,
  generateTenantKey,
  hashUserToken,
  recordId,
  TENANT_ALGORITHMS,
  type TenantConfiguration,
} from '../../src/access/index.ts';
import { bytesToHex, toBase64Url } from '../../src/core/index.ts';
import {
  clientKey,
  clock,
  createTenant,
  createVerifier,
  FLEET,
  goodClaims,
  ISSUER,
  NOW,
  RECORD,
  reasonOf,
  seconds,
  signToken,
  use,
} from './fixtures.ts';

/** Whatever asks node:crypto to verify a signature. */
const verifications = vi.spyOn(crypto, 'verify');
syncBuiltinESMExports();
afterAll(() => {
  verifications.mockRestore();
  syncBuiltinESMExports();
});

let tenant: Awaited<ReturnType<typeof createTenant>>;

beforeAll(async () => {
  tenant = await createTenant('ES256');
});
beforeEach(() => {
  clock.time = NOW;
  verifications.mockClear();
});

const request = () => ({
  tenantKey: tenant.privateKey,
  issuer: ISSUER,
  subject: 'user-1',
  fleet: FLEET,
  scope: ['recover'] as const,
  clientKey: clientKey.publicKey,
  record: RECORD,
  issuedAt: NOW,
});

describe('a right token', () => {
  it.each(TENANT_ALGORITHMS)('of a tenant with %s is taken', async (algorithm) => {
    const { privateKey, configuration } = await createTenant(algorithm);
    const token = await createUserToken({ ...request(), tenantKey: privateKey });
    const user = await createVerifier([configuration])(token, use());
    expect(user).toEqual({
      issuer: ISSUER,
      subject: 'user-1',
      clientKey: clientKey.publicKey,
      tokenHash: hashUserToken(token),
      expiresAt: NOW + 600_000,
    });
  });

  it('is taken for the operations in its scope only', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken({ ...request(), scope: ['enrol', 'delete'] });
    for (const operation of ['status', 'open', 'stage', 'activate', 'attempt', 'confirm', 'delete'] as const) {
      expect((await verify(token, use(operation))).subject).toBe('user-1');
    }
    expect(await reasonOf(verify(token, use('cancel')))).toBe('scope');
  });

  it('is taken for its own record only', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken(request());
    for (const record of [new Uint8Array(32), RECORD.subarray(1), new Uint8Array(0)]) {
      expect(await reasonOf(verify(token, use('attempt', record)))).toBe('record');
    }
    expect((await verify(token, use())).subject).toBe('user-1');
  });

  it('may come under any of the tenant’s keys, with or without a key id', async () => {
    const second = await generateTenantKey('ES256');
    const { kid: _, ...nameless } = second.publicKey;
    const bothWays: TenantConfiguration[] = [
      { ...tenant.configuration, keys: [tenant.publicKey, second.publicKey] },
      { ...tenant.configuration, keys: [tenant.publicKey, nameless] },
    ];
    for (const configuration of bothWays) {
      for (const header of [{}, { kid: undefined }]) {
        const token = await signToken(second.privateKey, goodClaims(), header);
        expect((await createVerifier([configuration])(token, use())).subject).toBe('user-1');
      }
    }
  });

  it('may have words and claims that mean nothing here', async () => {
    const claims = { ...goodClaims(), scope: 'openid attempt profile', jti: '1', extra: { nested: [1, { a: null }] } };
    const verify = createVerifier([tenant.configuration]);
    const token = await signToken(tenant.privateKey, claims);
    expect((await verify(token, use())).subject).toBe('user-1');
    expect(await reasonOf(verify(token, use('status')))).toBe('scope');
  });
});

describe('time', () => {
  it.each([
    ['before it was issued, beyond the tolerance', -60_001, 'not_yet_valid'],
    ['before it was issued, within the tolerance', -60_000, undefined],
    ['after its end, within the tolerance', 659_999, undefined],
    ['after its end, beyond the tolerance', 660_000, 'expired'],
    ['with a clock that tells nothing', Number.NaN, 'expired'],
  ])('%s', async (_, offset, reason) => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken(request());
    clock.time = NOW + offset;
    if (reason === undefined) expect((await verify(token, use())).subject).toBe('user-1');
    else expect(await reasonOf(verify(token, use()))).toBe(reason);
  });

  it('not before `nbf`', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await signToken(tenant.privateKey, { ...goodClaims(), nbf: seconds(NOW) + 120 });
    expect(await reasonOf(verify(token, use()))).toBe('not_yet_valid');
    clock.time = NOW + 60_000;
    expect((await verify(token, use())).subject).toBe('user-1');
  });

  it('no longer than the tenant’s maximum age', async () => {
    const lifetime = async (lifetimeSeconds: number, maximumAgeSeconds?: number) => {
      const configuration = { ...tenant.configuration, ...(maximumAgeSeconds && { maximumAgeSeconds }) };
      return createVerifier([configuration])(await createUserToken({ ...request(), lifetimeSeconds }), use());
    };
    expect((await lifetime(3600)).subject).toBe('user-1');
    expect(await reasonOf(lifetime(3601))).toBe('too_old');
    expect((await lifetime(60, 60)).subject).toBe('user-1');
    expect(await reasonOf(lifetime(61, 60))).toBe('too_old');
  });
});

describe('record ids by the tenant’s id key', () => {
  it('must be those of the subject', async () => {
    const recordIdKey = new Uint8Array(32).fill(1);
    const verify = createVerifier([{ ...tenant.configuration, recordIdKey }]);
    const own = recordId(recordIdKey, { fleet: FLEET, issuer: ISSUER, subject: 'user-1' });
    const token = await createUserToken({ ...request(), record: own });
    expect((await verify(token, use('attempt', own))).subject).toBe('user-1');

    const others = recordId(recordIdKey, { fleet: FLEET, issuer: ISSUER, subject: 'user-2' });
    const wrong = await createUserToken({ ...request(), record: others });
    expect(await reasonOf(verify(wrong, use('attempt', others)))).toBe('record');
  });

  it('are these exact bytes', () => {
    // HMAC-SHA256 over length-prefixed label, fleet, issuer and subject, computed with Python.
    const id = recordId(new Uint8Array(32).fill(1), { fleet: 'f', issuer: 'i', subject: 's' });
    expect(bytesToHex(id)).toBe('442a194b16b4d8807dd16e691097a4f370b7c4dd80e628cd2244b3688b4c4201');
  });
});

describe('a token that is not for this node', () => {
  it('is of an unknown issuer', async () => {
    const token = await createUserToken({ ...request(), issuer: `${ISSUER}/` });
    expect(await reasonOf(createVerifier([tenant.configuration])(token, use()))).toBe('issuer');
    expect(await reasonOf(createVerifier([])(await createUserToken(request()), use()))).toBe('issuer');
  });

  it('is signed with another tenant’s key', async () => {
    const other = await createTenant('ES256', 'https://other.example');
    const verify = createVerifier([tenant.configuration, other.configuration]);
    const token = await createUserToken({ ...request(), tenantKey: other.privateKey });
    expect(await reasonOf(verify(token, use()))).toBe('signature');
    const { kid: _, ...nameless } = other.privateKey;
    expect(await reasonOf(verify(await createUserToken({ ...request(), tenantKey: nameless }), use()))).toBe(
      'signature',
    );
  });

  it.each([['fleet-b'], ['FLEET-A'], ['fleet-a ']])('is for %s', async (audience) => {
    const token = await createUserToken({ ...request(), fleet: audience });
    expect(await reasonOf(createVerifier([tenant.configuration])(token, use()))).toBe('audience');
  });
});

describe('the cache', () => {
  it('spares the second verification, also of uses at the same time, and nothing else', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken(request());
    await Promise.all([verify(token, use()), verify(token, use('status')), verify(token, use())]);
    await verify(token, use());
    expect(verifications).toHaveBeenCalledTimes(1);
    expect(await reasonOf(verify(token, use('open')))).toBe('scope');
    expect(await reasonOf(verify(token, use('attempt', new Uint8Array(32))))).toBe('record');
    clock.time = NOW + 700_000;
    expect(await reasonOf(verify(token, use()))).toBe('expired');
    expect(verifications).toHaveBeenCalledTimes(1);
  });

  it('does not take one token for another that differs in its signature only', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken(request());
    await verify(token, use());
    const forged = token.replace(/[^.]+$/, toBase64Url(new Uint8Array(64).fill(1)));
    expect(await reasonOf(verify(forged, use()))).toBe('signature');
    expect(await reasonOf(verify(forged, use()))).toBe('signature');
  });

  it('is bounded, and forgets the least recently used first', async () => {
    const verify = createVerifier([tenant.configuration], { cacheSize: 2 });
    const [a, b, c] = await Promise.all(['a', 'b', 'c'].map((subject) => createUserToken({ ...request(), subject })));
    for (const token of [a!, b!, a!, c!]) await verify(token, use());
    expect(verifications).toHaveBeenCalledTimes(3);
    await verify(a!, use());
    expect(verifications).toHaveBeenCalledTimes(3);
    await verify(b!, use());
    expect(verifications).toHaveBeenCalledTimes(4);
  });

  it('may be left out', async () => {
    const verify = createVerifier([tenant.configuration], { cacheSize: 0 });
    const token = await createUserToken(request());
    await verify(token, use());
    await verify(token, use());
    expect(verifications).toHaveBeenCalledTimes(2);
  });

  it('never gives a caller the means to change what another one gets', async () => {
    const verify = createVerifier([tenant.configuration]);
    const token = await createUserToken(request());
    const first = await verify(token, use());
    first.clientKey.fill(0);
    first.tokenHash.fill(0);
    expect(await verify(token, use())).toMatchObject({
      clientKey: clientKey.publicKey,
      tokenHash: hashUserToken(token),
    });
  });
});

describe('a tenant’s configuration', () => {
  it('is refused where it is wrong, when the node starts', async () => {
    const good = tenant.configuration;
    const rsa = (await generateTenantKey('RS256')).publicKey;
    const wrong: TenantConfiguration[][] = [
      [good, good],
      [{ ...good, issuer: '' }],
      [{ ...good, keys: [] }],
      [{ ...good, keys: Array.from({ length: 17 }, () => tenant.publicKey) }],
      [{ ...good, keys: [tenant.privateKey] }],
      [{ ...good, keys: [rsa] }],
      [{ ...good, keys: [{ kty: 'oct', k: 'AAAA' }] }],
      [{ ...good, keys: [{ ...tenant.publicKey, use: 'enc' }] }],
      [{ ...good, keys: [{ ...tenant.publicKey, alg: 'ES384' }] }],
      [{ ...good, keys: [{ ...tenant.publicKey, x: tenant.publicKey.y! }] }],
      [{ ...good, algorithm: 'PS256', keys: [rsa] }],
      [
        {
          ...good,
          algorithm: 'RS256',
          keys: [{ kty: 'RSA', e: 'AQAB', n: toBase64Url(new Uint8Array(128).fill(0xff)) }],
        },
      ],
      [{ ...good, algorithm: 'HS256' as 'ES256' }],
      [{ ...good, algorithm: 'none' as 'ES256' }],
      [{ ...good, recordIdKey: new Uint8Array(31) }],
      [{ ...good, maximumAgeSeconds: 0 }],
      [{ ...good, maximumAgeSeconds: Number.POSITIVE_INFINITY }],
    ];
    for (const tenants of wrong) {
      expect(() => createVerifier(tenants), JSON.stringify(tenants)).toThrow(
        expect.objectContaining({ code: 'usage' }),
      );
    }
  });
});

describe('making tokens', () => {
  it('is refused where no node would take them', async () => {
    const wrong = [
      { scope: [] },
      { scope: ['everything' as 'status'] },
      { scope: ['toString' as 'status'] },
      { record: new Uint8Array(31) },
      { clientKey: new Uint8Array(33) },
      { subject: '' },
      { lifetimeSeconds: 0 },
      { lifetimeSeconds: 0.5 },
      { tenantKey: tenant.publicKey },
      { tenantKey: { kty: 'oct', k: 'AAAA', alg: 'none' } },
    ];
    for (const each of wrong) {
      const made = createUserToken({ ...request(), ...each });
      await expect(made, JSON.stringify(each)).rejects.toMatchObject({ code: 'usage' });
    }
    await expect(generateTenantKey('HS256' as 'ES256')).rejects.toMatchObject({ code: 'usage' });
  });
});
