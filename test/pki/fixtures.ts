/** A certificate authority in memory, and fleets' certificates made with it. */

import { generateKeyPairSync, sign } from 'node:crypto';
import { createAuthority, issueCertificate, type PeerRole, type TlsIdentity } from '../../src/pki/index.ts';
import type { TokenSigner } from '../../src/token/port.ts';

export const HOUR = 3_600_000;

export function softwareSigner(): TokenSigner & { calls: number } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { x, y } = publicKey.export({ format: 'jwk' });
  return {
    calls: 0,
    algorithm: 'P-256',
    publicKey: Buffer.concat([Buffer.of(4), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')]),
    async sign(message) {
      this.calls++;
      return sign('sha256', message, { key: privateKey, dsaEncoding: 'ieee-p1363' });
    },
    async close() {},
  };
}

export interface TestFleet {
  readonly fleet: string;
  readonly authorityPem: string;
  readonly signer: ReturnType<typeof softwareSigner>;
  issue(role: PeerRole, name: string, lifetime?: { notBefore: number; notAfter: number }): Promise<TlsIdentity>;
}

/** An authority valid from ten hours ago to ten hours ahead; its certificates by default within one hour of now. */
export async function createFleet(fleet: string): Promise<TestFleet> {
  const signer = softwareSigner();
  const now = Date.now();
  const authority = await createAuthority({ signer, fleet, notBefore: now - 10 * HOUR, notAfter: now + 10 * HOUR });
  const authorityPem = authority.certificatePem;
  return {
    fleet,
    authorityPem,
    signer,
    async issue(role, name, lifetime = { notBefore: now - HOUR, notAfter: now + HOUR }) {
      const subject = { fleet, role, name };
      const hosts = ['localhost', '127.0.0.1', '::1'];
      return { authorityPem, ...(await issueCertificate({ authorityPem, signer, subject, hosts, ...lifetime })) };
    },
  };
}
