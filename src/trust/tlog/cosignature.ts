/** Cosignatures of type 0x04: what a witness signs, and when, about a checkpoint (C2SP tlog-cosignature, Ed25519). */

import { concatBytes, HoldfastError, utf8 } from '../../core/index.ts';
import { parseCheckpoint } from './checkpoint.ts';

const TIME_BYTES = 8;

/**
 * The message that a witness signs.
 * @param checkpointText the whole text of the checkpoint, with extension lines if it has any.
 * @param seconds since 1970, UTC.
 * @throws HoldfastError `malformed` if the text is no checkpoint or the time no whole number from 1 on.
 */
export function cosignatureMessage(checkpointText: string, seconds: number): Uint8Array<ArrayBuffer> {
  parseCheckpoint(checkpointText, { extensions: 'allow' });
  return utf8(`cosignature/v1\ntime ${checkTime(seconds)}\n${checkpointText}`);
}

/** What stands in a note's line after the key ID: the time (8 bytes, big-endian) and the signature (64 bytes). */
export function encodeCosignature(seconds: number, signature: Uint8Array): Uint8Array<ArrayBuffer> {
  const time = new Uint8Array(TIME_BYTES);
  new DataView(time.buffer).setBigUint64(0, BigInt(checkTime(seconds)));
  return concatBytes(time, signature) as Uint8Array<ArrayBuffer>;
}

/** The two parts of what stands after the key ID, or undefined for another length or a time of 0 or beyond 2^53 - 1. */
export function decodeCosignature(bytes: Uint8Array): { seconds: number; signature: Uint8Array } | undefined {
  if (bytes.length !== TIME_BYTES + 64) return undefined;
  const time = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0);
  if (time === 0n || time > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return { seconds: Number(time), signature: bytes.subarray(TIME_BYTES) };
}

function checkTime(seconds: number): number {
  if (!Number.isSafeInteger(seconds) || seconds < 1) {
    throw new HoldfastError('malformed', 'a cosignature’s time must be whole seconds since 1970');
  }
  return seconds;
}
