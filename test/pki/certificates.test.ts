/** The certificates themselves, read back by OpenSSL and by node:crypto, neither of which made them. */

import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  checkPeer,
  createAuthority,
  issueCertificate,
  needsRenewal,
  type PeerRole,
  parsePeerUri,
  peerUri,
} from '../../src/pki/index.ts';
import { createFleet, HOUR, softwareSigner, type TestFleet } from './fixtures.ts';

let fleet: TestFleet;
let folder: string;

beforeAll(async () => {
  fleet = await createFleet('fleet-a');
  folder = mkdtempSync(join(tmpdir(), 'holdfast-pki-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' });

const rejected = async (promise: Promise<unknown>) => promise.then(() => undefined).catch((error) => error);

describe('OpenSSL agrees', () => {
  it.each([
    ['node', 'sslserver'],
    ['node', 'sslclient'],
    ['coordinator', 'sslserver'],
    ['coordinator', 'sslclient'],
    ['public', 'sslserver'],
  ] as const)('%s certificate is good as %s', async (role, purpose) => {
    const authority = file('ca.pem', fleet.authorityPem);
    const leaf = file(`${role}.pem`, (await fleet.issue(role, 'one')).certificatePem);
    const output = openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', authority, leaf);
    expect(output).toContain(': OK');
  });

  it('a public certificate is no client certificate', async () => {
    const authority = file('ca.pem', fleet.authorityPem);
    const leaf = file('public.pem', (await fleet.issue('public', 'one')).certificatePem);
    expect(() => openssl('verify', '-purpose', 'sslclient', '-CAfile', authority, leaf)).toThrow(/purpose/);
  });

  it('a certificate does not verify against another authority of the same name', async () => {
    const authority = file('other.pem', (await createFleet('fleet-a')).authorityPem);
    const leaf = file('node.pem', (await fleet.issue('node', 'one')).certificatePem);
    expect(() => openssl('verify', '-CAfile', authority, leaf)).toThrow(/verif|signature|issuer/i);
  });

  it('a leaf certificate cannot issue certificates', async () => {
    const leaf = await fleet.issue('node', 'one');
    const request = ['req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=x'];
    const csr = join(folder, 'x.csr');
    openssl(...request, '-keyout', join(folder, 'x.key'), '-out', csr);
    const forged = join(folder, 'forged.pem');
    const leafPem = file('leaf.pem', leaf.certificatePem);
    const leafKey = file('leaf.key', leaf.privateKeyPem);
    openssl('x509', '-req', '-in', csr, '-CA', leafPem, '-CAkey', leafKey, '-CAcreateserial', '-out', forged);
    const authority = file('ca.pem', fleet.authorityPem);
    expect(() => openssl('verify', '-CAfile', authority, '-untrusted', leafPem, forged)).toThrow(/invalid CA/);
  });

  it('extensions and their criticality are as RFC 5280 wants them', async () => {
    const text = (name: string, pem: string) => openssl('x509', '-noout', '-text', '-in', file(name, pem));
    const authority = text('ca.pem', fleet.authorityPem);
    expect(authority).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
    expect(authority).toMatch(/Key Usage: critical\s+Certificate Sign\n/);

    const leaf = text('node.pem', (await fleet.issue('node', 'one')).certificatePem);
    expect(leaf).toMatch(/Basic Constraints: critical\s+CA:FALSE\n/);
    expect(leaf).toMatch(/Key Usage: critical\s+Digital Signature\n/);
    expect(leaf).toMatch(/Extended Key Usage: ?\s+TLS Web Server Authentication, TLS Web Client Authentication\n/);
    expect(leaf).toContain(
      'URI:urn:holdfast:fleet-a:node:one, DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1',
    );
    expect(leaf).toContain('Signature Algorithm: ecdsa-with-SHA256');
    const identifier = (name: string, of: string) =>
      new RegExp(`${name} Key Identifier: ?\\s+([0-9A-F:]+)`).exec(of)?.[1];
    expect(identifier('Authority', leaf)).toBe(identifier('Subject', authority));
    expect(identifier('Subject', leaf)).toMatch(/^[0-9A-F]{2}(:[0-9A-F]{2}){19}$/);
  });
});

describe('issuing', () => {
  it('signs with the token and gives a leaf its own new key', async () => {
    const before = fleet.signer.calls;
    const [one, two] = [await fleet.issue('node', 'one'), await fleet.issue('node', 'one')];
    expect(fleet.signer.calls).toBe(before + 2);
    const [a, b] = [new X509Certificate(one.certificatePem), new X509Certificate(two.certificatePem)];
    expect(a.publicKey.equals(b.publicKey)).toBe(false);
    expect(a.publicKey.asymmetricKeyDetails?.namedCurve).toBe('prime256v1');
    expect(a.verify(new X509Certificate(fleet.authorityPem).publicKey)).toBe(true);
  });

  it('gives serial numbers of 16 bytes, positive and different', async () => {
    const serials = await Promise.all(
      Array.from({ length: 20 }, async () => new X509Certificate((await fleet.issue('node', 'n')).certificatePem)),
    ).then((certificates) => certificates.map(({ serialNumber }) => serialNumber));
    expect(new Set(serials).size).toBe(20);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
  });

  it('writes years after 2049', async () => {
    const [notBefore, notAfter] = [Date.UTC(2060, 0, 1), Date.UTC(2061, 0, 1)];
    const { certificatePem } = await createAuthority({ signer: softwareSigner(), fleet: 'later', notBefore, notAfter });
    const certificate = new X509Certificate(certificatePem);
    expect([certificate.validFromDate.getTime(), certificate.validToDate.getTime()]).toEqual([notBefore, notAfter]);
  });

  it('refuses a token that signs wrongly', async () => {
    const validity = { notBefore: Date.now(), notAfter: Date.now() + HOUR };
    const wrongKey = { ...softwareSigner(), publicKey: softwareSigner().publicKey };
    const short = { ...softwareSigner(), sign: async () => new Uint8Array(63) };
    for (const signer of [wrongKey, short]) {
      const error = await rejected(createAuthority({ signer, fleet: 'fleet-a', ...validity }));
      expect(error).toMatchObject({ code: 'token_failed' });
    }
  });

  it('refuses a signer that is not the authority’s, and an authority of another fleet', async () => {
    const { authorityPem, signer } = fleet;
    const validity = { notBefore: Date.now(), notAfter: Date.now() + HOUR };
    const request = { authorityPem, signer, hosts: [], ...validity };
    const subject = { fleet: 'fleet-a', role: 'node', name: 'one' } as const;
    const wrong = [
      { ...request, subject, signer: softwareSigner() },
      { ...request, subject: { ...subject, fleet: 'fleet-b' } },
      { ...request, subject, authorityPem: (await fleet.issue('node', 'one')).certificatePem },
      { ...request, subject, authorityPem: 'nothing' },
      { ...request, subject, authorityPem: authorityPem + authorityPem },
      { ...request, subject, notAfter: Date.now() + 11 * HOUR },
      { ...request, subject, notBefore: Date.now() + HOUR },
      { ...request, subject, notBefore: Number.NaN },
      { ...request, subject: { ...subject, name: '' } },
      { ...request, subject: { ...subject, name: 'é'.repeat(33) } },
      { ...request, subject: { ...subject, name: 'a\u0000b' } },
      { ...request, subject: { ...subject, role: 'root' as PeerRole } },
      ...[
        '',
        'a b',
        '-a.example',
        'a..example',
        'a.example,DNS:b',
        '1.2.3.4.5',
        'http://a',
        '*',
        '*.*.a',
        'ü.example',
      ].map((host) => ({ ...request, subject, hosts: [host] })),
    ];
    for (const each of wrong) {
      expect(await rejected(issueCertificate(each)), JSON.stringify(each)).toMatchObject({ code: 'bad_input' });
    }
    expect(await rejected(issueCertificate({ ...request, subject }))).toBeUndefined();
  });
});

describe('renewal', () => {
  it('is due after two thirds of the lifetime', async () => {
    const notBefore = Math.floor(Date.now() / 1000) * 1000;
    const { certificatePem } = await fleet.issue('node', 'one', { notBefore, notAfter: notBefore + 3 * HOUR });
    expect(needsRenewal(certificatePem, notBefore)).toBe(false);
    expect(needsRenewal(certificatePem, notBefore + 2 * HOUR - 1)).toBe(false);
    expect(needsRenewal(certificatePem, notBefore + 2 * HOUR)).toBe(true);
    expect(needsRenewal(certificatePem, notBefore + 9 * HOUR)).toBe(true);
    expect(needsRenewal(certificatePem, notBefore - 1)).toBe(true);
    expect(() => needsRenewal('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----', 0)).toThrow(
      expect.objectContaining({ code: 'bad_input' }),
    );
  });
});

describe('names', () => {
  const name = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 16 })
    .filter((text) => text.isWellFormed() && text.trim() === text && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text));

  it('survive the certificate, whatever characters they have', async () => {
    await fc.assert(
      fc.asyncProperty(name, name, async (fleetName, peerName) => {
        const signer = softwareSigner();
        const validity = { notBefore: 0, notAfter: HOUR };
        const { certificatePem } = await createAuthority({ signer, fleet: fleetName, ...validity });
        const subject = { fleet: fleetName, role: 'node', name: peerName } as const;
        const leaf = await issueCertificate({ authorityPem: certificatePem, signer, subject, hosts: [], ...validity });
        expect(checkPeer(new X509Certificate(leaf.certificatePem), subject)).toEqual(subject);
      }),
      { numRuns: 30 },
    );
  });

  it('are one URI for one identity', () => {
    fc.assert(
      fc.property(name, name, (fleetName, peerName) => {
        const identity = { fleet: fleetName, role: 'coordinator', name: peerName } as const;
        const uri = peerUri(identity);
        expect(uri).toMatch(/^urn:holdfast:[A-Za-z0-9._%-]+:coordinator:[A-Za-z0-9._%-]+$/);
        expect(parsePeerUri(uri)).toEqual(identity);
      }),
    );
  });

  it.each([
    'urn:holdfast:a:node',
    'urn:holdfast:a:node:b:c',
    'urn:holdfast:a:admin:b',
    'urn:holdfast::node:b',
    'urn:holdfast:a:node:',
    'urn:holdfast:a:node:%62',
    'urn:holdfast:a:node:%3a',
    'urn:holdfast:a:node:%ff',
    'urn:holdfast:a:node:%',
    'URN:holdfast:a:node:b',
  ])('%s is nobody', (uri) => {
    expect(parsePeerUri(uri)).toBeUndefined();
  });
});
