/** Choosing between what nodes export of one record, when some of them lie (docs/protocol.md, section 6). */

import { bytesToHex, equalBytes } from '../core/index.ts';
import {
  type ActivationProof,
  type ConfirmationProof,
  decodeBody,
  decodeCertificate,
  decodePortableRecord,
  documentHash,
  encodePortableRecord,
  type PortableRecord,
  type ProvenActivation,
  provenActivation,
  provenConfirmation,
  provenTombstone,
  type StatementVerifier,
  threshold,
} from '../protocol/index.ts';

/**
 * One portable record of the newest activation, confirmation and tombstone that verify, each looked for by itself: a node
 * that exports nonsense, or a generation that nobody certified, hides nothing of what the others hold. Undefined where no
 * export can be read.
 */
export function newestProven(
  verifier: StatementVerifier,
  record: Uint8Array,
  contents: readonly Uint8Array[],
): Uint8Array | undefined {
  // One of `t` nodes that say the very same is honest, and what an honest node exports it has verified.
  const [first] = contents;
  const unanimous =
    first && contents.length >= threshold(verifier.fleet) && contents.every((one) => equalBytes(one, first));
  if (unanimous) return first;
  const exports = contents.flatMap((content) => {
    const portable = readable(content);
    return portable && equalBytes(portable.record, record) ? [{ content, portable }] : [];
  });
  if (exports.length === 0) return undefined;
  const agreed = majority(contents, threshold(verifier.fleet));
  if (agreed && exports.every(({ content }) => equalBytes(content, agreed))) return agreed;
  const portables = exports.map(({ portable }) => portable);
  const activation = newestActivation(verifier, record, portables);
  return encodePortableRecord({
    record,
    activation: activation?.activation,
    confirmation: activation && newestConfirmation(verifier, activation, portables)?.confirmation,
    tombstone: newestOf(
      portables.flatMap(({ tombstone }) => (tombstone ? [tombstone] : [])),
      ({ generation }) => generation,
      (tombstone) => {
        provenTombstone(verifier, record, tombstone);
        return tombstone;
      },
    ),
  });
}

/** The newest activation of this record that verifies. */
export function newestActivation(
  verifier: StatementVerifier,
  record: Uint8Array,
  portables: readonly PortableRecord[],
): ProvenActivation | undefined {
  return newestOf(
    portables.flatMap(({ activation }) => (activation ? [activation] : [])),
    claimedGeneration,
    (activation) => provenActivation(verifier, record, activation),
  );
}

/** The highest confirmed attempt of a proven generation that verifies. */
export function newestConfirmation(
  verifier: StatementVerifier,
  { activation, document }: ProvenActivation,
  portables: readonly PortableRecord[],
): { readonly confirmation: ConfirmationProof; readonly attempt: number } | undefined {
  const hash = documentHash(activation.document);
  return newestOf(
    portables.flatMap(({ confirmation }) => (confirmation ? [confirmation] : [])),
    claimedAttempt,
    (confirmation) => ({ confirmation, attempt: provenConfirmation(verifier, document, hash, confirmation) }),
  );
}

/** The export, or undefined where it cannot be read. */
export function readable(content: Uint8Array): PortableRecord | undefined {
  try {
    return decodePortableRecord(content);
  } catch {
    return undefined;
  }
}

/** What an activation says, unverified, that its generation is; 0 where it cannot be read. */
export function claimedGeneration(activation: ActivationProof | undefined): number {
  const body = claimed(activation?.stageCertificate);
  return body?.kind === 'stage' ? body.generation : 0;
}

/** What a confirmation says, unverified, that its attempt is; 0 where it cannot be read. */
export function claimedAttempt(confirmation: ConfirmationProof | undefined): number {
  const body = claimed(confirmation?.certificate);
  return body?.kind === 'attempt' ? body.attempt : 0;
}

function claimed(certificate: Uint8Array | undefined) {
  try {
    return certificate && decodeBody(decodeCertificate(certificate).body);
  } catch {
    return undefined;
  }
}

/** The first that `prove` does not throw for, looked at from the one that claims most downwards. */
function newestOf<T, P>(parts: readonly T[], claim: (part: T) => number, prove: (part: T) => P): P | undefined {
  for (const part of [...parts].sort((a, b) => claim(b) - claim(a))) {
    try {
      return prove(part);
    } catch {
      // The next one may verify.
    }
  }
  return undefined;
}

/** The content that at least `t` of them are, if any. */
function majority(contents: readonly Uint8Array[], t: number): Uint8Array | undefined {
  const counts = new Map<string, number>();
  for (const content of contents) {
    const name = bytesToHex(content);
    const count = (counts.get(name) ?? 0) + 1;
    if (count >= t) return content;
    counts.set(name, count);
  }
  return undefined;
}
