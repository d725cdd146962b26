/** Entry bundles: up to 256 log entries, each after its length in 2 bytes, big-endian (C2SP tlog-tiles, "Log entries"). */

import { HoldfastError } from '../../core/index.ts';
import { TILE_WIDTH } from './tile.ts';

/** Bytes of the longest entry that a bundle can hold. */
export const MAXIMUM_ENTRY_BYTES = 65_535;

/** Bytes of the largest bundle of so many entries: what to cap a download at. */
export function maximumBundleBytes(width: number): number {
  return width * (2 + MAXIMUM_ENTRY_BYTES);
}

/** @throws HoldfastError `too_large` for an entry beyond 65,535 bytes, `malformed` unless there are 1 to 256. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  if (entries.length < 1 || entries.length > TILE_WIDTH) {
    throw new HoldfastError('malformed', `an entry bundle has 1 to ${TILE_WIDTH} entries`);
  }
  const bundle = new Uint8Array(entries.reduce((sum, { length }) => sum + 2 + length, 0));
  let at = 0;
  for (const entry of entries) {
    checkEntry(entry);
    bundle[at] = entry.length >> 8;
    bundle[at + 1] = entry.length & 0xff;
    bundle.set(entry, at + 2);
    at += 2 + entry.length;
  }
  return bundle;
}

/** @throws HoldfastError `too_large` beyond 65,535 bytes. */
export function checkEntry(entry: Uint8Array): void {
  if (entry.length > MAXIMUM_ENTRY_BYTES) {
    throw new HoldfastError('too_large', `a log entry may have at most ${MAXIMUM_ENTRY_BYTES} bytes`);
  }
}

/**
 * The entries of a bundle, copied.
 * @param width how many there must be, which a verified checkpoint's size tells.
 * @throws HoldfastError `malformed` for another number of entries, an entry cut off, or bytes left over.
 */
export function parseEntryBundle(bundle: Uint8Array, width: number): Uint8Array[] {
  const entries: Uint8Array[] = [];
  let at = 0;
  while (at < bundle.length) {
    const start = at + 2;
    const end = start + ((bundle[at]! << 8) | (bundle[at + 1] ?? 0));
    if (end > bundle.length || entries.length === width) break;
    entries.push(bundle.slice(start, end));
    at = end;
  }
  if (at !== bundle.length || entries.length !== width) {
    throw new HoldfastError('malformed', `the entry bundle does not have exactly ${width} entries`);
  }
  return entries;
}
