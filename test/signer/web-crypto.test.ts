/** Keys on a real token behind Web Cryptography's interface, with OpenSSL, jose and node:crypto as judges. */

import { execFileSync } from 'node:child_process';
import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { CompactSign, compactVerify, flattenedVerify, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/index.ts';
import { x509 } from '../../src/pki/engine.ts';
import {
  IN_TOTO,
  preAuthenticationEncoding,
  signCompactJws,
  signDsse,
  signJws,
  TokenCrypto,
} from '../../src/signer/index.ts';
import { openSigningToken } from '../../src/token/index.ts';
import type { SigningAlgorithm, SigningKey, SigningToken } from '../../src/token/port.ts';
import { PIN, type SoftHsm, secret, softHsm } from '../token/fixture.ts';

let hsm: SoftHsm;
let folder: string;
let token: SigningToken;
const keys = new Map<SigningAlgorithm, SigningKey>();
beforeAll(async () => {
  hsm = await softHsm('web-crypto');
  folder = mkdtempSync(join(tmpdir(), 'holdfast-web-crypto-'));
  token = await openSigningToken({ module: hsm.module, label: hsm.label, pin: secret(PIN) });
  for (const algorithm of ['Ed25519', 'P-256'] as const) {
    keys.set(algorithm, await token.generate(`web/${algorithm}`, algorithm));
  }
});
afterAll(async () => {
  await token.close();
  hsm.remove();
  rmSync(folder, { recursive: true });
});

const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

describe.each(['Ed25519', 'P-256'] as const)('a token’s key of %s', (algorithm) => {
  const algorithmOf = algorithm === 'Ed25519' ? { name: 'Ed25519' } : { name: 'ECDSA', hash: 'SHA-256' };
  const signer = () => keys.get(algorithm)!;
  const pair = async () => {
    const crypto = new TokenCrypto();
    const keyPair = await crypto.keyPair(signer());
    const spki = await crypto.subtle.exportKey('spki', keyPair.publicKey);
    const name = algorithm === 'Ed25519' ? algorithm : { name: 'ECDSA', namedCurve: algorithm };
    const runtimeKey = await globalThis.crypto.subtle.importKey('spki', spki, name, true, ['verify']);
    return { crypto, ...keyPair, runtimeKey };
  };

  it('signs what the runtime’s own Web Cryptography verifies', async () => {
    const { crypto, privateKey, publicKey, runtimeKey } = await pair();
    expect(privateKey).toMatchObject({ type: 'private', extractable: false, usages: ['sign'] });
    const data = utf8('signed by a token');
    const signature = await crypto.subtle.sign(algorithmOf, privateKey, data);
    expect(await crypto.subtle.verify(algorithmOf, publicKey, signature, data)).toBe(true);
    expect(await globalThis.crypto.subtle.verify(algorithmOf, runtimeKey, signature, data)).toBe(true);
    expect(await crypto.subtle.verify(algorithmOf, publicKey, signature, utf8('another'))).toBe(false);
  });

  it('exports its public half as SPKI, raw and JWK, and its private half never', async () => {
    const { crypto, privateKey, publicKey } = await pair();
    expect(new Uint8Array(await crypto.subtle.exportKey('raw', publicKey))).toEqual(signer().publicKey);
    const jwk = await crypto.subtle.exportKey('jwk', publicKey);
    const spki = Buffer.from(await crypto.subtle.exportKey('spki', publicKey));
    const fromSpki = createPublicKey({ key: spki, format: 'der', type: 'spki' }).export({ format: 'jwk' });
    expect(jwk).toMatchObject(fromSpki);
    expect(jwk).not.toHaveProperty('d');
    for (const format of ['pkcs8', 'raw', 'jwk', 'spki'] as const) {
      await expect(crypto.subtle.exportKey(format as 'raw', privateKey)).rejects.toThrow(/cannot be exported/);
    }
    await expect(crypto.subtle.exportKey('pkcs8', publicKey)).rejects.toThrow(/forms/);
  });

  it('refuses another algorithm or hash, and is nothing to another object', async () => {
    const { crypto, privateKey } = await pair();
    const other = algorithm === 'Ed25519' ? { name: 'ECDSA', hash: 'SHA-256' } : { name: 'Ed25519' };
    await expect(crypto.subtle.sign(other, privateKey, utf8('x'))).rejects.toThrow(/not one of/);
    if (algorithm === 'P-256') {
      const sha512 = { name: 'ECDSA', hash: { name: 'SHA-512' } };
      await expect(crypto.subtle.sign(sha512, privateKey, utf8('x'))).rejects.toThrow(/SHA-256 only/);
    }
    await expect(new TokenCrypto().subtle.sign(algorithmOf, privateKey, utf8('x'))).rejects.toThrow();
  });

  it('signs a certificate by @peculiar/x509 that OpenSSL verifies', async () => {
    const { crypto, privateKey, publicKey } = await pair();
    const root = await x509.X509CertificateGenerator.createSelfSigned(
      {
        name: 'CN=Test root',
        notBefore: new Date(Date.now() - 3_600_000),
        notAfter: new Date(Date.now() + 3_600_000),
        keys: { privateKey, publicKey },
        extensions: [
          new x509.BasicConstraintsExtension(true, 0, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
          await x509.SubjectKeyIdentifierExtension.create(publicKey, false, crypto),
        ],
      },
      crypto,
    );
    const leafKeys = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify']);
    const leaf = await x509.X509CertificateGenerator.create(
      {
        subject: 'CN=leaf',
        issuer: root.subject,
        notBefore: new Date(Date.now() - 3_600_000),
        notAfter: new Date(Date.now() + 3_000_000),
        publicKey: leafKeys.publicKey,
        signingKey: privateKey,
      },
      crypto,
    );
    const path = (name: string, certificate: x509.X509Certificate) => {
      const file = join(folder, `${algorithm}-${name}.pem`);
      writeFileSync(file, `${certificate.toString('pem')}\n`);
      return file;
    };
    const rootFile = path('root', root);
    expect(openssl('verify', '-check_ss_sig', '-CAfile', rootFile, rootFile)).toContain(': OK');
    expect(openssl('verify', '-CAfile', rootFile, path('leaf', leaf))).toContain(': OK');
    const text = openssl('x509', '-in', rootFile, '-noout', '-text');
    expect(text).toContain(algorithm === 'Ed25519' ? 'ED25519' : 'ecdsa-with-SHA256');
    const bytes = new Uint8Array(leaf.rawData);
    bytes[bytes.length - 1]! ^= 1;
    expect(() => openssl('verify', '-CAfile', rootFile, path('false', new x509.X509Certificate(bytes)))).toThrow();
  });

  it('signs JWS that stock jose verifies', async () => {
    const { runtimeKey } = await pair();
    const alg = algorithm === 'Ed25519' ? 'EdDSA' : 'ES256';
    const compact = await signCompactJws(utf8('{"sub":"x"}'), { typ: 'JWT' }, signer());
    const verified = await compactVerify(compact, runtimeKey, { algorithms: [alg] });
    expect(new TextDecoder().decode(verified.payload)).toBe('{"sub":"x"}');
    expect(verified.protectedHeader).toEqual({ alg, typ: 'JWT' });
    expect((await jwtVerify(compact, runtimeKey)).payload).toEqual({ sub: 'x' });
    const flattened = await signJws(utf8('anything'), {}, signer());
    expect((await flattenedVerify(flattened, runtimeKey)).protectedHeader).toEqual({ alg });
    await expect(flattenedVerify({ ...flattened, payload: 'AAAA' }, runtimeKey)).rejects.toThrow();
    for (const header of [{ alg: 'HS256' }, { b64: false }]) {
      await expect(signJws(utf8('x'), header, signer())).rejects.toMatchObject({ code: 'usage' });
    }
  });

  it('cannot be used by jose itself, whose runtime takes no keys but its own', async () => {
    const { privateKey } = await pair();
    const alg = algorithm === 'Ed25519' ? 'EdDSA' : 'ES256';
    const signing = new CompactSign(utf8('x')).setProtectedHeader({ alg }).sign(privateKey);
    await expect(signing).rejects.toThrow(/CryptoKey/);
  });

  it('signs DSSE envelopes that node:crypto verifies', async () => {
    const { crypto, publicKey } = await pair();
    const statement = utf8('{"_type":"https://in-toto.io/Statement/v1","ü":1}');
    const envelope = await signDsse(IN_TOTO, statement, signer());
    const spki = Buffer.from(await crypto.subtle.exportKey('spki', publicKey));
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    expect(Object.keys(envelope.signatures[0]!)).toEqual(['sig']);
    const payload = Buffer.from(envelope.payload, 'base64');
    expect(payload).toEqual(Buffer.from(statement));
    // Made anew, by the specification's own words, not by the code under test.
    const pae = Buffer.concat([
      Buffer.from(`DSSEv1 ${envelope.payloadType.length} ${envelope.payloadType} ${payload.length} `),
      payload,
    ]);
    expect(Buffer.from(preAuthenticationEncoding(IN_TOTO, statement))).toEqual(pae);
    const signature = Buffer.from(envelope.signatures[0]!.sig, 'base64');
    const hash = algorithm === 'Ed25519' ? null : 'sha256';
    expect(verify(hash, pae, key, signature)).toBe(true);
    expect(verify(hash, Buffer.concat([pae, Buffer.of(0)]), key, signature)).toBe(false);
  });
});

it('the published example of DSSE’s encoding', () => {
  const encoded = preAuthenticationEncoding('http://example.com/HelloWorld', utf8('hello world'));
  expect(new TextDecoder().decode(encoded)).toBe('DSSEv1 29 http://example.com/HelloWorld 11 hello world');
});
