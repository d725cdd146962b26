/** Canonical JSON (RFC 8785) of what documents here hold: text, whole numbers, truth values, null, lists and objects. */

import { HoldfastError } from '../core/index.ts';

export type CanonicalValue =
  | string
  | number
  | boolean
  | null
  | readonly CanonicalValue[]
  | { readonly [name: string]: CanonicalValue | undefined };

/**
 * The one text of `value`: members sorted by UTF-16 code units (section 3.2.3), text as ECMAScript writes it (3.2.2.2),
 * no white space. Members that are undefined are left out. Numbers are whole and safe, so that none has two readings.
 * @throws HoldfastError `bad_input` for any other number and for text that is not well-formed Unicode.
 */
export function canonicalJson(value: CanonicalValue): string {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) refuse('a number is not whole or too large');
    return String(value);
  }
  if (typeof value === 'string') {
    if (!value.isWellFormed()) refuse('text is not well-formed Unicode');
    return JSON.stringify(value);
  }
  if (value === null || typeof value === 'boolean') return String(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  const members = Object.entries(value)
    .filter((member): member is [string, CanonicalValue] => member[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, member]) => `${canonicalJson(name)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}

function isList(value: CanonicalValue): value is readonly CanonicalValue[] {
  return Array.isArray(value);
}

function refuse(problem: string): never {
  throw new HoldfastError('bad_input', `the document cannot be written: ${problem}`);
}
