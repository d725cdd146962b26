/** `holdfast backup ways` and `add-way`: the ways to a backup's key, read and added to (docs/recovery-methods.md). */

import { methodsOf } from '../../backup/index.ts';
import { HoldfastError, utf8 } from '../../core/index.ts';
import { addPin, addRecoveryCode, readMethods } from '../../recovery/index.ts';
import { connect } from '../connect.ts';
import { quote } from '../files.ts';
import { say } from '../output.ts';
import { askPin } from '../pins.ts';
import type { CommandResult } from '../run.ts';
import {
  factsOf,
  lineOf,
  openBackup,
  type Place,
  readWay,
  remember,
  rewritten,
  type WayFlags,
} from './backup-opened.ts';

const UNVERIFIED = 'This is what the file says of itself; it is verified when one of the ways opens it.';
const NO_LIST = 'The backup carries no list: it opens with the key that the vault keeps under the PIN.';

export async function ways(file: string): Promise<CommandResult> {
  const sealed = await methodsOf(file);
  const methods = sealed ? readMethods(sealed).methods : [];
  const lines = methods.map(lineOf);
  return { value: { ways: methods.map(factsOf) }, lines: lines.length > 0 ? [...lines, UNVERIFIED] : [NO_LIST] };
}

export interface AddFlags extends WayFlags {
  /** Puts the key into the vault under a new PIN. */
  readonly enrol?: boolean;
  readonly newPinFile?: string;
  readonly takeover?: boolean;
  readonly acceptDegraded?: boolean;
}

export async function addWay(file: string, flags: AddFlags, signal: AbortSignal): Promise<CommandResult> {
  if ((flags.recoveryCodeFile !== undefined) === (flags.enrol ?? false)) {
    throw new HoldfastError('usage', 'say which way is to be added: --recovery-code-file FILE, or --enrol');
  }
  if (flags.enrol && flags.withCode === undefined) {
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
