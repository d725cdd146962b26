/** `holdfast signer`: the keys on a signing token, what they signed, and signing a text by hand. */

import { HoldfastError, type Secret, utf8 } from '../../core/index.ts';
import {
  generatePurposeKey,
  keyLabel,
  keysOfRole,
  openPurposeKey,
  type Purpose,
  parseKeyLabel,
  ROLES,
  readJournal,
  SigningJournal,
  type SigningScope,
  verifierKeyOf,
} from '../../signer/index.ts';
import { findSoftHsm, initialiseToken, openSigningToken, readPin, type SigningToken } from '../../token/index.ts';
import { MAXIMUM_NOTE_BYTES, parseNote, serialiseSignatureLine, signText } from '../../trust/index.ts';
import { approverOf } from '../approval.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';

export interface SigningTokenFlags {
  readonly module?: string;
  readonly label?: string;
  readonly serial?: string;
  readonly pinFile?: string;
  readonly pinEnvironment?: string;
  readonly pinCredential?: string;
}

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

function moduleOf({ module }: SigningTokenFlags): string {
  const found = module ?? findSoftHsm();
  if (found) return found;
  throw new HoldfastError('usage', 'name the PKCS#11 module, a shared library: --module PATH');
}

/** The token's PIN from the one source that was named, else from the person. */
async function pinOf({ pinFile, pinEnvironment, pinCredential }: SigningTokenFlags): Promise<Secret> {
  const sources = [
    ...(pinFile === undefined ? [] : [{ file: pinFile }]),
    ...(pinEnvironment === undefined ? [] : [{ variable: pinEnvironment }]),
    ...(pinCredential === undefined ? [] : [{ credential: pinCredential }]),
  ];
  const [source, ...others] = sources;
  if (others.length > 0) {
    throw new HoldfastError('usage', 'use one of --pin-file, --pin-environment and --pin-credential');
  }
  if (!source) return askHidden('PIN of the token: ');
  const { pin, warnings } = await readPin(source, process.env);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  return pin;
}

/** Logs in to the token that the flags name, for `body`. */
async function withToken<T>(
  flags: SigningTokenFlags & { readonly soPinFile?: string },
  body: (token: SigningToken) => Promise<T>,
): Promise<T> {
  const { label, serial, soPinFile } = flags;
  if (label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: --label LABEL or --serial SERIAL');
  }
  const module = moduleOf(flags);
  using pin = await pinOf(flags);
  if (soPinFile !== undefined) {
    if (label === undefined) throw new HoldfastError('usage', 'a new token needs --label');
    using soPin = (await readPin({ file: soPinFile })).pin;
    await initialiseToken({ module, label, soPin, userPin: pin });
  }
  const selector = { ...(label !== undefined && { label }), ...(serial !== undefined && { serial }) };
  const token = await openSigningToken({ module, pin, ...selector });
  try {
    return await body(token);
  } finally {
    await token.close();
  }
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
  return withToken(flags, async (token) => {
    const journal = await SigningJournal.open(flags.journal);
    try {
      if (journal.recovered > 0) process.stderr.write('warning: a torn last line was cut off the signing journal\n');
      const key = await openPurposeKey({ token, name, scope, journal, approver });
      const line = serialiseSignatureLine(await signText(text, key.note));
      if (out !== undefined) await writeWholeFile(out, utf8(line), { mode: 0o644, overwrite: false });
      return {
        value: { purpose, name, verifierKey: key.note.verifierKey, signature: line.trimEnd(), journal: journal.head },
        lines: out === undefined ? [line.trimEnd()] : [`The signature line is in ${JSON.stringify(out)}.`],
      };
    } finally {
      await journal.close();
    }
  });
}

/** Whether a journal is whole, and what is in it. */
export async function verifyJournal(file: string): Promise<CommandResult> {
  const counts = new Map<string, number>();
  let last: number | undefined;
  const state = await readJournal(file, ({ purpose, key, time }) => {
    const name = `${purpose} by ${key}`;
    counts.set(name, (counts.get(name) ?? 0) + 1);
    last = time;
  });
  const { entries, head, torn } = state;
  const signatures = Object.fromEntries([...counts].sort());
  const lastAt = last === undefined ? null : new Date(last).toISOString();
  return {
    value: { entries, head, torn, last: lastAt, signatures },
    lines: [
      `The journal is whole: ${entries} signatures${lastAt === null ? '' : `, the last at ${lastAt}`}.`,
      ...Object.entries(signatures).map(([name, count]) => `  ${String(count).padStart(8)}  ${name}`),
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
