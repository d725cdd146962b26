import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import {
  cosign,
  decodeCosignature,
  ecdsaToDer,
  fromBase64,
  isKeyName,
  MAXIMUM_SIGNATURES,
  type NoteSignature,
  type NoteSigner,
  newVerifierKey,
  parseNote,
  parseSignatureLines,
  parseVerifierKey,
  serialiseNote,
  serialiseSignatureLine,
  signNote,
  softwareNoteSigner,
  toBase64,
  type VerifierKey,
  verifyNote,
} from '../../../src/trust/index.ts';
import vectors from '../../vectors/c2sp-signed-note.json' with { type: 'json' };
import { ecdsaSigner, ed25519Key } from './keys.ts';

const { vkey, note: example } = vectors.signedNote;
const fails = (code: string) => expect.objectContaining({ code });
const keyOf = (signer: NoteSigner): VerifierKey => parseVerifierKey(signer.verifierKey);

const cosigner = softwareNoteSigner('cosigner.example/bundle', ed25519Key('cosigner'));
const operator = ecdsaSigner('operator.example/bundle');
const witness = softwareNoteSigner('witness.example/w1', ed25519Key('witness'), 'cosignature');
const checkpoint = `log.example/a\n5\n${toBase64(new Uint8Array(32).fill(7))}\n`;

describe('the examples of the specification', () => {
  it('verify with their key', () => {
    const note = parseNote(utf8(example));
    expect(note.text).toBe('This is an example message.\n');
    expect(verifyNote(note, [parseVerifierKey(vkey)])).toEqual([{ key: parseVerifierKey(vkey), seconds: null }]);
    expect(serialiseNote(note)).toBe(example);
  });

  it('are split at the last empty line', () => {
    const note = parseNote(utf8(vectors.noteWithEmptyLine));
    expect(note.text).toMatch(/^Ognuno .*\n\ned è subito sera\.\n$/s);
    expect(note.signatures.map(({ name }) => name)).toEqual(['quasimodo.example/salvatore']);
    expect(serialiseNote(note)).toBe(vectors.noteWithEmptyLine);
  });
});

