import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fromUtf8, HoldfastError } from '../../src/core/index.ts';
import { normalisePin, normaliseRecoveryCode } from '../../src/crypto/index.ts';

const pin = (text: string) => fromUtf8(normalisePin(text));
const code = (text: string) => fromUtf8(normaliseRecoveryCode(text));

/** What was thrown, or undefined. */
function refusal(action: () => unknown): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return error;
  }
}

function expectRefused(action: () => unknown): void {
  const error = refusal(action);
  expect(error).toBeInstanceOf(HoldfastError);
  expect((error as HoldfastError).code).toBe('bad_input');
}

const nameOf = (text: string) => [...text].map((c) => `U+${c.codePointAt(0)!.toString(16).padStart(4, '0')}`).join(' ');

describe('normalisePin', () => {
  test('keeps what people usually enter', () => {
    for (const text of [
      '0000',
      '123456',
      'correct horse battery staple',
      ' two  spaces ',
      'Straße',
      '密码',
      'P4$$w~rd!',
    ]) {
      expect(pin(text)).toBe(text);
    }
  });

  test('normalising twice changes nothing', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: 'grapheme' }),
      fc.string({ unit: 'grapheme-ascii' }),
    );
    let accepted = 0;
    fc.assert(
      fc.property(texts, (text) => {
        if (refusal(() => pin(text)) !== undefined) return;
        accepted++;
        expect(pin(pin(text))).toBe(pin(text));
      }),
      { numRuns: 500 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  test('never throws anything but bad_input, nor tells the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 3 }), (text) => {
        const error = refusal(() => pin(text));
        if (error === undefined) return;
        expect(error).toBeInstanceOf(HoldfastError);
        expect((error as HoldfastError).code).toBe('bad_input');
        expect((error as HoldfastError).message).not.toContain(text);
      }),
      { numRuns: 500 },
    );
  });

  const SCRIPTS = {
    arabic: 0x660,
    persian: 0x6f0,
    devanagari: 0x966,
    thai: 0xe50,
    fullwidth: 0xff10,
    bold: 0x1d7ce,
    double: 0x1d7d8,
    monospace: 0x1d7f6,
    adlam: 0x1e950,
  };
  test.each(Object.entries(SCRIPTS))('%s digits equal ASCII digits', (_, zero) => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{1,12}$/), (digits) => {
        const written = [...digits].map((digit) => String.fromCodePoint(zero + Number(digit))).join('');
        expect(pin(written)).toBe(digits);
      }),
      { numRuns: 20 },
    );
  });

  test('every decimal digit of Unicode has its compatibility value, where it has one', () => {
    let seen = 0;
    for (let codePoint = 0; codePoint <= 0x10ffff; codePoint++) {
      const digit = codePoint >= 0xd800 && codePoint <= 0xdfff ? '' : String.fromCodePoint(codePoint);
      if (!/^\p{Nd}$/u.test(digit)) continue;
      seen++;
      const compatible = digit.normalize('NFKC');
      expect(pin(digit)).toMatch(/^[0-9]$/);
      if (/^[0-9]$/.test(compatible)) expect(pin(digit)).toBe(compatible);
    }
    expect(seen % 10).toBe(0);
    expect(seen).toBeGreaterThan(600);
  });

  test('composes, and maps every space to U+0020', () => {
    expect(pin('Ame\u0301lie')).toBe('Am\u00e9lie');
    expect(pin('a\u00a0b\u3000c\u2003d\u1680e')).toBe('a b c d e');
    expect(pin('\u1112\u1161\u11ab')).toBe('한');
  });

  test('keeps apart what OpaqueString keeps apart: case, trailing spaces, compatibility forms of letters', () => {
    expect(pin('PIN')).not.toBe(pin('pin'));
    expect(pin('pin ')).not.toBe(pin('pin'));
    expect(pin('\uff50in')).not.toBe(pin('pin'));
  });

  test.each(
    [
      '',
      '\u0000',
      'a\tb',
      'a\nb',
      '\u007f',
      '\u0085',
      'a\u200bb',
      'a\u00adb',
      '\u202eabc',
      '\ufeffabc',
      '\ufdd0',
      '\uffff',
      '\u{1ffff}',
      '\ue000',
      '\u{e0041}',
      '\u2028',
      '\u2029',
      '\u0640',
      '\u302e',
      '\u1100',
      '\u200d',
      '\u034f',
      '\u3164',
      '\ufe0f',
      '\u{e0100}',
      '\u200c',
      '\u0378',
      '\ud800',
      'a\udfff',
      '\u0600',
      '\u2062',
    ].map((text) => [nameOf(text), text]),
  )('refuses %s', (_, text) => {
    expectRefused(() => pin(text));
  });

  test('allows contextual characters in their context only', () => {
    for (const text of ['col·lega', '͵α', 'א׳', 'א״', 'ア・ア', '・ア']) expect(pin(text)).toBe(text);
    for (const text of ['·', 'l·', '·l', 'a·l', '͵a', '͵', '׳', 'a״', '・', 'a・', '・・'])
      expectRefused(() => pin(text));
  });

  test('refuses what is too long, before and after composition', () => {
    expect(normalisePin('a'.repeat(1024))).toHaveLength(1024);
    expectRefused(() => pin('a'.repeat(1025)));
    // U+0958 decomposes for ever, so that composition makes it longer.
    expectRefused(() => pin('\u0958'.repeat(1024)));
  });
});

describe('normaliseRecoveryCode', () => {
  test('reads what a person may make of a code', () => {
    expect(code('abcd-EFGH 1234')).toBe('ABCDEFGH1234');
    expect(code('OoIiLl')).toBe('001111');
    expect(code('\u00a0a‑b—c ٣')).toBe('ABC3');
  });

  test('is idempotent, and blind to case and grouping', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[0-9A-HJKMNP-TV-Z]{1,40}$/),
        fc.integer({ min: 1, max: 8 }),
        (canonical, group) => {
          expect(code(canonical)).toBe(canonical);
          const grouped = canonical.replace(new RegExp(`.{${group}}`, 'g'), '$&-').toLowerCase();
          expect(code(grouped)).toBe(canonical);
        },
      ),
    );
  });

  test.each(['', '-', ' ', 'U', 'abc!', 'ſ', 'ı', 'Ａ', 'a\nb', '\ud800'].map((text) => [nameOf(text), text]))(
    'refuses %s',
    (_, text) => {
      expectRefused(() => code(text));
    },
  );
});
