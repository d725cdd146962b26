/**
 * Certificate requests (PKCS #10, RFC 2986): a service makes its key where it runs, and only the request goes to the
 * fleet's authority. Nothing of a request is copied into the certificate but its key, identity and hosts.
 */

import { HoldfastError } from '../core/index.ts';
import {
  alternativeNames,
  type CertificateRequest,
  certify,
  checkSubject,
  distinguishedName,
  makeKeys,
  privateKeyPem,
} from './certificates.ts';
import { softwareEngine, x509 } from './engine.ts';
import { type PeerIdentity, parsePeerUri, peerUri } from './names.ts';

/** Bytes of a request as PEM: with 100 hosts of 253 characters it has some 40,000. */
export const MAXIMUM_REQUEST = 65_536;

export interface RequestedCertificate {
  readonly subject: PeerIdentity;
  /** DNS names and IP addresses, as `CertificateRequest` has them. */
  readonly hosts: readonly string[];
  /** The key to certify: whoever made the request has its private half. */
  readonly publicKey: CryptoKey;
}

/**
 * Makes a P-256 key in software and a request for its certificate, signed with it.
 * @throws HoldfastError `bad_input` for bad names or hosts.
 */
export async function requestCertificate(
  subject: PeerIdentity,
  hosts: readonly string[],
): Promise<{ readonly requestPem: string; readonly privateKeyPem: string }> {
  checkSubject(subject);
  const names = alternativeNames(subject, hosts);
  const keys = await makeKeys();
  const request = await x509.Pkcs10CertificateRequestGenerator.create(
    {
      name: distinguishedName(subject),
      keys,
      signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
      extensions: [names],
    },
    softwareEngine,
  );
  return { requestPem: `${request.toString('pem')}\n`, privateKeyPem: await privateKeyPem(keys) };
}

/**
 * What `requestPem` asks for, its signature verified.
 * @throws HoldfastError `bad_input` for anything that `requestCertificate` would not have made, but for its key.
 */
export async function readRequest(requestPem: string): Promise<RequestedCertificate> {
  if (requestPem.length > MAXIMUM_REQUEST) throw refused(`it has more than ${MAXIMUM_REQUEST} bytes`);
  let request: x509.Pkcs10CertificateRequest;
  let publicKey: CryptoKey;
  try {
    const blocks = x509.PemConverter.decodeWithHeaders(requestPem);
    if (blocks.length !== 1 || blocks[0]!.type !== 'CERTIFICATE REQUEST')
      throw refused('there is not exactly one in it');
    request = new x509.Pkcs10CertificateRequest(blocks[0]!.rawData);
    publicKey = await softwareEngine.subtle.importKey(
      'spki',
      request.publicKey.rawData,
      { name: 'ECDSA', namedCurve: 'P-256' },
      true,
      ['verify'],
    );
    if (!(await request.verify(softwareEngine))) throw refused('its signature does not verify');
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw refused('it cannot be read, or its key is not on P-256', cause);
  }
  const { subject, hosts } = namesOf(request);
  checkSubject(subject);
  alternativeNames(subject, hosts);
  const said = new x509.Name(distinguishedName(subject)).toString();
  if (request.subjectName.toString() !== said) throw refused('its subject and its URI differ');
  return { subject, hosts, publicKey };
}

/**
 * Has the token certify what a request asks for.
 * @throws HoldfastError as `readRequest` and `issueCertificate`.
 */
export async function certifyRequest(
  { subject, hosts, publicKey }: RequestedCertificate,
  authority: Omit<CertificateRequest, 'subject' | 'hosts'>,
): Promise<string> {
  return await certify(publicKey, { ...authority, subject, hosts });
}

function namesOf(request: x509.Pkcs10CertificateRequest): Pick<RequestedCertificate, 'subject' | 'hosts'> {
  const { extensions } = request;
  const [names, ...others] = extensions;
  if (!(names instanceof x509.SubjectAlternativeNameExtension) || others.length > 0) {
    throw refused('it must ask for alternative names and for nothing else');
  }
  const [uri, ...hosts] = names.names.items;
  const subject = uri?.type === 'url' ? parsePeerUri(uri.value) : undefined;
  if (!subject || peerUri(subject) !== uri?.value) throw refused('its first name must be a urn:holdfast: URI');
  return {
    subject,
    hosts: hosts.map(({ type, value }) => {
      if (type !== 'dns' && type !== 'ip') throw refused('its other names must be DNS names and IP addresses');
      return value;
    }),
  };
}

const refused = (problem: string, cause?: unknown) =>
  new HoldfastError(
    'bad_input',
    `the certificate request cannot be used: ${problem}; make it with holdfast certificate request`,
    {
      cause,
    },
  );
