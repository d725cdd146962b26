/**
 * Recovery codes: 64 characters that a person keeps on paper, with the alphabet of bech32 (BIP-173) and the error
 * correction of codex32 (BIP-93). Four characters name the code, 47 are secret (235 bits), 13 are checksum.
 */

import { HoldfastError, type Random, Secret, systemRandom } from '../core/index.ts';
import { ALPHABET, CHECK_SYMBOLS, charactersOf, checkSymbols, correct, prefixState, verifies } from './checksum.ts';

export const RECOVERY_CODE_CHARACTERS = 64;
/** The first characters of a code are no secret: they tell which code is meant. */
export const NAME_CHARACTERS = 4;
const GROUP = 4;
/** More than anybody types; longer input is refused unread. */
const MAXIMUM_TYPED = 400;

/** What is read for characters that no code has, and that look like one that codes have. */
const READ_AS: Readonly<Record<string, string>> = { O: '0', I: 'L', 1: 'L' };
const STATE = prefixState('holdfast');

/** A correct code in its one form: 64 characters in upper case, nothing between them. Redacts itself. */
export class RecoveryCode {
  readonly #text: Secret;
  /** Its first four characters, which may be shown and stored. */
  readonly name: string;

  /** @throws HoldfastError `recovery_code_unreadable` for anything but 64 characters that verify. */
  constructor(text: string) {
    const symbols = [...text].map((character) => ALPHABET.indexOf(character));
    if (symbols.length !== RECOVERY_CODE_CHARACTERS || symbols.includes(-1) || !verifies(STATE, symbols)) {
      throw new HoldfastError('recovery_code_unreadable', 'this is not a recovery code');
    }
    this.#text = new Secret(Uint8Array.from(text, (character) => character.charCodeAt(0)));
    this.name = text.slice(0, NAME_CHARACTERS);
  }

  /** The code as it is to be shown, once: 16 groups of four. */
  groups(): string[] {
    const text = String.fromCharCode(...this.#text.reveal());
    return Array.from({ length: text.length / GROUP }, (_, i) => text.slice(i * GROUP, (i + 1) * GROUP));
  }

  /** The groups with hyphens between, 79 characters: the passphrase of what is encrypted for the code. */
  passphrase(): string {
    return this.groups().join('-');
  }

  wipe(): void {
    this.#text.wipe();
  }

  toString(): string {
    return `[recovery code ${this.name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

export function newRecoveryCode(random: Random = systemRandom): RecoveryCode {
  const data = [...random(RECOVERY_CODE_CHARACTERS - CHECK_SYMBOLS)].map((byte) => byte & 31);
  return new RecoveryCode(charactersOf([...data, ...checkSymbols(STATE, data)]));
}

export interface ReadRecoveryCode {
  readonly code: RecoveryCode;
  /** Places (0 to 63) whose character was wrong, missing or unreadable, in the corrected code. */
  readonly corrected: readonly number[];
  /** Characters too many that were left out; 0 or 1. */
  readonly extra: number;
}

/**
 * The code that was meant. Letters may be of either case; spaces, hyphens and line ends do not count; O is read as 0, I and
 * 1 as L; `?` and every other character is one that could not be read. Put right are up to 4 wrong characters anywhere, up
 * to 8 unreadable ones, or both where twice the wrong ones and the unreadable ones are at most 8; and one character left out
 * or one too many, with up to 2 wrong ones besides. Other input is refused, but for a part below 1 in 10 million of random
 * input: so what was corrected is shown to the person, and a code counts once it has opened something.
 * @throws HoldfastError `recovery_code_unreadable`; the details say how many `characters` were read.
 */
export function readRecoveryCode(typed: string): ReadRecoveryCode {
  if (typed.length > MAXIMUM_TYPED) throw unreadable(typed.length);
  const symbols = [...typed.toUpperCase().replace(/[\s\p{Pd}]/gu, '')].map((character) =>
    ALPHABET.indexOf(READ_AS[character] ?? character),
  );
  const difference = symbols.length - RECOVERY_CODE_CHARACTERS;
  if (difference === 0) {
    const found = attempt(symbols, 4);
    if (found) return found;
  } else if (Math.abs(difference) === 1) {
    const every = Array.from({ length: Math.max(symbols.length, RECOVERY_CODE_CHARACTERS) }, (_, place) => place);
    const guesses = every.flatMap((place) => {
      const guess = difference < 0 ? symbols.toSpliced(place, 0, -1) : symbols.toSpliced(place, 1);
      const found = attempt(guess, 2);
      return found ? [{ ...found, extra: Math.max(0, difference) }] : [];
    });
    // Within a run of equal characters it does not matter which one was left out or is too many.
    const texts = new Set(guesses.map(({ code }) => code.groups().join('')));
    const best = guesses.toSorted((a, b) => a.corrected.length - b.corrected.length)[0];
    if (best && texts.size === 1) return best;
  }
  throw unreadable(symbols.length);
}

function attempt(symbols: readonly number[], mostWrong: number): ReadRecoveryCode | undefined {
  const missing = symbols.flatMap((symbol, place) => (symbol < 0 ? [place] : []));
  const found = correct(STATE, symbols, missing, mostWrong);
  if (!found) return undefined;
  const corrected = [...missing, ...found.wrong].sort((a, b) => a - b);
  return { code: new RecoveryCode(charactersOf(found.symbols)), corrected, extra: 0 };
}

function unreadable(characters: number): HoldfastError {
  const count =
    characters === RECOVERY_CODE_CHARACTERS
      ? 'more of its characters are wrong than can be put right'
      : `it has ${RECOVERY_CODE_CHARACTERS} characters, and ${characters} were entered`;
  return new HoldfastError(
    'recovery_code_unreadable',
    `the recovery code cannot be read: ${count}; compare it with your paper, and type ? for what you cannot read`,
    { details: { characters } },
  );
}
