/**
 * Canonical byte encodings, declared once and used for writing and strict reading.
 *
 * Everything is length-prefixed throughout: each field is a 32-bit big-endian length and its content. A message begins
 * with its own label as the first field, so no two kinds of message share a byte string. Every codec here is injective
 * and its reader accepts exactly what its writer writes; `decode` therefore needs no second serialisation to compare.
 */

import { fromUtf8, utf8 } from './bytes.ts';
import { HoldfastError } from './errors.ts';

const malformed = (what: string) => new HoldfastError('malformed', what);

/** Collects bytes in one growing buffer. */
class Writer {
  #buffer: Uint8Array = new Uint8Array(16_384);
  #length = 0;

  /** Forgets what was written, so that no secret stays in a buffer that is used again. */
  clear(): void {
    this.#buffer.fill(0, 0, this.#length);
    this.#length = 0;
  }

  get capacity(): number {
    return this.#buffer.length;
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#length++] = value;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#put(this.#length, value);
    this.#length += 4;
  }

  /** Begins a field; `end` with what this returns writes its length. */
  begin(): number {
    this.#reserve(4);
    const at = this.#length;
    this.#length += 4;
    return at;
  }

  end(at: number): void {
    this.#put(at, this.#length - at - 4);
  }

  /** What was written, in the writer's own buffer. */
  written(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length) as Uint8Array<ArrayBuffer>;
  }

  #put(at: number, value: number): void {
    const buffer = this.#buffer;
    buffer[at] = value >>> 24;
    buffer[at + 1] = value >>> 16;
    buffer[at + 2] = value >>> 8;
    buffer[at + 3] = value;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#length + more));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer.fill(0);
    this.#buffer = grown;
  }
}

/** Writers not in use: an encoding may need another one inside. */
const writers: Writer[] = [];

/** Bytes up to which the engine keeps an array within its heap. */
const LONGEST_COPY = 64;
const LONGEST_LABEL = 128;

/** Reads within one extent; every codec must consume its extent whole. */
class Reader {
  readonly #bytes: Uint8Array<ArrayBuffer>;
  #at: number;
  #end: number;

  /** @param bytes the caller's, copied: it may do with them what it likes afterwards. No `Buffer` comes out of this. */
  constructor(bytes: Uint8Array) {
    this.#bytes = new Uint8Array(bytes);
    this.#at = 0;
    this.#end = bytes.length;
  }

  get remaining(): number {
    return this.#end - this.#at;
  }

