/**
 * Holding the signing journal against the log: what a key signed and the log does not show, or the other way round, is
 * misuse of the key, a cut journal, or a log that shows different histories.
 */

import type { JournalEntry } from './journal-format.ts';
import type { Purpose } from './purposes.ts';

/** A signature that the log shows. */
export interface LoggedSignature {
  readonly purpose: Purpose;
  /** SHA-256 of the signed message, 64 hex digits. */
  readonly digest: string;
}

export interface JournalComparison {
  /** Signed, and not in the log. The newest may still be on their way. */
  readonly notLogged: readonly JournalEntry[];
  /** In the log under this key, and never signed by it as far as the journal tells. */
  readonly notSigned: readonly LoggedSignature[];
}

/**
 * Compares entries of one key, or of several, with the signatures of the same keys in the log; purposes that are not in
 * `purposes` are left out on both sides. How often something was signed or logged does not count.
 */
export function compareJournal(
  entries: Iterable<JournalEntry>,
  logged: Iterable<LoggedSignature>,
  purposes: readonly Purpose[],
): JournalComparison {
  const name = ({ purpose, digest }: LoggedSignature) => `${purpose} ${digest}`;
  const signed = [...entries].filter((entry) => purposes.includes(entry.purpose));
  const shown = [...logged].filter((each) => purposes.includes(each.purpose));
  const [signedNames, shownNames] = [new Set(signed.map(name)), new Set(shown.map(name))];
  return {
    notLogged: signed.filter((entry) => !shownNames.has(name(entry))),
    notSigned: shown.filter((each) => !signedNames.has(name(each))),
  };
}
