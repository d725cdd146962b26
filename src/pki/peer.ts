/** Who is on the other end of a TLS connection: the one strict reading of a peer's certificate. */

import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import { HoldfastError } from '../core/index.ts';
import { x509 } from './engine.ts';
import { PEER_URI_PREFIX, type PeerIdentity, type PeerRole, parsePeerUri } from './names.ts';

export interface ExpectedPeer {
  readonly fleet: string;
  readonly role: PeerRole;
  /** Any name of that role if undefined. */
  readonly name?: string;
}

/**
 * Checks that a certificate speaks for `expected`. It does not check signature or validity: TLS has done that, against
 * the fleet's authority, before an application sees the certificate.
 * @returns the identity that the certificate carries.
 * @throws HoldfastError `forbidden` if it is anybody else's, or nobody's.
 */
export function checkPeer(certificate: PeerCertificate | X509Certificate, expected: ExpectedPeer): PeerIdentity {
  const identity = peerIdentityOf(certificate);
  const matches =
    identity !== undefined &&
    identity.fleet === expected.fleet &&
    identity.role === expected.role &&
    (expected.name === undefined || identity.name === expected.name);
  if (matches) return identity;
  throw new HoldfastError(
    'forbidden',
    'the peer’s certificate is not that of the expected fleet, role and name; check its certificate file',
    { details: { fleet: expected.fleet, role: expected.role, ...(expected.name && { name: expected.name }) } },
  );
}

/**
 * Whom a certificate speaks for, or undefined. Reads the encoded certificate itself: the text forms of alternative names
 * have been ambiguous before.
 */
export function peerIdentityOf(certificate: PeerCertificate | X509Certificate): PeerIdentity | undefined {
  try {
    const raw = certificate.raw;
    // A peer without a certificate is an empty object to node:tls.
    if (!(raw instanceof Uint8Array)) return undefined;
    const parsed = new x509.X509Certificate(new Uint8Array(raw));
    if (parsed.getExtension(x509.BasicConstraintsExtension)?.ca !== false) return undefined;
    const names = parsed.getExtensions(x509.SubjectAlternativeNameExtension).flatMap(({ names }) => [...names.items]);
    const uris = names.filter(({ type, value }) => type === 'url' && value.startsWith(PEER_URI_PREFIX));
    return uris.length === 1 ? parsePeerUri(uris[0]!.value) : undefined;
  } catch {
    return undefined;
  }
}