  /**
   * Short ones are copied, so that a hash that is kept of a message does not keep the message. Long ones share the
   * message's own copy: memory outside the heap costs ten times as much as a view.
   */
  raw(length: number): Uint8Array<ArrayBuffer> {
    const at = this.#at;
    if (length > this.#end - at) throw malformed('message ends early');
    this.#at = at + length;
    return length > LONGEST_COPY ? this.#bytes.subarray(at, at + length) : this.#bytes.slice(at, at + length);
  }

  /** Passes over exactly these bytes. @returns whether they were there. */
  skip(expected: Uint8Array): boolean {
    if (expected.length > this.#end - this.#at) return false;
    for (let i = 0; i < expected.length; i++) if (this.#bytes[this.#at + i] !== expected[i]) return false;
    this.#at += expected.length;
    return true;
  }

  /** Whether exactly these bytes are left; if so, they are passed over. */
  isRest(expected: Uint8Array): boolean {
    return expected.length === this.#end - this.#at && this.skip(expected);
  }

  byte(): number {
    if (this.#at >= this.#end) throw malformed('message ends early');
    return this.#bytes[this.#at++]!;
  }

  uint32(): number {
    const at = this.#at;
    if (this.#end - at < 4) throw malformed('message ends early');
    this.#at = at + 4;
    const bytes = this.#bytes;
    return bytes[at]! * 16_777_216 + ((bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!);
  }

  field<T>(codec: Codec<T>): T {
    const length = this.uint32();
    const outer = this.#end;
    const end = this.#at + length;
    if (end > outer) throw malformed('field is longer than its message');
    this.#end = end;
    const value = codec.read(this);
    if (this.#at !== end) throw malformed('field has bytes left over');
    this.#end = outer;
    return value;
  }
}

/** How one kind of value is written into, and read from, an extent of bytes. */
export interface Codec<T> {
  write(writer: Writer, value: T): void;
  read(reader: Reader): T;
}

/** The type of the values that codec or message `C` carries. */
export type Infer<C> = C extends Codec<infer T> ? T : C extends Message<infer T> ? T : never;

/** An integer from 0 to 2^53-1, 8 bytes big-endian. */
export const uint: Codec<number> = {
  write(writer, value) {
    if (!Number.isSafeInteger(value) || value < 0) throw malformed('integer out of range');
    writer.uint32(Math.floor(value / 2 ** 32));
    writer.uint32(value % 2 ** 32);
  },
  read(reader) {
    const value = reader.uint32() * 2 ** 32 + reader.uint32();
    if (!Number.isSafeInteger(value)) throw malformed('integer out of range');
    return value;
  },
};

/** A boolean, one byte 0 or 1. */
export const flag: Codec<boolean> = {
  write(writer, value) {
    writer.byte(value ? 1 : 0);
  },
  read(reader) {
    const byte = reader.byte();
    if (byte > 1) throw malformed('flag is neither 0 nor 1');
    return byte === 1;
  },
};

/** Exactly `length` bytes. */
export function fixed(length: number): Codec<Uint8Array> {
  return {
    write(writer, value) {
      if (value.length !== length) throw malformed(`expected ${length} bytes, got ${value.length}`);
      writer.raw(value);
    },
    read(reader) {
      if (reader.remaining !== length) throw malformed(`expected ${length} bytes, got ${reader.remaining}`);
      return reader.raw(length);
    },
  };
}

/** Up to `maximum` bytes. */
export function bytes(maximum: number): Codec<Uint8Array> {
  return {
    write(writer, value) {
      if (value.length > maximum) throw new HoldfastError('too_large', `more than ${maximum} bytes`);
      writer.raw(value);
    },
    read(reader) {
      if (reader.remaining > maximum) throw new HoldfastError('too_large', `more than ${maximum} bytes`);
      return reader.raw(reader.remaining);
    },
  };
}

/**
 * Bytes of a text beyond which its last value is not kept: names of fleets and codes come again and again, and converting one
 * costs more than everything else about it.
 */
const LONGEST_KEPT = 64;

/** Well-formed UTF-8 of up to `maximum` bytes. */
export function text(maximum: number): Codec<string> {
  const inner = bytes(maximum);
  const keeps = maximum <= LONGEST_KEPT;
  let last = '';
  let lastBytes = utf8(last);
  const keep = (value: string, encoded: Uint8Array<ArrayBuffer>) => {
    if (!keeps) return;
    last = value;
    lastBytes = encoded;
  };
  return {
    write(writer, value) {
      if (keeps && value === last) return writer.raw(lastBytes);
      if (!value.isWellFormed()) throw malformed('text has lone surrogates');
      const encoded = utf8(value);
      inner.write(writer, encoded);
      keep(value, encoded);
    },
    read(reader) {
      if (keeps && reader.isRest(lastBytes)) return last;
      const encoded = inner.read(reader);
      const value = fromUtf8(encoded);
      keep(value, encoded.slice());
      return value;
    },
  };
}

/** One of a fixed set of words, written as text. */
export function word<const W extends string>(...words: readonly W[]): Codec<W> {
  const encoded = words.map(utf8);
  return {
    write(writer, value) {
      const index = words.indexOf(value);
      if (index < 0) throw malformed('unknown word');
      writer.raw(encoded[index]!);
    },
    read(reader) {
      const index = encoded.findIndex((one) => reader.isRest(one));
      if (index < 0) throw malformed('unknown word');
      return words[index]!;
    },
  };
}

/** Up to `maximum` items of one kind. */
export function list<T>(item: Codec<T>, maximum: number): Codec<T[]> {
  return {
    write(writer, values) {
      if (values.length > maximum) throw new HoldfastError('too_large', `more than ${maximum} items`);
      for (const value of values) {
        const at = writer.begin();
        item.write(writer, value);
        writer.end(at);
      }
    },
    read(reader) {
      const values: T[] = [];
      while (reader.remaining > 0) {
        if (values.length === maximum) throw new HoldfastError('too_large', `more than ${maximum} items`);
        values.push(reader.field(item));
      }
      return values;
    },
  };
}

/** A value that may be absent: nothing, or the byte 1 and the value. */
export function optional<T>(item: Codec<T>): Codec<T | undefined> {
  return {
    write(writer, value) {
      if (value === undefined) return;
      writer.byte(1);
      item.write(writer, value);
    },
    read(reader) {
      if (reader.remaining === 0) return undefined;
      if (reader.byte() !== 1) throw malformed('optional value does not begin with 1');
      const value = item.read(reader);
      // An absent value has one form only, also where its own kind is optional.
      if (value === undefined) throw malformed('optional value is absent after its mark');
      return value;
    },
  };
}

type Fields = Readonly<Record<string, Codec<never>>>;
type Values<F> = { -readonly [K in keyof F]: F[K] extends Codec<infer T> ? T : never };

/** Named fields in the order of their declaration, each length-prefixed. */
// biome-ignore lint/suspicious/noExplicitAny: a record of codecs of different types has no narrower common type
export function struct<F extends Readonly<Record<string, Codec<any>>>>(fields: F): Codec<Values<F>> {
  const entries = Object.entries(fields as unknown as Fields) as [string, Codec<unknown>][];
  return {
    write(writer, value) {
      const record = value as Record<string, unknown>;
      for (const [name, codec] of entries) {
        const at = writer.begin();
        codec.write(writer, record[name]);
        writer.end(at);
      }
    },
    read(reader) {
      const record: Record<string, unknown> = {};
      for (const [name, codec] of entries) record[name] = reader.field(codec);
      return record as Values<F>;
    },
  };
}

/** A top-level byte string with its own label: what is hashed, MACed, signed, stored or sent. */
export interface Message<T> {
  readonly label: string;
  encode(value: T): Uint8Array<ArrayBuffer>;
  /**
   * What `take` makes of the encoding, which it must not keep: those are bytes that are wiped and used again. For what is only
   * hashed, signed or verified, since memory outside the engine's heap for each costs as much as its hash.
   */
  use<R>(value: T, take: (encoded: Uint8Array) => R): R;
  /** @throws HoldfastError `malformed` or `too_large` for anything that `encode` does not write. */
  decode(bytes: Uint8Array): T;
}

const copyOf = (bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => bytes.slice();

/** Declares a message: its label, then the named fields. */
// biome-ignore lint/suspicious/noExplicitAny: as in `struct`
export function message<F extends Readonly<Record<string, Codec<any>>>>(label: string, fields: F): Message<Values<F>> {
  const body = struct(fields);
  const labelBytes = utf8(label);
  /** The first field of every such message. */
  const start = new Uint8Array(4 + labelBytes.length);
  new DataView(start.buffer).setUint32(0, labelBytes.length);
  start.set(labelBytes, 4);
  function use<R>(value: Values<F>, take: (encoded: Uint8Array<ArrayBuffer>) => R): R {
    const writer = writers.pop() ?? new Writer();
    try {
      writer.raw(start);
      body.write(writer, value);
      return take(writer.written());
    } finally {
      writer.clear();
      if (writers.length < 8 && writer.capacity <= 65_536) writers.push(writer);
    }
  }
  return {
    label,
    encode: (value) => use(value, copyOf),
    use,
    decode(encoded) {
      const reader = new Reader(encoded);
      if (!reader.skip(start)) throw malformed(`message is not a ${label}`);
      const value = body.read(reader);
      if (reader.remaining !== 0) throw malformed('message has bytes left over');
      return value;
    },
  };
}

/** The label of an encoded message, to choose its decoder. @throws HoldfastError `malformed`. */
export function labelOf(encoded: Uint8Array): string {
  if (encoded.length < 4) throw malformed('message ends early');
  const length = new DataView(encoded.buffer, encoded.byteOffset).getUint32(0);
  if (length > encoded.length - 4) throw malformed('field is longer than its message');
  if (length > LONGEST_LABEL) throw new HoldfastError('too_large', `more than ${LONGEST_LABEL} bytes`);
  return fromUtf8(encoded.subarray(4, 4 + length));
}
