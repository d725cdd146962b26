/**
 * The keys of section 3 of docs/protocol.md as PKCS#11 objects: templates to generate them, and the check, after
 * generation and at every open, that the token really holds what was asked for.
 */

import { HoldfastError, sha256, utf8 } from '../../core/index.ts';
import type { SigningAlgorithm } from '../port.ts';
import type { KeyProfile } from '../profile.ts';
import {
  bytesAttribute,
  CK,
  type Cryptoki,
  dateAttribute,
  findObjects,
  flagAttribute,
  fromUlong,
  type Handle,
  numberAttribute,
  plainMechanism,
  readAttribute,
  type Template,
  textAttribute,
} from './cryptoki.ts';
import { CURVES, P256_PARAMETERS } from './curves.ts';
import { ckrName } from './errors.ts';

/** One usage each; `prf` is an HMAC key or, by profile, an EC key for derivation. */
export type KeyUse = 'sign' | 'derive' | 'prf';

export interface KeySpec {
  /** How requests name it. */
  readonly name: string;
  /** CKA_LABEL on the token; unique among the objects of its class. */
  readonly label: string;
  readonly use: KeyUse;
  /** Of a signing key; default P-256. */
  readonly algorithm?: SigningAlgorithm;
}

export interface LoadedKey {
  readonly name: string;
  /** 65 bytes uncompressed, or 32 bytes on edwards25519; undefined for a secret key. */
  readonly publicKey: Uint8Array | undefined;
  /** Milliseconds since 1970, whole days (CKA_START_DATE). */
  readonly createdAt: number | undefined;
}

/** Every usage attribute there is: all are set, since tokens default some to true. */
const USAGES = {
  private: ['CKA_SIGN', 'CKA_SIGN_RECOVER', 'CKA_DECRYPT', 'CKA_UNWRAP', 'CKA_DERIVE'],
  public: ['CKA_VERIFY', 'CKA_VERIFY_RECOVER', 'CKA_ENCRYPT', 'CKA_WRAP'],
  secret: ['CKA_SIGN', 'CKA_VERIFY', 'CKA_ENCRYPT', 'CKA_DECRYPT', 'CKA_WRAP', 'CKA_UNWRAP', 'CKA_DERIVE'],
} as const;

/** What the object of every private or secret key says of itself, whatever the key is for. */
const ALWAYS = [
  ['CKA_TOKEN', true],
  ['CKA_PRIVATE', true],
  ['CKA_LOCAL', true],
  ['CKA_SENSITIVE', true],
  ['CKA_ALWAYS_SENSITIVE', true],
  ['CKA_NEVER_EXTRACTABLE', true],
  ['CKA_EXTRACTABLE', false],
] as const;

/** An attribute by its name (CKA_*), and the value that it must have. */
export interface RequiredAttribute {
  readonly name: (typeof ALWAYS)[number][0] | (typeof USAGES)[keyof typeof USAGES][number];
  readonly value: boolean;
  /** Whether a token without such an attribute passes: of usages that older standards do not know. */
  readonly absent: boolean;
}

/** What section 3 of docs/protocol.md asks of the object of a private or secret key, whole. */
export function requiredAttributes(spec: KeySpec, profile: KeyProfile): RequiredAttribute[] {
  const allowed = allowedUsage(spec, profile);
  const usages = USAGES[isElliptic(spec, profile) ? 'private' : 'secret'];
  return [
    ...ALWAYS.map(([name, value]) => ({ name, value, absent: false })),
    ...usages.map((name) => ({ name, value: CK[name] === allowed, absent: CK[name] !== allowed })),
  ];
}

export const isElliptic = (spec: KeySpec, profile: KeyProfile) => spec.use !== 'prf' || profile.prf === 'ecdh';

function allowedUsage(spec: KeySpec, profile: KeyProfile): number {
  if (spec.use === 'sign') return CK.CKA_SIGN;
  return isElliptic(spec, profile) ? CK.CKA_DERIVE : CK.CKA_SIGN;
}

const identifier = (label: string) => sha256(utf8(label)).slice(0, 16);

function secretAttributes(
  usages: readonly (keyof typeof CK & `CKA_${string}`)[],
  allowed: number,
  onToken: boolean,
): Template {
  return [
    flagAttribute(CK.CKA_TOKEN, onToken),
    flagAttribute(CK.CKA_PRIVATE, true),
    flagAttribute(CK.CKA_SENSITIVE, true),
    flagAttribute(CK.CKA_EXTRACTABLE, false),
    ...usages.map((usage) => flagAttribute(CK[usage], CK[usage] === allowed)),
  ];
}

