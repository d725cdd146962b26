/** `holdfast backup ways`, `add-way` and `revoke-way`: the ways to a backup's key, read and changed (docs/recovery-methods.md). */

import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import {
  generateIdentity,
  isOpenedBy,
  methodsOf,
  recipientOf,
  rewriteBackup,
  syncDirectory,
} from '../../backup/index.ts';
import { bytesToHex, equalBytes, HoldfastError, utf8 } from '../../core/index.ts';
import {
  addPin,
  addRecoveryCode,
  noMethods,
  openWith,
  type PasskeyPort,
  type RecoveryCode,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
  removeMethod,
  renewKey,
  sealMethods,
} from '../../recovery/index.ts';
import { connect } from '../connect.ts';
import { quote } from '../files.ts';
import { explainWaiting } from '../notices.ts';
import { say } from '../output.ts';
import { askPin, kindOf } from '../pins.ts';
import { defaultProfilePath, type Profile, readStoredProfile, writeProfile } from '../profile.ts';
import { ProgressLine } from '../progress.ts';
import { correctionsOf, identityByCode, readCode } from '../recovery-ways.ts';
import type { CommandResult } from '../run.ts';
import { type BackupFlags, identityUnder } from './backup.ts';

const NAMES = { pin: 'PIN, in the fleet', 'recovery-code': 'recovery code that begins with', passkey: 'passkey' };
const UNVERIFIED = 'This is what the file says of itself; it is verified when one of the ways opens it.';
const NO_LIST = 'The backup carries no list: it opens with the key that the vault keeps under the PIN.';

const factsOf = ({ id, kind, label, addedAt }: RecoveryMethod) => ({
  ...{ id: bytesToHex(id), kind, label },
  addedAt: new Date(addedAt).toISOString(),
});
const lineOf = ({ id, kind, label, addedAt }: RecoveryMethod) =>
  `${bytesToHex(id)}  ${NAMES[kind]} ${label} (since ${new Date(addedAt).toISOString().slice(0, 10)})`;

export async function ways(file: string): Promise<CommandResult> {
  const sealed = await methodsOf(file);
  const methods = sealed ? readMethods(sealed).methods : [];
  const lines = methods.map(lineOf);
  return { value: { ways: methods.map(factsOf) }, lines: lines.length > 0 ? [...lines, UNVERIFIED] : [NO_LIST] };
}

export interface WayFlags extends BackupFlags {
  /** A recovery code that opens the backup, instead of the PIN. */
  readonly withCode?: string;
}

export interface AddFlags extends WayFlags {
  readonly pin?: boolean;
  readonly newPinFile?: string;
  readonly takeover?: boolean;
  readonly acceptDegraded?: boolean;
}

type Place = Pick<Profile, 'fleet' | 'record' | 'generation'>;

/** A backup whose key somebody has used a way to. */
interface Opened {
  readonly identity: string;
  readonly list: RecoveryMethods;
  /** Where the vault keeps the key, if it was asked. */
  readonly place: Place | undefined;
}

export async function addWay(file: string, flags: AddFlags, signal: AbortSignal): Promise<CommandResult> {
  if ((flags.recoveryCodeFile !== undefined) === (flags.pin ?? false)) {
    throw new HoldfastError('usage', 'say which way is to be added: --recovery-code-file FILE, or --pin');
  }
  if (flags.pin && flags.withCode === undefined) {
    throw new HoldfastError(
      'usage',
      'a new PIN needs a way that is no PIN: --with-code FILE; or: holdfast secret change-pin',
    );
  }
  const code = flags.recoveryCodeFile === undefined ? undefined : await readWay(flags.recoveryCodeFile, signal);
  const opened = await openBackup(file, flags, signal);
  const now = Date.now();
  let { list, place } = opened;
  if (code) list = await addRecoveryCode(list, opened, { code, now });
  else {
    // The vault first: a list that names a PIN under which nothing is kept would be worse than one without it.
    place = await enrolPin(opened.identity, flags, signal);
    list = addPin(list, { fleet: place.fleet, now });
  }
  await rewritten({ file, out: file, overwrite: true, from: opened.identity, to: opened.identity, list, signal });
  await remember(flags, opened.identity, list, place);
  const added = code ? `the recovery code that begins with ${code.name}` : 'the new PIN';
  return {
    value: { file, ways: list.methods.map(factsOf) },
    lines: [
      `${quote(file)} can be opened with ${added}, too.`,
      'Other backups that were made before do not carry this way; add it to those that you keep.',
    ],
  };
}

