/** Reads settings from one JSON file and from environment variables, which come first. Nothing unknown is passed over. */

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { HoldfastError, JsonValue, parseJson } from '../core/index.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Sources {
  /** Path of the JSON file; undefined where everything comes from the environment. */
  readonly file?: string | undefined;
  readonly environment?: Environment;
}

/** One row of docs/configuration.md. */
export interface Setting {
  /** Where it stands in the file, for example `listen.port`. The variable's name follows from it. */
  readonly path: string;
  readonly kind: 'text' | 'path' | 'integer' | 'boolean' | 'list' | 'paths' | 'json';
  readonly description: string;
  /** What it is where nobody sets it; undefined and `required` absent: it may be missing. */
  readonly default?: string | number | boolean | readonly string[];
  readonly required?: true;
  /** For integers. */
  readonly minimum?: number;
  readonly maximum?: number;
  /** For text: the only values. */
  readonly words?: readonly string[];
}

/** The longest file that is read, in characters. */
const MAXIMUM_FILE = 1024 * 1024;

/** `listen.port` with prefix `HOLDFAST_NODE` is `HOLDFAST_NODE_LISTEN_PORT`; `token.pinFile` is `..._TOKEN_PIN_FILE`. */
export function variableOf(prefix: string, path: string): string {
  return `${prefix}_${path.replaceAll('.', '_').replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

/** Checked values by path. Getters throw where the table does not have the setting: that is a programming error. */
export class Settings {
  readonly #values = new Map<string, unknown>();

  /** @throws HoldfastError `usage` naming the setting and what to do. */
  constructor(table: readonly Setting[], prefix: string, sources: Sources) {
    const { file, environment = {} } = sources;
    const members = file === undefined ? new Map<string, JsonValue>() : membersOf(table, file);
    const folder = file === undefined ? '' : dirname(resolve(file));
    for (const setting of table) {
      const variable = variableOf(prefix, setting.path);
      const text = environment[variable];
      const member = members.get(setting.path);
      let value: unknown;
      if (text !== undefined) value = check(setting, fromText(setting, variable, text), '');
      else if (member) value = check(setting, member, folder);
      else if (setting.required) {
        throw new HoldfastError('usage', `${setting.path} is missing; set it in the file or by ${variable}`);
      } else value = setting.default;
      this.#values.set(setting.path, value);
    }
    this.#refuseUnknownVariables(table, prefix, environment);
  }

  text(path: string): string {
    return this.#values.get(path) as string;
  }

  optionalText(path: string): string | undefined {
    return this.#values.get(path) as string | undefined;
  }

  integer(path: string): number {
    return this.#values.get(path) as number;
  }

  optionalInteger(path: string): number | undefined {
    return this.#values.get(path) as number | undefined;
  }

  boolean(path: string): boolean {
    return this.#values.get(path) as boolean;
  }

  list(path: string): readonly string[] {
    return Object.freeze([...(this.#values.get(path) as readonly string[])]);
  }

  json(path: string): JsonValue {
    return this.#values.get(path) as JsonValue;
  }

  optionalJson(path: string): JsonValue | undefined {
    return this.#values.get(path) as JsonValue | undefined;
  }

  /** A misspelt variable would silently leave a default in force. */
  #refuseUnknownVariables(table: readonly Setting[], prefix: string, environment: Environment): void {
    const known = new Set(table.map(({ path }) => variableOf(prefix, path)));
    // The variable that holds the token's PIN may have a name of this kind.
    const pin = this.#values.get('token.pinEnvironment');
    for (const name of Object.keys(environment)) {
      if (!name.startsWith(`${prefix}_`) || known.has(name) || name === pin || environment[name] === undefined)
        continue;
      throw new HoldfastError('usage', `the environment variable ${name} is unknown; see docs/configuration.md`);
    }
  }
}

function readFile(path: string): JsonValue {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `the configuration file ${path} cannot be read; check its path and its mode`, {
      cause,
    });
  }
  if (text.length > MAXIMUM_FILE) throw new HoldfastError('usage', `the configuration file ${path} is too long`);
  try {
    return parseJson(text, 'usage');
  } catch (cause) {
    throw new HoldfastError('usage', `${path}: ${(cause as HoldfastError).message}`, { cause });
  }
}

function membersOf(table: readonly Setting[], file: string): Map<string, JsonValue> {
  const root = readFile(file);
  try {
    return flatten(table, root);
  } catch (cause) {
    if (!(cause instanceof HoldfastError)) throw cause;
    throw new HoldfastError(cause.code, `the configuration file ${file}: ${cause.message}`, { cause });
  }
}

/** Members of the file by path; groups are objects, everything else is a setting's value. */
function flatten(table: readonly Setting[], root: JsonValue): Map<string, JsonValue> {
  const found = new Map<string, JsonValue>();
  const top = new Set(table.map(({ path }) => path.split('.')[0]!));
  const object = root.object([...top]);
  for (const name of top) {
    const member = object.optional(name);
    if (!member) continue;
    if (table.some(({ path }) => path === name)) {
      found.set(name, member);
      continue;
    }
    const inner = table.flatMap(({ path }) => (path.startsWith(`${name}.`) ? [path.slice(name.length + 1)] : []));
    const group = member.object(inner);
    for (const leaf of inner) {
      const value = group.optional(leaf);
      if (value) found.set(`${name}.${leaf}`, value);
    }
  }
  return found;
}

/** The text of a variable as the value that the file would have. */
function fromText(setting: Setting, variable: string, text: string): JsonValue {
  const as = (value: unknown) => new JsonValue(value, variable, 'usage');
  switch (setting.kind) {
    case 'integer':
      return as(/^\d{1,15}$/.test(text) ? Number(text) : text);
    case 'boolean':
      return as(text === 'true' ? true : text === 'false' ? false : text);
    case 'list':
    case 'paths':
      return as(text === '' ? [] : text.split(',').map((item) => item.trim()));
    case 'json':
      try {
        return as(parseJson(text, 'usage').value);
      } catch (cause) {
        throw new HoldfastError('usage', `${variable}: ${(cause as HoldfastError).message}`, { cause });
      }
    default:
      return as(text);
  }
}

/** `folder`: what relative paths are relative to; the working directory if empty. */
function check(setting: Setting, value: JsonValue, folder: string): unknown {
  switch (setting.kind) {
    case 'integer':
      return value.integer(setting.minimum ?? 0, setting.maximum);
    case 'boolean':
      return value.boolean();
    case 'list':
      return value.array(0, 100).map((item) => item.text(1024));
    case 'path':
      return resolve(folder, value.text(4096));
    case 'paths':
      return value.array(0, 100).map((item) => resolve(folder, item.text(4096)));
    case 'json':
      return value;
    case 'text':
      return setting.words ? value.word(setting.words) : value.text(4096);
  }
}
