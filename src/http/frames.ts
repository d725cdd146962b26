/**
 * Requests and answers between coordinator and node over one TLS connection, both as frames: length (4 bytes, big-endian),
 * number (4 bytes), and that many bytes. An answer bears its request's number; answers come in any order. TLS chooses it by
 * name (ALPN, RFC 7301), so that either side may also know HTTP only. It carries what HTTP would for a fifth of its cost.
 */

import { HoldfastError } from '../core/index.ts';

/** The name that client and server agree on. */
export const FRAMES_PROTOCOL = 'holdfast-frames/1';

const HEADER = 8;
const MAXIMUM_NUMBER = 0xffff_ffff;

/** @param number 0 to 2^32 - 1. */
export function encodeFrame(number: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt32BE(body.length, 0);
  frame.writeUInt32BE(number, 4);
  frame.set(body, HEADER);
  return frame;
}

export const numberAfter = (number: number): number => (number === MAXIMUM_NUMBER ? 0 : number + 1);

/** Pieces that are put together as soon as there are so many, where they are small. */
const MANY_PIECES = 256;
/** Bytes of a piece, on average, from which it is worth more than what it costs to keep it by itself. */
const SMALL_PIECE = 1024;

/**
 * Puts frames together from whatever pieces they arrive in. Holds no more than has arrived of one frame, and that in few
 * pieces: each costs some hundred bytes besides its own, so that who sends one byte at a time could fill the memory.
 */
export class FrameReader {
  readonly #maximum: number;
  readonly #onFrame: (number: number, body: Uint8Array) => void;
  #pieces: Buffer[] = [];
  #length = 0;
  /** The last pieces, of which there are not many yet. */
  #recent: Buffer[] = [];
  #recentLength = 0;
  /** Bytes without which nothing new can be said. */
  #wanted = HEADER;
  #frames = 0;

  /** @param maximum bytes of a body. */
  constructor(maximum: number, onFrame: (number: number, body: Uint8Array) => void) {
    this.#maximum = maximum;
    this.#onFrame = onFrame;
  }

  /** Whether a frame has begun to arrive. */
  get isPartial(): boolean {
    return this.#length > 0;
  }

  /** Bytes that have arrived of a frame that is not whole. */
  get heldBytes(): number {
    return this.#length;
  }

  /** In how many pieces they are held. */
  get heldPieces(): number {
    return this.#pieces.length + this.#recent.length;
  }

  /** Frames that have arrived whole. */
  get frames(): number {
    return this.#frames;
  }

  /** @throws HoldfastError `too_large` where a frame says that it is; what follows can then not be read. */
  push(piece: Buffer): void {
    this.#add(piece);
    while (this.#length >= this.#wanted) {
      const all = this.#all();
      const length = all.readUInt32BE(0);
      if (length > this.#maximum) throw new HoldfastError('too_large', `a frame of more than ${this.#maximum} bytes`);
      const end = HEADER + length;
      const isWhole = all.length >= end;
      const rest = isWhole ? all.subarray(end) : all;
      this.#pieces = rest.length > 0 ? [rest] : [];
      this.#length = rest.length;
      this.#wanted = isWhole ? HEADER : end;
      if (!isWhole) return;
      this.#frames++;
      this.#onFrame(all.readUInt32BE(4), all.subarray(HEADER, end));
    }
  }

  #add(piece: Buffer): void {
    this.#recent.push(piece);
    this.#recentLength += piece.length;
    this.#length += piece.length;
    if (this.#recent.length < MANY_PIECES) return;
    const areSmall = this.#recentLength < MANY_PIECES * SMALL_PIECE;
    this.#pieces.push(...(areSmall ? [Buffer.concat(this.#recent, this.#recentLength)] : this.#recent));
    this.#recent = [];
    this.#recentLength = 0;
  }

  #all(): Buffer {
    const pieces = [...this.#pieces, ...this.#recent];
    this.#recent = [];
    this.#recentLength = 0;
    return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, this.#length);
  }
}
