import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bytesToHex,
  codec,
  concatBytes,
  type ErrorCode,
  HoldfastError,
  hexToBytes,
  utf8,
} from '../../src/core/index.ts';

const throwing = (code: ErrorCode) => expect.objectContaining({ name: 'HoldfastError', code });
const malformed = throwing('malformed');
const tooLarge = throwing('too_large');

/** A codec of any value, for tests that generate codecs as well. */
// biome-ignore lint/suspicious/noExplicitAny: as in src/core/codec.ts, codecs of different types have no common type
type AnyCodec = codec.Codec<any>;

/** A generated codec, how it was made, and the values it carries. */
interface Case {
  readonly name: string;
  readonly made: AnyCodec;
  readonly values: fc.Arbitrary<unknown>;
}

const wellFormed = (maxLength: number) => fc.string({ unit: 'binary', maxLength });

const leaves = fc.constantFrom<Case>(
  { name: 'uint', made: codec.uint, values: fc.maxSafeNat() },
  { name: 'flag', made: codec.flag, values: fc.boolean() },
  { name: 'fixed(0)', made: codec.fixed(0), values: fc.constant(new Uint8Array(0)) },
  { name: 'fixed(5)', made: codec.fixed(5), values: fc.uint8Array({ minLength: 5, maxLength: 5 }) },
  { name: 'bytes(9)', made: codec.bytes(9), values: fc.uint8Array({ maxLength: 9 }) },
  { name: 'text(40)', made: codec.text(40), values: wellFormed(10) },
  { name: 'word', made: codec.word('', 'a', 'ab', 'é'), values: fc.constantFrom('', 'a', 'ab', 'é') },
);

const { any: anyCase } = fc.letrec<{ any: Case }>((tie) => ({
  any: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    leaves,
    tie('any').map(({ name, made, values }) => ({
      name: `list(${name})`,
      made: codec.list(made, 4),
      values: fc.array(values, { maxLength: 4 }),
    })),
    tie('any').map(({ name, made, values }) => ({
      name: `optional(${name})`,
      made: codec.optional(made),
      values: fc.option(values, { nil: undefined }),
    })),
    fc.array(tie('any'), { maxLength: 4 }).map((cases) => ({
      name: `struct(${cases.map(({ name }) => name).join(', ')})`,
      made: codec.struct(Object.fromEntries(cases.map(({ made }, i) => [`f${i}`, made]))),
      values: fc.record(Object.fromEntries(cases.map(({ values }, i) => [`f${i}`, values]))),
    })),
  ),
}));

const LABEL = 'holdfast test message v1';

/** A message of one generated field, and values for it. */
const messages = anyCase.chain(({ name, made, values }) =>
  fc.record({
    name: fc.constant(name),
    message: fc.constant(codec.message(LABEL, { field: made })),
    value: values.map((field) => ({ field })),
    other: values.map((field) => ({ field })),
  }),
);

