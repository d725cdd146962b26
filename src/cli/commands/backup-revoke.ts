/** `holdfast backup revoke-way`: the end of a way to a backup, with a new key or off the list only (docs/recovery-methods.md). */

import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { generateIdentity, isOpenedBy, methodsOf, syncDirectory } from '../../backup/index.ts';
import { bytesToHex, equalBytes, HoldfastError, utf8 } from '../../core/index.ts';
import {
  type PasskeyPort,
  type RecoveryCode,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
  removeMethod,
  renewKey,
} from '../../recovery/index.ts';
import { connect } from '../connect.ts';
import { quote } from '../files.ts';
import { explainWaiting } from '../notices.ts';
import { say } from '../output.ts';
import { askPin, kindOf } from '../pins.ts';
import type { CommandResult } from '../run.ts';
import { identityUnder } from './backup.ts';
import {
  byCode,
  factsOf,
  lineOf,
  listOf,
  openBackup,
  type Place,
  readWay,
  remember,
  rewritten,
  type WayFlags,
} from './backup-opened.ts';

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

/** What an interrupted change has left carries a list. @throws HoldfastError `usage` for any other file. */
async function requireOurs(beside: string): Promise<void> {
  const sealed = await methodsOf(beside).catch(() => undefined);
  if (sealed) return;
  throw new HoldfastError('usage', `${quote(beside)} is in the way of the new backup, and is none; move it away`);
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
