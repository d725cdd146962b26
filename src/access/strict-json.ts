/** JSON (RFC 8259) for signed text: one object, flat enough, without the same member twice. */

import { HoldfastError, refuseDuplicateMembers } from '../core/index.ts';

const MAXIMUM_DEPTH = 8;

export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * Readers disagree on which of two equal members counts (RFC 8259 section 4), so that what one checks another may not
 * use: such text is refused, as RFC 7519 section 4 allows.
 * @throws HoldfastError `malformed`.
 */
export function parseStrictObject(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HoldfastError('malformed', 'text is not JSON');
  }
  if (!isJsonObject(value)) throw new HoldfastError('malformed', 'JSON is not an object');
  refuseDuplicateMembers(text, 'malformed', MAXIMUM_DEPTH);
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
