/** `holdfast signer`: the keys on a signing token, what they signed, and signing a text by hand. */

import { HoldfastError, utf8 } from '../../core/index.ts';
import {
  generatePurposeKey,
  keyLabel,
  keysOfRole,
  type Purpose,
  parseKeyLabel,
  ROLES,
  readJournal,
  type SigningScope,
  verifierKeyOf,
} from '../../signer/index.ts';
import type { SigningToken } from '../../token/index.ts';
import { MAXIMUM_NOTE_BYTES, parseNote, serialiseSignatureLine, signText } from '../../trust/index.ts';
import { approverOf } from '../approval.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type SigningTokenFlags, withSigningKey, withToken } from '../signing-token.ts';

export interface KeysFlags extends SigningTokenFlags {
  readonly role: string;
  readonly name: string;
  readonly origin?: string;
  readonly soPinFile?: string;
}

export interface SignFlags extends SigningTokenFlags {
  readonly purpose: string;
  readonly name: string;
  readonly vault: string;
  readonly environment: string;
  readonly journal: string;
  readonly approve?: readonly string[];
  readonly out?: string;
}

interface ShownKey {
  readonly purpose: Purpose;
  readonly name: string;
  readonly algorithm: string;
  readonly verifierKey: string;
}

async function show(token: SigningToken, purpose: Purpose, name: string): Promise<ShownKey> {
  const key = await token.open(keyLabel(purpose, name));
  return { purpose, name, algorithm: key.algorithm, verifierKey: verifierKeyOf(purpose, name, key).text };
}

const lineOf = ({ purpose, algorithm, verifierKey }: ShownKey) =>
  `  ${purpose.padEnd(10)} ${algorithm.padEnd(7)} ${verifierKey}`;

/** Makes those keys of a role that are not there yet, and lists all. */
export async function keys(flags: KeysFlags): Promise<CommandResult> {
  const role = wordOf('--role', flags.role, ROLES);
  const wanted = keysOfRole(role, flags.name, flags.origin);
  // Before a token is touched: names that cannot be.
  for (const { purpose, name } of wanted) keyLabel(purpose, name);
  return withToken(flags, async (token) => {
    const there = new Set((await token.find('holdfast/signer/')).map(({ label }) => label));
    const missing = wanted.filter(({ purpose, name }) => !there.has(keyLabel(purpose, name)));
    for (const { purpose, name } of missing) await generatePurposeKey(token, purpose, name);
    const shown: ShownKey[] = [];
    for (const { purpose, name } of wanted) shown.push(await show(token, purpose, name));
    const { label, serial } = token.description;
    const made = missing.map(({ purpose }) => purpose);
    return {
      value: { role, token: { label, serial }, made, keys: shown },
      lines: [
        `Keys of the ${role} on token ${label} (serial ${serial}), ${made.length} of ${shown.length} made now:`,
        ...shown.map(lineOf),
      ],
    };
  });
}

/** Every signing key on the token, each checked and tried. */
export async function list(flags: SigningTokenFlags): Promise<CommandResult> {
  return withToken(flags, async (token) => {
    const shown: ShownKey[] = [];
    for (const { label } of await token.find('holdfast/signer/')) {
      const named = parseKeyLabel(label);
      if (named) shown.push(await show(token, named.purpose, named.name));
    }
    const { description, algorithms } = token;
    return {
      value: { description, algorithms, keys: shown },
      lines: [
        `Token ${description.label} (${description.manufacturer} ${description.model}, serial ${description.serial}) signs with ${algorithms.join(' and ')}.`,
        ...(shown.length > 0 ? shown.map(lineOf) : ['It has no signing keys; make them with holdfast signer keys.']),
      ],
    };
  });
}

/** What a person signs by hand: the others' texts are made by services. */
const BY_HAND = ['bundle', 'policy'] as const satisfies readonly Purpose[];

/** Shows a text, asks, signs it, and gives the line for its note. */
export async function sign(file: string, flags: SignFlags, signal: AbortSignal): Promise<CommandResult> {
  const purpose = wordOf('--purpose', flags.purpose, BY_HAND);
  const { vault, environment, name, out } = flags;
  const content = await readTextFile(file, 'the text to sign', MAXIMUM_NOTE_BYTES);
  // A note that others signed already, or its text alone.
  const text = content.includes('\n\n\u2014 ') ? parseNote(content).text : content;
  const approver = approverOf(flags, signal);
  const scope: SigningScope = { purpose, vault, environment };
  return withSigningKey(flags, { name, scope, approver }, async (signer, journal) => {
    const line = serialiseSignatureLine(await signText(text, signer));
    if (out !== undefined) await writeWholeFile(out, utf8(line), { mode: 0o644, overwrite: false });
    return {
      value: { purpose, name, verifierKey: signer.verifierKey, signature: line.trimEnd(), journal: journal.head },
      lines: out === undefined ? [line.trimEnd()] : [`The signature line is in ${JSON.stringify(out)}.`],
    };
  });
}

/** Whether a journal is whole, and what is in it. */
export async function verifyJournal(file: string): Promise<CommandResult> {
  const counts = new Map<string, number>();
  let last: number | undefined;
  const state = await readJournal(file, {
    onEntry: ({ purpose, key, time }) => {
      const name = `${purpose} by ${key}`;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      last = time;
    },
  });
  const { entries, head, torn, segment, first } = state;
  const signatures = Object.fromEntries([...counts].sort());
  const lastAt = last === undefined ? null : new Date(last).toISOString();
  return {
    value: { entries, head, torn, segment, first, last: lastAt, signatures },
    lines: [
      `The journal is whole: ${entries} signatures${lastAt === null ? '' : `, the last at ${lastAt}`}.`,
      ...Object.entries(signatures).map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`),
      ...(segment > 1 ? [`Segments ${first} to ${segment} are here, and follow from each other.`] : []),
      ...(first > 1 ? [`What segments 1 to ${first - 1} come to is carried over; what they say was not read.`] : []),
      `SHA-256 of its last line: ${head}`,
      ...(torn > 0 ? [`After it are ${torn} bytes of a write that did not end; they were never signed for.`] : []),
    ],
  };
}

function wordOf<const W extends string>(flag: string, text: string, words: readonly W[]): W {
  const found = words.find((word) => word === text);
  if (found) return found;
  throw new HoldfastError('usage', `${flag} must be one of ${words.join(', ')}`);
}
