/**
 * The fleet's certificate authority, whose key is on a token, and the certificates it issues (RFC 5280): for mutual TLS
 * between coordinator and nodes, and for the coordinator's public HTTPS.
 *
 * The private keys of the issued certificates are made in software and lie in files. Section 8 of docs/protocol.md does
 * not rest on them: clients seal requests to the `session` key in the node's token, and nodes sign with `identity`, also
 * in the token. Who steals a transport key sees and sends what a malicious coordinator could, and that one is trusted
 * for availability only.
 */

import { isIP } from 'node:net';
import { equalBytes, HoldfastError } from '../core/index.ts';
import type { TokenSigner } from '../token/port.ts';
import { ECDSA_P256, softwareEngine, TokenCrypto, x509 } from './engine.ts';
import { checkName, PEER_ROLES, type PeerIdentity, peerUri } from './names.ts';

const SERIAL_BYTES = 16;
const MAXIMUM_HOSTS = 100;
/** Renewal begins when this part of a certificate's life is over: a third is left for what goes wrong. */
const RENEW_AFTER = 2 / 3;

/** Validity in milliseconds since 1970, both ends included; X.509 keeps whole seconds. */
export interface Validity {
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface AuthorityRequest extends Validity {
  /** The authority's key. Stays the caller's to close. */
  readonly signer: TokenSigner;
  readonly fleet: string;
}

export interface CertificateRequest extends Validity {
  /** From `createAuthority`. */
  readonly authorityPem: string;
  /** The same key as when the authority was created. Stays the caller's to close. */
  readonly signer: TokenSigner;
  readonly subject: PeerIdentity;
  /** DNS names (a leading `*.` is allowed) and IP addresses under which the subject is reached. */
  readonly hosts: readonly string[];
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** PKCS #8, unencrypted: write it where only its service can read it. */
  readonly privateKeyPem: string;
}

/**
 * Issues the authority's own certificate, signed by itself, that may issue end certificates only (path length 0).
 * @throws HoldfastError `bad_input` for a bad name or validity, `token_failed` if the token's signature does not verify.
 */
export async function createAuthority(request: AuthorityRequest): Promise<{ readonly certificatePem: string }> {
  checkName('fleet', request.fleet);
  const crypto = new TokenCrypto();
  const { privateKey: signingKey, publicKey } = await authorityKeys(crypto, request.signer);
  const name: x509.JsonName = [{ O: text(request.fleet) }, { CN: text('Holdfast authority') }];
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: name,
      issuer: name,
      ...checkValidity(request),
      publicKey,
      signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false, softwareEngine),
        await x509.AuthorityKeyIdentifierExtension.create(publicKey, false, softwareEngine),
      ],
    },
    crypto,
  );
  await checkSignature(certificate, publicKey);
  return { certificatePem: pem(certificate) };
}

/**
 * Makes a P-256 key in software and has the token certify it for `subject`.
 * @throws HoldfastError `bad_input` for bad names, hosts or validity, or an authority that is not the signer's;
 * `token_failed` if the token's signature does not verify.
 */
export async function issueCertificate(request: CertificateRequest): Promise<IssuedCertificate> {
  const keys = await makeKeys();
  const certificatePem = await certify(keys.publicKey, request);
  return { certificatePem, privateKeyPem: await privateKeyPem(keys) };
}

/** A pair of keys for one certificate, in software: its private half goes to a file. */
export const makeKeys = (): Promise<CryptoKeyPair> =>
  softwareEngine.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);

/** PKCS #8, unencrypted. */
export async function privateKeyPem({ privateKey }: CryptoKeyPair): Promise<string> {
  const bytes = await softwareEngine.subtle.exportKey('pkcs8', privateKey);
  return `${x509.PemConverter.encode(bytes, 'PRIVATE KEY')}\n`;
}

/** The certificate of `publicKey` as PEM. @throws HoldfastError as `issueCertificate`. */
export async function certify(publicKey: CryptoKey, request: CertificateRequest): Promise<string> {
  const { subject, signer } = request;
  checkSubject(subject);
  const authority = readCertificate(request.authorityPem);
  const crypto = new TokenCrypto();
  const { privateKey: signingKey, publicKey: authorityKey } = await authorityKeys(crypto, signer);
  await checkAuthority(authority, authorityKey, subject.fleet);
  const validity = checkValidity(request);
  if (validity.notBefore < authority.notBefore || validity.notAfter > authority.notAfter) {
    throw new HoldfastError('bad_input', 'the certificate would outlive its authority; ask for a shorter validity');
  }
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: distinguishedName(subject),
      issuer: authority.subjectName,
      ...validity,
      publicKey,
      signingKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(subject.role === 'public' ? [serverAuth] : [serverAuth, clientAuth]),
        alternativeNames(subject, request.hosts),
        await x509.SubjectKeyIdentifierExtension.create(publicKey, false, softwareEngine),
        await x509.AuthorityKeyIdentifierExtension.create(authorityKey, false, softwareEngine),
      ],
    },
    crypto,
  );
  await checkSignature(certificate, authorityKey);
  return pem(certificate);
}

/** @throws HoldfastError `bad_input`. */
export function checkSubject(subject: PeerIdentity): void {
  checkName('fleet', subject.fleet);
  checkName('name', subject.name);
  if (!PEER_ROLES.includes(subject.role)) {
    throw new HoldfastError('bad_input', `the role must be one of ${PEER_ROLES.join(', ')}`);
  }
}

