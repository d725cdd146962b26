/** Readers of the small members that several statements share: lines for people, tokens, addresses of content. */

import type { JsonValue } from '../core/index.ts';
import { type CanonicalValue, readAddress } from '../trust/index.ts';

/** What a token says of itself (CK_TOKEN_INFO of PKCS#11). All of it is the token's, or its driver's, own word. */
export interface TokenFacts {
  /** File name of the PKCS#11 module, without its folder. */
  readonly module: string;
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
}

export const TOKEN_MEMBERS = ['module', 'label', 'manufacturer', 'model', 'serial', 'firmware'] as const;

/** One line of 1 to `maximum` characters, none of which moves a cursor or turns the direction of writing. */
export function readLine(value: JsonValue, maximum = 256): string {
  const text = value.text(maximum);
  return /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(text)
    ? text
    : value.fail('must be one line without control characters');
}

export function readTokenFacts(value: JsonValue): TokenFacts {
  return readTokenMembers(value.object(TOKEN_MEMBERS));
}

/** The same of an object that has more members. */
export function readTokenMembers(token: { required(name: (typeof TOKEN_MEMBERS)[number]): JsonValue }): TokenFacts {
  const line = (name: (typeof TOKEN_MEMBERS)[number]) => readLine(token.required(name));
  return {
    module: line('module'),
    label: line('label'),
    manufacturer: line('manufacturer'),
    model: line('model'),
    serial: line('serial'),
    firmware: line('firmware'),
  };
}

export function writeTokenFacts({ module, label, manufacturer, model, serial, firmware }: TokenFacts): {
  readonly [name: string]: CanonicalValue;
} {
  return { module, label, manufacturer, model, serial, firmware };
}

/** An absolute address, or the name of a file beside the one that names it: 64 hexadecimal digits, and an extension. */
export function readFileAddress(value: JsonValue): string {
  const text = value.text(512);
  return /^[0-9a-f]{64}(?:\.[a-z0-9]{1,8})?$/.test(text) ? text : readAddress(value);
}
