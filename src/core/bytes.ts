/** Byte strings: joining, comparing, and the two text forms used here (hex, and base64url of RFC 4648 without padding). */

import { hexToBytes, bytesToHex as portableHex } from '@noble/hashes/utils.js';
import { HoldfastError } from './errors.ts';
import { nativeBuffer } from './native.ts';

export { hexToBytes };

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** @throws HoldfastError `malformed` if `bytes` is not well-formed UTF-8. */
export function fromUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch (cause) {
    throw new HoldfastError('malformed', 'text is not UTF-8', { cause });
  }
}

/**
 * Where short bytes are put to become text: asking an array in the engine's heap for its `buffer` moves it out of there, which
 * costs four times as much as the text itself.
 */
const passing = nativeBuffer?.alloc(256);

/** One flat text at once: put together character by character it is a chain that every look into a map first unrolls. */
function nativeText(bytes: Uint8Array, encoding: 'hex' | 'base64url'): string {
  if (bytes.length > passing!.length) {
    return nativeBuffer!.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(encoding);
  }
  passing!.set(bytes);
  return passing!.toString(encoding, 0, bytes.length);
}

/** Lower-case hexadecimal. */
export function bytesToHex(bytes: Uint8Array): string {
  return nativeBuffer ? nativeText(bytes, 'hex') : portableHex(bytes);
}

export function concatBytes(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const joined = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

/** Compares without an early exit, so that time tells nothing about where two secrets differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}

/** Lexicographic order of byte strings, for sorting. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** base64url without padding (RFC 4648 section 5). */
export function toBase64Url(bytes: Uint8Array): string {
  if (nativeBuffer) return nativeText(bytes, 'base64url');
  let binary = '';
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

/**
 * The bytes of canonical base64url without padding.
 * @throws HoldfastError `malformed` for anything that this module's encoder would not have written.
 */
export function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  if (nativeBuffer) {
    const raw = nativeBuffer.from(text, 'base64url');
    if (raw.toString('base64url') === text) return new Uint8Array(raw);
    throw new HoldfastError('malformed', 'text is not canonical base64url');
  }
  if (/^[A-Za-z0-9_-]*$/.test(text) && text.length % 4 !== 1) {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    if (toBase64Url(bytes) === text) return bytes;
  }
  throw new HoldfastError('malformed', 'text is not canonical base64url');
}
