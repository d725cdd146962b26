/** Step 1 of verifying a fleet: everything is read, within limits and in its one form, before anything is believed. */

import { HoldfastError } from '../../core/index.ts';
import { type Bundle, type LiveManifest, parseBundle, parseRoster, type Roster, requireLive } from '../bundle/index.ts';
import { MAXIMUM_LINES } from '../signatures.ts';
import { withCode } from '../text.ts';
import {
  type Checkpoint,
  parseCheckpoint,
  parseNote,
  parseTlogProof,
  type SignedNote,
  serialiseNote,
  type TlogProof,
} from '../tlog/index.ts';
import { parseTrustSet } from './trust-set.ts';

/** A trust set, read. Nothing in it is authenticated. */
export interface ReadSet {
  /** The acceptance as its leaf has it after the type line, and as a note. */
  readonly acceptanceNote: string;
  readonly note: SignedNote;
  readonly bundle: Bundle<LiveManifest>;
  readonly acceptance: TlogProof;
  readonly rosterText: string;
  readonly rosterNote: SignedNote;
  readonly roster: Roster;
  readonly rosterProof: TlogProof;
  readonly checkpoint: Checkpoint;
  readonly revocation: { readonly note: SignedNote; readonly bundle: Bundle } | undefined;
  readonly policies: readonly string[];
}

/** @throws HoldfastError `bundle_malformed`; `proof_invalid` if the two proofs are not of one checkpoint. */
export function readTrustSet(bytes: Uint8Array): ReadSet {
  return withCode('bundle_malformed', () => {
    const set = parseTrustSet(bytes);
    const note = readNote(set.bundle);
    const rosterNote = readNote(set.roster);
    const acceptance = parseTlogProof(set.acceptance);
    const rosterProof = parseTlogProof(set.rosterProof);
    checkLines(acceptance.checkpoint);
    if (serialiseNote(acceptance.checkpoint) !== serialiseNote(rosterProof.checkpoint)) {
      throw new HoldfastError(
        'proof_invalid',
        'the proofs for the bundle and for the list of fleets come from different states of the log; somebody may have mixed them',
      );
    }
    const revocation = set.revocation === undefined ? undefined : readNote(set.revocation);
    return {
      acceptanceNote: set.bundle,
      note,
      bundle: requireLive(parseBundle(note.text)),
      acceptance,
      rosterText: set.roster,
      rosterNote,
      roster: parseRoster(rosterNote.text),
      rosterProof,
      checkpoint: parseCheckpoint(acceptance.checkpoint.text),
      revocation: revocation && { note: revocation, bundle: parseBundle(revocation.text) },
      policies: set.policies,
    };
  });
}

function readNote(text: string): SignedNote {
  const note = parseNote(text);
  checkLines(note);
  return note;
}

function checkLines({ signatures }: SignedNote): void {
  if (signatures.length <= MAXIMUM_LINES) return;
  throw new HoldfastError('bundle_malformed', `a note has more than ${MAXIMUM_LINES} signatures`);
}
