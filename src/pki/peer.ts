/** Who is on the other end of a TLS connection: the one strict reading of a peer's certificate. */

import type { X509Certificate } from 'node:crypto';
import type { PeerCertificate } from 'node:tls';
import {
  type CertificateExtension,
  DER,
  HoldfastError,
  readCertificateDer,
  readDer,
  readOneDer,
} from '../core/index.ts';
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

const BASIC_CONSTRAINTS = '2.5.29.19';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
/** GeneralName's uniformResourceIdentifier (RFC 5280, section 4.2.1.6). */
const URI = 0x86;

/**
 * Whom a certificate speaks for, or undefined. Reads the encoded certificate itself: the text forms of alternative names
 * have been ambiguous before. Strictly, so that what two readers could take for two names is nobody's; and without a library
 * for all of X.509, which every process would load for this.
 */
export function peerIdentityOf(certificate: PeerCertificate | X509Certificate): PeerIdentity | undefined {
  try {
    const raw = certificate.raw;
    // A peer without a certificate is an empty object to node:tls.
    if (!(raw instanceof Uint8Array)) return undefined;
    const { extensions } = readCertificateDer(raw);
    if (!isEndEntity(extensions)) return undefined;
    const uris = urisOf(extensions).filter((uri) => uri.startsWith(PEER_URI_PREFIX));
    return uris.length === 1 ? parsePeerUri(uris[0]!) : undefined;
  } catch {
    return undefined;
  }
}

const extensionOf = (extensions: readonly CertificateExtension[], wanted: string) =>
  extensions.find(({ id }) => id === wanted)?.value;

/** By basic constraints that say nothing: DER does not write `cA` where it is FALSE, its default. */
function isEndEntity(extensions: readonly CertificateExtension[]): boolean {
  const value = extensionOf(extensions, BASIC_CONSTRAINTS);
  return value !== undefined && readOneDer(value, DER.sequence).content.length === 0;
}

/** One character for each byte: what is not ASCII is in no name that `parsePeerUri` takes. */
function urisOf(extensions: readonly CertificateExtension[]): string[] {
  const value = extensionOf(extensions, SUBJECT_ALTERNATIVE_NAME);
  if (value === undefined) return [];
  return readDer(readOneDer(value, DER.sequence).content)
    .filter(({ tag }) => tag === URI)
    .map(({ content }) => String.fromCharCode(...content));
}