describe('verifying a note', () => {
  it('finds a signature of every type, in the lines’ order', async () => {
    const note = await signNote(checkpoint, [cosigner, operator]);
    const line = await cosign(checkpoint, witness, 1_800_000_000);
    const all = parseNote(serialiseNote({ text: checkpoint, signatures: [...note.signatures, line] }));
    expect(verifyNote(all, [witness, operator, cosigner].map(keyOf))).toEqual([
      { key: keyOf(cosigner), seconds: null },
      { key: keyOf(operator), seconds: null },
      { key: keyOf(witness), seconds: 1_800_000_000 },
    ]);
  });

  it('brings a token’s ECDSA signature into the one form that it takes', async () => {
    const high = ecdsaSigner('operator.example/bundle', true);
    const note = await signNote('text\n', [high]);
    expect(note).toEqual(await signNote('text\n', [operator]));
    const raw = await high.sign(utf8('text\n'));
    const forged = { text: 'text\n', signatures: [{ ...note.signatures[0]!, signature: raw }] };
    expect(() => verifyNote(forged, [keyOf(high)])).toThrow(fails('untrusted'));
  });

  it('passes over lines of unknown keys, also of the same name or the same ID', async () => {
    const { signatures } = await signNote('text\n', [cosigner]);
    const strangers: NoteSignature[] = [
      { ...signatures[0]!, name: 'other.example', signature: Uint8Array.of(1) },
      { ...signatures[0]!, id: '00000000', signature: Uint8Array.of(1) },
    ];
    const note = { text: 'text\n', signatures: [...strangers, ...signatures, ...strangers] };
    expect(verifyNote(note, [keyOf(cosigner)])).toHaveLength(1);
    expect(() => verifyNote({ ...note, signatures: strangers }, [keyOf(cosigner)])).toThrow(fails('untrusted'));
  });

  it('refuses the whole note for one wrong line of a known key, whatever other lines it has', async () => {
    const note = await signNote('text\n', [cosigner, operator]);
    const other = await signNote('other\n', [operator]);
    const mixed = { text: 'text\n', signatures: [note.signatures[0]!, other.signatures[0]!] };
    expect(() => verifyNote(mixed, [cosigner, operator].map(keyOf))).toThrow(fails('untrusted'));
    // The same line does no harm where its key is not known.
    expect(verifyNote(mixed, [keyOf(cosigner)])).toHaveLength(1);
  });

  it('refuses two lines of one known key, even the same', async () => {
    const { text, signatures } = await signNote('text\n', [cosigner]);
    const twice = { text, signatures: [...signatures, ...signatures] };
    expect(() => verifyNote(twice, [keyOf(cosigner)])).toThrow(fails('untrusted'));
  });

  it('verifies nothing by a key of an unknown type, nor without keys', async () => {
    const note = await signNote('text\n', [cosigner]);
    const { name, id } = keyOf(cosigner);
    const unknown = parseVerifierKey(`${name}+${id}+${toBase64(new Uint8Array(33).fill(6))}`);
    expect(unknown.type).toBe('unknown');
    expect(() => verifyNote(note, [unknown])).toThrow(fails('untrusted'));
    // Nor does such a key's line spoil a note.
    const both = await signNote('text\n', [cosigner, operator]);
    expect(verifyNote(both, [unknown, keyOf(operator)])).toEqual([{ key: keyOf(operator), seconds: null }]);
    expect(() => verifyNote(note, [])).toThrow(fails('untrusted'));
  });

  it('refuses a cosignature of another time, and one on text that is no checkpoint', async () => {
    const line = await cosign(checkpoint, witness, 1_800_000_000);
    const later = { ...line, signature: line.signature.slice() };
    later.signature[7]! ^= 1;
    expect(() => verifyNote({ text: checkpoint, signatures: [later] }, [keyOf(witness)])).toThrow(fails('untrusted'));
    expect(() => verifyNote({ text: 'text\n', signatures: [line] }, [keyOf(witness)])).toThrow(fails('untrusted'));
    await expect(cosign('text\n', witness, 1)).rejects.toThrow(fails('malformed'));
    for (const seconds of [0, -1, 0.5, Number.NaN, 2 ** 53]) {
      await expect(cosign(checkpoint, witness, seconds)).rejects.toThrow(fails('malformed'));
    }
    expect(decodeCosignature(line.signature)?.seconds).toBe(1_800_000_000);
    expect(decodeCosignature(line.signature.slice(1))).toBeUndefined();
    expect(decodeCosignature(new Uint8Array(72))).toBeUndefined();
    expect(decodeCosignature(new Uint8Array(72).fill(0xff))).toBeUndefined();
  });

  it('keeps types apart: one key signs nothing for another type', async () => {
    const key = ed25519Key('shared');
    const plain = softwareNoteSigner('shared.example', key);
    const timed = softwareNoteSigner('shared.example', key, 'cosignature');
    expect(keyOf(plain).id).not.toBe(keyOf(timed).id);
    await expect(signNote(checkpoint, [timed])).rejects.toThrow(fails('bad_input'));
    await expect(cosign(checkpoint, plain, 1)).rejects.toThrow(fails('bad_input'));
  });
});

describe('signing a note', () => {
  it('lets no signature out that its own key does not verify', async () => {
    const wrong: NoteSigner = { ...cosigner, sign: operator.sign };
    await expect(signNote('text\n', [wrong])).rejects.toThrow(fails('unexpected'));
    const misnamed: NoteSigner = { ...cosigner, name: 'another.example' };
    await expect(signNote('text\n', [misnamed])).rejects.toThrow(fails('bad_input'));
  });

  it.each(['', 'no newline', 'tab\t\n', 'return\r\n', 'nul\0\n', '\ud800\n'])('refuses the text %j', async (text) => {
    await expect(signNote(text, [cosigner])).rejects.toThrow(fails('malformed'));
  });
});

