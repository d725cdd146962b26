/** `holdfast backup`: files in a standard age file whose identity the vault keeps under the PIN. */

import { access, constants } from 'node:fs/promises';
import {
  checkCreate,
  checkRestore,
  createBackup,
  generateIdentity,
  methodsOf,
  type Progress,
  parseIdentity,
  recipientOf,
  restoreBackup,
} from '../../backup/index.ts';
import { equalBytes, fromUtf8, HoldfastError, utf8 } from '../../core/index.ts';
import type { RecoveryCode } from '../../recovery/index.ts';
import { type Connection, connect } from '../connect.ts';
import { reasonOf } from '../files.ts';
import { explainWaiting, recoveryNotices } from '../notices.ts';
import { counted, say } from '../output.ts';
import { askPin, kindOf, type PinFlags } from '../pins.ts';
import { defaultProfilePath, type Profile, readProfile, writeProfile } from '../profile.ts';
import { formatBytes, ProgressLine } from '../progress.ts';
import { correctionsOf, identityByCode, isListed, readCode, waysTo } from '../recovery-ways.ts';
import type { CommandResult } from '../run.ts';
import type { SecretFlags } from './secret.ts';

export interface BackupFlags extends SecretFlags {
  readonly profile?: string;
  readonly recoveryCodeFile?: string;
}

export interface CreateFlags extends BackupFlags {
  readonly out: string;
  readonly overwrite?: boolean;
  readonly skipUnreadable?: boolean;
  readonly offline?: boolean;
  readonly acceptDegraded?: boolean;
}

export async function create(
  paths: readonly string[],
  flags: CreateFlags,
  signal: AbortSignal,
): Promise<CommandResult | undefined> {
  const { overwrite = false, skipUnreadable = false } = flags;
  const out = outputOf(flags);
  // Before a PIN is asked for, or a first record enrolled, for a backup that cannot be made.
  await checkCreate({ paths, out, overwrite, skipUnreadable });
  const { recipient, methods } = await profileFor(flags, signal);
  using progress = new ProgressLine('Encrypting');
  const created = await createBackup({
    ...{ paths, out, recipient, methods, overwrite, skipUnreadable },
    ...(process.stderr.isTTY && {
      onProgress: ({ bytes, totalBytes }: Progress) => progress.update(bytes, totalBytes),
    }),
    signal,
  });
  progress[Symbol.dispose]();
  for (const warning of created.warnings) say(`warning: ${warning}`);
  const { files, directories, symbolicLinks, contentBytes, bytes, file, warnings, warningCount } = created;
  const what = `${counted(files, 'file')} in ${counted(directories, 'folder')} (${formatBytes(contentBytes)})`;
  const where = typeof out === 'string' ? file : 'standard output';
  const line = `Backed up ${what} to ${where} (${formatBytes(bytes)}).`;
  const value = { file, bytes, contentBytes, files, directories, symbolicLinks, recipient, warnings, warningCount };
  if (typeof out === 'string') return { value, lines: [line] };
  say(line);
  return undefined;
}

/** The file, or standard output for `-`. */
function outputOf({ out, json = false }: CreateFlags): string | typeof process.stdout {
  if (out !== '-') return out;
  if (json)
    throw new HoldfastError('usage', 'standard output takes the backup or the JSON object: name a file with --out');
  if (!process.stdout.isTTY) return process.stdout;
  throw new HoldfastError(
    'usage',
    'the backup would go to the screen; send it on with a pipe, or name a file with --out',
  );
}

/** The code that the person names, with what was put right in it. */
async function codeFor(flags: BackupFlags, signal: AbortSignal): Promise<RecoveryCode | undefined> {
  if (flags.recoveryCodeFile === undefined) return undefined;
  const read = await readCode(flags.recoveryCodeFile, signal);
  for (const line of correctionsOf(read)) say(line);
  return read.code;
}

/** The recipient of this user's backups: remembered, or of the identity in the vault, or of a new one put there. */
async function profileFor(flags: CreateFlags, signal: AbortSignal): Promise<Profile> {
  const path = flags.profile ?? defaultProfilePath(process.env);
  const code = await codeFor(flags, signal);
  await using connection = await connect(flags);
  const { client } = connection;
  const known = await knownProfile(path, await connection.accounts());
  // Adding a way needs the key, and so the PIN, once.
  const listed = code === undefined || (await isListed(known?.methods, code));
  if (known && flags.offline && listed) return known;
  // Without a PIN the record can be seen to be there, and to be the same generation: nothing is encrypted to a
  // recipient whose identity nobody could get back.
  const { fleet, record, state, generation, takenOver } = await client.status({ signal });
  connection.clear();
  for (const notice of await connection.notices()) say(notice);
  const same = known && known.fleet === fleet && equalBytes(known.record, record) && known.generation === generation;
  if (state === 'active' && same && !takenOver && listed) return known;
  if (state === 'spent') {
    throw new HoldfastError('spent', 'no attempts are left on the record that your backups need; nothing was written');
  }
  if (state !== 'active') {
    const profile = await enrolProfile(connection, flags, code, signal);
    await writeProfile(path, profile);
    return profile;
  }
  const profile = await recoverProfile(connection, flags, { before: known?.methods, code }, signal);
  requireOwnKey(profile, known);
  await writeProfile(path, profile);
  return profile;
}

/** What this device remembers of any of the user's records. */
async function knownProfile(
  path: string,
  accounts: readonly Pick<Profile, 'fleet' | 'record'>[],
): Promise<Profile | undefined> {
  for (const account of accounts) {
    const profile = await readProfile(path, account);
    if (profile) return profile;
  }
  return undefined;
}

