/** The key pair of a backup: an age X25519 identity and its recipient (C2SP age.md, section "The X25519 recipient type"). */

import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { HoldfastError } from '../core/index.ts';

/** Both halves as age writes them. The identity's text is the secret that the vault keeps (74 bytes). */
export interface BackupKeyPair {
  /** `AGE-SECRET-KEY-1...`; never print it, except where the person asks for it. */
  readonly identity: string;
  /** `age1...`; public. */
  readonly recipient: string;
}

/** A fresh X25519 key pair from the system's random generator. */
export async function generateIdentity(): Promise<BackupKeyPair> {
  const identity = await generateX25519Identity();
  return { identity, recipient: await identityToRecipient(identity) };
}

/**
 * The X25519 identity in `text`: a bare one, or the whole file that `age-keygen` writes (comments and one identity).
 * @throws HoldfastError `bad_input` if there is not exactly one; the text itself is never repeated.
 */
export function parseIdentity(text: string): string {
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const identities = lines.filter((line) => line !== '' && !line.startsWith('#'));
  const [identity] = identities;
  if (identities.length === 1 && identity !== undefined && /^AGE-SECRET-KEY-1[0-9A-Z]{58}$/.test(identity)) {
    return identity;
  }
  throw new HoldfastError(
    'bad_input',
    'the recovered secret is not an age X25519 identity; was this record made for a backup?',
  );
}

/**
 * The recipient that belongs to an identity.
 * @throws HoldfastError `bad_input` if `identity` is not a valid X25519 identity.
 */
export async function recipientOf(identity: string): Promise<string> {
  const parsed = parseIdentity(identity);
  try {
    return await identityToRecipient(parsed);
  } catch {
    throw new HoldfastError('bad_input', 'the age identity has a wrong checksum; it was mistyped or damaged');
  }
}