export const distinguishedName = ({ fleet, role, name }: PeerIdentity): x509.JsonName => [
  { O: text(fleet) },
  { OU: text(role) },
  { CN: text(name) },
];

/**
 * In an object it is taken as it is; in a bare string quotation marks, hex and escapes would be read (RFC 4514). The
 * library's type of a generator's name leaves objects out, its constructor of names does not.
 */
const text = (utf8String: string) => [{ utf8String }] as unknown as string[];

/** The identity as a URI, then the hosts. @throws HoldfastError `bad_input` for what is no DNS name or IP address. */
export const alternativeNames = (subject: PeerIdentity, hosts: readonly string[]) =>
  new x509.SubjectAlternativeNameExtension([{ type: 'url', value: peerUri(subject) }, ...checkHosts(hosts)]);

/**
 * Whether two thirds of the certificate's life are over (or it has not begun, or has ended) at `now`, in milliseconds
 * since 1970. @throws HoldfastError `bad_input` for what is not a PEM certificate.
 */
export function needsRenewal(certificatePem: string, now: number): boolean {
  const certificate = readCertificate(certificatePem);
  const begin = certificate.notBefore.getTime();
  return now < begin || now >= begin + (certificate.notAfter.getTime() - begin) * RENEW_AFTER;
}

/** The one certificate in `text`. @throws HoldfastError `bad_input`. */
export function readCertificate(text: string): x509.X509Certificate {
  try {
    const blocks = x509.PemConverter.decode(text);
    if (blocks.length === 1) return new x509.X509Certificate(blocks[0]!);
  } catch (cause) {
    throw new HoldfastError('bad_input', 'the file is not a PEM certificate', { cause });
  }
  throw new HoldfastError('bad_input', 'the file must hold exactly one PEM certificate');
}

/** Fleets' certificates are all P-256, for whatever TLS stack reads them. */
function authorityKeys(crypto: TokenCrypto, signer: TokenSigner): Promise<CryptoKeyPair> {
  if (signer.algorithm === 'P-256') return crypto.keyPair(signer);
  throw new HoldfastError('bad_input', 'a fleet’s authority has a P-256 key; make one for it');
}

/** A token that signs wrongly, or with another key, must not get a certificate out of the door. */
async function checkSignature(certificate: x509.X509Certificate, publicKey: CryptoKey): Promise<void> {
  if (await certificate.verify({ publicKey, signatureOnly: true }, softwareEngine)) return;
  throw new HoldfastError('token_failed', 'the token’s signature does not verify; check that it is the right token');
}

async function checkAuthority(authority: x509.X509Certificate, key: CryptoKey, fleet: string): Promise<void> {
  const spki = await softwareEngine.subtle.exportKey('spki', key);
  if (!equalBytes(new Uint8Array(spki), new Uint8Array(authority.publicKey.rawData))) {
    throw new HoldfastError('bad_input', 'the authority’s certificate is for another key than the token’s');
  }
  const isAuthority = authority.getExtension(x509.BasicConstraintsExtension)?.ca === true;
  if (!isAuthority || !(await authority.verify({ publicKey: key, signatureOnly: true }, softwareEngine))) {
    throw new HoldfastError(
      'bad_input',
      'the authority’s certificate is not one; use the file of the fleet’s creation',
    );
  }
  if (authority.subjectName.getField('O').join() !== fleet) {
    throw new HoldfastError('bad_input', 'the authority belongs to another fleet');
  }
}

function checkValidity({ notBefore, notAfter }: Validity): { notBefore: Date; notAfter: Date } {
  const [begin, end] = [notBefore, notAfter].map((time) => new Date(Math.floor(time / 1000) * 1000));
  // The first year in four digits and the last that X.509 can write without a special meaning.
  const [minimum, maximum] = [Date.UTC(1970), Date.UTC(9999)];
  if (!(begin!.getTime() >= minimum && end!.getTime() <= maximum && begin! < end!)) {
    throw new HoldfastError('bad_input', 'the validity must be two times after 1970, the second one later');
  }
  return { notBefore: begin!, notAfter: end! };
}

function checkHosts(hosts: readonly string[]): x509.JsonGeneralNames {
  if (hosts.length > MAXIMUM_HOSTS) throw new HoldfastError('bad_input', `more than ${MAXIMUM_HOSTS} hosts`);
  return hosts.map((host) => {
    if (isIP(host) !== 0) return { type: 'ip', value: host };
    const labels = host.replace(/^\*\./, '').split('.');
    const isName = labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label));
    // A last label of digits would make it an IP address to some readers (URL standard, section 3.5).
    if (!isName || host.length > 253 || /^[0-9]+$/.test(labels.at(-1)!)) {
      throw new HoldfastError('bad_input', `“${host}” is neither a DNS name nor an IP address`);
    }
    return { type: 'dns', value: host.toLowerCase() };
  });
}

/** 16 random bytes in hex, positive and without leading zeros: 126 bits of chance (RFC 5280 section 4.1.2.2). */
function randomSerial(): string {
  const serial = softwareEngine.getRandomValues(new Uint8Array(SERIAL_BYTES));
  serial[0] = (serial[0]! & 0x3f) | 0x40;
  return Buffer.from(serial).toString('hex');
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}
