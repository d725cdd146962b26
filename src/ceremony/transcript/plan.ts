/** What a ceremony is to make, on which token, before whom: decided before it begins, and its transcript's first record. */

import { HoldfastError, type JsonValue } from '../../core/index.ts';
import { type CanonicalValue, fromBase64, toBase64 } from '../../trust/index.ts';

export const CEREMONY_ROLES = ['cosigner', 'operator', 'policy', 'revoker', 'witness', 'auditor'] as const;
export type CeremonyRole = (typeof CEREMONY_ROLES)[number];

/** The keys to be made: a vault node's five, or those of a signing role. */
export type CeremonyKeys =
  | { readonly kind: 'node'; readonly fleet: string; readonly node: string }
  | { readonly kind: 'signing'; readonly role: CeremonyRole; readonly name: string; readonly origin: string | null };

/**
 * `empty`: the slot's token is not initialised yet, and the ceremony does it. `prepared`: somebody else has initialised it,
 * and brings the user's PIN. `occupied`: it is initialised, and all that is on it is to be destroyed.
 */
export type TokenState = 'empty' | 'prepared' | 'occupied';
export const TOKEN_STATES = ['empty', 'prepared', 'occupied'] as const satisfies readonly TokenState[];

export interface CeremonyParticipant {
  /** A name or an alias, as the person wants it published. */
  readonly name: string;
  /** Their part, such as `operator` or `witness`. */
  readonly role: string;
  /** Their own key, SubjectPublicKeyInfo in DER; null where they bring none and only type their name. */
  readonly key: Uint8Array | null;
}

export interface CeremonyPlan {
  /** The ceremony's own name. */
  readonly name: string;
  readonly keys: CeremonyKeys;
  readonly token: {
    readonly state: TokenState;
    /** File name of the PKCS#11 module, without its folder. */
    readonly module: string;
    /** CKA_LABEL of the token, as it is or as it is to be: 1 to 32 bytes. */
    readonly label: string;
    /** Number of the slot; null for the first that fits. */
    readonly slot: number | null;
    /** Serial number; null where it is not known before. */
    readonly serial: string | null;
  };
  /** Characters of the PINs that the ceremony makes, five bits each: 8 to 64. */
  readonly pinLength: number;
  /** Whether the numbers of tamper-evident seals are asked for. */
  readonly seals: boolean;
  /** 1 to 16. */
  readonly people: readonly CeremonyParticipant[];
}

const MEMBERS = ['name', 'keys', 'token', 'pinLength', 'seals', 'people'] as const;
/** A name's characters must also fit a line of a text that a person signs. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;
const LINE = /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u;
const KEY_NAME = /^[\x21-\x2a\x2c-\x7e]{1,150}$/;

export function writePlan({ name, keys, token, pinLength, seals, people }: CeremonyPlan): CanonicalValue {
  return {
    name,
    keys: { ...keys },
    token: { ...token },
    pinLength,
    seals,
    people: people.map((person) => ({
      name: person.name,
      role: person.role,
      key: person.key === null ? null : toBase64(person.key),
    })),
  };
}

/** Reads what `writePlan` writes. Throws as `JsonValue` does. */
export function readPlan(value: JsonValue): CeremonyPlan {
  const file = value.object(MEMBERS);
  const people = file.required('people').array(1, 16).map(readParticipant);
  if (new Set(people.map(({ name }) => name)).size !== people.length) {
    file.required('people').fail('must have different names');
  }
  return {
    name: matching(
      file.required('name'),
      64,
      NAME,
      'must be 1 to 64 of a-z 0-9 . _ -, beginning and ending with a letter or digit',
    ),
    keys: readKeys(file.required('keys')),
    token: readToken(file.required('token')),
    pinLength: file.required('pinLength').integer(8, 64),
    seals: file.required('seals').boolean(),
    people,
  };
}

/** The plan, as it would be read back. @throws HoldfastError `usage` for one that no transcript may have. */
export function checkPlan(plan: CeremonyPlan, read: (text: string) => CeremonyPlan): CeremonyPlan {
  try {
    return read(JSON.stringify(writePlan(plan)));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : 'it cannot be written';
    throw new HoldfastError('usage', `there can be no such ceremony: ${reason}`, { cause });
  }
}

function readKeys(value: JsonValue): CeremonyKeys {
  const any = value.object(['kind', 'fleet', 'node', 'role', 'name', 'origin']);
  if (any.required('kind').word(['node', 'signing']) === 'node') {
    const keys = value.object(['kind', 'fleet', 'node']);
    const place = (name: 'fleet' | 'node') =>
      matching(keys.required(name), 64, /^[a-z0-9._-]+$/, 'must be 1 to 64 of a-z 0-9 . _ -');
    return { kind: 'node', fleet: place('fleet'), node: place('node') };
  }
  const keys = value.object(['kind', 'role', 'name', 'origin']);
  const origin = keys.required('origin');
  const name = (text: JsonValue) => matching(text, 150, KEY_NAME, 'must be printable ASCII without spaces and plus');
  return {
    kind: 'signing',
    role: keys.required('role').word(CEREMONY_ROLES),
    name: name(keys.required('name')),
    origin: origin.value === null ? null : name(origin),
  };
}

function readToken(value: JsonValue): CeremonyPlan['token'] {
  const token = value.object(['state', 'module', 'label', 'slot', 'serial']);
  const [slot, serial] = [token.required('slot'), token.required('serial')];
  const label = line(token.required('label'), 32);
  if (new TextEncoder().encode(label).length > 32) token.required('label').fail('must have at most 32 bytes');
  if (label.trim() !== label) token.required('label').fail('must not begin or end with a space');
  return {
    state: token.required('state').word(TOKEN_STATES),
    module: line(token.required('module'), 255),
    label,
    slot: slot.value === null ? null : slot.integer(0),
    serial: serial.value === null ? null : line(serial, 64),
  };
}

function readParticipant(value: JsonValue): CeremonyParticipant {
  const person = value.object(['name', 'role', 'key']);
  return {
    name: line(person.required('name'), 128),
    role: line(person.required('role'), 128),
    key: person.required('key').value === null ? null : readKey(person.required('key')),
  };
}

/** SubjectPublicKeyInfo of Ed25519 (44 bytes) or P-256 (91); whoever verifies with it reads it whole. */
function readKey(value: JsonValue): Uint8Array {
  const text = value.text(124);
  try {
    const key = fromBase64(text);
    return key.length === 44 || key.length === 91 ? key : value.fail('must be a public key of Ed25519 or P-256');
  } catch {
    return value.fail('must be base64 with padding');
  }
}

function line(value: JsonValue, maximum: number): string {
  return matching(value, maximum, LINE, 'must be one line without control characters');
}

function matching(value: JsonValue, maximum: number, pattern: RegExp, rule: string): string {
  const text = value.text(maximum);
  return pattern.test(text) ? text : value.fail(rule);
}
