/** JSON (RFC 8259) for signed text: one object, flat enough, without the same member twice. */

import { HoldfastError } from '../core/index.ts';

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
  checkMembers(text);
  return value;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Walks over the strings and brackets of text that is known to be JSON. */
function checkMembers(text: string): void {
  /** For every open bracket: an object's names so far, or undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  let previous = '';
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : undefined);
      if (open.length > MAXIMUM_DEPTH) throw new HoldfastError('malformed', 'JSON is nested too deeply');
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (token.startsWith('"') && (previous === '{' || previous === ',')) {
      const names = open.at(-1);
      // Decoded, because "\u0061" and "a" are one name.
      const name: string = JSON.parse(token);
      if (names?.has(name)) throw new HoldfastError('malformed', 'JSON has the same member twice');
      names?.add(name);
    }
    previous = token;
  }
}
