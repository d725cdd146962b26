/**
 * The error-correcting checksum of codex32 (BIP-93, "Checksum"): a BCH code over GF(32) of length 93 with 13 check symbols
 * and distance 9. Any 4 wrong symbols, or any 8 unreadable ones, can be put right; see `correct`.
 */

import { GF32, GF1024, power, solve } from './field.ts';

export const CHECK_SYMBOLS = 13;
export const MAXIMUM_SYMBOLS = 93;

/** The 13 lower coefficients of the generator, highest first: the first entry of `GEN` in the BIP. */
const GENERATOR = [25, 27, 17, 8, 0, 25, 25, 25, 31, 27, 24, 16, 16];
/** `MS32_CONST` of the BIP, which spells "secretshare32" in the bech32 alphabet. */
const TARGET = [16, 25, 24, 3, 25, 11, 16, 23, 29, 3, 25, 17, 10];

/** Symbols to characters (BIP-173, "Bech32"): no 1, B, I or O, which look like others. */
export const ALPHABET = 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L';

export const charactersOf = (symbols: readonly number[]): string => symbols.map((symbol) => ALPHABET[symbol]!).join('');

/** The generator has the roots BETA^77 to BETA^84, of order 93 ("Rationale" of the BIP's design: eight in a row). */
const BETA = 8 << 5;
const FIRST_ROOT = 77;
const SYNDROMES = 8;

/** What is left of the symbols, as a polynomial with the first symbol highest, modulo the generator. */
function remainder(symbols: readonly number[], start: readonly number[]): number[] {
  let rest = [...start];
  for (const symbol of symbols) {
    const [top, ...others] = rest as [number, ...number[]];
    rest = [...others, symbol].map((value, index) => value ^ GF32.multiply(top, GENERATOR[index]!));
  }
  return rest;
}

const one = (length: number): number[] => [...zeros(length - 1), 1];
const zeros = (length: number): number[] => new Array<number>(length).fill(0);

/** The prefix as symbols (BIP-173, expansion of the human-readable part). */
function expand(prefix: string): number[] {
  const codes = [...prefix].map((character) => character.codePointAt(0)!);
  return [...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31)];
}

/** The state that symbols are added to: a prefix that everybody knows, so that strings with another one do not verify. */
export function prefixState(prefix: string): number[] {
  return remainder(expand(prefix), one(CHECK_SYMBOLS));
}

/** The 13 symbols to put behind `symbols`, of which there are at most 80. */
export function checkSymbols(state: readonly number[], symbols: readonly number[]): number[] {
  return remainder([...symbols, ...zeros(CHECK_SYMBOLS)], state).map((value, index) => value ^ TARGET[index]!);
}

/** What is wrong with the symbols, checksum included: all zeros where nothing is. */
function residue(state: readonly number[], symbols: readonly number[]): number[] {
  return remainder(symbols, state).map((value, index) => value ^ TARGET[index]!);
}

const isZero = (values: readonly number[]) => values.every((value) => value === 0);

export function verifies(state: readonly number[], symbols: readonly number[]): boolean {
  return isZero(residue(state, symbols));
}

export interface Corrected {
  readonly symbols: readonly number[];
  /** Where symbols were wrong, besides those known to be unreadable. */
  readonly wrong: readonly number[];
}

/**
 * The nearest string that verifies, where `wrong * 2 + unreadable` is at most 8: then it is the right one. With more
 * mistakes than that the result is undefined but for an unlucky few: of random strings, those that happen to lie as near to
 * another valid one, less than 6 in 10^8 for 64 symbols. Whoever calls this checks the result by other means.
 * @param unreadable places whose symbols are unknown; what stands there does not count.
 * @param mostWrong at most this many wrong ones are put right, at most 4.
 */
export function correct(
  state: readonly number[],
  symbols: readonly number[],
  unreadable: readonly number[] = [],
  mostWrong = 4,
): Corrected | undefined {
  if (symbols.length > MAXIMUM_SYMBOLS || unreadable.length > SYNDROMES) return undefined;
  const known = symbols.map((symbol, place) => (unreadable.includes(place) ? 0 : symbol));
  const error = residue(state, known);
  if (unreadable.length === 0 && isZero(error)) return { symbols: known, wrong: [] };
  const most = Math.min(mostWrong, (SYNDROMES - unreadable.length) >> 1);
  const located = locate(error, unreadable, symbols.length, most);
  if (!located) return undefined;
  const places = [...unreadable, ...located];
  const values = solve(
    GF32,
    places.map((place) => unit(symbols.length - 1 - place)),
    error,
  );
  // A place that needs no change was not wrong, so the locator did not fit.
  if (!values || values.slice(unreadable.length).includes(0)) return undefined;
  for (const [index, place] of places.entries()) known[place] = known[place]! ^ values[index]!;
  return verifies(state, known) ? { symbols: known, wrong: located.sort((a, b) => a - b) } : undefined;
}

/** x^degree modulo the generator. */
const UNITS = Array.from({ length: MAXIMUM_SYMBOLS }, (_, degree) =>
  remainder([1, ...zeros(degree)], zeros(CHECK_SYMBOLS)),
);
const unit = (degree: number): readonly number[] => UNITS[degree]!;

const { multiply } = GF1024;
const POWERS = Array.from({ length: MAXIMUM_SYMBOLS }, (_, exponent) => power(GF1024, BETA, exponent));
const betaTo = (exponent: number) => POWERS[exponent % MAXIMUM_SYMBOLS]!;

/** The places of at most `most` wrong symbols (Peterson's algorithm, on syndromes freed of the unreadable ones). */
function locate(
  error: readonly number[],
  unreadable: readonly number[],
  length: number,
  most: number,
): number[] | undefined {
  let syndromes = Array.from({ length: SYNDROMES }, (_, j) =>
    error.reduce(
      (sum, value, index) => sum ^ multiply(value, betaTo((FIRST_ROOT + j) * (CHECK_SYMBOLS - 1 - index))),
      0,
    ),
  );
  for (const place of unreadable) {
    const locator = betaTo(length - 1 - place);
    syndromes = syndromes.slice(1).map((next, j) => next ^ multiply(locator, syndromes[j]!));
  }
  if (isZero(syndromes)) return [];
  for (let count = most; count > 0; count--) {
    const equations = syndromes.length - count;
    const columns = Array.from({ length: count }, (_, k) =>
      Array.from({ length: equations }, (_, row) => syndromes[row + count - 1 - k]!),
    );
    const coefficients = solve(GF1024, columns, syndromes.slice(count));
    if (!coefficients) continue;
    // x^count + c1 x^(count-1) + ... vanishes at the locators of the wrong places.
    const places = Array.from({ length }, (_, place) => place).filter((place) => {
      const x = betaTo(length - 1 - place);
      return coefficients.reduce((sum, coefficient) => multiply(sum, x) ^ coefficient, 1) === 0;
    });
    const fits = places.length === count && !places.some((place) => unreadable.includes(place));
    return fits ? places : undefined;
  }
  return undefined;
}