async function enrolProfile(
  connection: Connection,
  flags: CreateFlags,
  code: RecoveryCode | undefined,
  signal: AbortSignal,
): Promise<Profile> {
  const { client } = connection;
  say('There is no record yet: choose the PIN that your backups will be restored with.');
  const pin = await askPin(flags, { prompt: 'New PIN: ', confirm: true, signal });
  const { identity, recipient } = await generateIdentity();
  const { fleet, record, generation, degraded } = await client.enrol(pin, utf8(identity), {
    signal,
    kind: kindOf(flags),
    acceptDegraded: flags.acceptDegraded ?? false,
  });
  connection.clear();
  if (degraded) say('Fewer nodes than the fleet has hold a share. When all are back: holdfast secret change-pin');
  const methods = await waysTo(identity, { fleet, before: undefined, code });
  return { fleet, record, generation, recipient, methods };
}

async function recoverProfile(
  connection: Connection,
  flags: BackupFlags,
  ways: { before: Uint8Array | undefined; code: RecoveryCode | undefined },
  signal: AbortSignal,
): Promise<Profile & { readonly identity: string; readonly takenOver: boolean }> {
  const { identity, ...place } = await recoverIdentity(connection, flags, signal);
  const methods = await waysTo(identity, { fleet: place.fleet, ...ways });
  return { ...place, identity, recipient: await recipientOf(identity), methods };
}

/**
 * Whoever makes user tokens can enrol a key of their own over somebody's record, under a PIN that they guess to be theirs:
 * nothing is encrypted to such a key unless this device has known it before.
 * @throws HoldfastError `untrusted`.
 */
export function requireOwnKey(
  { takenOver, recipient }: { readonly takenOver: boolean; readonly recipient: string },
  known: Pick<Profile, 'recipient'> | undefined,
): void {
  if (!takenOver || known?.recipient === recipient) return;
  throw new HoldfastError(
    'untrusted',
    'this record was enrolled over an earlier one without its PIN, with a key that this device does not know: somebody else may know it; if that was you, change the PIN once (holdfast secret change-pin), and run this again',
  );
}

/** The age identity that the vault keeps. Costs one attempt, given back by the right PIN. */
async function recoverIdentity(connection: Connection, flags: BackupFlags, signal: AbortSignal) {
  const pin = await askPin(flags, { prompt: 'PIN: ', signal });
  return await identityUnder(pin, connection, flags, signal);
}

/** The same for a PIN that was asked for. */
export async function identityUnder(pin: string, connection: Connection, flags: PinFlags, signal: AbortSignal) {
  const { client } = connection;
  const recovered = await client
    .recover(pin, { signal, kind: kindOf(flags) })
    .catch(async (thrown: unknown) => Promise.reject(await explainWaiting(thrown, () => client.status({ signal }))));
  connection.clear();
  for (const notice of recoveryNotices(recovered)) say(notice);
  try {
    const { fleet, record, generation, takenOver } = recovered;
    return { identity: parseIdentity(fromUtf8(recovered.secret.reveal())), fleet, record, generation, takenOver };
  } catch (cause) {
    throw new HoldfastError(
      'bad_input',
      'the recovered secret is not an age X25519 identity; it is no backup’s record',
      {
        cause,
      },
    );
  } finally {
    recovered.secret.wipe();
  }
}

export interface RestoreFlags extends BackupFlags {
  readonly to: string;
  readonly overwrite?: boolean;
  readonly keepPartial?: boolean;
}

export async function restore(file: string, flags: RestoreFlags, signal: AbortSignal): Promise<CommandResult> {
  // Before an attempt is spent on it.
  await access(file, constants.R_OK).catch((cause: unknown) => {
    throw new HoldfastError('usage', `cannot read the backup ${JSON.stringify(file)}: ${reasonOf(cause)}`, { cause });
  });
  const { to: directory, overwrite = false } = flags;
  await checkRestore({ file, directory, overwrite });
  const identity = await identityFor(file, flags, signal);
  using progress = new ProgressLine('Restoring');
  const restored = await restoreBackup({
    ...{ file, directory, identity, overwrite },
    keepPartial: flags.keepPartial ?? false,
    onProgress: ({ bytes, totalBytes }) => progress.update(bytes, totalBytes),
    signal,
  });
  progress[Symbol.dispose]();
  for (const warning of restored.warnings) say(`warning: ${warning}`);
  const { files, directories, symbolicLinks, contentBytes, directory: place, warnings, warningCount } = restored;
  return {
    value: { directory: place, contentBytes, files, directories, symbolicLinks, warnings, warningCount },
    lines: [
      `Restored ${counted(files, 'file')} in ${counted(directories, 'folder')} (${formatBytes(contentBytes)}) to ${place}.`,
    ],
  };
}

async function identityFor(file: string, flags: RestoreFlags, signal: AbortSignal): Promise<string> {
  const code = await codeFor(flags, signal);
  // Without a fleet, so that it helps where none is left, or the PIN is forgotten.
  if (code) return await identityByCode(await methodsOf(file), code);
  await using connection = await connect(flags);
  const before = await methodsOf(file).catch(() => undefined);
  const profile = await recoverProfile(connection, flags, { before, code }, signal);
  // This device can make backups without the PIN from now on, and they carry the ways that this one carries; not where
  // somebody else may have the key (`requireOwnKey`).
  if (!profile.takenOver) await writeProfile(flags.profile ?? defaultProfilePath(process.env), profile);
  return profile.identity;
}
