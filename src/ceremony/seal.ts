/** The end of a ceremony: the token signs the transcript's hash, and the public keys are written for whoever needs them. */

import { bytesToHex, equalBytes, HoldfastError, sha256, toBase64Url, utf8 } from '../core/index.ts';
import {
  type EvidenceKey,
  IN_TOTO,
  parseSigstoreBundle,
  preAuthenticationEncoding,
  publicKeyOf,
  STATEMENT_TYPE,
  serialiseSigstoreBundle,
  verifyWithKey,
} from '../evidence/index.ts';
import {
  keyLabel,
  keysOfRole,
  openPurposeKey,
  type PurposeKey,
  SigningJournal,
  signDsse,
  verifierKeyOf,
} from '../signer/index.ts';
import { openSigningToken } from '../token/index.ts';
import { canonicalJson, type Digest, fromBase64 } from '../trust/index.ts';
import { readTranscriptFile } from './file.ts';
import { accessOf, ceremonyKeyName, fact, type Machine, tokenOf, userPin } from './machine.ts';
import { writeOver } from './secrets.ts';
import { type Progress, witnessedText } from './transcript/index.ts';
import { madeKeys, nodePoints } from './work-keys.ts';
import { keyOfPerson } from './work-people.ts';

export const TRANSCRIPT_PREDICATE = 'https://holdfast.invalid/evidence/ceremony-transcript/v1';

/** The ceremony's own key on its token. @throws HoldfastError `ceremony_damaged`. */
export function ceremonyKey(progress: Progress): EvidenceKey {
  const name = ceremonyKeyName(progress.plan.keys);
  const label = keyLabel('evidence', name);
  const made = madeKeys({ progress }).find((each) => each.label === label);
  if (!made?.publicKey || !made.algorithm) {
    throw new HoldfastError(
      'ceremony_damaged',
      'the transcript does not name the key that signs it; begin a new ceremony',
    );
  }
  return { name, ...publicKeyOf(made.algorithm, made.publicKey) };
}

/** The statement that the token signs: which file it is, and how it ends. */
function transcriptStatement(bytes: Uint8Array, progress: Progress): Uint8Array {
  return utf8(
    canonicalJson({
      _type: STATEMENT_TYPE,
      subject: [{ name: 'transcript.jsonl', digest: { sha256: bytesToHex(sha256(bytes)) } }],
      predicateType: TRANSCRIPT_PREDICATE,
      predicate: { ceremony: progress.plan.name, records: progress.records.length, head: progress.head },
    }),
  );
}

/** Opens the ceremony's key on its token for `body`. @throws HoldfastError `token_*`. */
export async function withCeremonyKey<T>(machine: Machine, body: (key: PurposeKey) => Promise<T>): Promise<T> {
  using pin = await userPin(machine);
  const token = await openSigningToken({ ...accessOf(machine), ...tokenOf(machine.progress), pin });
  try {
    const journal = await SigningJournal.open(machine.folder.journal);
    try {
      const name = ceremonyKeyName(machine.progress.plan.keys);
      return await body(await openPurposeKey({ token, name, scope: { purpose: 'evidence' }, journal }));
    } finally {
      await journal.close();
    }
  } finally {
    await token.close();
  }
}

/** Has the token sign the closed transcript, and writes the public keys. May be done again. @throws HoldfastError. */
export async function sealCeremony(machine: Machine): Promise<void> {
  const { bytes, progress } = await readTranscriptFile(machine.folder.transcript);
  if (!progress.closed) throw new HoldfastError('usage', 'the ceremony is not at its end yet; go on with it first');
  const key = ceremonyKey(progress);
  const file = await withCeremonyKey(machine, async (signer) => {
    if (!equalBytes(publicKeyOf(signer.algorithm, signer.publicKey).spki, key.spki)) {
      throw new HoldfastError(
        'token_unsuitable',
        'the token’s key is not the one that the ceremony made; do not use this token',
      );
    }
    return serialiseSigstoreBundle(key.name, await signDsse(IN_TOTO, transcriptStatement(bytes, progress), signer));
  });
  await writeOver(machine.folder.transcriptBundle, file);
  await writeOver(machine.folder.keys, `${JSON.stringify(publicKeys(progress), null, 2)}\n`);
}

/** As `holdfast node keys` and `holdfast signer keys` print them for programs. */
export function publicKeys(progress: Progress): Readonly<Record<string, unknown>> {
  const { keys } = progress.plan;
  const made = madeKeys({ progress });
  if (keys.kind === 'node') {
    const { identity, session, oprf } = nodePoints(progress);
    return {
      ...{ name: keys.node, identity: toBase64Url(identity) },
      ...{ session: toBase64Url(session), oprf: toBase64Url(oprf) },
      profile: fact(progress.outcome('keys').facts, 'profile'),
    };
  }
  const named = keysOfRole(keys.role, keys.name, keys.origin ?? undefined);
  return {
    role: keys.role,
    keys: named.map(({ purpose, name }) => {
      const { algorithm, publicKey } = made.find(({ label }) => label === keyLabel(purpose, name))!;
      const key = { algorithm: algorithm!, publicKey: publicKey! };
      return { purpose, name, algorithm, verifierKey: verifierKeyOf(purpose, name, key).text };
    }),
  };
}

export interface TranscriptFinding {
  readonly sha256: Digest;
  /** Whether the token's signature was there to be verified. */
  readonly signedByToken: boolean;
  /** Names of those whose own keys have signed the transcript. */
  readonly signed: readonly string[];
  /** Names of those whose presence this machine reports, and nothing else. */
  readonly reported: readonly string[];
}

/**
 * Verifies what can be: each person's signature, and the token's. That the token's key is on a token, and what the records
 * report, nobody can verify afterwards. @throws HoldfastError `signature_invalid`, `evidence_malformed`, `ceremony_damaged`.
 */
export function verifyTranscript(
  bytes: Uint8Array,
  progress: Progress,
  bundle: Uint8Array | undefined,
): TranscriptFinding {
  const people = progress.plan.people.map((person, i) => {
    const outcome = progress.done.find(({ step }) => step.name === `person-${i + 1}`);
    const key = keyOfPerson(person);
    if (!outcome || !key) return { name: person.name, signed: false, reported: outcome !== undefined };
    const signature = fromBase64(fact(outcome.facts, 'signature', 'string'));
    if (verifyWithKey(key, utf8(witnessedText(progress, person)), signature)) {
      return { name: person.name, signed: true, reported: false };
    }
    throw new HoldfastError(
      'signature_invalid',
      `the signature of ${person.name} on the transcript is false; it was changed since`,
    );
  });
  if (bundle !== undefined) {
    const { key: name, payload, signature } = parseSigstoreBundle(bundle);
    const key = ceremonyKey(progress);
    const isRight =
      name === key.name &&
      equalBytes(payload, transcriptStatement(bytes, progress)) &&
      verifyWithKey(key, preAuthenticationEncoding(IN_TOTO, payload), signature);
    if (!isRight) {
      throw new HoldfastError(
        'signature_invalid',
        'the token’s signature is not on this transcript; it was changed since',
      );
    }
  }
  return {
    sha256: bytesToHex(sha256(bytes)),
    signedByToken: bundle !== undefined,
    signed: people.filter(({ signed }) => signed).map(({ name }) => name),
    reported: people.filter(({ reported }) => reported).map(({ name }) => name),
  };
}
