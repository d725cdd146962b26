/**
 * X.509 certificates as far as vendors' attestations need them (RFC 5280): read strictly, whatever is unknown and critical
 * refused; signatures verified by the platform's Web Cryptography.
 */

import {
  asHoldfastError,
  type CertificateExtension,
  concatBytes,
  DER,
  type DerValue,
  equalBytes,
  expectDerTag,
  fromUtf8,
  HoldfastError,
  readBitString,
  readCertificateDer,
  readDer,
  readDerTime,
  readOid,
  readOneDer,
} from '../core/index.ts';

export interface Certificate {
  /** What is signed. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
  /** Object identifier of the signature's algorithm. */
  readonly algorithm: string;
  /** Names as they are encoded: two are the same if their bytes are. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** The subject's common name for people, or an empty text. */
  readonly commonName: string;
  /** Milliseconds since 1970, both included. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  /** Whether it may sign certificates. */
  readonly authority: boolean;
  /** How many authorities may stand between it and the last certificate of a chain (RFC 5280 section 4.2.1.9). */
  readonly pathLength: number;
}

/** Bytes of a certificate. */
export const MAXIMUM_CERTIFICATE = 16_384;

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const COMMON_NAME = '2.5.4.3';
/** Bit 5 of KeyUsage (RFC 5280 section 4.2.1.3), in the first byte. */
const KEY_CERT_SIGN = 0x04;

const EC = '1.2.840.10045.2.1';
const RSA = '1.2.840.113549.1.1.1';
const CURVES: Readonly<Record<string, { readonly name: string; readonly bytes: number }>> = {
  '1.2.840.10045.3.1.7': { name: 'P-256', bytes: 32 },
  '1.3.132.0.34': { name: 'P-384', bytes: 48 },
};
const SIGNATURES: Readonly<Record<string, { readonly key: string; readonly hash: string }>> = {
  '1.2.840.10045.4.3.2': { key: EC, hash: 'SHA-256' },
  '1.2.840.10045.4.3.3': { key: EC, hash: 'SHA-384' },
  '1.2.840.113549.1.1.11': { key: RSA, hash: 'SHA-256' },
  '1.2.840.113549.1.1.12': { key: RSA, hash: 'SHA-384' },
  '1.2.840.113549.1.1.13': { key: RSA, hash: 'SHA-512' },
};

const malformed = (problem: string) => new HoldfastError('evidence_malformed', `a certificate ${problem}`);

/** Reads a certificate in DER; verifies nothing. @throws HoldfastError `evidence_malformed`. */
export function parseCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > MAXIMUM_CERTIFICATE) throw malformed(`has more than ${MAXIMUM_CERTIFICATE} bytes`);
  try {
    return readCertificate(bytes);
  } catch (cause) {
    throw new HoldfastError('evidence_malformed', asHoldfastError(cause).message, { cause });
  }
}

function readCertificate(bytes: Uint8Array): Certificate {
  const { signed, algorithm, signature, fields, extensions } = readCertificateDer(bytes);
  const [, inner, issuer, validity, subject, spki] = fields;
  if (!equalBytes(inner!.whole, algorithm.whole)) throw malformed('names two algorithms for its signature');
  const [notBefore, notAfter, ...more] = readDer(validity!.content);
  if (more.length > 0) throw malformed('has more times than two');
  return {
    signed: signed.whole,
    signature: readBitString(signature),
    algorithm: readOid(readDer(inner!.content)[0]),
    issuer: issuer!.whole,
    subject: subject!.whole,
    commonName: commonNameOf(subject!.content),
    notBefore: readDerTime(notBefore),
    notAfter: readDerTime(notAfter),
    spki: spki!.whole,
    ...mayCertifyOthers(extensions),
  };
}

/** Whether the extensions let the certificate sign others, and how far down. */
function mayCertifyOthers(extensions: readonly CertificateExtension[]): Pick<Certificate, 'authority' | 'pathLength'> {
  const none = { authority: false, pathLength: 0 };
  let basic = none;
  let mayCertify = true;
  for (const { id, critical, value } of extensions) {
    if (id === BASIC_CONSTRAINTS) basic = readBasicConstraints(value);
    else if (id === KEY_USAGE) mayCertify = ((readOneDer(value, DER.bitString).content[1] ?? 0) & KEY_CERT_SIGN) !== 0;
    else if (critical) throw malformed(`has the critical extension ${id}, which is unknown here`);
  }
  return mayCertify ? basic : none;
}

