/** The body of `add-checkpoint`: one encoding is read, everything else is refused as malformed, nothing hangs. */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes, HoldfastError, utf8 } from '../../../src/core/index.ts';
import { encodeAddCheckpoint, MAXIMUM_REQUEST, parseAddCheckpoint } from '../../../src/cosigner/witness/index.ts';

const hash = 'PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=';
const note = 'log.example\n3\nroot\n\n— log.example AAAA\n';
const malformed = expect.objectContaining({ code: 'malformed' });

const requests = fc.record({
  oldSize: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  proof: fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: 63 }),
  checkpoint: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => new Uint8Array(bytes)),
});

describe('an add-checkpoint request', () => {
  it('is read as it was written', () => {
    fc.assert(
      fc.property(requests, (request) => {
        expect(parseAddCheckpoint(encodeAddCheckpoint(request))).toEqual(request);
      }),
    );
  });

  it('of any bytes is read as its one form, or refused as malformed', () => {
    const lines = fc.constantFrom('old 0', 'old 12', 'old', hash, hash.slice(1), '', note, '— x', 'old 01', '\r');
    const text = fc.array(lines, { maxLength: 8 }).map((parts) => utf8(parts.join('\n')));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), text), (bytes) => {
        let request: ReturnType<typeof parseAddCheckpoint>;
        try {
          request = parseAddCheckpoint(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
          expect(error).toEqual(malformed);
          return;
        }
        expect(encodeAddCheckpoint(request)).toEqual(new Uint8Array(bytes));
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['nothing', ''],
    ['no old size', `\n${note}`],
    ['no empty line', `old 0\n${hash}\nlog.example`],
    ['a leading zero', `old 00\n\n${note}`],
    ['a sign', `old +1\n\n${note}`],
    ['a size beyond 2^53', `old 9007199254740992\n\n${note}`],
    ['a size of many digits', `old ${'9'.repeat(2000)}\n\n${note}`],
    ['two spaces', `old  1\n\n${note}`],
    ['a carriage return', `old 1\r\n\r\n${note}`],
    ['a hash of 31 bytes', `old 1\n${'A'.repeat(40)}AA==\n\n${note}`],
    ['a hash with stray bits', `old 1\n${'A'.repeat(42)}B=\n\n${note}`],
    ['a hash in base64url', `old 1\n${hash.replace('5', '-').replace('P', '_')}\n\n${note}`],
    ['a space after a hash', `old 1\n${hash} \n\n${note}`],
    ['64 lines of proof', `old 1\n${`${hash}\n`.repeat(64)}\n${note}`],
    ['no checkpoint', 'old 1\n\n'],
  ])('with %s is malformed', (_what, text) => {
    expect(() => parseAddCheckpoint(utf8(text))).toThrow(malformed);
  });

  it('with 63 lines of proof is read', () => {
    expect(parseAddCheckpoint(utf8(`old 1\n${`${hash}\n`.repeat(63)}\n${note}`)).proof).toHaveLength(63);
  });

  it('that is longer than allowed is refused unread', () => {
    const head = utf8('old 0\n\n');
    expect(() => parseAddCheckpoint(concatBytes(head, new Uint8Array(MAXIMUM_REQUEST)))).toThrow(malformed);
    expect(() => parseAddCheckpoint(concatBytes(head, new Uint8Array(128 * 1024 + 1).fill(65)))).toThrow(malformed);
    expect(parseAddCheckpoint(concatBytes(head, new Uint8Array(128 * 1024).fill(65))).checkpoint).toHaveLength(
      128 * 1024,
    );
  });
});