/** Templates of an EC key pair for one usage. `dated` may hold a date, which goes onto the public key only. */
export function pairTemplates(
  allowed: number,
  onToken: boolean,
  common: Template,
  dated: Template = [],
  parameters: Uint8Array = P256_PARAMETERS,
): { public: Template; private: Template } {
  return {
    public: [
      flagAttribute(CK.CKA_TOKEN, onToken),
      bytesAttribute(CK.CKA_EC_PARAMS, parameters),
      ...USAGES.public.map((usage) => flagAttribute(CK[usage], usage === 'CKA_VERIFY' && allowed === CK.CKA_SIGN)),
      ...common,
      ...dated,
    ],
    private: [...secretAttributes(USAGES.private, allowed, onToken), ...common],
  };
}

/** Mechanism and template of a 32-byte HMAC key. */
export function secretTemplate(prf: 'hmac-generic' | 'hmac-sha256', onToken: boolean, common: Template) {
  const [mechanism, type] =
    prf === 'hmac-generic'
      ? [CK.CKM_GENERIC_SECRET_KEY_GEN, CK.CKK_GENERIC_SECRET]
      : [CK.CKM_GENERIC_SECRET_KEY_GEN, CK.CKK_SHA256_HMAC];
  const template = [
    numberAttribute(CK.CKA_CLASS, CK.CKO_SECRET_KEY),
    numberAttribute(CK.CKA_KEY_TYPE, type),
    numberAttribute(CK.CKA_VALUE_LEN, 32),
    ...secretAttributes(USAGES.secret, CK.CKA_SIGN, onToken),
    ...common,
  ];
  return { mechanism: plainMechanism(mechanism), template };
}

/**
 * Generates one key on the token. A token may refuse the key's date, or the lock on its attributes, without becoming
 * unsuitable: then it is asked again without. The date stands on public keys only, because SoftHSM 2.6.1 stores one on
 * a private object but fails to read it.
 * @param now milliseconds since 1970.
 * @throws what the module throws.
 */
export function generateKey(module: Cryptoki, session: Handle, spec: KeySpec, profile: KeyProfile, now: number): void {
  const named = [textAttribute(CK.CKA_LABEL, spec.label), bytesAttribute(CK.CKA_ID, identifier(spec.label))];
  const date = [dateAttribute(CK.CKA_START_DATE, now)];
  const locked = [...named, flagAttribute(CK.CKA_MODIFIABLE, false)];
  const choices: [common: Template, dated: Template][] = [
    [locked, date],
    [locked, []],
    [named, date],
    [named, []],
  ];
  for (const [index, [common, dated]] of choices.entries()) {
    try {
      if (isElliptic(spec, profile)) {
        const curve = CURVES[spec.algorithm ?? 'P-256'];
        const pair = pairTemplates(allowedUsage(spec, profile), true, common, dated, curve.parameters(profile));
        module.C_GenerateKeyPair(session, plainMechanism(curve.generation), pair.public, pair.private);
      } else {
        const prf = profile.prf === 'hmac-sha256' ? 'hmac-sha256' : 'hmac-generic';
        const { mechanism, template } = secretTemplate(prf, true, common);
        module.C_GenerateKey(session, mechanism, template);
      }
      return;
    } catch (error) {
      const refused = /^CKR_(ATTRIBUTE_|TEMPLATE_)/.test(ckrName(error) ?? '');
      if (!refused || index === choices.length - 1) throw error;
    }
  }
}

const unsuitable = (spec: KeySpec, problem: string) =>
  new HoldfastError('token_unsuitable', `key ${spec.label} ${problem}; do not use this token`, {
    details: { key: spec.label, problem },
  });

/** The objects of that class and label. */
export function objectsOf(module: Cryptoki, session: Handle, objectClass: number, label: string): Handle[] {
  return findObjects(module, session, [numberAttribute(CK.CKA_CLASS, objectClass), textAttribute(CK.CKA_LABEL, label)]);
}

/** Every object of a key: private or secret key, and public key. */
export function keyObjects(module: Cryptoki, session: Handle, spec: KeySpec): Handle[] {
  return [CK.CKO_PRIVATE_KEY, CK.CKO_SECRET_KEY, CK.CKO_PUBLIC_KEY].flatMap((each) =>
    objectsOf(module, session, each, spec.label),
  );
}

/** One attribute, or undefined where the object has none of that type. */
export function readOrUndefined(module: Cryptoki, session: Handle, object: Handle, type: number): Buffer | undefined {
  try {
    return readAttribute(module, session, object, type);
  } catch (error) {
    if (/^CKR_ATTRIBUTE_/.test(ckrName(error) ?? '') || error instanceof TypeError) return undefined;
    throw error;
  }
}