describe('reading a note', () => {
  const line = example.slice(example.indexOf('—'));
  it.each([
    ['nothing', ''],
    ['no empty line', `text\n${line}`],
    ['no signature', 'text\n\n'],
    ['no text', `\n${line}`],
    ['no newline at the end', `text\n\n${line.slice(0, -1)}`],
    ['an empty line at the end', `text\n\n${line}\n`],
    ['text after the signatures', `text\n\n${line}text\n`],
    ['a hyphen for the em dash', `text\n\n${line.replace('—', '-')}`],
    ['two spaces after the dash', `text\n\n${line.replace('— ', '—  ')}`],
    ['two spaces after the name', `text\n\n${line.replace('foo ', 'foo  ')}`],
    ['a space at the line’s end', `text\n\n${line.replace('=\n', '= \n')}`],
    ['a plus in the name', `text\n\n${line.replace('foo', 'f+o')}`],
    ['a no-break space in the name', `text\n\n${line.replace('foo', 'f\u00a0o')}`],
    ['a next-line character in the name', `text\n\n${line.replace('foo', 'f\u0085o')}`],
    ['no padding', `text\n\n${line.replace('=', '')}`],
    ['stray bits in the last digit', `text\n\n${line.replace('QM=', 'QN=')}`],
    ['base64url', `text\n\n${line.replaceAll('+', '-').replace('Uw', '-w')}`],
    ['a signature of no bytes', 'text\n\n— a AAAAAA==\n'],
    ['a carriage return', `text\r\n\n${line}`],
    ['a tab', `te\txt\n\n${line}`],
    ['a carriage return at a line’s end', `text\n\n${line.replace('\n', '\r\n')}`],
  ])('refuses %s', (_, text) => {
    expect(() => parseNote(utf8(text))).toThrow(fails('malformed'));
    expect(() => parseNote(text)).toThrow(fails('malformed'));
  });

  it('refuses what is not UTF-8, and keeps a byte order mark as text', () => {
    expect(() => parseNote(Uint8Array.of(0xff, ...utf8(example)))).toThrow(fails('malformed'));
    expect(parseNote(utf8(`\ufeff${example}`)).text.startsWith('\ufeffThis')).toBe(true);
    expect(() => parseNote(`\ud800${example}`)).toThrow(fails('malformed'));
  });

  it('reads at most 100 signatures and as many bytes as it may', () => {
    expect(parseNote(`text\n\n${line.repeat(MAXIMUM_SIGNATURES)}`).signatures).toHaveLength(100);
    expect(() => parseNote(`text\n\n${line.repeat(MAXIMUM_SIGNATURES + 1)}`)).toThrow(fails('too_large'));
    const bytes = utf8(example).length;
    expect(parseNote(example, { maximumBytes: bytes }).signatures).toHaveLength(1);
    expect(() => parseNote(example, { maximumBytes: bytes - 1 })).toThrow(fails('too_large'));
    expect(() => parseNote(utf8(example), { maximumBytes: bytes - 1 })).toThrow(fails('too_large'));
    expect(() => parseNote(new Uint8Array(2_000_000))).toThrow(fails('too_large'));
  });

  it('gives back any note that was written', () => {
    const names = fc.string({ minLength: 1, maxLength: 20, unit: 'binary' }).filter(isKeyName);
    const signature = fc.record({
      name: names,
      id: fc.uint8Array({ minLength: 4, maxLength: 4 }).map((id) => Buffer.from(id).toString('hex')),
      signature: fc.uint8Array({ minLength: 1, maxLength: 100 }),
    });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what signed-note forbids
    const texts = fc.string({ unit: 'binary' }).map((text) => `${text.replace(/[\x00-\x09\x0b-\x1f]/g, '\n')}\n`);
    fc.assert(
      fc.property(texts, fc.array(signature, { minLength: 1, maxLength: 5 }), (text, signatures) => {
        const written = serialiseNote({ text, signatures });
        expect(parseNote(utf8(written))).toEqual({ text, signatures });
        expect(parseNote(written)).toEqual({ text, signatures });
      }),
    );
  });

  it('does not verify with any one byte changed', async () => {
    const written = utf8(serialiseNote(await signNote('line\n\nline\n', [cosigner, operator])));
    const keys = [cosigner, operator].map(keyOf);
    const position = fc.nat(written.length - 1);
    fc.assert(
      fc.property(position, fc.integer({ min: 1, max: 255 }), (at, difference) => {
        const changed = written.slice();
        changed[at]! ^= difference;
        expect(() => {
          // A changed name or ID makes a line an unknown one: then one of the two signatures is missing.
          if (verifyNote(parseNote(changed), keys).length < 2)
            throw new HoldfastError('untrusted', 'a line is missing');
        }).toThrow(HoldfastError);
      }),
      { numRuns: 500 },
    );
  });

  it('never throws anything but its own errors', () => {
    const pieces = fc.constantFrom('\n', '\n\n', '— ', 'a', ' ', line, '=', '+', '\u0000', '\u{1f600}');
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
        try {
          expect(serialiseNote(parseNote(parts.join('')))).toBe(parts.join(''));
        } catch (error) {
          expect(error).toBeInstanceOf(HoldfastError);
        }
      }),
    );
  });
});

