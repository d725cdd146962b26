/**
 * Signed notes: text with lines of signatures after its last empty line (C2SP signed-note).
 *
 * The text must not be used before `verifyNote` has found the signatures it needs.
 */

import { bytesToHex, equalBytes, fromUtf8, HoldfastError, hexToBytes, utf8 } from '../../core/index.ts';
import { fromBase64, isKeyName, toBase64 } from './text.ts';
import { type VerifierKey, verifySignature } from './verifier-key.ts';

/** One line of signature. */
export interface NoteSignature {
  /** The key's name. */
  readonly name: string;
  /** The key's ID, 8 lower-case hex digits. */
  readonly id: string;
  /** The bytes after the key ID, at least one. Ed25519: 64. ECDSA: DER. Cosignature: time (8) and Ed25519 (64). */
  readonly signature: Uint8Array;
}

export interface SignedNote {
  /** With its final newline, without the empty line after it. */
  readonly text: string;
  /** 1 to 100 lines, in their order. */
  readonly signatures: readonly NoteSignature[];
}

/** One key, one purpose: what everything that signs notes is given. */
export interface NoteSigner {
  /** The key's name, for example `cosigner.example/bundle`. */
  readonly name: string;
  /** The vkey. */
  readonly verifierKey: string;
  /**
   * A raw signature: 64 bytes of Ed25519, or DER of ECDSA on P-256. A key of type 0x04 signs the message it is given,
   * which `cosign` makes.
   */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Bytes of a note, unless a caller allows less. The same bound as that of Go's sumdb/note. */
export const MAXIMUM_NOTE_BYTES = 1_000_000;
export const MAXIMUM_SIGNATURES = 100;
/** Em dash and space. */
const LINE_START = '\u2014 ';

/**
 * Reads a note, and verifies nothing.
 * @throws HoldfastError `too_large` beyond `maximumBytes` or 100 signatures, `malformed` for anything that
 * `serialiseNote` would not have written.
 */
export function parseNote(
  note: Uint8Array | string,
  { maximumBytes = MAXIMUM_NOTE_BYTES }: { readonly maximumBytes?: number } = {},
): SignedNote {
  if (note.length > maximumBytes) throw tooLarge(maximumBytes);
  const whole = typeof note === 'string' ? note : fromUtf8(note);
  if (typeof note === 'string' && utf8(note).length > maximumBytes) throw tooLarge(maximumBytes);
  // The last empty line: the text may have others.
  const split = whole.lastIndexOf('\n\n');
  if (split < 0) throw malformed('has no empty line before its signatures');
  const parsed = { text: whole.slice(0, split + 1), signatures: parseSignatureLines(whole.slice(split + 2)) };
  if (serialiseNote(parsed) !== whole) throw malformed('is not in its one form');
  return parsed;
}

/**
 * Lines of signatures by themselves, as witnesses answer them (C2SP tlog-witness).
 * @throws HoldfastError `malformed`, or `too_large` for more than 100 lines.
 */
export function parseSignatureLines(text: string): NoteSignature[] {
  if (text.length > MAXIMUM_NOTE_BYTES) throw tooLarge(MAXIMUM_NOTE_BYTES);
  const lines = text.split('\n', MAXIMUM_SIGNATURES + 2);
  // After the last newline there is nothing.
  if (lines.length > MAXIMUM_SIGNATURES + 1) {
    throw new HoldfastError('too_large', `the note has more than ${MAXIMUM_SIGNATURES} signatures`);
  }
  if (lines.pop() !== '') throw malformed('must end in a newline');
  if (lines.length === 0) throw malformed('has no signatures');
  return lines.map(parseSignatureLine);
}

function parseSignatureLine(line: string): NoteSignature {
  if (!line.startsWith(LINE_START)) throw malformed('has a line among its signatures that is none');
  const [name = '', encoded = '', ...rest] = line.slice(LINE_START.length).split(' ', 3);
  if (rest.length > 0 || !isKeyName(name)) throw malformed('has a signature line whose key has no proper name');
  const bytes = fromBase64(encoded);
  if (bytes.length < 5) throw malformed('has a signature that is too short');
  return { name, id: bytesToHex(bytes.subarray(0, 4)), signature: bytes.subarray(4) };
}

/** The note that `parseNote` reads back as the same. @throws HoldfastError `malformed` or `too_large` if there is none. */
export function serialiseNote(note: SignedNote): string {
  const { text, signatures } = note;
  checkNoteText(text);
  if (signatures.length === 0) throw malformed('has no signatures');
  if (signatures.length > MAXIMUM_SIGNATURES) {
    throw new HoldfastError('too_large', `the note has more than ${MAXIMUM_SIGNATURES} signatures`);
  }
  const lines = signatures.map(serialiseSignatureLine);
  return `${text}\n${lines.join('')}`;
}

/** One line of signature with its newline. @throws HoldfastError `malformed` for a name, ID or length that cannot be. */
export function serialiseSignatureLine({ name, id, signature }: NoteSignature): string {
  if (!isKeyName(name) || !/^[0-9a-f]{8}$/.test(id) || signature.length === 0) {
    throw malformed('has a signature line that cannot be written');
  }
  const bytes = new Uint8Array(4 + signature.length);
  bytes.set(hexToBytes(id));
  bytes.set(signature, 4);
  return `${LINE_START}${name} ${toBase64(bytes)}\n`;
}

/** @throws HoldfastError `malformed` for text that no note can have: control characters, no newline at its end. */
export function checkNoteText(text: string): void {
  if (!text.endsWith('\n')) throw malformed('must have text that ends in a newline');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what signed-note forbids
  if (!text.isWellFormed() || /[\x00-\x09\x0b-\x1f]/.test(text)) throw malformed('has control characters in its text');
}

/** A signature that verified. */
export interface VerifiedSignature {
  readonly key: VerifierKey;
  /** Of a cosignature: when it was made, in seconds since 1970. Of other types: null. */
  readonly seconds: number | null;
}

/**
 * Verifies the lines of the known keys, in the lines' order; lines of other keys, and of keys whose type is unknown
 * here, are passed over. Which of the keys have to be there is for the caller to check. About 0.1 ms per known line.
 * @throws HoldfastError `untrusted` if a known key has a line that does not verify, or two lines, or if none has any.
 */
export function verifyNote(note: SignedNote, keys: readonly VerifierKey[]): readonly VerifiedSignature[] {
  const known = knownKeys(keys);
  const verified = new Map<VerifierKey, VerifiedSignature>();
  for (const line of note.signatures) {
    const key = known.get(`${line.name}+${line.id}`);
    if (key === undefined) continue;
    if (verified.has(key)) throw untrusted(`has two signatures of the key ${key.name}`);
    const result = verifySignature(key, note.text, line.signature);
    if (result === undefined) throw untrusted(`has a signature of the key ${key.name} that does not verify`);
    verified.set(key, { key, seconds: result.seconds });
  }
  if (verified.size === 0) throw untrusted('has no signature of a key that is known here');
  return [...verified.values()];
}

function knownKeys(keys: readonly VerifierKey[]): Map<string, VerifierKey> {
  const known = new Map<string, VerifierKey>();
  for (const key of keys) {
    if (key.type === 'unknown') continue;
    const tuple = `${key.name}+${key.id}`;
    const other = known.get(tuple);
    if (other !== undefined && !equalBytes(other.publicKey, key.publicKey)) {
      throw new HoldfastError('bad_input', `two different verifier keys have the name and ID ${tuple}`);
    }
    known.set(tuple, key);
  }
  return known;
}

function malformed(problem: string): HoldfastError {
  return new HoldfastError('malformed', `the note ${problem}`);
}

function tooLarge(maximum: number): HoldfastError {
  return new HoldfastError('too_large', `the note has more than ${maximum} bytes`);
}

function untrusted(problem: string): HoldfastError {
  return new HoldfastError('untrusted', `the note ${problem}`);
}