function readDate(module: Cryptoki, session: Handle, object: Handle): number | undefined {
  const text = readOrUndefined(module, session, object, CK.CKA_START_DATE)?.toString('latin1') ?? '';
  const match = /^(\d{4})(\d{2})(\d{2})/.exec(text);
  if (!match) return undefined;
  const at = Date.UTC(Number(match[1]), Number(match[2]) - 1, Number(match[3]));
  // pkcs11js 2.1.7 reads on behind the eight digits: where more of them lie there by chance, what it gives is no day.
  const isDay = dateAttribute(CK.CKA_START_DATE, at).value.toString('latin1') === match[0];
  return isDay && at > 0 ? at : undefined;
}

/** The point of CKA_EC_POINT: 65 bytes uncompressed, or 32 bytes on edwards25519. */
export function readPoint(
  module: Cryptoki,
  session: Handle,
  object: Handle,
  algorithm: SigningAlgorithm = 'P-256',
): Uint8Array {
  return CURVES[algorithm].point(readAttribute(module, session, object, CK.CKA_EC_POINT) ?? Buffer.alloc(0));
}

/** Labels and types of the private keys whose label begins with `prefix`, sorted. Nothing else of them is looked at. */
export function findPrivateKeys(
  module: Cryptoki,
  session: Handle,
  prefix: string,
): { label: string; algorithm: SigningAlgorithm | undefined }[] {
  return findObjects(module, session, [numberAttribute(CK.CKA_CLASS, CK.CKO_PRIVATE_KEY)])
    .flatMap((object) => {
      const label = readOrUndefined(module, session, object, CK.CKA_LABEL)?.toString('utf8') ?? '';
      if (!label.startsWith(prefix)) return [];
      const value = readOrUndefined(module, session, object, CK.CKA_KEY_TYPE);
      const type = value && fromUlong(value);
      const algorithm = (['Ed25519', 'P-256'] as const).find((each) => CURVES[each].keyType === type);
      return [{ label, algorithm }];
    })
    .sort((a, b) => (a.label < b.label ? -1 : 1));
}

/**
 * Finds a key by its label and checks all its attributes.
 * @throws HoldfastError `token_unsuitable` if it is missing, doubled, or not exactly what section 3 asks for.
 */
export function loadKey(
  module: Cryptoki,
  session: Handle,
  spec: KeySpec,
  profile: KeyProfile,
): { handle: Handle; key: LoadedKey } {
  const elliptic = isElliptic(spec, profile);
  const handle = single(module, session, elliptic ? CK.CKO_PRIVATE_KEY : CK.CKO_SECRET_KEY, spec);
  for (const { name, value, absent } of requiredAttributes(spec, profile)) {
    const found = readOrUndefined(module, session, handle, CK[name])?.[0];
    // Absent must not count as false of CKA_EXTRACTABLE: extractable keys are what all this is about.
    if (found === undefined ? absent : (found !== 0) === value) continue;
    if (name === 'CKA_EXTRACTABLE') throw unsuitable(spec, 'is extractable');
    throw unsuitable(spec, ALWAYS.some(([each]) => each === name) ? `lacks ${name}` : 'has the wrong usages');
  }
  const type = fromUlong(readAttribute(module, session, handle, CK.CKA_KEY_TYPE) ?? Buffer.alloc(0));
  let publicKey: Uint8Array | undefined;
  let createdAt: number | undefined;
  if (elliptic) {
    const curve = CURVES[spec.algorithm ?? 'P-256'];
    if (type !== curve.keyType) throw unsuitable(spec, `is not an ${curve.family} key`);
    const publicHandle = single(module, session, CK.CKO_PUBLIC_KEY, spec);
    for (const object of [handle, publicHandle]) {
      const parameters = readOrUndefined(module, session, object, CK.CKA_EC_PARAMS);
      if (!curve.named.some((name) => parameters?.equals(name))) throw unsuitable(spec, `is not on ${curve.name}`);
    }
    publicKey = readPoint(module, session, publicHandle, spec.algorithm);
    createdAt = readDate(module, session, publicHandle);
  } else {
    if (type !== CK.CKK_GENERIC_SECRET && type !== CK.CKK_SHA256_HMAC) throw unsuitable(spec, 'is no HMAC key');
    const length = readOrUndefined(module, session, handle, CK.CKA_VALUE_LEN);
    if (!length || fromUlong(length) !== 32) throw unsuitable(spec, 'is not 32 bytes long');
  }
  return { handle, key: { name: spec.name, publicKey, createdAt } };
}

function single(module: Cryptoki, session: Handle, objectClass: number, spec: KeySpec): Handle {
  const [object, ...others] = objectsOf(module, session, objectClass, spec.label);
  if (!object) throw unsuitable(spec, 'is not on the token');
  if (others.length > 0) throw unsuitable(spec, 'is there more than once');
  return object;
}
