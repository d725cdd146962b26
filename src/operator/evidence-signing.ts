/** Signing statements of evidence with a key on a token: in-toto in DSSE in a Sigstore bundle (docs/trust.md, section 4). */

import {
  type EvidenceKey,
  IN_TOTO,
  publicKeyOf,
  type Statement,
  serialiseSigstoreBundle,
  serialiseStatement,
} from '../evidence/index.ts';
import { type PurposeKey, signDsse } from '../signer/index.ts';

/** How an evidence manifest names the key. */
export function evidenceKeyOf({ algorithm, publicKey, note }: PurposeKey): EvidenceKey {
  return { name: note.name, ...publicKeyOf(algorithm, publicKey) };
}

/** The file of a signed statement. @throws HoldfastError `evidence_malformed`, and what the key throws. */
export async function signStatement(statement: Statement, key: PurposeKey): Promise<Uint8Array<ArrayBuffer>> {
  const envelope = await signDsse(IN_TOTO, serialiseStatement(statement), key);
  return serialiseSigstoreBundle(key.note.name, envelope);
}