/** Whether the bytes decode. Whatever does must be exactly what the writer writes for the decoded value. */
function expectStrict(message: codec.Message<{ field: unknown }>, bytes: Uint8Array): boolean {
  let value: { field: unknown };
  try {
    value = message.decode(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(HoldfastError);
    expect(['malformed', 'too_large']).toContain((error as HoldfastError).code);
    return false;
  }
  expect(bytesToHex(message.encode(value))).toBe(bytesToHex(bytes));
  return true;
}

describe('every codec', () => {
  it('gives back what was written', () => {
    fc.assert(
      fc.property(messages, ({ message, value }) => {
        expect(message.decode(message.encode(value))).toEqual(value);
      }),
      { numRuns: 500 },
    );
  });

  it('writes two values alike only if they are the same', () => {
    fc.assert(
      fc.property(messages, ({ message, value, other }) => {
        const same = bytesToHex(message.encode(value)) === bytesToHex(message.encode(other));
        // Compared by a form of the values that owes nothing to the codec.
        const form = (v: unknown) =>
          JSON.stringify(v, (_key, part: unknown) =>
            part === undefined ? { none: true } : part instanceof Uint8Array ? { hex: bytesToHex(part) } : part,
          );
        expect(same).toBe(form(value) === form(other));
      }),
      { numRuns: 500 },
    );
  });

  it('refuses every truncation', () => {
    fc.assert(
      fc.property(messages, fc.nat(), ({ message, value }, at) => {
        const bytes = message.encode(value);
        expect(expectStrict(message, bytes.subarray(0, at % bytes.length))).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses every extension', () => {
    fc.assert(
      fc.property(messages, fc.uint8Array({ minLength: 1, maxLength: 12 }), ({ message, value }, more) => {
        const bytes = message.encode(value);
        expect(expectStrict(message, concatBytes(bytes, more))).toBe(false);
        expect(expectStrict(message, concatBytes(more, bytes))).toBe(false);
      }),
      { numRuns: 500 },
    );
  });

  it('reads a flipped bit as another canonical message or not at all', () => {
    fc.assert(
      fc.property(messages, fc.nat(), ({ message, value }, at) => {
        const bytes = message.encode(value);
        bytes[(at >> 3) % bytes.length]! ^= 1 << (at & 7);
        expectStrict(message, bytes);
      }),
      { numRuns: 1_000 },
    );
  });

  it('reads spliced, doubled and cut-out parts as another canonical message or not at all', () => {
    fc.assert(
      fc.property(messages, fc.nat(), fc.nat(), fc.nat(), ({ message, value }, a, b, c) => {
        const bytes = message.encode(value);
        const [x, y, z] = [a, b, c].map((n) => n % (bytes.length + 1)) as [number, number, number];
        expectStrict(message, concatBytes(bytes.subarray(0, x), bytes.subarray(y)));
        expectStrict(message, concatBytes(bytes.subarray(0, x), bytes.subarray(Math.min(y, z)), bytes.subarray(x)));
      }),
      { numRuns: 500 },
    );
  });

  it('has one form for what is absent twice', () => {
    const message = codec.message(LABEL, { field: codec.optional(codec.optional(codec.flag)) });
    const absent = message.encode({ field: undefined });
    expect(message.decode(absent)).toEqual({ field: undefined });
    const marked = concatBytes(absent.subarray(0, -1), Uint8Array.of(1, 1));
    expect(expectStrict(message, marked)).toBe(false);
  });

  it('reads any bytes behind its label as a canonical message or not at all', () => {
    const start = codec.message(LABEL, {}).encode({});
    fc.assert(
      fc.property(messages, fc.uint8Array({ maxLength: 40 }), ({ message }, rest) => {
        expectStrict(message, rest);
        expectStrict(message, concatBytes(start, rest));
        expectStrict(message, concatBytes(start, Uint8Array.of(0, 0, 0, rest.length), rest));
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('golden bytes', () => {
  const sample = codec.message('sample v1', {
    number: codec.uint,
    yes: codec.flag,
    id: codec.fixed(2),
    blob: codec.bytes(16),
    name: codec.text(16),
    kind: codec.word('open', 'stage'),
    items: codec.list(codec.uint, 3),
    absent: codec.optional(codec.uint),
    present: codec.optional(codec.text(4)),
    inner: codec.struct({ a: codec.flag, b: codec.flag }),
  });
  const value: codec.Infer<typeof sample> = {
    number: 2 ** 53 - 1,
    yes: true,
    id: Uint8Array.of(0xab, 0xcd),
    blob: Uint8Array.of(1, 2, 3),
    name: 'é',
    kind: 'stage',
    items: [0, 258],
    absent: undefined,
    present: '',
    inner: { a: false, b: true },
  };
  const golden = [
    '00000009 73616d706c65207631', // label
    '00000008 001fffffffffffff', // number
    '00000001 01', // yes
    '00000002 abcd', // id
    '00000003 010203', // blob
    '00000002 c3a9', // name
    '00000005 7374616765', // kind
    '00000018 00000008 0000000000000000 00000008 0000000000000102', // items
    '00000000', // absent
    '00000001 01', // present
    '0000000a 00000001 00 00000001 01', // inner
  ]
    .join('')
    .replaceAll(' ', '');

  it('are exactly these for a message of every kind of field', () => {
    expect(bytesToHex(sample.encode(value))).toBe(golden);
    expect(sample.decode(hexToBytes(golden))).toEqual(value);
  });

  it('do not depend on the order in which a value names its fields', () => {
    const reversed = Object.fromEntries(Object.entries(value).reverse()) as typeof value;
    expect(bytesToHex(sample.encode(reversed))).toBe(golden);
  });

  it('begin with the label, which labelOf reads', () => {
    expect(sample.label).toBe('sample v1');
    expect(codec.labelOf(hexToBytes(golden))).toBe('sample v1');
  });
});

describe('a message', () => {
  const one = codec.message('one', { a: codec.uint });
  const two = codec.message('two', { a: codec.uint });
  const longer = codec.message('one1', { a: codec.uint });

  it('is refused by the decoder of another label', () => {
    expect(() => two.decode(one.encode({ a: 1 }))).toThrow(malformed);
    expect(() => longer.decode(one.encode({ a: 1 }))).toThrow(malformed);
    expect(() => one.decode(longer.encode({ a: 1 }))).toThrow(malformed);
  });

  it('does not share its bytes with what was decoded, nor decode to anything but plain Uint8Arrays', () => {
    const blob = codec.message('blob', { whole: codec.bytes(64), part: codec.fixed(4) });
    const encoded = blob.encode({ whole: utf8('secret'), part: utf8('part') });
    for (const bytes of [
      encoded.slice(),
      Buffer.from(encoded),
      Buffer.concat([Buffer.alloc(3), encoded]).subarray(3),
    ]) {
      const decoded = blob.decode(bytes);
      bytes.fill(0);
      for (const [name, text] of [
        ['whole', 'secret'],
        ['part', 'part'],
      ] as const) {
        expect(decoded[name]).toEqual(utf8(text));
        expect(Object.getPrototypeOf(decoded[name])).toBe(Uint8Array.prototype);
        expect(decoded[name].buffer.byteLength).toBe(decoded[name].length);
      }
    }
  });

  it('is encoded anew each time', () => {
    const first = one.encode({ a: 1 });
    first.fill(0xff);
    expect(one.decode(one.encode({ a: 1 }))).toEqual({ a: 1 });
  });

  it('lends its bytes to who only looks at them, and wipes them afterwards', () => {
    const lent = codec.message('test/lent/v1', { value: codec.bytes(100_000) });
    const inner = codec.message('test/inner/v1', { value: codec.text(10) });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (value) => {
        let kept: Uint8Array | undefined;
        const [copy, length] = lent.use({ value }, (encoded) => {
          kept = encoded;
          // An encoding while another is lent out touches nothing of it.
          inner.encode({ value: 'x' });
          return [encoded.slice(), encoded.length];
        });
        expect(copy).toEqual(lent.encode({ value }));
        expect(kept).toEqual(new Uint8Array(length));
      }),
    );
    expect(() =>
      lent.use({ value: new Uint8Array(3) }, () => {
        throw new Error('what it was lent to fails');
      }),
    ).toThrow('what it was lent to fails');
    expect(lent.decode(lent.encode({ value: new Uint8Array(2) }))).toEqual({ value: new Uint8Array(2) });
  });

  it('may be far larger than the writer’s first buffer', () => {
    const large = codec.message('large', { items: codec.list(codec.bytes(5_000), 100) });
    const value = { items: Array.from({ length: 100 }, (_, i) => new Uint8Array(i * 50).fill(i)) };
    expect(large.decode(large.encode(value))).toEqual(value);
  });

  it.each([
    ['nothing', ''],
    ['half a length', '0000'],
    ['a length beyond the end', '00000005616263'],
    ['the largest length', 'ffffffff'],
    ['a label that is not UTF-8', '00000002c328'],
  ])('of %s has no label', (_what, hex) => {
    expect(() => codec.labelOf(hexToBytes(hex))).toThrow(malformed);
    expect(() => one.decode(hexToBytes(hex))).toThrow(malformed);
  });

  it('with a label of more than 128 bytes is refused', () => {
    const bytes = concatBytes(Uint8Array.of(0, 0, 0, 129), new Uint8Array(129).fill(0x61));
    expect(() => codec.labelOf(bytes)).toThrow(tooLarge);
  });
});

describe('the limits of each codec', () => {
  /** Bytes of a message whose one field has the content `hex`. */
  const raw = (hex: string) => {
    const content = hexToBytes(hex);
    return concatBytes(utf8('\0\0\0\x01m'), Uint8Array.of(0, 0, 0, content.length), content);
  };
  const field = (made: AnyCodec) => codec.message('m', { field: made });

  it.each<[string, AnyCodec, string, typeof malformed]>([
    ['an integer of 2^53', codec.uint, '0020000000000000', malformed],
    ['the largest 64-bit integer', codec.uint, 'ffffffffffffffff', malformed],
    ['an integer of 7 bytes', codec.uint, '00000000000001', malformed],
    ['an integer of 9 bytes', codec.uint, '000000000000000001', malformed],
    ['a flag of 2', codec.flag, '02', malformed],
    ['an empty flag', codec.flag, '', malformed],
    ['a flag of two bytes', codec.flag, '0101', malformed],
    ['fixed bytes, one short', codec.fixed(3), 'aabb', malformed],
    ['fixed bytes, one long', codec.fixed(3), 'aabbccdd', malformed],
    ['bytes beyond the maximum', codec.bytes(3), 'aabbccdd', tooLarge],
    ['text beyond the maximum', codec.text(3), '61626364', tooLarge],
    ['text that is not UTF-8', codec.text(3), 'c328', malformed],
    ['text with an encoded surrogate', codec.text(3), 'eda080', malformed],
    ['an unknown word', codec.word('open', 'stage'), utf8Hex('close'), malformed],
    ['a word with more behind it', codec.word('open', 'stage'), utf8Hex('open '), malformed],
    ['a word named like a property of objects', codec.word('open'), utf8Hex('constructor'), malformed],
    ['a list beyond the maximum', codec.list(codec.flag, 1), '0000000101'.repeat(2), tooLarge],
    ['a list that ends within a length', codec.list(codec.flag, 3), '000000010100', malformed],
    ['a list whose item overruns it', codec.list(codec.bytes(9), 3), '0000000401', malformed],
    ['an optional value marked 0', codec.optional(codec.flag), '0001', malformed],
    ['an optional value marked 2', codec.optional(codec.flag), '0201', malformed],
    ['an optional value that is only marked', codec.optional(codec.uint), '01', malformed],
    ['a struct with a field missing', codec.struct({ a: codec.flag, b: codec.flag }), '0000000101', malformed],
    ['a struct with a field too many', codec.struct({ a: codec.flag }), '0000000101'.repeat(2), malformed],
    ['anything in an empty struct', codec.struct({}), '00', malformed],
  ])('refuse to read %s', (_what, made, hex, error) => {
    expect(() => field(made).decode(raw(hex))).toThrow(error);
  });

  it.each<[string, AnyCodec, unknown, typeof malformed]>([
    ['a negative integer', codec.uint, -1, malformed],
    ['a fraction', codec.uint, 0.5, malformed],
    ['an integer of 2^53', codec.uint, 2 ** 53, malformed],
    ['not a number', codec.uint, Number.NaN, malformed],
    ['infinity', codec.uint, Number.POSITIVE_INFINITY, malformed],
    ['fixed bytes of another length', codec.fixed(3), new Uint8Array(4), malformed],
    ['bytes beyond the maximum', codec.bytes(3), new Uint8Array(4), tooLarge],
    ['text beyond the maximum in UTF-8', codec.text(3), 'éé', tooLarge],
    ['a lone surrogate', codec.text(9), 'a\ud800', malformed],
    ['an unknown word', codec.word('open'), 'close', malformed],
    ['a list beyond the maximum', codec.list(codec.flag, 1), [true, false], tooLarge],
  ])('refuse to write %s', (_what, made, value, error) => {
    expect(() => field(made).encode({ field: value })).toThrow(error);
  });

  it('let a list of many empty items cost no more than its bytes', () => {
    const empties = field(codec.list(codec.fixed(0), 3));
    expect(empties.decode(raw('00000000'.repeat(3))).field).toHaveLength(3);
    expect(() => empties.decode(raw('00000000'.repeat(4)))).toThrow(tooLarge);
  });

  it('tell absent, empty and nested absence apart', () => {
    const nested = field(codec.optional(codec.optional(codec.text(4))));
    expect(bytesToHex(nested.encode({ field: undefined })).slice(10)).toBe('00000000');
    expect(bytesToHex(nested.encode({ field: '' })).slice(10)).toBe('000000020101');
  });
});

function utf8Hex(text: string): string {
  return bytesToHex(utf8(text));
}
