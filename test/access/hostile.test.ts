/** A corpus of tokens that somebody made to get in, or to bring the node down. */

import { createHmac, createPublicKey } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { readUserToken, type UserTokenVerifier } from '../../src/access/index.ts';
import { toBase64Url, utf8 } from '../../src/core/index.ts';
import { clientKey, createTenant, createVerifier, goodClaims, reasonOf, signToken, use } from './fixtures.ts';

let tenant: Awaited<ReturnType<typeof createTenant>>;
let verify: UserTokenVerifier;
let good: string;

beforeAll(async () => {
  tenant = await createTenant('ES256');
  verify = createVerifier([tenant.configuration]);
  good = await signToken(tenant.privateKey);
  await verify(good, use());
});

const encode = (value: unknown) => toBase64Url(utf8(typeof value === 'string' ? value : JSON.stringify(value)));
const part = (index: number) => good.split('.')[index]!;
const header = () => JSON.parse(Buffer.from(part(0), 'base64url').toString()) as Record<string, unknown>;
const refused = (token: string) => reasonOf(verify(token, use()));

/** Rightly signed by the tenant, with a payload that no library would write. */
async function signText(payload: string): Promise<string> {
  const { CompactSign, importJWK } = await import('jose');
  const key = await importJWK(tenant.privateKey);
  return new CompactSign(utf8(payload)).setProtectedHeader({ alg: 'ES256', typ: 'holdfast+jwt' }).sign(key);
}

describe('tampering', () => {
  it('with any character of any part is noticed', async () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: good.length - 1 }), fc.constantFrom(...alphabet), async (at, character) => {
        fc.pre(good[at] !== character);
        const reason = await refused(good.slice(0, at) + character + good.slice(at + 1));
        expect(['malformed', 'signature', 'issuer']).toContain(reason);
      }),
      { numRuns: 300 },
    );
  });

  it('that changes no bit is noticed as well: an encoding has one form', async () => {
    // 64 bytes end in a character of which two bits count; its other forms decode to the same bytes.
    const last = part(2).at(-1)!;
    const twin = { A: 'B', Q: 'R', g: 'h', w: 'x' }[last]!;
    expect(await refused(good.slice(0, -1) + twin)).toBe('malformed');
    for (const other of [
      `${good}=`,
      `${good}==`,
      ` ${good}`,
      `${good}\n`,
      good.replace('.', '..'),
      `${good}.`,
      `${good}.AAAA`,
    ]) {
      expect(await refused(other)).toBe('malformed');
    }
  });

  it('with claims under the old signature is noticed', async () => {
    const claims = { ...goodClaims(), sub: 'user-2' };
    expect(await refused(`${part(0)}.${encode(claims)}.${part(2)}`)).toBe('signature');
  });

  it('never gives anything but a refusal, whatever the text', async () => {
    const segment = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.json().map(encode),
      fc.base64String().map((s) => s.replace(/=/g, '')),
    );
    const tokens = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.tuple(segment, segment, segment).map((parts) => parts.join('.')),
    );
    await fc.assert(
      fc.asyncProperty(tokens, async (token) => {
        expect(await refused(token)).toBe('malformed');
      }),
    );
    for (const token of [undefined, null, 7, {}, [good], new String(good)]) {
      expect(await refused(token as string)).toBe('malformed');
    }
  });
});

describe('algorithms', () => {
  it('none, in any spelling, is refused', async () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const head = encode({ ...header(), alg });
      expect(await refused(`${head}.${part(1)}.`)).toBe('malformed');
      expect(await refused(`${head}.${part(1)}.${part(2)}`)).toBe(alg === '' ? 'malformed' : 'signature');
    }
  });

  it('HMAC with the public key as its secret is refused', async () => {
    const pem = createPublicKey({ key: { ...tenant.publicKey }, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    for (const secret of [pem, JSON.stringify(tenant.publicKey), Buffer.from(tenant.publicKey.x!, 'base64url')]) {
      const signed = `${encode({ ...header(), alg: 'HS256' })}.${part(1)}`;
      const mac = createHmac('sha256', secret).update(signed).digest('base64url');
      expect(await refused(`${signed}.${mac}`)).toBe('signature');
    }
  });

  it('another algorithm than the tenant’s is refused, even with the tenant’s own key', async () => {
    const rsa = await createTenant('RS256');
    const strict = createVerifier([{ ...rsa.configuration }]);
    const { alg: _, ...bare } = rsa.privateKey;
    const other = await signToken({ ...bare, alg: 'PS256' });
    expect(await reasonOf(strict(other, use()))).toBe('signature');

    const edwards = await createTenant('EdDSA');
    const renamed = await signToken({ ...edwards.privateKey, alg: 'Ed25519' });
    expect(await reasonOf(createVerifier([edwards.configuration])(renamed, use()))).toBe('signature');
  });

  it('a signature of zeros, of the wrong length or in DER is refused', async () => {
    const sizes = [1, 63, 64, 65, 72, 132].map((size) => toBase64Url(new Uint8Array(size)));
    const der = toBase64Url(Uint8Array.of(0x30, 6, 2, 1, 1, 2, 1, 1));
    for (const signature of [...sizes, der])
      expect(await refused(`${part(0)}.${part(1)}.${signature}`)).toBe('signature');
  });
});

