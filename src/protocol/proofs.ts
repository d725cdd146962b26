/**
 * Checking each part of a portable record by itself, without any state: for clients, which believe no single node, and
 * for coordinators, which choose between what nodes export (docs/protocol.md, section 6).
 */

import { equalBytes, HoldfastError } from '../core/index.ts';
import { decodeCertificate, type StatementVerifier } from './certificate.ts';
import {
  type DocumentContent,
  documentHash,
  encodeActivation,
  encodeConfirmation,
  encodeOwnerAction,
  openDocument,
} from './document.ts';
import {
  type ActivationProof,
  budgetLeft,
  type ConfirmationProof,
  decodeOwnerDeletion,
  type TombstoneProof,
} from './record.ts';

export interface ProvenActivation {
  readonly generation: number;
  readonly document: DocumentContent;
  readonly activation: ActivationProof;
}

/**
 * That enough nodes opened and staged this document, and that its own owner activated it.
 * @throws HoldfastError `untrusted` or `malformed`.
 */
export function provenActivation(
  verifier: StatementVerifier,
  record: Uint8Array,
  activation: ActivationProof,
): ProvenActivation {
  const { fleet, checks } = verifier;
  const staged = verifier.proof(decodeCertificate(activation.stageCertificate), 'stage');
  const opened = verifier.proof(decodeCertificate(activation.openCertificate), 'open');
  const document = openDocument(activation.document, fleet, checks);
  const right =
    [staged, opened, document].every((part) => equalBytes(part.record, record)) &&
    equalBytes(staged.documentHash, documentHash(activation.document)) &&
    [staged, opened].every(({ epoch }) => epoch === document.epoch) &&
    staged.generation === document.generation &&
    opened.generation === document.generation &&
    equalBytes(opened.ownerKey, document.ownerKey) &&
    opened.takeover === document.takeover &&
    checks.ed25519(document.ownerKey, encodeActivation(activation.stageCertificate), activation.ownerSignature);
  if (!right) throw new HoldfastError('untrusted', 'the record’s document is not the one that was activated');
  return { generation: document.generation, document, activation };
}

/**
 * The attempt number that used the right PIN of this document.
 * @throws HoldfastError `untrusted` or `malformed`.
 */
export function provenConfirmation(
  verifier: StatementVerifier,
  document: DocumentContent,
  hash: Uint8Array,
  confirmation: ConfirmationProof,
): number {
  const body = verifier.proof(decodeCertificate(confirmation.certificate), 'attempt');
  const { fleet, record, generation, attempt, blindHash } = body;
  const signed = encodeConfirmation({ fleet, record, generation, attempt, blindHash });
  const right =
    equalBytes(record, document.record) &&
    generation === document.generation &&
    equalBytes(body.documentHash, hash) &&
    verifier.checks.ed25519(document.confirmKey, signed, confirmation.signature);
  if (!right) throw new HoldfastError('untrusted', 'the record’s last confirmation does not verify');
  return attempt;
}

/**
 * The generation that is proven to be destroyed, by its owner or by nodes that saw its budget spent.
 * @throws HoldfastError `untrusted`, `malformed`, or `owner_required` where somebody else signed the deletion.
 */
export function provenTombstone(verifier: StatementVerifier, record: Uint8Array, tombstone: TombstoneProof): number {
  const { generation } = tombstone;
  const right =
    tombstone.kind === 'owner'
      ? deletedByOwner(verifier, record, generation, tombstone.proof)
      : seenSpent(verifier, record, generation, tombstone.proof);
  if (!right) throw new HoldfastError('untrusted', 'the proof of the record’s destruction does not verify');
  return generation;
}

function deletedByOwner(
  verifier: StatementVerifier,
  record: Uint8Array,
  generation: number,
  proof: Uint8Array,
): boolean {
  const { openCertificate, stageCertificate, signature } = decodeOwnerDeletion(proof);
  const opened = verifier.proof(decodeCertificate(openCertificate), 'open');
  const signed = encodeOwnerAction({ fleet: opened.fleet, record, generation, action: 'delete' });
  if (!equalBytes(opened.record, record) || opened.generation !== generation) return false;
  if (opened.takeover !== (stageCertificate !== undefined)) return false;
  if (stageCertificate) {
    // Opened is not taken over: until it is staged, the older generation's owner may cancel.
    const staged = verifier.proof(decodeCertificate(stageCertificate), 'stage');
    const { epoch } = opened;
    if (!equalBytes(staged.record, record) || staged.generation !== generation || staged.epoch !== epoch) return false;
  }
  if (verifier.checks.ed25519(opened.ownerKey, signed, signature)) return true;
  throw new HoldfastError('owner_required', 'the signature is not by the generation’s owner');
}

function seenSpent(verifier: StatementVerifier, record: Uint8Array, generation: number, proof: Uint8Array): boolean {
  const body = verifier.proof(decodeCertificate(proof), 'spent');
  return (
    equalBytes(body.record, record) &&
    body.generation === generation &&
    budgetLeft(verifier.fleet.policy, body.attempt, body.confirmed) === 0
  );
}
