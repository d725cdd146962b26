/** What a token says of keys and certificates, read for evidence: every attribute as it is, and how it differs from the rules. */

import { bytesToHex, fromUtf8, type Secret } from '../../core/index.ts';
import type { KeyProfile } from '../profile.ts';
import { inSession, type ModuleAccess } from './administration.ts';
import type { TokenSelector } from './connection.ts';
import { CK, type Cryptoki, findObjects, fromUlong, type Handle, numberAttribute } from './cryptoki.ts';
import { CKM_EC_EDWARDS_KEY_PAIR_GEN, CURVES } from './curves.ts';
import { ckrName } from './errors.ts';
import {
  isElliptic,
  type KeySpec,
  keyObjects,
  objectsOf,
  readOrUndefined,
  readPoint,
  requiredAttributes,
} from './keys.ts';

/** A token that is logged in to for one look. */
export interface ReadingAccess extends ModuleAccess, TokenSelector {
  readonly pin: Secret;
}

export interface KeyReading {
  /** As the specification names it: `identity`, or the label again. */
  readonly name: string;
  /** CKA_LABEL. */
  readonly label: string;
  /** CKA_ID in hexadecimal; empty for none. */
  readonly id: string;
  readonly object: 'private key' | 'secret key';
  /** CKA_KEY_TYPE: `EC`, `EC Edwards`, `generic secret`, `HMAC-SHA256`, or the number in hexadecimal. */
  readonly type: string;
  /** CKA_EC_PARAMS as a curve's name, or in hexadecimal; null for a secret key. */
  readonly curve: string | null;
  /** CKA_VALUE_LEN in bytes; null for a private key. */
  readonly length: number | null;
  /** 65 bytes uncompressed on P-256, 32 bytes of Ed25519; null for a secret key. */
  readonly publicKey: Uint8Array | null;
  /** CKA_KEY_GEN_MECHANISM: CKM_* or the number in hexadecimal; null where the token does not say. */
  readonly mechanism: string | null;
  /** CKA_* with what was read; null where the token has no such attribute. */
  readonly attributes: Readonly<Record<string, boolean | null>>;
  /** What section 3 of docs/protocol.md asks. */
  readonly required: Readonly<Record<string, boolean>>;
  /** Every difference, one sentence's end each. Empty: as required. */
  readonly faults: readonly string[];
}

export interface CertificateReading {
  readonly label: string;
  /** CKA_ID in hexadecimal. */
  readonly id: string;
  /** CKA_VALUE: DER. */
  readonly der: Uint8Array;
}

/** Read besides what is required: they say whether an object may be changed, copied, and used without asking. */
const BESIDES = [
  'CKA_MODIFIABLE',
  'CKA_COPYABLE',
  'CKA_DESTROYABLE',
  'CKA_WRAP_WITH_TRUSTED',
  'CKA_ALWAYS_AUTHENTICATE',
] as const;
const TYPES: Readonly<Record<number, string>> = {
  [CURVES['P-256'].keyType]: CURVES['P-256'].family,
  [CURVES.Ed25519.keyType]: CURVES.Ed25519.family,
  [CK.CKK_GENERIC_SECRET]: 'generic secret',
  [CK.CKK_SHA256_HMAC]: 'HMAC-SHA256',
};
const MECHANISMS: Readonly<Record<number, string>> = {
  [CK.CKM_EC_KEY_PAIR_GEN]: 'CKM_EC_KEY_PAIR_GEN',
  [CKM_EC_EDWARDS_KEY_PAIR_GEN]: 'CKM_EC_EDWARDS_KEY_PAIR_GEN',
  [CK.CKM_GENERIC_SECRET_KEY_GEN]: 'CKM_GENERIC_SECRET_KEY_GEN',
};
const MAXIMUM_CERTIFICATE = 65_536;
const MAXIMUM_CERTIFICATES = 64;

/**
 * Reads back every key of `specs` that is on the token; those that are not there, or not whole, are left out. Judges
 * nothing but the attributes: a key is tried by opening it. @throws HoldfastError `token_*`.
 */
export function readKeys(access: ReadingAccess, specs: readonly KeySpec[], profile: KeyProfile): Promise<KeyReading[]> {
  return loggedIn(access, 'read_keys', (module, session) =>
    specs.flatMap((spec) => {
      const reading = readKey(module, session, spec, profile);
      return reading ? [reading] : [];
    }),
  );
}

/** Labels of those `specs` of which the token has any object at all. @throws HoldfastError `token_*`. */
export function findKeys(access: ReadingAccess, specs: readonly KeySpec[]): Promise<string[]> {
  return loggedIn(access, 'find', (module, session) =>
    specs.filter((spec) => keyObjects(module, session, spec).length > 0).map(({ label }) => label),
  );
}

