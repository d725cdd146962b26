/** Files that hold a bundle: its text alone, the signed note, an entry of the log, or a trust set. */

import { fromUtf8, HoldfastError } from '../core/index.ts';
import {
  BUNDLE_TYPE,
  type Bundle,
  type NoteSignature,
  parseBundle,
  parseNote,
  parseTrustSet,
  type SignedNote,
  TRUST_SET_FORMAT,
} from '../trust/index.ts';

export interface BundleFile {
  readonly kind: 'text' | 'note' | 'trust set';
  readonly bundle: Bundle;
  /** Empty for a text. Unverified. */
  readonly signatures: readonly NoteSignature[];
}

/** Bytes of a file with a bundle. */
export const MAXIMUM_BUNDLE_FILE = 1_048_576;

/** @throws HoldfastError `bundle_malformed`, or `bad_input` for what is no bundle at all. */
export function parseBundleFile(bytes: Uint8Array): BundleFile {
  const text = fromUtf8(bytes);
  if (text.startsWith('{')) {
    if (!text.includes(TRUST_SET_FORMAT)) throw noBundle();
    const note = parseNote(parseTrustSet(bytes).bundle);
    return { kind: 'trust set', bundle: parseBundle(note.text), signatures: note.signatures };
  }
  const inner = text.replace(/^holdfast\/(?:proposal|acceptance|revocation)\/v1\n/, '');
  if (!inner.startsWith(`${BUNDLE_TYPE}\n`)) throw noBundle();
  // A bundle's text has no empty line, a note has one before its signatures.
  if (!inner.includes('\n\n')) return { kind: 'text', bundle: parseBundle(inner), signatures: [] };
  const note = parseNote(inner);
  return { kind: 'note', bundle: parseBundle(note.text), signatures: note.signatures };
}

/** The note in a file. @throws HoldfastError `signature_missing` for a text that nobody has signed. */
export function noteOf({ bundle, signatures }: BundleFile): SignedNote {
  if (signatures.length > 0) return { text: bundle.text, signatures };
  throw new HoldfastError('signature_missing', 'this bundle has no signature yet; it has to be proposed first');
}

function noBundle(): HoldfastError {
  return new HoldfastError('bad_input', `this is neither a bundle (${BUNDLE_TYPE}) nor a trust set`);
}
