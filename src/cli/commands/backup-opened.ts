/** A backup that one of its ways has opened, for commands that change the ways: the key, the list, and both written again. */

import { methodsOf, recipientOf, rewriteBackup } from '../../backup/index.ts';
import { bytesToHex } from '../../core/index.ts';
import {
  addPin,
  noMethods,
  openWith,
  type RecoveryCode,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
  sealMethods,
  standingOf,
} from '../../recovery/index.ts';
import { connect } from '../connect.ts';
import { say } from '../output.ts';
import { askPin } from '../pins.ts';
import { defaultProfilePath, type Profile, readStoredProfile, writeProfile } from '../profile.ts';
import { ProgressLine } from '../progress.ts';
import { correctionsOf, identityByCode, readCode } from '../recovery-ways.ts';
import { type BackupFlags, identityUnder } from './backup.ts';

const NAMES = { pin: 'PIN, in the fleet', 'recovery-code': 'recovery code that begins with', passkey: 'passkey' };

export const factsOf = ({ id, kind, label, addedAt }: RecoveryMethod) => ({
  ...{ id: bytesToHex(id), kind, label },
  addedAt: new Date(addedAt).toISOString(),
});
export const lineOf = ({ id, kind, label, addedAt }: RecoveryMethod) =>
  `${bytesToHex(id)}  ${NAMES[kind]} ${label} (since ${new Date(addedAt).toISOString().slice(0, 10)})`;

export interface WayFlags extends BackupFlags {
  /** A recovery code that opens the backup, instead of the PIN. */
  readonly withCode?: string;
}

export type Place = Pick<Profile, 'fleet' | 'record' | 'generation'> & {
  /** Whether the record was enrolled over an earlier one without its PIN: somebody else may have the key. */
  readonly takenOver?: boolean;
};

/** A backup whose key somebody has used a way to. */
export interface Opened {
  readonly identity: string;
  readonly list: RecoveryMethods;
  /** Where the vault keeps the key, if it was asked. */
  readonly place: Place | undefined;
}

export async function readWay(path: string, signal: AbortSignal): Promise<RecoveryCode> {
  const read = await readCode(path, signal);
  for (const line of correctionsOf(read)) say(line);
  return read.code;
}

export const byCode = async (file: string, flags: WayFlags, signal: AbortSignal): Promise<string> =>
  await identityByCode(await methodsOf(file), await readWay(flags.withCode!, signal));

/** By a code, without any fleet, or by the PIN. */
export async function openBackup(file: string, flags: WayFlags, signal: AbortSignal): Promise<Opened> {
  if (flags.withCode !== undefined) {
    const identity = await byCode(file, flags, signal);
    return { identity, list: await listOf(file, identity, undefined), place: undefined };
  }
  // Before an attempt is spent on it.
  await methodsOf(file);
  await using connection = await connect(flags);
  const pin = await askPin(flags, { prompt: 'PIN: ', signal });
  const { identity, ...place } = await identityUnder(pin, connection, flags, signal);
  return { identity, list: await listOf(file, identity, place.fleet), place };
}

/** The list of a backup's ways, verified under its key; of one that carries none, the PIN. */
export async function listOf(file: string, identity: string, fleet: string | undefined): Promise<RecoveryMethods> {
  const sealed = await methodsOf(file);
  if (sealed) return (await openWith(sealed, { kind: 'identity', identity })).list;
  return addPin(await noMethods({ identity }), { fleet: fleet ?? '', now: Date.now() });
}

interface Rewriting {
  readonly file: string;
  readonly out: string;
  readonly overwrite: boolean;
  readonly from: string;
  readonly to: string;
  readonly list: RecoveryMethods;
  readonly signal: AbortSignal;
}

export async function rewritten({ file, out, overwrite, from, to, list, signal }: Rewriting): Promise<void> {
  using progress = new ProgressLine('Encrypting');
  await rewriteBackup({
    ...{ file, out, overwrite, signal },
    identity: from,
    recipient: await recipientOf(to),
    methods: sealMethods(list, to),
    onProgress: ({ bytes, totalBytes }) => progress.update(bytes, totalBytes),
  });
}

/** What this device remembers, so that its next backups are made like this one. */
export async function remember(
  flags: WayFlags,
  identity: string,
  list: RecoveryMethods,
  place: Place | undefined,
): Promise<void> {
  const path = flags.profile ?? defaultProfilePath(process.env);
  const recipient = await recipientOf(identity);
  const known = await readStoredProfile(path).catch(() => undefined);
  const same = known?.recipient === recipient ? known : undefined;
  // Where the vault was not asked, only a profile that makes backups for this key already can be told.
  const at = place ?? same;
  if (at === undefined || (place?.takenOver && same === undefined)) return;
  // What another device did may be newer, and a key that was left is gone for good.
  if (known?.methods && standingOf(list, readMethods(known.methods)) !== 'next') return;
  const { fleet, record, generation } = at;
  await writeProfile(path, { fleet, record, generation, recipient, methods: sealMethods(list, identity) });
}
