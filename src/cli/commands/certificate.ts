/** `holdfast certificate`: the fleet's authority on a token, and certificates for mutual TLS whose keys stay where they are used. */

import { X509Certificate } from 'node:crypto';
import { bytesToHex, HoldfastError, sha256, systemClock, utf8 } from '../../core/index.ts';
import {
  certifyRequest,
  createAuthority,
  MAXIMUM_REQUEST,
  needsRenewal,
  PEER_ROLES,
  peerIdentityOf,
  type RequestedCertificate,
  readRequest,
  requestCertificate,
} from '../../pki/index.ts';
import type { SigningKey, SigningToken } from '../../token/index.ts';
import { type ApprovalFlags, approverOf } from '../approval.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type SigningTokenFlags, withToken } from '../signing-token.ts';

const DAY = 86_400_000;
const MAXIMUM_CERTIFICATE = 65_536;

interface AuthorityKeyFlags extends SigningTokenFlags {
  /** CKA_LABEL of the authority's key. */
  readonly keyLabel: string;
}

export interface AuthorityFlags extends AuthorityKeyFlags {
  readonly fleet: string;
  readonly days: number;
  readonly soPinFile?: string;
  readonly out: string;
}

/** Makes the authority's key, unless it is there, and its certificate. */
export async function authority(flags: AuthorityFlags): Promise<CommandResult> {
  return withToken(flags, async (token) => {
    const found = (await token.find(flags.keyLabel)).some(({ label }) => label === flags.keyLabel);
    const key = found ? await token.open(flags.keyLabel) : await token.generate(flags.keyLabel, 'P-256');
    const validity = validityOf(flags.days);
    const { certificatePem } = await createAuthority({ signer: signerOf(key), fleet: flags.fleet, ...validity });
    await writeWholeFile(flags.out, certificatePem, { mode: 0o644, overwrite: false });
    const about = describe(certificatePem);
    return {
      value: { ...about, made: !found, out: flags.out },
      lines: [
        `${found ? 'The key was there' : 'Made the key'}: ${flags.keyLabel} on token ${token.description.label} (serial ${token.description.serial}).`,
        ...linesOf(about),
        `The authority’s certificate is in ${JSON.stringify(flags.out)}; every service of the fleet needs it.`,
      ],
    };
  });
}

export interface RequestFlags {
  readonly fleet: string;
  readonly role: string;
  readonly name: string;
  readonly host?: readonly string[];
  readonly keyOut: string;
  readonly out: string;
}

/** Makes a key where it will be used, and the request for its certificate. */
export async function request(flags: RequestFlags): Promise<CommandResult> {
  const { fleet, name, host: hosts = [] } = flags;
  const role = PEER_ROLES.find((known) => known === flags.role);
  if (!role) throw new HoldfastError('usage', `--role must be one of ${PEER_ROLES.join(', ')}`);
  const { requestPem, privateKeyPem } = await requestCertificate({ fleet, role, name }, hosts);
  await writeWholeFile(flags.keyOut, privateKeyPem, { mode: 0o600, overwrite: false });
  await writeWholeFile(flags.out, requestPem, { mode: 0o644, overwrite: false });
  const digest = digestOf(requestPem);
  return {
    value: { fleet, role, name, hosts, digest, keyOut: flags.keyOut, out: flags.out },
    lines: [
      `The private key is in ${JSON.stringify(flags.keyOut)} and goes nowhere else.`,
      `The request is in ${JSON.stringify(flags.out)}: send it to whoever holds the authority’s token, and tell them its`,
      `SHA-256 over another channel: ${digest}`,
    ],
  };
}

export interface IssueFlags extends AuthorityKeyFlags, ApprovalFlags {
  readonly authority: string;
  readonly days: number;
  readonly out: string;
}

