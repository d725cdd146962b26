/** The body of `add-checkpoint`, as bytes and nothing more: C2SP tlog-witness, "add-checkpoint". */

import { fromUtf8, HoldfastError } from '../../core/index.ts';

/** Hashes that a consistency proof may have (C2SP tlog-witness). */
const MAXIMUM_PROOF = 63;
/** Bytes of the text of one hash: 32 bytes in base64 with padding. */
const HASH_TEXT = 44;
/** `old `, 20 digits and the newline; the proof's lines; the empty line. */
const MAXIMUM_HEAD = 25 + MAXIMUM_PROOF * (HASH_TEXT + 1) + 1;
/** Bytes of a checkpoint with all its signature lines: 16 post-quantum signatures need about 110,000. */
export const MAXIMUM_CHECKPOINT = 128 * 1024;
/** Bytes of a whole request. */
export const MAXIMUM_REQUEST = MAXIMUM_HEAD + MAXIMUM_CHECKPOINT;

export interface AddCheckpointRequest {
  readonly oldSize: number;
  /** Hashes of 32 bytes, in the order of RFC 6962, section 2.1.2. */
  readonly proof: readonly Uint8Array[];
  /** The signed note, not parsed yet. */
  readonly checkpoint: Uint8Array<ArrayBuffer>;
}

const NEWLINE = 0x0a;

/**
 * Splits at the first empty line: neither the size nor a hash can be empty.
 * @throws HoldfastError `malformed` for anything but the one encoding that the specification allows.
 */
export function parseAddCheckpoint(body: Uint8Array): AddCheckpointRequest {
  if (body.length > MAXIMUM_REQUEST) throw malformed('is too long');
  const end = endOfHead(body);
  const [first, ...lines] = fromUtf8(body.subarray(0, end)).split('\n');
  const checkpoint = body.slice(end + 2);
  if (checkpoint.length === 0) throw malformed('has no checkpoint after its empty line');
  if (checkpoint.length > MAXIMUM_CHECKPOINT) throw malformed('has too long a checkpoint');
  if (lines.length > MAXIMUM_PROOF) throw malformed(`has more than ${MAXIMUM_PROOF} lines of proof`);
  return { oldSize: oldSizeOf(first ?? ''), proof: lines.map(hashOf), checkpoint };
}

/** Index of the newline that ends the last line before the first empty one. */
function endOfHead(body: Uint8Array): number {
  const limit = Math.min(body.length - 1, MAXIMUM_HEAD);
  for (let i = 0; i < limit; i++) if (body[i] === NEWLINE && body[i + 1] === NEWLINE) return i;
  throw malformed('has no empty line between proof and checkpoint');
}

function oldSizeOf(line: string): number {
  const digits = /^old (0|[1-9]\d{0,15})$/.exec(line)?.[1];
  const size = Number(digits);
  if (digits === undefined || !Number.isSafeInteger(size)) throw malformed('must begin with the line "old SIZE"');
  return size;
}

function hashOf(line: string): Uint8Array {
  // 43 digits and one padding character; the last digit's two unused bits must be zero, or it had a second spelling.
  if (!/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(line)) {
    throw malformed('has a line of proof that is no hash in base64');
  }
  return new Uint8Array(Buffer.from(line, 'base64'));
}

/** The bytes that {@link parseAddCheckpoint} reads. */
export function encodeAddCheckpoint({ oldSize, proof, checkpoint }: AddCheckpointRequest): Uint8Array<ArrayBuffer> {
  const lines = [`old ${oldSize}`, ...proof.map((hash) => Buffer.from(hash).toString('base64')), '', ''];
  return new Uint8Array(Buffer.concat([Buffer.from(lines.join('\n')), checkpoint]));
}

function malformed(problem: string): HoldfastError {
  return new HoldfastError('malformed', `the request ${problem}; see c2sp.org/tlog-witness`);
}
