/** Documents of two lines, a type line and one line of RFC 8785 JSON: the text of every signed note here but checkpoints. */

import { bytesToHex, type ErrorCode, HoldfastError, type JsonValue, parseJson, sha256, utf8 } from '../core/index.ts';
import { type CanonicalValue, canonicalJson } from './canonical.ts';
import type { Digest } from './fields.ts';

/** SHA-256 of a note's text, signatures not counted, in hexadecimal. */
export function digestOf(text: string): Digest {
  return bytesToHex(sha256(utf8(text)));
}

export function serialiseDocument(type: string, value: CanonicalValue): string {
  return `${type}\n${canonicalJson(value)}\n`;
}

/**
 * The JSON of `text`, which must have the type line, one more line and at most `maximum` bytes.
 * Whoever reads it must serialise what was read and compare it with `text`.
 * @throws HoldfastError of `code`.
 */
export function parseDocument(type: string, text: string, maximum: number, code: ErrorCode): JsonValue {
  // Characters before bytes, so that nothing large is copied.
  if (text.length > maximum || utf8(text).length > maximum) {
    throw new HoldfastError(code, `the text has more than ${maximum} bytes`);
  }
  const [first, json, end, ...rest] = text.split('\n', 4);
  if (first !== type) throw new HoldfastError(code, `the text does not begin with the line ${type}`);
  if (json === undefined || end !== '' || rest.length > 0) {
    throw new HoldfastError(code, `the text after ${type} must be one line of JSON and its newline`);
  }
  return parseJson(json, code);
}

/** @throws HoldfastError of `code` unless both are the same: readers of other forms would disagree on what was signed. */
export function requireCanonical(text: string, serialised: string, code: ErrorCode): void {
  if (text !== serialised) throw new HoldfastError(code, 'the text is not in its one canonical form (RFC 8785)');
}

/** Runs `read`, whose errors of shape all become `code`. */
export function withCode<T>(code: ErrorCode, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const shape = error instanceof HoldfastError && ['bad_input', 'malformed', 'too_large'].includes(error.code);
    throw shape ? new HoldfastError(code, error.message, { cause: error }) : error;
  }
}
