/** What a device remembers between backups: the public recipient to encrypt to. Nothing in it is secret. */

import { join } from 'node:path';
import { equalBytes, parseJson, toBase64Url } from '../core/index.ts';
import { MAXIMUM_SEALED_BYTES } from '../recovery/index.ts';
import { makeParent, readTextFile, requireHome, writeWholeFile } from './files.ts';

const FORMAT = 'holdfast/profile/v1';
const MAXIMUM_BYTES = 4096 + 2 * MAXIMUM_SEALED_BYTES;

export interface Profile {
  readonly fleet: string;
  /** 32 bytes. */
  readonly record: Uint8Array;
  /** The generation whose secret is the identity of this recipient. */
  readonly generation: number;
  /** `age1...`. */
  readonly recipient: string;
  /** The sealed list of the ways to its key, which every backup carries. */
  readonly methods?: Uint8Array | undefined;
}

/** `$XDG_CONFIG_HOME/holdfast/profile.json`, or below `~/.config`. */
export function defaultProfilePath(environment: Readonly<Record<string, string | undefined>>): string {
  const { HOLDFAST_PROFILE: named, XDG_CONFIG_HOME: folder } = environment;
  if (named !== undefined) return named;
  const base =
    folder || join(requireHome('name the file to remember with --profile FILE or HOLDFAST_PROFILE'), '.config');
  return join(base, 'holdfast', 'profile.json');
}

/** The profile of this record, or undefined if there is none yet or it is another record's. @throws `bad_input`. */
export async function readProfile(
  path: string,
  owner: Pick<Profile, 'fleet' | 'record'>,
): Promise<Profile | undefined> {
  const profile = await readStoredProfile(path);
  return profile?.fleet === owner.fleet && equalBytes(profile.record, owner.record) ? profile : undefined;
}

/** The same, whosever record it is of. */
export async function readStoredProfile(path: string): Promise<Profile | undefined> {
  const text = await readTextFile(path, 'the profile', MAXIMUM_BYTES).catch((error: { cause?: { code?: unknown } }) => {
    if (error.cause?.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const file = parseJson(text, 'bad_input').object(['format', 'fleet', 'record', 'generation', 'recipient', 'methods']);
  file.required('format').word([FORMAT]);
  const recipient = file.required('recipient');
  if (!/^age1[0-9a-z]{58}$/.test(recipient.text(62))) recipient.fail('must be an age X25519 recipient');
  return {
    fleet: file.required('fleet').text(64),
    record: file.required('record').bytes(32, 32),
    generation: file.required('generation').integer(1),
    recipient: recipient.text(62),
    methods: file.optional('methods')?.bytes(1, MAXIMUM_SEALED_BYTES),
  };
}

export async function writeProfile(path: string, profile: Profile): Promise<void> {
  const { fleet, record, generation, recipient, methods } = profile;
  const content = {
    format: FORMAT,
    fleet,
    record: toBase64Url(record),
    generation,
    recipient,
    ...(methods && { methods: toBase64Url(methods) }),
  };
  await makeParent(path);
  await writeWholeFile(path, `${JSON.stringify(content, undefined, 2)}\n`, { mode: 0o600, overwrite: true });
}
