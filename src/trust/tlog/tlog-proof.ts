/** Proofs that can be kept beside what they prove: a checkpoint and an inclusion proof in one text (C2SP tlog-proof). */

import { HoldfastError } from '../../core/index.ts';
import { parseCheckpoint } from './checkpoint.ts';
import { MAXIMUM_PROOF_HASHES, verifyInclusion } from './merkle.ts';
import { MAXIMUM_NOTE_BYTES, parseNote, type SignedNote, serialiseNote } from './note.ts';
import { fromBase64, HASH_BYTES, hashFromBase64, parseDecimal, toBase64 } from './text.ts';

export interface TlogProof {
  /** Opaque and not authenticated; 1 byte or more. */
  readonly extra?: Uint8Array;
  /** The entry's, from 0. */
  readonly index: number;
  /** From the leaf's sibling upward; each 32 bytes. */
  readonly hashes: readonly Uint8Array[];
  /** The checkpoint with its signatures. */
  readonly checkpoint: SignedNote;
}

const FIRST_LINE = 'c2sp.org/tlog-proof@v1';
/** UTF-16 units of the extra data's line and of all that comes before the checkpoint. */
const MAXIMUM_HEAD = 100_000;

/**
 * Reads a proof, and verifies nothing.
 * @throws HoldfastError `too_large` beyond about 1 MB or 63 hashes, `malformed` for anything that `serialiseTlogProof`
 * would not have written.
 */
export function parseTlogProof(text: string): TlogProof {
  if (text.length > MAXIMUM_HEAD + MAXIMUM_NOTE_BYTES) throw new HoldfastError('too_large', 'the proof is too long');
  // No line before it is empty.
  const split = text.indexOf('\n\n');
  if (split < 0 || split > MAXIMUM_HEAD) throw malformed('has no empty line before its checkpoint');
  const [first, ...rest] = text.slice(0, split).split('\n', MAXIMUM_PROOF_HASHES + 4);
  if (first !== FIRST_LINE) throw malformed(`must begin with ${FIRST_LINE}`);
  const extra = rest[0]?.startsWith('extra ') ? fromBase64(rest.shift()!.slice('extra '.length)) : undefined;
  const index = rest.shift() ?? '';
  if (!index.startsWith('index ')) throw malformed('has no index');
  if (rest.length > MAXIMUM_PROOF_HASHES) throw new HoldfastError('too_large', 'the proof has more than 63 hashes');
  const proof: TlogProof = {
    ...(extra !== undefined && { extra }),
    index: parseDecimal(index.slice('index '.length)),
    hashes: rest.map(hashFromBase64),
    checkpoint: parseNote(text.slice(split + 2)),
  };
  if (serialiseTlogProof(proof) !== text) throw malformed('is not in its one form');
  return proof;
}

/** The text that `parseTlogProof` reads back as the same. @throws HoldfastError `malformed` for what has no such text. */
export function serialiseTlogProof({ extra, index, hashes, checkpoint }: TlogProof): string {
  if (!Number.isSafeInteger(index) || index < 0) throw malformed('must have an index from 0 to 2^53 - 1');
  if (extra?.length === 0) throw malformed('must have no extra data, or some');
  if (hashes.length > MAXIMUM_PROOF_HASHES || hashes.some((hash) => hash.length !== HASH_BYTES)) {
    throw malformed('must have at most 63 hashes, of 32 bytes each');
  }
  parseCheckpoint(checkpoint.text, { extensions: 'allow' });
  const head = [
    FIRST_LINE,
    ...(extra === undefined ? [] : [`extra ${toBase64(extra)}`]),
    `index ${index}`,
    ...hashes.map(toBase64),
  ];
  return `${head.join('\n')}\n\n${serialiseNote(checkpoint)}`;
}

/**
 * Whether the proof's checkpoint, whose signatures must have been verified, has the leaf with this hash (32 bytes) at
 * the proof's index. Never throws for a proof that was parsed.
 */
export function provesInclusion(proof: TlogProof, leaf: Uint8Array): boolean {
  const { size, root } = parseCheckpoint(proof.checkpoint.text, { extensions: 'allow' });
  return verifyInclusion({ index: proof.index, size, hashes: proof.hashes }, leaf, root);
}

function malformed(problem: string): HoldfastError {
  return new HoldfastError('malformed', `the proof ${problem}`);
}
