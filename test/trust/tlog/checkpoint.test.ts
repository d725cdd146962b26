import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hexToBytes, utf8 } from '../../../src/core/index.ts';
import {
  cosignatureMessage,
  newVerifierKey,
  parseCheckpoint,
  parseNote,
  serialiseCheckpoint,
  toBase64,
  verifyNote,
} from '../../../src/trust/index.ts';
import specification from '../../vectors/c2sp-signed-note.json' with { type: 'json' };
import litewitness from '../../vectors/torchwood-litewitness.json' with { type: 'json' };

const fails = (code: string) => expect.objectContaining({ code });
const root = toBase64(new Uint8Array(32).fill(9));

describe('checkpoints', () => {
  it('are read as in the specification’s example', () => {
    const note = parseNote(specification.cosignedCheckpoint);
    const checkpoint = parseCheckpoint(note.text);
    expect(checkpoint).toMatchObject({ origin: 'example.com/behind-the-sofa', size: 20852163, extensions: [] });
    expect(serialiseCheckpoint(checkpoint)).toBe(note.text);
    const { seconds, message } = specification.cosignatureMessage;
    expect(cosignatureMessage(note.text, seconds)).toEqual(utf8(message));
  });

  it('that another implementation signed verify, and one that it spoiled does not', () => {
    const key = newVerifierKey(litewitness.origin, 'ed25519', hexToBytes(litewitness.publicKey));
    for (const text of litewitness.checkpoints) expect(verifyNote(parseNote(text), [key])).toHaveLength(1);
    // Its last base64 digit has stray bits set, which makes it malformed here before it is verified.
    expect(() => parseNote(litewitness.badSignature)).toThrow(fails('malformed'));
    const other = litewitness.badSignature.replace('6gx=', '6gw=');
    expect(() => verifyNote(parseNote(other), [key])).toThrow(fails('untrusted'));
  });

  it('of Holdfast have no extension lines; the reader tells them apart', () => {
    const text = `log.example\n5\n${root}\nextension one\nextension two\n`;
    expect(() => parseCheckpoint(text)).toThrow(fails('malformed'));
    const checkpoint = parseCheckpoint(text, { extensions: 'allow' });
    expect(checkpoint.extensions).toEqual(['extension one', 'extension two']);
    expect(serialiseCheckpoint(checkpoint)).toBe(text);
    expect(new TextDecoder().decode(cosignatureMessage(text, 3))).toBe(`cosignature/v1\ntime 3\n${text}`);
  });

  it.each([
    '',
    '\n\n\n',
    `\n5\n${root}\n`,
    `log\n5\n${root}`,
    `log\n5\n`,
    `log\n05\n${root}\n`,
    `log\n+5\n${root}\n`,
    `log\n-5\n${root}\n`,
    `log\n5.0\n${root}\n`,
    `log\n5 \n${root}\n`,
    `log\n1e3\n${root}\n`,
    `log\n\n${root}\n`,
    `log\n9007199254740992\n${root}\n`,
    `log\n99999999999999999999\n${root}\n`,
    `log\n5\n${root.slice(1)}\n`,
    `log\n5\n${root.replace('=', '')}\n`,
    `log\n5\n${toBase64(new Uint8Array(31))}\n`,
    `log\n5\n${toBase64(new Uint8Array(33))}\n`,
    `log\n5\n${root}\n\n`,
    `log\n5\n${root}\n\nextension\n`,
    `lo\tg\n5\n${root}\n`,
    `log\r\n5\n${root}\n`,
    `${'l'.repeat(1025)}\n5\n${root}\n`,
    `log\n5\n${root}\n${'x'.repeat(70_000)}\n`,
  ])('are not %j', (text) => {
    expect(() => parseCheckpoint(text, { extensions: 'allow' })).toThrow(fails('malformed'));
  });

  it('are given back as written', () => {
    const line = fc.string({ minLength: 1, unit: 'grapheme' }).filter((text) => !text.includes('\n'));
    const parts = fc.record({
      origin: line,
      size: fc.maxSafeNat(),
      root: fc.uint8Array({ minLength: 32, maxLength: 32 }),
      extensions: fc.array(line, { maxLength: 3 }),
    });
    fc.assert(
      fc.property(parts, (checkpoint) => {
        expect(parseCheckpoint(serialiseCheckpoint(checkpoint), { extensions: 'allow' })).toEqual(checkpoint);
      }),
    );
    expect(() => serialiseCheckpoint({ origin: 'a\nb', size: 1, root: new Uint8Array(32) })).toThrow(
      fails('malformed'),
    );
    expect(() => serialiseCheckpoint({ origin: 'a', size: 0.5, root: new Uint8Array(32) })).toThrow(fails('malformed'));
    expect(() => serialiseCheckpoint({ origin: 'a', size: 1, root: new Uint8Array(31) })).toThrow(fails('malformed'));
  });
});
