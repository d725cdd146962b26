import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import {
  hashEntry,
  parseTlogProof,
  proveInclusion,
  provesInclusion,
  serialiseCheckpoint,
  serialiseTlogProof,
  signNote,
  softwareNoteSigner,
  TileWriter,
  type TlogProof,
  tileHashReader,
  tilePath,
} from '../../../src/trust/index.ts';
import { ed25519Key } from './keys.ts';

const fails = (code: string) => expect.objectContaining({ code });
const origin = 'log.example/a';
const signer = softwareNoteSigner(origin, ed25519Key('log'));

async function proofOf(index: number, size: number): Promise<TlogProof> {
  const writer = new TileWriter();
  while (writer.size < size) writer.append(utf8(`entry ${writer.size}`));
  const tiles = new Map(writer.take().map(({ tile, data }) => [tilePath(tile), data]));
  const reader = tileHashReader(size, async (tile) => tiles.get(tilePath(tile))!);
  const { hashes } = await proveInclusion(index, size, reader);
  return { index, hashes, checkpoint: await signNote(serialiseCheckpoint({ origin, ...writer.head() }), [signer]) };
}

describe('a proof in one text', () => {
  it('is read as written, and proves its leaf and no other', async () => {
    for (const [index, size] of [
      [0, 1],
      [3, 7],
      [299, 300],
    ] as const) {
      const proof = await proofOf(index, size);
      for (const each of [proof, { ...proof, extra: utf8('extra data') }]) {
        const read = parseTlogProof(serialiseTlogProof(each));
        expect(read).toEqual(each);
        expect(provesInclusion(read, hashEntry(utf8(`entry ${index}`)))).toBe(true);
        expect(provesInclusion(read, hashEntry(utf8('entry 1')))).toBe(false);
        expect(provesInclusion({ ...read, index: index + 1 }, hashEntry(utf8(`entry ${index}`)))).toBe(false);
      }
    }
  });

  it('has the lines of the specification', async () => {
    const proof = await proofOf(2, 4);
    const lines = serialiseTlogProof({ ...proof, extra: Uint8Array.of(1, 2) }).split('\n');
    expect(lines.slice(0, 3)).toEqual(['c2sp.org/tlog-proof@v1', 'extra AQI=', 'index 2']);
    expect(lines.slice(5, 8)).toEqual(['', origin, '4']);
  });

  it('is refused in any other form', async () => {
    const text = serialiseTlogProof({ ...(await proofOf(2, 4)), extra: Uint8Array.of(1, 2) });
    const [hash] = text.split('\n').slice(3, 4);
    const cases: Record<string, string> = {
      nothing: '',
      'another first line': text.replace('@v1', '@v2'),
      'a space at its start': ` ${text}`,
      'no index': text.replace('index 2\n', ''),
      'an index in another form': text.replace('index 2', 'index 02'),
      'an index with a sign': text.replace('index 2', 'index +2'),
      'an index too large': text.replace('index 2', 'index 9007199254740992'),
      'extra data that is empty': text.replace('extra AQI=', 'extra '),
      'extra data without padding': text.replace('AQI=', 'AQI'),
      'extra data twice': text.replace('extra AQI=\n', 'extra AQI=\nextra AQI=\n'),
      'extra data after the index': text.replace('extra AQI=\nindex 2\n', 'index 2\nextra AQI=\n'),
      'a hash that is short': text.replace(hash!, hash!.slice(4)),
      'a hash of no canonical base64': text.replace(hash!, `${hash!.slice(0, -2)}!=`),
      'no empty line': text.replace('\n\n', '\n'),
      'two empty lines': text.replace('\n\n', '\n\n\n'),
      'a checkpoint without signatures': text.slice(0, text.lastIndexOf('\n\n') + 2),
      'a checkpoint that is none': text.replace(`${origin}\n4\n`, `${origin}\nfour\n`),
      'carriage returns': text.replaceAll('\n', '\r\n'),
      'no newline at its end': text.slice(0, -1),
    };
    for (const [name, changed] of Object.entries(cases)) {
      expect(changed, name).not.toBe(text);
      expect(() => parseTlogProof(changed), name).toThrow(fails('malformed'));
    }
    const many = text.replace(`${hash}\n`, `${hash}\n`.repeat(64));
    expect(() => parseTlogProof(many)).toThrow(fails('too_large'));
    expect(() => parseTlogProof('a'.repeat(2_000_000))).toThrow(fails('too_large'));
  });

  it('is not written from what could not be read', async () => {
    const proof = await proofOf(2, 4);
    expect(() => serialiseTlogProof({ ...proof, extra: new Uint8Array() })).toThrow(fails('malformed'));
    expect(() => serialiseTlogProof({ ...proof, index: -1 })).toThrow(fails('malformed'));
    expect(() => serialiseTlogProof({ ...proof, hashes: [new Uint8Array(31)] })).toThrow(fails('malformed'));
    const note = await signNote('text\n', [signer]);
    expect(() => serialiseTlogProof({ ...proof, checkpoint: note })).toThrow(fails('malformed'));
  });

  it('never proves anything else with one byte changed, and fails by its own errors only', async () => {
    const proof = await proofOf(5, 9);
    const bytes = utf8(serialiseTlogProof(proof));
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = bytes.slice();
        changed[at]! ^= difference;
        try {
          const read = parseTlogProof(new TextDecoder().decode(changed));
          // A change in the checkpoint itself is for its signature to show.
          const same = JSON.stringify(read.checkpoint) === JSON.stringify(proof.checkpoint);
          if (same) expect(provesInclusion(read, hashEntry(utf8('entry 5')))).toBe(false);
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
      { numRuns: 500 },
    );
  });
});
