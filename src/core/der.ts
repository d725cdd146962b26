/**
 * Strict reading of DER (ITU-T X.690, section 10): one encoding for each value, definite lengths, nothing left over; and the
 * extensions of a certificate (RFC 5280, section 4.1).
 */

import { HoldfastError } from './errors.ts';

export interface DerValue {
  /** The whole identifier octet: class, form and number below 31. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Identifier, length and content. */
  readonly whole: Uint8Array;
}

export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectIdentifier: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

const malformed = (problem: string) => new HoldfastError('bad_input', `a certificate ${problem}`);

/** The values that `bytes` consist of. @throws HoldfastError `bad_input`. */
export function readDer(bytes: Uint8Array): DerValue[] {
  const values: DerValue[] = [];
  for (let at = 0; at < bytes.length; ) {
    const tag = bytes[at]!;
    if ((tag & 0x1f) === 0x1f) throw malformed('has a tag of several bytes');
    const { length, start } = readLength(bytes, at + 1);
    const end = start + length;
    if (end > bytes.length) throw malformed('ends too early');
    values.push({ tag, content: bytes.subarray(start, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return values;
}

function readLength(bytes: Uint8Array, at: number): { length: number; start: number } {
  const first = bytes[at];
  if (first === undefined) throw malformed('ends too early');
  if (first < 0x80) return { length: first, start: at + 1 };
  const count = first & 0x7f;
  const octets = bytes.subarray(at + 1, at + 1 + count);
  if (count < 1 || count > 3 || octets.length < count) throw malformed('has a length that cannot be');
  const length = octets.reduce((sum, octet) => sum * 256 + octet, 0);
  if (length < 0x80 || octets[0] === 0) throw malformed('has a length that is not in its one form');
  return { length, start: at + 1 + count };
}

/** The one value that `bytes` are, of this tag. @throws HoldfastError `bad_input`. */
export function readOneDer(bytes: Uint8Array, tag: number): DerValue {
  const [value, ...rest] = readDer(bytes);
  return rest.length === 0 ? expectDerTag(value, tag) : expectDerTag(undefined, tag);
}

/** @throws HoldfastError `bad_input` unless `value` is there and of this tag. */
export function expectDerTag(value: DerValue | undefined, tag: number): DerValue {
  if (value?.tag === tag) return value;
  throw malformed(`does not have a value of tag ${tag} where one belongs`);
}

/** An object identifier in dotted form. @throws HoldfastError `bad_input`. */
export function readOid(value: DerValue | undefined): string {
  const { content } = expectDerTag(value, DER.objectIdentifier);
  const numbers: number[] = [];
  let current = 0;
  for (const [i, octet] of content.entries()) {
    if (current === 0 && octet === 0x80) throw malformed('has an object identifier that is not in its one form');
    current = current * 128 + (octet & 0x7f);
    if (current > 2 ** 40) throw malformed('has an object identifier that is too large');
    if (octet >= 0x80) {
      if (i === content.length - 1) throw malformed('has an object identifier without an end');
      continue;
    }
    numbers.push(current);
    current = 0;
  }
  const [first, ...rest] = numbers;
  if (first === undefined) throw malformed('has an empty object identifier');
  const root = Math.min(2, Math.floor(first / 40));
  return [root, first - 40 * root, ...rest].join('.');
}

/** The whole bytes of a BIT STRING. @throws HoldfastError `bad_input` where it ends within a byte. */
export function readBitString(value: DerValue | undefined): Uint8Array {
  const { content } = expectDerTag(value, DER.bitString);
  if (content[0] !== 0) throw malformed('has a bit string that ends within a byte');
  return content.subarray(1);
}

/** UTCTime or GeneralizedTime as RFC 5280 section 4.1.2.5 has them, in milliseconds since 1970. */
export function readDerTime(value: DerValue | undefined): number {
  const text = String.fromCharCode(...(value?.content ?? []));
  const [, year, rest] = (value?.tag === DER.utcTime ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text) ?? [];
  const known = value?.tag === DER.utcTime || value?.tag === DER.generalizedTime;
  if (!known || year === undefined || rest === undefined) throw malformed('has a time that is not in its one form');
  const full = year.length === 4 ? year : `${Number(year) < 50 ? '20' : '19'}${year}`;
  const iso = `${full}-${rest.slice(0, 2)}-${rest.slice(2, 4)}T${rest.slice(4, 6)}:${rest.slice(6, 8)}:${rest.slice(8)}Z`;
  const time = Date.parse(iso);
  if (Number.isNaN(time)) throw malformed('has a time that no date has');
  return time;
}

export interface CertificateExtension {
  /** Object identifier in dotted form; no two extensions of a certificate have the same. */
  readonly id: string;
  readonly critical: boolean;
  /** The DER of the extension's own value. */
  readonly value: Uint8Array;
}

const CONTEXT = { version: 0xa0, issuerId: 0x81, subjectId: 0x82, extensions: 0xa3 } as const;

export interface CertificateParts {
  /** tbsCertificate. */
  readonly signed: DerValue;
  readonly algorithm: DerValue;
  readonly signature: DerValue;
  /** Serial number, algorithm, issuer, validity, subject and key, in this order. */
  readonly fields: readonly DerValue[];
  readonly extensions: readonly CertificateExtension[];
}

/** A certificate of version 3 in its parts; verifies nothing. @throws HoldfastError `bad_input`. */
export function readCertificateDer(bytes: Uint8Array): CertificateParts {
  const [signed, algorithm, signature, ...rest] = readDer(readOneDer(bytes, DER.sequence).content);
  if (rest.length > 0) throw malformed('has more parts than three');
  const [version, ...all] = readDer(expectDerTag(signed, DER.sequence).content);
  if (version?.tag !== CONTEXT.version || readOneDer(version.content, DER.integer).content.join() !== '2') {
    throw malformed('is not of version 3');
  }
  const [serial, inner, issuer, validity, subject, spki] = all;
  const tags = [DER.integer, ...Array.from({ length: 5 }, () => DER.sequence)];
  const fields = [serial, inner, issuer, validity, subject, spki].map((field, i) => expectDerTag(field, tags[i]!));
  return {
    signed: expectDerTag(signed, DER.sequence),
    algorithm: expectDerTag(algorithm, DER.sequence),
    signature: expectDerTag(signature, DER.bitString),
    fields,
    extensions: readExtensions(all.slice(6)),
  };
}

function readExtensions(after: readonly DerValue[]): CertificateExtension[] {
  const list = after.filter(({ tag }) => tag !== CONTEXT.issuerId && tag !== CONTEXT.subjectId);
  if (list.length === 0) return [];
  if (list.length > 1 || list[0]!.tag !== CONTEXT.extensions) throw malformed('has parts that are unknown');
  const seen = new Set<string>();
  return readDer(readOneDer(list[0]!.content, DER.sequence).content).map((each) => {
    const parts = readDer(expectDerTag(each, DER.sequence).content);
    const id = readOid(parts[0]);
    if (seen.has(id)) throw malformed('has one extension twice');
    seen.add(id);
    const critical = parts.length === 3;
    if (critical && expectDerTag(parts[1], DER.boolean).content.join() !== '255')
      throw malformed('has a flag that is none');
    const value = expectDerTag(parts.at(-1), DER.octetString).content;
    if (parts.length > 3 || parts.length < 2) throw malformed('has an extension that cannot be');
    return { id, critical, value };
  });
}