describe('lines of signatures by themselves', () => {
  it('are read as they are written', async () => {
    const { signatures } = await signNote('text\n', [cosigner, operator]);
    expect(parseSignatureLines(signatures.map(serialiseSignatureLine).join(''))).toEqual(signatures);
  });

  it.each(['', '\n', 'text\n', '— a\n'])('are not %j', (text) => {
    expect(() => parseSignatureLines(text)).toThrow(fails('malformed'));
  });
});

describe('verifier keys', () => {
  it.each([vkey, ...[cosigner, operator, witness].map((signer) => signer.verifierKey)])('%s', (text) => {
    const key = parseVerifierKey(text);
    expect(key.text).toBe(text);
    expect(newVerifierKey(key.name, key.type as 'ed25519', key.publicKey)).toEqual(key);
  });

  const [name, id, key] = vkey.split(/\+(.{8})\+/) as [string, string, string];
  const p256 = keyOf(operator).text.split(/\+[0-9a-f]{8}\+/)[1]!;
  it.each([
    ['', 'nothing'],
    [`${name}+${id}`, 'no key'],
    [`+${id}+${key}`, 'no name'],
    [`${name}+530d903b+${key}`, 'another ID'],
    [`other+${id}+${key}`, 'another name'],
    [`${name}+${id.toUpperCase()}+${key}`, 'an ID in capitals'],
    [`na me+${id}+${key}`, 'a space'],
    [`${name}+${id}+${key}\n`, 'a newline'],
    [`${name}+${id}+AQ==`, 'no key after the type'],
    [`${name}+${id}+${key.slice(0, -4)}`, 'a short key'],
    [`operator.example/bundle+${keyOf(operator).id}+${p256.replace('AjBZ', 'AjBa')}`, 'another SPKI'],
    [`${name}+${id}+${'A'.repeat(5000)}`, 'too many characters'],
  ])('are not %s (%s)', (text) => {
    expect(() => parseVerifierKey(text)).toThrow(fails('bad_input'));
  });

  it('have the key ID of the public key alone for ECDSA', () => {
    const { publicKey } = keyOf(operator);
    expect(newVerifierKey('a', 'ecdsa', publicKey).id).toBe(newVerifierKey('b', 'ecdsa', publicKey).id);
    expect(() => newVerifierKey('a', 'ecdsa', publicKey.slice(1))).toThrow(fails('bad_input'));
    expect(() => newVerifierKey('a', 'ed25519', publicKey)).toThrow(fails('bad_input'));
  });
});

describe('DER of ECDSA', () => {
  it('has one form, and any change of it is refused', async () => {
    const note = await signNote('text\n', [operator]);
    const [line] = note.signatures;
    const { signature } = line!;
    const variants = [
      Uint8Array.of(...signature, 0),
      signature.slice(0, -1),
      // A longer length form, and a zero before r.
      Uint8Array.of(0x30, 0x81, ...signature.slice(1)),
      Uint8Array.of(0x30, signature[1]! + 1, 2, signature[3]! + 1, 0, ...signature.slice(4)),
      Uint8Array.of(0x31, ...signature.slice(1)),
      new Uint8Array(),
      Uint8Array.of(0x30, 0),
      new Uint8Array(64),
    ];
    for (const variant of variants) {
      const changed = { text: note.text, signatures: [{ ...line!, signature: variant }] };
      expect(() => verifyNote(changed, [keyOf(operator)])).toThrow(fails('untrusted'));
    }
    expect(() => ecdsaToDer(new Uint8Array(64))).toThrow(fails('malformed'));
  });

  it('of small numbers is short', () => {
    const small = new Uint8Array(64);
    small[31] = 1;
    small[63] = 0x80;
    expect([...ecdsaToDer(small)]).toEqual([0x30, 7, 2, 1, 1, 2, 2, 0, 0x80]);
  });
});

it('base64 is read in its one form only', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 50 }), (bytes) => {
      expect(toBase64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
      expect(fromBase64(toBase64(bytes))).toEqual(bytes);
    }),
  );
  for (const text of ['A', 'AA', 'AAA', 'AB==', 'AAB=', 'AA=', 'A===', 'AA==AAAA', 'AA ==', 'AA==\n', '-_==']) {
    expect(() => fromBase64(text)).toThrow(fails('malformed'));
  }
});