function readBasicConstraints(value: Uint8Array): Pick<Certificate, 'authority' | 'pathLength'> {
  const [flag, length, ...more] = readDer(readOneDer(value, DER.sequence).content);
  const authority = flag?.tag === DER.boolean && flag.content.join() === '255';
  if (!authority || length === undefined) return { authority, pathLength: Number.POSITIVE_INFINITY };
  const { tag, content } = length;
  const [octet] = content;
  if (tag !== DER.integer || octet === undefined || octet >= 0x80 || content.length > 1 || more.length > 0) {
    throw malformed('has a length of its path that cannot be');
  }
  return { authority, pathLength: octet };
}

function commonNameOf(name: Uint8Array): string {
  for (const set of readDer(name)) {
    for (const pair of readDer(expectDerTag(set, DER.set).content)) {
      const [type, value] = readDer(expectDerTag(pair, DER.sequence).content);
      if (readOid(type) !== COMMON_NAME || value === undefined) continue;
      return printable(value.content);
    }
  }
  return '';
}

function printable(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
      .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
      .slice(0, 128);
  } catch {
    return '';
  }
}

/**
 * Whether the key of `issuer` has signed `certificate`: ECDSA on P-256 or P-384, or RSA of at least 2,048 bits with PKCS #1
 * v1.5, over SHA-256, 384 or 512. Never throws for certificates that were read.
 */
export async function isCertifiedBy(certificate: Certificate, issuer: Pick<Certificate, 'spki'>): Promise<boolean> {
  const kind = SIGNATURES[certificate.algorithm];
  if (kind === undefined) return false;
  try {
    const [algorithm, key] = readDer(readOneDer(issuer.spki, DER.sequence).content);
    const [type, parameters] = readDer(expectDerTag(algorithm, DER.sequence).content);
    if (readOid(type) !== kind.key) return false;
    if (kind.key === RSA) return await verifyRsa(certificate, issuer.spki, kind.hash, readBitString(key).length);
    const curve = CURVES[readOid(parameters)];
    return curve !== undefined && (await verifyEc(certificate, issuer.spki, kind.hash, curve));
  } catch {
    return false;
  }
}

async function verifyRsa({ signed, signature }: Certificate, spki: Uint8Array, hash: string, keyBytes: number) {
  // The key's DER has some bytes besides its modulus of at least 256.
  if (keyBytes < 262) return false;
  const { subtle } = globalThis.crypto;
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash };
  const key = await subtle.importKey('spki', spki.slice(), algorithm, false, ['verify']);
  return await subtle.verify(algorithm, key, signature.slice(), signed.slice());
}

async function verifyEc(
  { signed, signature }: Certificate,
  spki: Uint8Array,
  hash: string,
  curve: { readonly name: string; readonly bytes: number },
): Promise<boolean> {
  const { subtle } = globalThis.crypto;
  const [r, s, ...rest] = readDer(readOneDer(signature, DER.sequence).content);
  if (rest.length > 0) return false;
  const both = concatBytes(
    scalar(expectDerTag(r, DER.integer), curve.bytes),
    scalar(expectDerTag(s, DER.integer), curve.bytes),
  );
  const key = await subtle.importKey('spki', spki.slice(), { name: 'ECDSA', namedCurve: curve.name }, false, [
    'verify',
  ]);
  return await subtle.verify({ name: 'ECDSA', hash }, key, both, signed.slice());
}

/** A number of DER as so many bytes. */
function scalar({ content }: DerValue, bytes: number): Uint8Array {
  const digits = content[0] === 0 ? content.subarray(1) : content;
  if (content[0]! >= 0x80 || digits.length > bytes) throw malformed('has a signature that cannot be');
  return concatBytes(new Uint8Array(bytes - digits.length), digits);
}
