/** Recovery codes as people type them: what is put right, what is refused, and what never shows. */

import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newRecoveryCode, RecoveryCode, readRecoveryCode } from '../../src/recovery/index.ts';

const ALPHABET = [...'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L'];
const code = fc.uint8Array({ minLength: 51, maxLength: 51 }).map((bytes) => newRecoveryCode(() => bytes));
const textOf = (one: RecoveryCode) => one.groups().join('');
const read = (typed: string) => textOf(readRecoveryCode(typed).code);

describe('a recovery code', () => {
  it('has 64 characters in 16 groups of four, and only those that look like no other', () => {
    const fresh = newRecoveryCode();
    expect(fresh.groups()).toHaveLength(16);
    expect(textOf(fresh)).toMatch(/^[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{64}$/);
    expect(fresh.name).toBe(fresh.groups()[0]);
    expect(textOf(newRecoveryCode())).not.toBe(textOf(fresh));
  });

  it('takes its 255 random bits from the generator that it is given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 51, maxLength: 51 }), (bytes) => {
        const text = textOf(newRecoveryCode(() => bytes));
        expect([...text.slice(0, 51)].map((c) => ALPHABET.indexOf(c))).toEqual([...bytes].map((byte) => byte & 31));
      }),
    );
  });

  it('shows its name and nothing else where something prints it', () => {
    const fresh = newRecoveryCode();
    for (const shown of [String(fresh), JSON.stringify(fresh), inspect(fresh), inspect(fresh, { showHidden: true })]) {
      expect(shown).toContain(fresh.name);
      expect(shown).not.toContain(textOf(fresh).slice(4, 12));
    }
  });

  it('has one passphrase, the same everywhere', () => {
    // The exact bytes: whoever changes them locks people out.
    const fixed = newRecoveryCode((length) => Uint8Array.from({ length }, (_, i) => i));
    expect(fixed.passphrase()).toBe('QPZR-Y9X8-GF2T-VDW0-S3JN-54KH-CE6M-UA7L-QPZR-Y9X8-GF2T-VDW0-S3J9-P0GZ-0Q9U-YJ2C');
  });
});

describe('reading', () => {
  it('does not care for case, spaces, hyphens, line ends, nor for O, I and 1', () => {
    fc.assert(
      fc.property(code, fc.constantFrom(' ', '-', '\n', ' – ', ' ', ''), fc.boolean(), (one, between, lower) => {
        const shown = one.groups().join(between).replaceAll('0', 'O').replace('L', 'I').replaceAll('L', '1');
        const { code: found, corrected, extra } = readRecoveryCode(lower ? shown.toLowerCase() : shown);
        expect(textOf(found)).toBe(textOf(one));
        expect({ corrected, extra }).toEqual({ corrected: [], extra: 0 });
      }),
    );
  });

  const places = (count: number) => fc.uniqueArray(fc.nat(63), { minLength: count, maxLength: count });

  it.each([1, 2, 3, 4])('puts %i wrong characters right and says where', (count) => {
    fc.assert(
      fc.property(code, places(count), fc.infiniteStream(fc.nat(30)), (one, where, steps) => {
        const characters = [...textOf(one)];
        for (const place of where) {
          const step = 1 + (steps.next().value as number);
          characters[place] = ALPHABET[(ALPHABET.indexOf(characters[place]!) + step) % 32]!;
        }
        const found = readRecoveryCode(characters.join(''));
        expect(textOf(found.code)).toBe(textOf(one));
        expect(found.corrected).toEqual(where.toSorted((a, b) => a - b));
      }),
    );
  });

  it('fills in up to eight characters that could not be read', () => {
    fc.assert(
      fc.property(code, fc.nat(8).chain(places), fc.constantFrom('?', 'B', '_', '#', 'ß', '🙂'), (one, where, mark) => {
        // One emoji is one character, and what upper case makes two of is none of ours.
        fc.pre(mark !== 'ß');
        const characters = [...textOf(one)];
        for (const place of where) characters[place] = mark;
        expect(read(characters.join(''))).toBe(textOf(one));
      }),
    );
  });

  it('finds the one character that was left out, and the one that is too many, with up to two wrong ones besides', () => {
    fc.assert(
      fc.property(
        code,
        fc.nat(63),
        fc.nat(2).chain(places),
        fc.boolean(),
        fc.constantFrom(...ALPHABET),
        (one, at, wrong, missing, character) => {
          const characters = [...textOf(one)];
          for (const place of wrong) characters[place] = ALPHABET[(ALPHABET.indexOf(characters[place]!) + 5) % 32]!;
          if (missing) characters.splice(at, 1);
          else characters.splice(at, 0, character);
          expect(read(characters.join(''))).toBe(textOf(one));
        },
      ),
      // The same draws each time: at one place in millions another code is as near (see checksum.test.ts).
      { numRuns: 60, seed: 1 },
    );
  });

  it('never takes more mistakes than it promises for another code', () => {
    fc.assert(
      fc.property(
        code,
        fc.integer({ min: 5, max: 30 }).chain(places),
        fc.integer({ min: 1, max: 31 }),
        (one, where, step) => {
          const characters = [...textOf(one)];
          for (const place of where) characters[place] = ALPHABET[(ALPHABET.indexOf(characters[place]!) + step) % 32]!;
          expect(() => readRecoveryCode(characters.join(''))).toThrowError(
            expect.objectContaining({ code: 'recovery_code_unreadable', details: { characters: 64 } }),
          );
        },
      ),
      // The same draws each time: five mistakes may by bad luck lie within four of another code.
      { numRuns: 1000, seed: 1 },
    );
  });

  it('refuses random text of any length, quickly, with the number of characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (typed) => {
        expect(() => readRecoveryCode(typed)).toThrowError(
          expect.objectContaining({ code: 'recovery_code_unreadable' }),
        );
      }),
      { numRuns: 300 },
    );
    expect(() => readRecoveryCode('Q'.repeat(62))).toThrow(/64 characters, and 62 were entered/);
    expect(() => readRecoveryCode('Q'.repeat(1_000_000))).toThrow(/64 characters/);
  });

  it('makes no code out of text that does not verify', () => {
    const text = textOf(newRecoveryCode());
    expect(() => new RecoveryCode(text.toLowerCase())).toThrow();
    expect(() => new RecoveryCode(`${text[63]}${text.slice(1, 63)}${text[0] === text[63] ? 'Q' : text[0]}`)).toThrow();
    expect(() => new RecoveryCode(text.slice(1))).toThrow();
  });
});
