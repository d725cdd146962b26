/** Strict reading of JSON (RFC 8259): every member is expected, of its type and within its bounds, or the text is refused. */

import { fromBase64Url } from './bytes.ts';
import { type ErrorCode, HoldfastError } from './errors.ts';

const MAXIMUM_DEPTH = 16;

const [QUOTE, COMMA, BACKSLASH] = [0x22, 0x2c, 0x5c];
const [OPENING_BRACE, CLOSING_BRACE, OPENING_BRACKET, CLOSING_BRACKET] = [0x7b, 0x7d, 0x5b, 0x5d];

/**
 * The value of JSON text in which no object has the same member twice: readers disagree on which of two counts
 * (RFC 8259 section 4). @throws HoldfastError of `code`.
 */
export function parseJson(text: string, code: ErrorCode): JsonValue {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new HoldfastError(code, 'the text is not JSON');
  }
  refuseDuplicateMembers(text, code);
  return new JsonValue(value, '', code);
}

/**
 * Walks over the strings and brackets of text that is known to be JSON. By character codes: a regular expression makes an object of
 * each token, and took a tenth of what a node allocates.
 * @throws HoldfastError of `code` for a member given twice in one object, or deeper nesting.
 */
export function refuseDuplicateMembers(text: string, code: ErrorCode, maximumDepth = MAXIMUM_DEPTH): void {
  /** For every open bracket: an object's names so far, or undefined for an array. */
  const open: (Set<string> | undefined)[] = [];
  /** Whether a string that comes next is the name of a member, where an object is open. */
  let beginsMember = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case QUOTE: {
        const end = endOfString(text, at);
        const names = beginsMember ? open.at(-1) : undefined;
        if (names) {
          // Decoded, because "\u0061" and "a" are one name.
          const name: string = JSON.parse(text.slice(at, end + 1));
          if (names.has(name)) throw new HoldfastError(code, `the JSON has the member ${quoted(name)} twice`);
          names.add(name);
        }
        beginsMember = false;
        at = end;
        break;
      }
      case OPENING_BRACE:
      case OPENING_BRACKET:
        beginsMember = text.charCodeAt(at) === OPENING_BRACE;
        open.push(beginsMember ? new Set() : undefined);
        if (open.length > maximumDepth) throw new HoldfastError(code, 'the JSON is nested too deeply');
        break;
      case CLOSING_BRACE:
      case CLOSING_BRACKET:
        open.pop();
        break;
      case COMMA:
        beginsMember = true;
        break;
      default:
        break;
    }
  }
}

/** Where the string that begins at `at` has its closing quotation mark: the first one that no backslash escapes. */
function endOfString(text: string, at: number): number {
  for (let end = text.indexOf('"', at + 1); ; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text.charCodeAt(first - 1) === BACKSLASH) first--;
    if ((end - first) % 2 === 0) return end;
  }
}

/** Any text as a short quotation without control characters. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}

/** One value and where it stands. Every method throws a HoldfastError of the code given at the start. */
export class JsonValue {
  readonly value: unknown;
  readonly path: string;
  readonly #code: ErrorCode;

  constructor(value: unknown, path: string, code: ErrorCode) {
    this.value = value;
    this.path = path;
    this.#code = code;
  }

  fail(problem: string): never {
    throw new HoldfastError(this.#code, this.path === '' ? `the JSON ${problem}` : `${this.path} ${problem}`);
  }

  /** An object that has no members but `names`. */
  object<const N extends string>(names: readonly N[]): JsonObject<N> {
    const { value } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return this.fail('must be an object');
    for (const name of Object.keys(value)) {
      if (!(names as readonly string[]).includes(name)) this.fail(`has an unknown member ${quoted(name)}`);
    }
    return new JsonObject(value as Readonly<Record<string, unknown>>, this.path, this.#code);
  }

  array(minimum: number, maximum: number): JsonValue[] {
    const { value } = this;
    if (!Array.isArray(value)) return this.fail('must be a list');
    if (value.length < minimum || value.length > maximum) {
      return this.fail(`must have ${minimum} to ${maximum} items`);
    }
    return value.map((item: unknown, i) => new JsonValue(item, `${this.path}[${i}]`, this.#code));
  }

  /** Text of 1 to `maximum` UTF-16 units. */
  text(maximum: number): string {
    const { value } = this;
    if (typeof value !== 'string' || !value.isWellFormed()) return this.fail('must be text');
    if (value.length === 0 || value.length > maximum) return this.fail(`must have 1 to ${maximum} characters`);
    return value;
  }

  word<const W extends string>(words: readonly W[]): W {
    const found = words.find((word) => word === this.value);
    return found ?? this.fail(`must be one of ${words.join(', ')}`);
  }

  integer(minimum: number, maximum: number = Number.MAX_SAFE_INTEGER): number {
    const { value } = this;
    const right = typeof value === 'number' && Number.isSafeInteger(value) && value >= minimum && value <= maximum;
    return right && !Object.is(value, -0) ? value : this.fail(`must be a whole number from ${minimum} to ${maximum}`);
  }

  boolean(): boolean {
    return typeof this.value === 'boolean' ? this.value : this.fail('must be true or false');
  }

  /** Canonical base64url of `minimum` to `maximum` bytes. */
  bytes(minimum: number, maximum: number): Uint8Array<ArrayBuffer> {
    const { value } = this;
    if (typeof value !== 'string') return this.fail('must be base64url text');
    // Measured before it is decoded.
    const length = Math.floor((value.length * 3) / 4);
    if (length < minimum || length > maximum) {
      return this.fail(`must have ${minimum === maximum ? minimum : `${minimum} to ${maximum}`} bytes in base64url`);
    }
    try {
      return fromBase64Url(value);
    } catch {
      return this.fail('must be base64url without padding');
    }
  }
}

/** An object whose members are all known by name. */
export class JsonObject<N extends string> {
  readonly #members: Readonly<Record<string, unknown>>;
  readonly #path: string;
  readonly #code: ErrorCode;

  constructor(members: Readonly<Record<string, unknown>>, path: string, code: ErrorCode) {
    this.#members = members;
    this.#path = path;
    this.#code = code;
  }

  required(name: N): JsonValue {
    const found = this.optional(name);
    if (found) return found;
    throw new HoldfastError(this.#code, `${this.#at(name)} is missing`);
  }

  optional(name: N): JsonValue | undefined {
    if (!Object.hasOwn(this.#members, name)) return undefined;
    return new JsonValue(this.#members[name], this.#at(name), this.#code);
  }

  #at(name: string): string {
    return this.#path === '' ? name : `${this.#path}.${name}`;
  }
}
