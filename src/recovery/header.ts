/** The list of ways inside a backup's own header: a stanza that other age programs pass over (C2SP age.md, "Header"). */

import { Decrypter, Encrypter, type Identity, type Recipient, Stanza } from 'age-encryption';
import { HoldfastError } from '../core/index.ts';
import { MAXIMUM_SEALED_BYTES } from './methods.ts';

const TYPE = 'holdfast.invalid/recovery-methods';

/** Give this to an `Encrypter` beside the backup key's recipient. Anybody who reads the file can read the list. */
export function methodsStanza(sealed: Uint8Array): Recipient {
  return { wrapFileKey: () => [new Stanza([TYPE], sealed)] };
}

/** An age file for the backup key, which carries the ways to it. */
export async function encryptBackup(
  content: Uint8Array,
  { recipient, sealed }: { readonly recipient: string; readonly sealed?: Uint8Array },
): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  if (sealed) encrypter.addRecipient(methodsStanza(sealed));
  return encrypter.encrypt(content);
}

/** @throws HoldfastError `bad_input` where the identity is not the file's, or the file is damaged or cut short. */
export async function decryptBackup(file: Uint8Array, identity: string): Promise<Uint8Array> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(identity);
  try {
    return await decrypter.decrypt(file);
  } catch (cause) {
    const other = cause instanceof Error && cause.message.startsWith('no identity matched');
    const what = other ? 'was encrypted for another key' : 'is damaged or cut short';
    throw new HoldfastError('bad_input', `the backup ${what}; use another copy of it`, { cause });
  }
}

/**
 * The sealed list that a backup carries, not verified; undefined for one without.
 * @param start the file, or its first bytes with the whole header.
 * @throws HoldfastError `bad_input` where it is no age file or carries two lists, `too_large`.
 */
export async function methodsIn(start: Uint8Array): Promise<Uint8Array | undefined> {
  let bodies: readonly Uint8Array[] | undefined;
  const looking: Identity = {
    unwrapFileKey(stanzas) {
      bodies = stanzas.filter(({ args }) => args[0] === TYPE).map(({ body }) => body);
      return null;
    },
  };
  const decrypter = new Decrypter();
  decrypter.addIdentity(looking);
  await decrypter.decrypt(start).catch((cause: unknown) => {
    // It always fails, as nothing opens it; before the header was read, it is no backup.
    if (bodies === undefined)
      throw new HoldfastError('bad_input', 'this is not an age file, or its header is damaged', { cause });
  });
  if (bodies === undefined || bodies.length > 1) {
    throw new HoldfastError('bad_input', 'the backup carries two lists of recovery ways; do not trust it');
  }
  const [sealed] = bodies;
  if (sealed && sealed.length > MAXIMUM_SEALED_BYTES) {
    throw new HoldfastError('too_large', 'the list of recovery ways is too large');
  }
  return sealed;
}
