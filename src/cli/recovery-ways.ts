/** Recovery codes from files or the person, and the list of ways that a device's backups carry. */

import { HoldfastError } from '../core/index.ts';
import {
  addPin,
  addRecoveryCode,
  noMethods,
  openWith,
  type ReadRecoveryCode,
  type RecoveryCode,
  readRecoveryCode,
  sealMethods,
} from '../recovery/index.ts';
import { readTextFile } from './files.ts';
import { askHidden } from './prompt.ts';

/** A code with comments around it. */
const MAXIMUM_BYTES = 4096;

/**
 * The recovery code in a file, whose lines that begin with # do not count; `-` asks for it.
 * @throws HoldfastError `usage`, `bad_input`, `recovery_code_unreadable`, `cancelled`.
 */
export async function readCode(file: string, signal: AbortSignal): Promise<ReadRecoveryCode> {
  if (file === '-')
    return readRecoveryCode(new TextDecoder().decode((await askHidden('Recovery code: ', { signal })).reveal()));
  const text = await readTextFile(file, 'the recovery code', MAXIMUM_BYTES);
  const lines = text.split(/\r?\n/).filter((line) => !line.trimStart().startsWith('#'));
  return readRecoveryCode(lines.join(''));
}

/** What a person should know about how a code was read; empty where nothing was put right. */
export function correctionsOf({ corrected, extra }: ReadRecoveryCode): string[] {
  const places = corrected.map((place) => `${(place % 4) + 1} of group ${(place >> 2) + 1}`);
  const lines = places.length > 0 ? [`Put right in the recovery code: character ${places.join(', ')}.`] : [];
  return extra > 0 ? [...lines, 'One character of the recovery code was too many.'] : lines;
}

/** Whether the code is one of the ways on this list. */
export async function isListed(methods: Uint8Array | undefined, code: RecoveryCode): Promise<boolean> {
  if (!methods) return false;
  return openWith(methods, { kind: 'recovery-code', code }).then(
    () => true,
    () => false,
  );
}

/**
 * The sealed list of the ways to `identity`: those of `before`, where that list is this key's, the PIN, and the code.
 * @returns undefined where the PIN is the only one: then backups need not carry a list.
 */
export async function waysTo(
  identity: string,
  { fleet, before, code }: { fleet: string; before: Uint8Array | undefined; code: RecoveryCode | undefined },
): Promise<Uint8Array | undefined> {
  const known = before && (await openWith(before, { kind: 'identity', identity }).catch(() => undefined));
  const now = Date.now();
  let list = addPin(known?.list ?? (await noMethods({ identity })), { fleet, now });
  if (code) list = await addRecoveryCode(list, { identity }, { code, now });
  return list.methods.length > 1 ? sealMethods(list, identity) : undefined;
}

/** The backup key, by a recovery code alone. @throws HoldfastError `recovery_code_wrong`, `untrusted`, `bad_input`. */
export async function identityByCode(methods: Uint8Array | undefined, code: RecoveryCode): Promise<string> {
  if (!methods) {
    throw new HoldfastError('bad_input', 'this backup was made without a recovery code; restore it with the PIN');
  }
  return (await openWith(methods, { kind: 'recovery-code', code })).identity;
}