describe('headers', () => {
  it('that bring a key, or change what is verified, are refused', async () => {
    const attacker = await createTenant('ES256');
    const extras = [
      { jwk: attacker.publicKey },
      { jku: 'https://attacker.example/keys' },
      { x5u: 'https://attacker.example/certificate' },
      { x5c: ['AAAA'] },
      { cty: 'JWT' },
      { zip: 'DEF' },
    ];
    for (const extra of extras) {
      const token = await signToken(attacker.privateKey, goodClaims(), { kid: tenant.publicKey.kid, ...extra });
      expect(await refused(token), JSON.stringify(extra)).toBe('malformed');
    }
    // The signing library does not write these.
    for (const extra of [{ crit: ['exp'], exp: 1 }, { crit: [] }, { b64: false, crit: ['b64'] }]) {
      expect(await refused(`${encode({ ...header(), ...extra })}.${part(1)}.${part(2)}`)).toBe('malformed');
    }
  });

  it('of another type are refused: the tenant signs other tokens, too', async () => {
    for (const typ of [undefined, 'JWT', 'at+jwt', 'HOLDFAST+JWT', 'application/holdfast+jwt', 7]) {
      expect(await refused(await signToken(tenant.privateKey, goodClaims(), { typ }))).toBe('malformed');
    }
  });

  it('with a strange key id are refused', async () => {
    expect(await refused(await signToken(tenant.privateKey, goodClaims(), { kid: 'other' }))).toBe('signature');
    expect(await refused(await signToken(tenant.privateKey, goodClaims(), { kid: '../../key' }))).toBe('signature');
    for (const kid of [7, null, {}, [tenant.publicKey.kid], '', 'x'.repeat(257)]) {
      expect(await refused(`${encode({ ...header(), kid })}.${part(1)}.${part(2)}`)).toBe('malformed');
    }
  });
});

describe('claims', () => {
  const names = ['iss', 'sub', 'aud', 'iat', 'exp', 'scope', 'cnf', 'record'];

  it.each(names)('%s is missing', async (name) => {
    const { [name]: _, ...claims } = goodClaims();
    expect(await refused(await signToken(tenant.privateKey, claims))).toBe('malformed');
  });

  it.each([...names, 'nbf'])('%s has a wrong type', async (name) => {
    const wrong: unknown[] = [null, true, {}, [], [goodClaims()[name]], '', -1, 0.5, 1e300, 'x'.repeat(257), '\ud800'];
    for (const value of wrong) {
      const payload = JSON.stringify({ ...goodClaims(), [name]: value });
      expect(await refused(await signText(payload)), payload).toBe('malformed');
    }
  });

  it('dates are whole seconds in order', async () => {
    const { iat, exp } = goodClaims() as { iat: number; exp: number };
    const wrong = [
      { iat: String(iat) },
      { exp: String(exp) },
      { exp: iat },
      { iat: exp + 1 },
      { exp: 253_402_300_800 },
      { exp: exp + 0.5 },
    ];
    for (const dates of wrong) {
      expect(await refused(await signToken(tenant.privateKey, { ...goodClaims(), ...dates }))).toBe('malformed');
    }
  });

  it('the record is 32 bytes in canonical base64url', async () => {
    const wrong = [new Uint8Array(31), new Uint8Array(33)].map(toBase64Url);
    const record = goodClaims().record as string;
    wrong.push(`${record}=`, `${record.slice(0, -1)}d`, `+${record.slice(1)}`, 'A'.repeat(41));
    for (const each of wrong) {
      expect(await refused(await signToken(tenant.privateKey, { ...goodClaims(), record: each }))).toBe('malformed');
    }
  });

  it('the client’s key is a public Ed25519 key', async () => {
    const jwk = { kty: 'OKP', crv: 'Ed25519', x: toBase64Url(clientKey.publicKey) };
    const wrong = [
      {},
      { jwk: null },
      { jwk: 'text' },
      { kid: 'client' },
      { jwk: { ...jwk, d: jwk.x } },
      { jwk: { ...jwk, crv: 'X25519' } },
      { jwk: { ...jwk, kty: 'EC' } },
      { jwk: { ...jwk, x: [...clientKey.publicKey] } },
      { jwk: { ...jwk, x: toBase64Url(new Uint8Array(31)) } },
      { jwk: { kty: 'oct', k: jwk.x } },
    ];
    for (const cnf of wrong) {
      expect(await refused(await signToken(tenant.privateKey, { ...goodClaims(), cnf }))).toBe('malformed');
    }
  });

  it('an audience list is refused, even one that has the fleet in it', async () => {
    expect(await refused(await signToken(tenant.privateKey, { ...goodClaims(), aud: ['fleet-a', 'fleet-b'] }))).toBe(
      'malformed',
    );
  });

  it('scopes match whole words, in their case', async () => {
    for (const scope of [
      'attempts',
      'xattempt',
      'ATTEMPT',
      'attempt,status',
      'attempt\tstatus',
      'status\u00a0attempt',
      'recover',
      '*',
    ]) {
      expect(await refused(await signToken(tenant.privateKey, { ...goodClaims(), scope })), scope).toBe('scope');
    }
  });

  it('names that every object has are not claims', async () => {
    const payload = JSON.stringify(goodClaims()).replace('"sub":"user-1"', '"__proto__":{"sub":"user-1"}');
    expect(await refused(await signText(payload))).toBe('malformed');
  });
});

