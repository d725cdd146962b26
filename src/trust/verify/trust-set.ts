/** What a client fetches to verify a fleet: one file, so that nothing in it can be mixed with parts of another (docs/trust.md, section 5). */

import { bytesToHex, fromUtf8, HoldfastError, parseJson, sha256, utf8 } from '../../core/index.ts';
import { canonicalJson } from '../canonical.ts';
import type { Digest } from '../fields.ts';
import { MAXIMUM_LATER_POLICIES } from '../policy/index.ts';
import { withCode } from '../text.ts';

export interface TrustSet {
  /** The accepted bundle: a signed note, as its leaf has it after the type line. */
  readonly bundle: string;
  /** C2SP tlog-proof of the acceptance's leaf. */
  readonly acceptance: string;
  /** The log's last roster: a signed note. */
  readonly roster: string;
  /** C2SP tlog-proof of the roster's leaf, with the same checkpoint. */
  readonly rosterProof: string;
  /** A signed note that revokes the bundle, where there is one. */
  readonly revocation: string | undefined;
  /** Signed trust policies of the log, the oldest first. */
  readonly policies: readonly string[];
}

export const TRUST_SET_FORMAT = 'holdfast/trust-set/v1';
/** Bytes. */
export const MAXIMUM_TRUST_SET = 1_048_576;
const MAXIMUM_NOTE = 65_535;
/** A proof of 63 hashes, and a checkpoint with 64 lines. */
const MAXIMUM_PROOF = 65_536;

const MEMBERS = ['format', 'bundle', 'acceptance', 'roster', 'rosterProof', 'revocation', 'policies'] as const;

/** @throws HoldfastError `bundle_malformed` for anything that `serialiseTrustSet` would not have written. */
export function parseTrustSet(bytes: Uint8Array): TrustSet {
  if (bytes.length > MAXIMUM_TRUST_SET) {
    throw new HoldfastError('bundle_malformed', `the trust set has more than ${MAXIMUM_TRUST_SET} bytes`);
  }
  return withCode('bundle_malformed', () => {
    const text = fromUtf8(bytes);
    const file = parseJson(text, 'bundle_malformed').object(MEMBERS);
    file.required('format').word([TRUST_SET_FORMAT]);
    const set = {
      bundle: file.required('bundle').text(MAXIMUM_NOTE),
      acceptance: file.required('acceptance').text(MAXIMUM_PROOF),
      roster: file.required('roster').text(MAXIMUM_NOTE),
      rosterProof: file.required('rosterProof').text(MAXIMUM_PROOF),
      revocation: file.optional('revocation')?.text(MAXIMUM_NOTE),
      policies: file
        .required('policies')
        .array(0, MAXIMUM_LATER_POLICIES)
        .map((policy) => policy.text(MAXIMUM_NOTE)),
    };
    if (textOf(set) !== text)
      throw new HoldfastError('bundle_malformed', 'the trust set is not in its one canonical form');
    return set;
  });
}

/** One line of RFC 8785 JSON. @throws HoldfastError `bundle_malformed` for what `parseTrustSet` would refuse. */
export function serialiseTrustSet(set: TrustSet): Uint8Array<ArrayBuffer> {
  const bytes = utf8(withCode('bundle_malformed', () => textOf(set)));
  parseTrustSet(bytes);
  return bytes;
}

/** The name under which a trust set is kept: SHA-256 of its bytes. */
export function trustSetDigest(bytes: Uint8Array): Digest {
  return bytesToHex(sha256(bytes));
}

function textOf({ bundle, acceptance, roster, rosterProof, revocation, policies }: TrustSet): string {
  const members = { bundle, acceptance, roster, rosterProof, revocation, policies };
  return `${canonicalJson({ format: TRUST_SET_FORMAT, ...members })}\n`;
}