/** **Destroys** every object of the keys of `specs`. @returns how many. @throws HoldfastError `token_*`. */
export function destroyKeys(access: ReadingAccess, specs: readonly KeySpec[]): Promise<number> {
  return loggedIn(access, 'destroy_keys', (module, session) => {
    const objects = specs.flatMap((spec) => keyObjects(module, session, spec));
    for (const object of objects) module.C_DestroyObject(session, object);
    return objects.length;
  });
}

/** The X.509 certificates on the token, at most 64 of at most 64 KiB. @throws HoldfastError `token_*`. */
export function readCertificates(access: ReadingAccess): Promise<CertificateReading[]> {
  return loggedIn(access, 'read_certificates', (module, session) =>
    findObjects(module, session, [numberAttribute(CK.CKA_CLASS, CK.CKO_CERTIFICATE)])
      .slice(0, MAXIMUM_CERTIFICATES)
      .flatMap((object) => {
        const read = (type: number) => readOrUndefined(module, session, object, type);
        const der = read(CK.CKA_VALUE);
        if (!der || der.length === 0 || der.length > MAXIMUM_CERTIFICATE) return [];
        const label = read(CK.CKA_LABEL)?.toString('utf8') ?? '';
        return [{ label, id: bytesToHex(Uint8Array.from(read(CK.CKA_ID) ?? [])), der: Uint8Array.from(der) }];
      }),
  );
}

function readKey(module: Cryptoki, session: Handle, spec: KeySpec, profile: KeyProfile): KeyReading | undefined {
  const elliptic = isElliptic(spec, profile);
  const objects = objectsOf(module, session, elliptic ? CK.CKO_PRIVATE_KEY : CK.CKO_SECRET_KEY, spec.label);
  const publics = objectsOf(module, session, CK.CKO_PUBLIC_KEY, spec.label);
  const [handle] = objects;
  if (!handle || (elliptic && publics.length === 0)) return undefined;
  const read = (type: number) => readOrUndefined(module, session, handle, type);
  const flag = (type: number) => {
    const value = read(type);
    return value?.length === 1 ? value[0] !== 0 : null;
  };
  const rules = requiredAttributes(spec, profile);
  const attributes = Object.fromEntries([
    ...rules.map(({ name }) => [name, flag(CK[name])] as const),
    ...BESIDES.map((name) => [name, flag(CK[name])] as const),
  ]);
  const faults = rules.flatMap(({ name, value, absent }) => {
    const found = attributes[name] ?? null;
    if (found === null ? absent : found === value) return [];
    return [`${name} is ${found === null ? 'not told' : found} instead of ${value}`];
  });
  if (objects.length > 1 || publics.length > 1) faults.push('it is there more than once');
  const number = (type: number) => {
    const value = read(type);
    return value && value.length > 0 && value.length <= 8 ? fromUlong(value) : undefined;
  };
  const [type, made, length] = [CK.CKA_KEY_TYPE, CK.CKA_KEY_GEN_MECHANISM, CK.CKA_VALUE_LEN].map(number);
  const algorithm = spec.algorithm ?? 'P-256';
  const parameters = read(CK.CKA_EC_PARAMS);
  const named = parameters && CURVES[algorithm].named.some((each) => parameters.equals(each));
  const curve = elliptic ? (named ? CURVES[algorithm].name : bytesToHex(Uint8Array.from(parameters ?? []))) : null;
  if (elliptic && !named) faults.push(`its curve is not ${CURVES[algorithm].name}`);
  if (!elliptic && length !== 32) faults.push('it is not 32 bytes long');
  return {
    name: spec.name,
    label: spec.label,
    id: bytesToHex(Uint8Array.from(read(CK.CKA_ID) ?? [])),
    object: elliptic ? 'private key' : 'secret key',
    type: type === undefined ? 'not told' : (TYPES[type] ?? `0x${type.toString(16)}`),
    curve,
    length: elliptic ? null : (length ?? null),
    publicKey: elliptic ? readPoint(module, session, publics[0]!, algorithm) : null,
    mechanism: made === undefined ? null : (MECHANISMS[made] ?? `0x${made.toString(16)}`),
    attributes,
    required: Object.fromEntries(rules.map(({ name, value }) => [name, value])),
    faults,
  };
}

function loggedIn<T>(
  { pin, ...access }: ReadingAccess,
  operation: string,
  body: (module: Cryptoki, session: Handle) => T,
): Promise<T> {
  return inSession(access, access, operation, (module, session) => {
    let wasLoggedIn = false;
    try {
      module.C_Login(session, CK.CKU_USER, fromUtf8(pin.reveal()));
    } catch (error) {
      // The login state is the process's: whoever else works with the token keeps it.
      if (ckrName(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw error;
      wasLoggedIn = true;
    }
    try {
      return body(module, session);
    } finally {
      if (!wasLoggedIn) module.C_Logout(session);
    }
  });
}
