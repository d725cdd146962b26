/** Which signatures a note must have: exactly one line of each role's key, each with an error of its own that says whose. */

import { HoldfastError } from '../core/index.ts';
import { type NoteSignature, type SignedNote, type VerifierKey, verifySignature } from './tlog/index.ts';

/** Lines of signature in a note that a client reads; C2SP signed-note asks for at least 16. */
export const MAXIMUM_LINES = 64;

/** Whether a line claims to be of `key`: name and ID together are what identifies one (C2SP signed-note). */
export function isLineOf(line: NoteSignature, key: VerifierKey): boolean {
  return line.name === key.name && line.id === key.id;
}

/**
 * The one line of `key` in `note`, verified. Lines of other keys are passed over.
 * @param role who signs, for the sentence: `the cosigner`.
 * @returns the time of a cosignature in seconds since 1970, null for other types.
 * @throws HoldfastError `signature_missing` if there is none, `signature_invalid` if it is false or there are several.
 */
export function requireSignature(note: SignedNote, key: VerifierKey, role: string): number | null {
  const found = findSignature(note, key, role);
  if (found !== undefined) return found.seconds;
  throw new HoldfastError(
    'signature_missing',
    `the signature of ${role} (${key.name}) is missing; it was never given, or somebody took it away`,
    { details: { role, key: key.name } },
  );
}

/** As `requireSignature`, but undefined if there is no line of `key`. @throws HoldfastError `signature_invalid`. */
export function findSignature(
  note: SignedNote,
  key: VerifierKey,
  role: string,
): { readonly seconds: number | null } | undefined {
  const lines = note.signatures.filter((line) => isLineOf(line, key));
  const [line] = lines;
  if (line === undefined) return undefined;
  const refuse = (problem: string) =>
    new HoldfastError('signature_invalid', `${problem}; what was signed may have been changed`, {
      details: { role, key: key.name },
    });
  // Two lines of one key leave open which of them another reader looks at.
  if (lines.length > 1) throw refuse(`there are ${lines.length} signatures of ${role} (${key.name}) instead of one`);
  const result = verifySignature(key, note.text, line.signature);
  if (result === undefined) throw refuse(`the signature of ${role} (${key.name}) does not verify`);
  return result;
}
