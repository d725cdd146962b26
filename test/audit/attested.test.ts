/** A fleet whose vendor vouches for its keys: what the audit says with the vendor's root pinned, and without. */

import '../../src/pki/reflect.ts';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';
import { fileEntry, publicKeyOf, type Statement } from '../../src/evidence/index.ts';
import { DAY, deployment, NOW } from '../trust/manifests.ts';
import { AuditScene, resultOf, type SceneChanges } from './scene.ts';

const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const engine = globalThis.crypto;
x509.cryptoProvider.set(engine);
const nodes = deployment().nodes.map((node) => ({ ...node, tokenClass: 'attested' as const }));

let root: Uint8Array;
/** By node and key: a certificate of the vendor's. */
const certificates = new Map<string, Uint8Array>();

beforeAll(async () => {
  const keys = (await engine.subtle.generateKey(P256, true, ['sign', 'verify'])) as CryptoKeyPair;
  const made = async (subject: string, publicKey: CryptoKey, extensions: x509.Extension[]) => {
    const certificate = await x509.X509CertificateGenerator.create({
      ...{ serialNumber: '01', subject, issuer: 'CN=Example Root', publicKey, extensions },
      ...{ signingKey: keys.privateKey, signingAlgorithm: P256 },
      ...{ notBefore: new Date(NOW - 300 * DAY), notAfter: new Date(NOW + 300 * DAY) },
    });
    return new Uint8Array(certificate.rawData);
  };
  root = await made('CN=Example Root', keys.publicKey, [new x509.BasicConstraintsExtension(true, undefined, true)]);
  for (const node of nodes) {
    for (const name of ['identity', 'session', 'oprf'] as const) {
      const spki = publicKeyOf('P-256', node.keys[name]).spki.slice();
      const publicKey = await engine.subtle.importKey('spki', spki, P256, true, ['verify']);
      certificates.set(`${node.name} ${name}`, await made(`CN=${node.name}`, publicKey, []));
    }
  }
});

/** The fleet with a certificate for each key but `without`. */
async function attested(without = ''): Promise<AuditScene> {
  const known = (node: string, key: string) =>
    `${node} ${key}` === without ? undefined : certificates.get(`${node} ${key}`);
  const statements = (all: Statement[]) =>
    all.map((each): Statement => {
      if (each.kind !== 'node-keys') return each;
      const keys = each.predicate.keys.map((key) => {
        const certificate = known(each.predicate.node, key.name);
        return { ...key, attestation: certificate ? [fileEntry(certificate).sha256] : [] };
      });
      return { ...each, predicate: { ...each.predicate, keys } };
    });
  const files = [...certificates.values()].map((each) => ({
    kind: 'attestation' as const,
    ...fileEntry(each, '.der'),
  }));
  const changes: SceneChanges = { bundle: { nodes }, statements, evidence: (evidence) => ({ ...evidence, files }) };
  const scene = await AuditScene.make(changes);
  for (const each of certificates.values()) scene.files.set(`evidence/${fileEntry(each, '.der').address}`, each);
  return scene;
}

describe('a fleet whose tokens are called attested', () => {
  it('passes with the vendor’s root pinned, and the audit says what that means', async () => {
    const report = await (await attested()).audit({ vendorRoots: [{ vendor: 'Example', certificate: root }] });
    expect(resultOf(report, 'token-class')).toBe('passed');
    expect(report.steps.find(({ id }) => id === 'token-class')!.message).toBe(
      'Example attests that these keys were made in its device (Example Root); this says nothing about who holds the PIN, or about other keys.',
    );
  });

  it('fails without that root, since nothing is proven then', async () => {
    expect(resultOf(await (await attested()).audit(), 'token-class')).toBe('token_class_unproven');
  });

  it('fails where one key of one node has no certificate', async () => {
    const report = await (await attested('node-2 session')).audit({
      vendorRoots: [{ vendor: 'Example', certificate: root }],
    });
    expect(resultOf(report, 'token-class')).toBe('token_class_unproven');
    expect(report.steps.find(({ id }) => id === 'token-class')!.message).toContain('node-2');
  });

  it('fails where a certificate was exchanged', async () => {
    const scene = await attested();
    const path = `evidence/${fileEntry(certificates.get('node-1 oprf')!, '.der').address}`;
    scene.files.set(path, certificates.get('node-2 oprf')!);
    const report = await scene.audit({ vendorRoots: [{ vendor: 'Example', certificate: root }] });
    expect(resultOf(report, 'token-class')).toBe('token_class_unproven');
  });
});