describe('JSON', () => {
  const withMore = (more: string) => JSON.stringify(goodClaims()).replace(/}$/, `,${more}}`);

  it('with a member twice is refused, however it is written and wherever it is', async () => {
    for (const more of [
      '"sub":"user-2"',
      '"s\\u0075b":"user-1"',
      '"x":{"a":1,"a":1}',
      '"x":[{"a":1},{"b":[],"b":[]}]',
    ]) {
      expect(await refused(await signText(withMore(more))), more).toBe('malformed');
    }
    const twice = encode(JSON.stringify(header()).replace(/}$/, ',"alg":"ES256"}'));
    expect(await refused(`${twice}.${part(1)}.${part(2)}`)).toBe('malformed');
  });

  it('with equal values, or equal names in different objects, is fine', async () => {
    const more = '"x":["sub","sub"],"y":{"sub":"sub","z":{"sub":"\\\\\\",\\"sub\\":1"}},"w":[[],{},"{",",","a"]';
    expect((await verify(await signText(withMore(more)), use())).subject).toBe('user-1');
  });

  it('refuses exactly what has a member twice', () => {
    const names = fc.array(fc.constantFrom('a', 'b', 'c', 'd', ',', '"', '\\', '{'), { maxLength: 4 });
    fc.assert(
      fc.property(names, fc.jsonValue({ maxDepth: 2 }), (list, value) => {
        const json = `{${list.map((name) => `${JSON.stringify(name)}: ${JSON.stringify(value)}`).join(' , ')}}`;
        const token = `${encode(json)}.${encode('{}')}.AAAA`;
        let message = '';
        try {
          readUserToken(token);
        } catch (error) {
          message = (error as Error).message;
        }
        expect(message.includes(' twice')).toBe(new Set(list).size < list.length);
      }),
    );
  });

  it('that is deep, long or broken is refused', async () => {
    const deep = `${'['.repeat(1300)}${']'.repeat(1300)}`;
    for (const payload of [
      deep,
      withMore(`"x":${deep}`),
      withMore('"x":[[[[[[[[]]]]]]]]'),
      '[]',
      '7',
      'null',
      '"a"',
      '',
      '{',
      '{} x',
    ]) {
      const token = `${part(0)}.${encode(payload)}.${part(2)}`;
      expect(await refused(token), payload.slice(0, 40)).toBe('malformed');
    }
    const notUtf8 = toBase64Url(Uint8Array.of(0x7b, 0xff, 0x7d));
    expect(await refused(`${part(0)}.${notUtf8}.${part(2)}`)).toBe('malformed');
    expect(await refused(`${part(0)}.${encode(`\ufeff${JSON.stringify(goodClaims())}`)}.${part(2)}`)).toBe('malformed');
  });

  it('of more than 4096 bytes is refused unread, though rightly signed; of 4096 it is taken', async () => {
    const padded = async (length: number) => {
      const fixed = (await signText(withMore('"x":""'))).length;
      for (let pad = Math.floor(((length - fixed) * 3) / 4) - 3; ; pad++) {
        const token = await signText(withMore(`"x":"${'y'.repeat(pad)}"`));
        if (token.length >= length) return token;
      }
    };
    expect((await verify(await padded(4095), use())).subject).toBe('user-1');
    expect(await refused(await padded(4097))).toBe('malformed');
    expect(await refused('A'.repeat(50_000_000))).toBe('malformed');
  });
});
