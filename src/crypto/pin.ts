/** What a person types, as the one byte string that it stands for (RFC 8265 OpaqueString; RFC 8264 FreeformClass). */

import { HoldfastError, utf8 } from '../core/index.ts';

/** Longest PIN, password or recovery code, in UTF-16 code units, before and after normalisation. */
const MAXIMUM_LENGTH = 1024;

// RFC 8264 section 9.6: exceptions that are disallowed although their general category would allow them.
const DISALLOWED_EXCEPTIONS = /[\u0640\u07FA\u302E\u302F\u3031-\u3035\u303B]/u;
// Section 9.9, conjoining jamo that did not compose into a syllable.
const OLD_HANGUL_JAMO = /[\u1100-\u11FF\uA960-\uA97C\uD7B0-\uD7FB]/u;
// Section 9.13, which includes the two join controls. Their contextual rule needs character properties that JavaScript
// does not have, so they are refused everywhere: stricter than the profile, and never a different byte string.
const IGNORABLE = /[\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}]/u;
// Section 4.3: letters, digits, marks, symbols, punctuation and the one space that is left; so no controls, formats,
// private use, surrogates, line separators or code points that this runtime's Unicode does not know.
const FREEFORM = /^[\p{L}\p{M}\p{N}\p{S}\p{P} ]*$/u;

// RFC 5892 appendix A.3 to A.7, characters that are allowed in one context only.
const OUT_OF_CONTEXT: readonly RegExp[] = [
  /(?<!l)\u00B7|\u00B7(?!l)/u,
  /\u0375(?!\p{Script=Greek})/u,
  /(?<!\p{Script=Hebrew})[\u05F3\u05F4]/u,
];
const KATAKANA_MIDDLE_DOT = /\u30FB/u;
const JAPANESE = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;

// Crockford's base 32: no U, and the letters that look like digits are read as those.
const RECOVERY_CODE = /^[0-9A-HJKMNP-TV-Z]+$/;

function refuse(what: string): HoldfastError {
  return new HoldfastError('bad_input', what);
}

/**
 * Decimal digits of any script as ASCII. Unicode keeps each script's digits contiguous and ascending from zero, and
 * scripts that touch each other have ten each, so the distance from the start of the run tells the value.
 */
function asciiDigits(text: string): string {
  return text.replace(/\p{Nd}/gu, (digit) => {
    const codePoint = digit.codePointAt(0)!;
    if (codePoint <= 0x39) return digit;
    let start = codePoint;
    while (/^\p{Nd}$/u.test(String.fromCodePoint(start - 1))) start--;
    return String((codePoint - start) % 10);
  });
}

function checkLength(text: string): void {
  if (text.length === 0) throw refuse('nothing was entered; enter at least one character');
  if (text.length > MAXIMUM_LENGTH) throw refuse(`enter at most ${MAXIMUM_LENGTH} characters`);
}

function checkCharacters(text: string): void {
  const outOfContext =
    OUT_OF_CONTEXT.some((rule) => rule.test(text)) || (KATAKANA_MIDDLE_DOT.test(text) && !JAPANESE.test(text));
  const disallowed =
    !FREEFORM.test(text) || IGNORABLE.test(text) || OLD_HANGUL_JAMO.test(text) || DISALLOWED_EXCEPTIONS.test(text);
  if (outOfContext || disallowed)
    throw refuse('it has a character that cannot be used; choose letters, digits or signs');
}

/**
 * The bytes that a PIN or password stands for: decimal digits of any script become ASCII, then the OpaqueString profile
 * (RFC 8265 section 4.2.2): every space becomes U+0020, normalisation form C, nothing trimmed, no case folded.
 * @returns UTF-8 of 1 to 3,072 bytes. Normalising them again changes nothing.
 * @throws HoldfastError `bad_input` if `text` is empty, too long or has a character that the profile disallows.
 */
export function normalisePin(text: string): Uint8Array<ArrayBuffer> {
  checkLength(text);
  const normalised = asciiDigits(text)
    .replace(/\p{Zs}/gu, ' ')
    .normalize('NFC');
  checkLength(normalised);
  checkCharacters(normalised);
  return utf8(normalised);
}

/**
 * The bytes that a recovery code stands for: upper case, without the spaces and hyphens that group it, O read as 0, and
 * I and L read as 1 (Crockford's base 32).
 * @returns ASCII of 1 to 1,024 bytes.
 * @throws HoldfastError `bad_input` if a character is left that such codes never have, or nothing is.
 */
export function normaliseRecoveryCode(text: string): Uint8Array<ArrayBuffer> {
  checkLength(text);
  const code = asciiDigits(text)
    .replace(/[\p{Zs}\p{Pd}]/gu, '')
    .replace(/[a-z]/g, (letter) => letter.toUpperCase())
    .replaceAll('O', '0')
    .replace(/[IL]/g, '1');
  if (!RECOVERY_CODE.test(code)) throw refuse('this is not a recovery code; it has only digits and letters');
  return utf8(code);
}
