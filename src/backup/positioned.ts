/** Writing a file piece by piece so that runs of zeros become holes, which take no room on the disk (lseek(2), "Seeking file data and holes"). */

import type { FileHandle } from 'node:fs/promises';

const ZEROS = Buffer.alloc(65_536);

/** Writes `bytes` at `position`, unless all of them are zeros: whoever calls it gives the file its length at the end. */
export async function writeUnlessZero(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  if (isZero(bytes)) return;
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

function isZero(bytes: Uint8Array): boolean {
  for (let start = 0; start < bytes.length; start += ZEROS.length) {
    const piece = bytes.subarray(start, start + ZEROS.length);
    if (ZEROS.compare(piece, 0, piece.length, 0, piece.length) !== 0) return false;
  }
  return true;
}