/** Puts the key into the vault under a new PIN. */
async function enrolPin(identity: string, flags: AddFlags, signal: AbortSignal): Promise<Place> {
  await using connection = await connect(flags);
  const pin = await askPin({ pinFile: flags.newPinFile }, { prompt: 'New PIN: ', confirm: true, signal });
  const secret = utf8(identity);
  try {
    const { takeover = false, acceptDegraded = false } = flags;
    const { fleet, record, generation, degraded } = await connection.client
      .enrol(pin, secret, { signal, takeover, acceptDegraded })
      .catch((thrown: unknown) => {
        if (!(thrown instanceof HoldfastError) || thrown.code !== 'owner_required') throw thrown;
        const advice =
          'there is a record already; use holdfast secret change-pin, or --takeover where the fleet allows it';
        throw new HoldfastError('owner_required', advice, { cause: thrown });
      });
    connection.clear();
    if (degraded) say('Fewer nodes than the fleet has hold a share. When all are back: holdfast secret change-pin');
    return { fleet, record, generation };
  } finally {
    secret.fill(0);
  }
}

export interface RevokeFlags extends WayFlags {
  /** Only takes the way off the list. */
  readonly keepKey?: boolean;
  /** Codes that are to lead to the new key. */
  readonly keepCode?: readonly string[];
  readonly acceptDegraded?: boolean;
}

export async function revokeWay(
  [file, named]: readonly string[],
  flags: RevokeFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  if (file === undefined || named === undefined) throw new HoldfastError('usage', 'name the backup, and the way');
  if (flags.keepKey && flags.keepCode !== undefined) {
    throw new HoldfastError('usage', '--keep-code is for a new key; leave it out, or leave out --keep-key');
  }
  return flags.keepKey ? await takeOff(file, named, flags, signal) : await withNewKey(file, named, flags, signal);
}

async function takeOff(file: string, named: string, flags: RevokeFlags, signal: AbortSignal): Promise<CommandResult> {
  const opened = await openBackup(file, flags, signal);
  const way = wayNamed(opened.list, named);
  const list = removeMethod(opened.list, way.id);
  await rewritten({ file, out: file, overwrite: true, from: opened.identity, to: opened.identity, list, signal });
  await remember(flags, opened.identity, list, opened.place);
  return {
    value: { file, revoked: factsOf(way), newKey: false, ways: list.methods.map(factsOf) },
    lines: [
      `Off the list: ${lineOf(way)}`,
      'It still opens every copy and every other backup made with this key. Only a new key ends that: leave out --keep-key.',
    ],
  };
}

/**
 * The steps of docs/recovery-methods.md, section 3, in their order: interrupted anywhere, each way of the old or the new list
 * opens one of the two files, and the same command goes on.
 */
async function withNewKey(
  file: string,
  named: string,
  flags: RevokeFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  const beside = `${file}.new`;
  const codes: RecoveryCode[] = [];
  for (const path of flags.keepCode ?? []) codes.push(await readWay(path, signal));
  // The PIN, where it stays, is needed in any case: it is to lead to the new key.
  const sealed = await methodsOf(file);
  const before = sealed && readMethods(sealed);
  const pinStays = before === undefined || before.methods.some((way) => way.kind === 'pin' && !isNamed(way, named));
  if (!pinStays && flags.withCode === undefined && before!.methods.every(({ kind }) => kind !== 'pin')) {
    throw new HoldfastError('usage', 'open the backup with a recovery code: --with-code FILE');
  }
  await using connection = pinStays || flags.withCode === undefined ? await connect(flags) : undefined;
  const pin = connection && (await askPin(flags, { prompt: 'PIN: ', signal }));
  const kept = connection && (await identityUnder(pin!, connection, flags, signal));
  if (existsSync(beside)) {
    await requireOurs(beside);
    if (kept && (await isOpenedBy(beside, kept.identity)))
      return await finish({ file, beside, named, identity: kept.identity, flags, place: kept, dropped: [] });
    // The vault was not changed yet, or has no part in it.
    if (!(await isOpenedBy(file, kept?.identity ?? (await byCode(file, flags, signal))))) {
      throw new HoldfastError(
        'bad_input',
        `${quote(beside)} is there, and the key at hand opens neither it nor ${quote(file)}; move it away if you do not know it`,
      );
    }
    await rm(beside);
  }
  const identity = flags.withCode === undefined ? kept!.identity : await byCode(file, flags, signal);
  if (pinStays && kept!.identity !== identity) {
    throw new HoldfastError(
      'bad_input',
      'the vault keeps another key under this PIN than the one of this backup; nothing was done',
    );
  }
  const list = await listOf(file, identity, kept?.fleet);
  const way = wayNamed(list, named);
  const next = await generateIdentity();
  const renewed = await renewKey(list, next, { without: [way.id], codes, passkeys: NO_PASSKEYS });
  await rewritten({
    file,
    out: beside,
    overwrite: false,
    from: identity,
    to: next.identity,
    list: renewed.list,
    signal,
  });
  let place: Place | undefined;
  if (pinStays) {
    const secret = utf8(next.identity);
    const kind = kindOf(flags);
    place = await connection!.client
      .changePin(pin!, pin!, { signal, kind, newKind: kind, secret, acceptDegraded: flags.acceptDegraded ?? false })
      .catch(async (thrown: unknown) => {
        say(`${quote(file)} is as it was, and ${quote(beside)} is for the new key. Run the same command again.`);
        throw await explainWaiting(thrown, () => connection!.client.status({ signal }));
      })
      .finally(() => secret.fill(0));
    connection!.clear();
  }
  return await finish({ file, beside, named, identity: next.identity, flags, place, dropped: renewed.dropped });
}

