/** Signing notes and checkpoints through the port `NoteSigner` (C2SP signed-note, tlog-cosignature). */

import { HoldfastError, utf8 } from '../../core/index.ts';
import type { Ed25519Key } from '../../crypto/index.ts';
import { cosignatureMessage, encodeCosignature } from './cosignature.ts';
import { lowSDer } from './ecdsa-der.ts';
import { checkNoteText, type NoteSignature, type NoteSigner, type SignedNote } from './note.ts';
import { newVerifierKey, parseVerifierKey, type VerifierKey, verifySignature } from './verifier-key.ts';

/**
 * A note with one line of each signer, in their order. Each signature is verified before it leaves.
 * @throws HoldfastError `malformed` for text that no note can have, `bad_input` for a key of type 0x04, `unexpected` if a
 * signer's signature does not verify by its own vkey; and whatever the signer throws.
 */
export async function signNote(text: string, signers: readonly NoteSigner[]): Promise<SignedNote> {
  const signatures: NoteSignature[] = [];
  for (const signer of signers) signatures.push(await signText(text, signer));
  return { text, signatures };
}

/** One signer's line over a note's text. Throws as `signNote`. */
export async function signText(text: string, signer: NoteSigner): Promise<NoteSignature> {
  checkNoteText(text);
  const key = keyOf(signer);
  if (key.type === 'cosignature') throw new HoldfastError('bad_input', 'a cosigning key signs checkpoints only');
  const raw = await signer.sign(utf8(text));
  return checked(key, text, key.type === 'ecdsa' ? lowSDer(raw) : raw);
}

/**
 * A witness's line about a checkpoint. `seconds` since 1970.
 * @throws HoldfastError `malformed` if the text is no checkpoint, `bad_input` for a key of another type than 0x04,
 * `unexpected` if the signature does not verify by the signer's own vkey; and whatever the signer throws.
 */
export async function cosign(checkpointText: string, signer: NoteSigner, seconds: number): Promise<NoteSignature> {
  const key = keyOf(signer);
  if (key.type !== 'cosignature') throw new HoldfastError('bad_input', 'cosigning needs a key of signature type 0x04');
  const raw = await signer.sign(cosignatureMessage(checkpointText, seconds));
  return checked(key, checkpointText, encodeCosignature(seconds, raw));
}

function keyOf(signer: NoteSigner): VerifierKey {
  const key = parseVerifierKey(signer.verifierKey);
  if (key.name !== signer.name) throw new HoldfastError('bad_input', `the verifier key is not of ${signer.name}`);
  return key;
}

/** Never lets out a signature that others would refuse, such as one by the wrong key of a token. */
function checked(key: VerifierKey, text: string, signature: Uint8Array): NoteSignature {
  if (verifySignature(key, text, signature) === undefined) {
    throw new HoldfastError('unexpected', `the signature made for ${key.name} does not verify by its own verifier key`);
  }
  return { name: key.name, id: key.id, signature };
}

/** A signer with an Ed25519 key in memory, for tests and demonstrations. */
export function softwareNoteSigner(
  name: string,
  key: Pick<Ed25519Key, 'publicKey' | 'sign'>,
  type: 'ed25519' | 'cosignature' = 'ed25519',
): NoteSigner {
  return {
    name,
    verifierKey: newVerifierKey(name, type, key.publicKey).text,
    sign: async (message) => key.sign(message),
  };
}