/** Shows what a request asks for and, when that is approved, has the token certify it. */
export async function issue(file: string, flags: IssueFlags, signal: AbortSignal): Promise<CommandResult> {
  const requestPem = await readTextFile(file, 'the certificate request', MAXIMUM_REQUEST);
  const authorityPem = await readTextFile(flags.authority, 'the authority’s certificate', MAXIMUM_CERTIFICATE);
  const requested = await readRequest(requestPem);
  const digest = digestOf(requestPem);
  const lines = linesOfRequest(requested, digest, flags.days);
  await approverOf(flags, signal).approve({ purpose: 'certificate', key: flags.keyLabel, digest, lines });
  return withToken(flags, async (token) => {
    const signer = signerOf(await openAuthority(token, flags.keyLabel));
    const certificatePem = await certifyRequest(requested, { authorityPem, signer, ...validityOf(flags.days) });
    await writeWholeFile(flags.out, certificatePem, { mode: 0o644, overwrite: false });
    const about = describe(certificatePem);
    return {
      value: { ...about, out: flags.out },
      lines: [...linesOf(about), `The certificate is in ${JSON.stringify(flags.out)}.`],
    };
  });
}

/** What a certificate or a request says. */
export async function show(file: string): Promise<CommandResult> {
  const text = await readTextFile(file, 'the certificate', MAXIMUM_CERTIFICATE);
  if (text.includes('CERTIFICATE REQUEST')) {
    const { subject, hosts } = await readRequest(text);
    const digest = digestOf(text);
    return { value: { ...subject, hosts, digest }, lines: linesOfRequest({ subject, hosts }, digest) };
  }
  const about = describe(text);
  return { value: about, lines: linesOf(about) };
}

/** Open keys of a signing token are closed with it. */
const signerOf = (key: SigningKey) => ({ ...key, close: async () => {} });

async function openAuthority(token: SigningToken, label: string): Promise<SigningKey> {
  const found = await token.find(label);
  if (found.some((key) => key.label === label)) return token.open(label);
  throw new HoldfastError(
    'token_unsuitable',
    `the token has no key ${label}; make it with holdfast certificate authority`,
  );
}

/** From an hour ago, for clocks that are behind. */
function validityOf(days: number): { notBefore: number; notAfter: number } {
  const now = systemClock.now();
  return { notBefore: now - 3_600_000, notAfter: now + days * DAY };
}

/** Of the request's text without white space at its ends, as a file that went through mail has it. */
const digestOf = (requestPem: string): string => bytesToHex(sha256(utf8(`${requestPem.trim()}\n`)));

interface Described {
  readonly [name: string]: unknown;
  readonly subject: string;
  readonly authority: boolean;
  readonly hosts: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly fingerprint: string;
  readonly renew: boolean;
}

function describe(certificatePem: string): Described {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(certificatePem);
  } catch (cause) {
    throw new HoldfastError('bad_input', 'the file is not a PEM certificate', { cause });
  }
  const identity = certificate.ca ? undefined : peerIdentityOf(certificate);
  return {
    subject: certificate.subject.split('\n').join(', '),
    ...(identity && { ...identity }),
    authority: certificate.ca,
    hosts: certificate.subjectAltName ?? '',
    notBefore: new Date(certificate.validFrom).toISOString(),
    notAfter: new Date(certificate.validTo).toISOString(),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    renew: needsRenewal(certificatePem, systemClock.now()),
  };
}

function linesOf(about: Described): string[] {
  return [
    `${about.authority ? 'Authority' : 'Certificate'}: ${about.subject}`,
    ...(about.hosts === '' ? [] : [`  names    ${about.hosts}`]),
    `  valid    ${about.notBefore} to ${about.notAfter}${about.renew ? ' (renew it now)' : ''}`,
    `  SHA-256  ${about.fingerprint}`,
  ];
}

function linesOfRequest(
  { subject, hosts }: Pick<RequestedCertificate, 'subject' | 'hosts'>,
  digest: string,
  days?: number,
): string[] {
  return [
    `A certificate is asked for: fleet ${subject.fleet}, role ${subject.role}, name ${subject.name}.`,
    `  hosts    ${hosts.length > 0 ? hosts.join(', ') : '(none)'}`,
    ...(days === undefined ? [] : [`  valid    ${days} days from now`]),
    `  SHA-256  ${digest}`,
  ];
}
