/** Certificate requests: what is asked for is what is certified, and nothing else gets in. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { softwareEngine, x509 } from '../../src/pki/engine.ts';
import {
  certifyRequest,
  createAuthority,
  PEER_ROLES,
  type PeerIdentity,
  peerIdentityOf,
  peerUri,
  readRequest,
  requestCertificate,
} from '../../src/pki/index.ts';
import { softwareSigner } from './fixtures.ts';

const HOUR = 3_600_000;
const subject: PeerIdentity = { fleet: 'main', role: 'node', name: 'node-1' };
const validity = { notBefore: Date.now() - HOUR, notAfter: Date.now() + HOUR };
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' };

const signer = softwareSigner();
let authorityPem: string;
beforeAll(async () => {
  authorityPem = (await createAuthority({ signer, fleet: 'main', ...validity })).certificatePem;
});

/** A request made by somebody who does not keep to our form. */
async function foreign(
  change: Partial<x509.Pkcs10CertificateRequestCreateParams> & { readonly algorithm?: EcKeyGenParams } = {},
): Promise<string> {
  const { algorithm = ECDSA, ...rest } = change;
  const keys = await softwareEngine.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: [{ O: ['main'] }, { OU: ['node'] }, { CN: ['node-1'] }],
      keys,
      signingAlgorithm: SIGNING,
      extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: peerUri(subject) }])],
      ...rest,
    },
    softwareEngine,
  );
  return request.toString('pem');
}

describe('a certificate request', () => {
  it('is certified with its key, identity and hosts', async () => {
    const { requestPem, privateKeyPem } = await requestCertificate(subject, ['node-1.example', '192.0.2.7', '::1']);
    const requested = await readRequest(requestPem);
    expect(requested).toMatchObject({ subject, hosts: ['node-1.example', '192.0.2.7', '::1'] });
    const pem = await certifyRequest(requested, { authorityPem, signer, ...validity });
    const certificate = new X509Certificate(pem);
    expect(peerIdentityOf(certificate)).toEqual(subject);
    expect(certificate.checkIssued(new X509Certificate(authorityPem))).toBe(true);
    expect(certificate.verify(new X509Certificate(authorityPem).publicKey)).toBe(true);
    expect(certificate.checkHost('node-1.example')).toBe('node-1.example');
    expect(certificate.checkIP('192.0.2.7')).toBe('192.0.2.7');
    expect(certificate.checkPrivateKey(createPrivateKey(privateKeyPem))).toBe(true);
    expect(certificate.ca).toBe(false);
  });

  it('keeps any identity and hosts', async () => {
    const name = fc
      .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
      .filter(
        (text) =>
          text.isWellFormed() &&
          !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) &&
          text.trim() === text &&
          Buffer.byteLength(text) <= 64,
      );
    await fc.assert(
      fc.asyncProperty(
        fc.record({ fleet: name, role: fc.constantFrom(...PEER_ROLES), name }),
        fc.array(fc.oneof(fc.domain(), fc.ipV4()), { maxLength: 4 }),
        async (identity, hosts) => {
          const { requestPem } = await requestCertificate(identity, hosts);
          const read = await readRequest(requestPem);
          expect(read.subject).toEqual(identity);
          expect(read.hosts).toEqual(hosts.map((host) => host.toLowerCase()));
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each<[string, () => Promise<string>]>([
    ['is empty', async () => ''],
    ['is another file', async () => authorityPem],
    ['is there twice', async () => `${await foreign()}\n${await foreign()}`],
    ['has more than 65,536 bytes', async () => `${await foreign()}\n${' '.repeat(65_536)}`],
    ['has a key on another curve', () => foreign({ algorithm: { name: 'ECDSA', namedCurve: 'P-384' } })],
    ['has no names', () => foreign({ extensions: [] })],
    [
      'asks for more than names',
      () =>
        foreign({
          extensions: [
            new x509.SubjectAlternativeNameExtension([{ type: 'url', value: peerUri(subject) }]),
            new x509.BasicConstraintsExtension(true, 0, true),
          ],
        }),
    ],
    [
      'has two identities',
      () =>
        foreign({
          extensions: [
            new x509.SubjectAlternativeNameExtension([
              { type: 'url', value: peerUri(subject) },
              { type: 'url', value: peerUri({ ...subject, role: 'coordinator' }) },
            ]),
          ],
        }),
    ],
    [
      'has no identity first',
      () => foreign({ extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'a.example' }])] }),
    ],
    [
      'says another subject than its identity',
      () => foreign({ name: [{ O: ['main'] }, { OU: ['node'] }, { CN: ['node-2'] }] }),
    ],
  ])('is refused if it %s', async (_what, make) => {
    await expect(readRequest(await make())).rejects.toMatchObject({ code: 'bad_input' });
  });

  it('never asks for another key, identity or host with one bit of it changed', async () => {
    const { requestPem } = await requestCertificate(subject, ['node-1.example']);
    const der = Buffer.from(requestPem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    const wrap = (bytes: Buffer) =>
      `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    const said = async (pem: string) => {
      const { publicKey, ...names } = await readRequest(pem);
      return { ...names, key: Buffer.from(await softwareEngine.subtle.exportKey('spki', publicKey)).toString('hex') };
    };
    const right = await said(requestPem);
    let refused = 0;
    for (let at = 0; at < der.length; at++) {
      const changed = Buffer.from(der);
      changed[at]! ^= 1 << (at % 8);
      try {
        // What the signature does not cover, such as the version of its encoding, may be read all the same.
        expect(await said(wrap(changed)), `byte ${at}`).toEqual(right);
      } catch (error) {
        expect(error, `byte ${at}`).toMatchObject({ code: 'bad_input' });
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(der.length - 10);
  });

  it('of another fleet is not certified', async () => {
    const { requestPem } = await requestCertificate({ ...subject, fleet: 'other' }, []);
    const requested = await readRequest(requestPem);
    await expect(certifyRequest(requested, { authorityPem, signer, ...validity })).rejects.toMatchObject({
      code: 'bad_input',
    });
  });
});