interface Finished {
  readonly file: string;
  readonly beside: string;
  readonly named: string;
  readonly identity: string;
  readonly flags: RevokeFlags;
  readonly place: Place | undefined;
  readonly dropped: readonly RecoveryMethod[];
}

/** The last steps: the new backup takes the old one's place, and later ones are made like it. */
async function finish({ file, beside, named, identity, flags, place, dropped }: Finished): Promise<CommandResult> {
  const list = await listOf(beside, identity, undefined);
  await rename(beside, file);
  await syncDirectory(dirname(resolve(file)));
  await remember(flags, identity, list, place);
  const lines = [
    `${quote(file)} has a new key, to which this way does not lead: ${named}.`,
    ...dropped.map((way) => `Left out, too, because it was not at hand: ${lineOf(way)}`),
    'Other backups and copies made before stay open to it. Make them anew, and delete the old ones.',
    ...(place === undefined ? ['The vault keeps the old key until you delete it there: holdfast secret delete.'] : []),
  ];
  return {
    value: { file, revoked: named, newKey: true, ways: list.methods.map(factsOf), dropped: dropped.map(factsOf) },
    lines,
  };
}

async function readWay(path: string, signal: AbortSignal): Promise<RecoveryCode> {
  const read = await readCode(path, signal);
  for (const line of correctionsOf(read)) say(line);
  return read.code;
}

const byCode = async (file: string, flags: WayFlags, signal: AbortSignal): Promise<string> =>
  await identityByCode(await methodsOf(file), await readWay(flags.withCode!, signal));

/** By a code, without any fleet, or by the PIN. */
async function openBackup(file: string, flags: WayFlags, signal: AbortSignal): Promise<Opened> {
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
async function listOf(file: string, identity: string, fleet: string | undefined): Promise<RecoveryMethods> {
  const sealed = await methodsOf(file);
  if (sealed) return (await openWith(sealed, { kind: 'identity', identity })).list;
  return addPin(await noMethods({ identity }), { fleet: fleet ?? '', now: Date.now() });
}

/** What an interrupted change has left carries a list. @throws HoldfastError `usage` for any other file. */
async function requireOurs(beside: string): Promise<void> {
  const sealed = await methodsOf(beside).catch(() => undefined);
  if (sealed) return;
  throw new HoldfastError('usage', `${quote(beside)} is in the way of the new backup, and is none; move it away`);
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

async function rewritten({ file, out, overwrite, from, to, list, signal }: Rewriting): Promise<void> {
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
async function remember(
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
  if (at === undefined) return;
  // Another device's list may have a way that this file has not: the newer one of the same key stays.
  if (same?.methods && readMethods(same.methods).revision > list.revision) return;
  const { fleet, record, generation } = at;
  await writeProfile(path, { fleet, record, generation, recipient, methods: sealMethods(list, identity) });
}

const isNamed = ({ id, kind, label }: RecoveryMethod, named: string): boolean =>
  bytesToHex(id) === named.toLowerCase() || kind === named || (kind !== 'pin' && label === named);

/** @throws HoldfastError `not_found`, `usage` where several fit. */
function wayNamed({ methods }: RecoveryMethods, named: string): RecoveryMethod {
  const [way, ...others] = methods.filter((method) => isNamed(method, named));
  if (way === undefined) {
    throw new HoldfastError('not_found', `no way ${quote(named)} leads to this backup; see holdfast backup ways`);
  }
  const same = others.filter(({ id }) => !equalBytes(id, way.id));
  if (same.length === 0) return way;
  throw new HoldfastError(
    'usage',
    `${same.length + 1} ways fit ${quote(named)}; take the id that holdfast backup ways prints`,
  );
}

/** A terminal has no authenticator that encrypts: passkeys are for applications. */
const NO_PASSKEYS: PasskeyPort = {
  create: () => Promise.reject(unsupported()),
  recipient: () => ({ wrapFileKey: () => Promise.reject(unsupported()) }),
  identity: () => ({ unwrapFileKey: () => Promise.reject(unsupported()) }),
};

function unsupported(): HoldfastError {
  return new HoldfastError('passkey_unsupported', 'passkeys are used in an application, not at a terminal');
}
