/** The signing token that a command's options name, and one key on it with its journal and its person's approval. */

import { HoldfastError, type Secret } from '../core/index.ts';
import { openPurposeKey, type PurposeKey, type PurposeKeyOptions, SigningJournal } from '../signer/index.ts';
import { findSoftHsm, initialiseToken, openSigningToken, readPin, type SigningToken } from '../token/index.ts';
import type { NoteSigner } from '../trust/index.ts';
import { warn } from './output.ts';
import { askHidden } from './prompt.ts';

export interface SigningTokenFlags {
  readonly module?: string;
  readonly label?: string;
  readonly serial?: string;
  readonly pinFile?: string;
  readonly pinEnvironment?: string;
  readonly pinCredential?: string;
}

export interface SigningKeyFlags extends SigningTokenFlags {
  /** The signing journal; it is made if it is not there. */
  readonly journal: string;
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
  warn(warnings);
  return pin;
}

/** Logs in to the token that the flags name, for `body`. */
export async function withToken<T>(
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

/** As `withSigningKey`, with the whole key. */
export async function withPurposeKey<T>(
  flags: SigningKeyFlags,
  key: Pick<PurposeKeyOptions, 'name' | 'scope' | 'approver' | 'render'>,
  body: (key: PurposeKey, journal: SigningJournal) => Promise<T>,
): Promise<T> {
  return await withToken(flags, async (token) => {
    const journal = await SigningJournal.open(flags.journal);
    try {
      if (journal.recovered > 0) warn(['a torn last line was cut off the signing journal']);
      return await body(await openPurposeKey({ token, journal, ...key }), journal);
    } finally {
      await journal.close();
    }
  });
}

/** Opens one key with its journal, for `body`. Every signature is asked for, and written down before it is released. */
export function withSigningKey<T>(
  flags: SigningKeyFlags,
  key: Pick<PurposeKeyOptions, 'name' | 'scope' | 'approver' | 'render'>,
  body: (signer: NoteSigner, journal: SigningJournal) => Promise<T>,
): Promise<T> {
  return withPurposeKey(flags, key, ({ note }, journal) => body(note, journal));
}
