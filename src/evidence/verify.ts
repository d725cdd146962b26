/** All evidence of a bundle, as a cosigner verifies it before it signs: fetched by digest, each piece checked, all together. */

import { HoldfastError } from '../core/index.ts';
import { DEVELOPMENT, type Digest, type LiveManifest, type TrustPolicyText } from '../trust/index.ts';
import type { VendorRoot } from './attestation.ts';
import { type CeremonyFinding, checkCeremony, checkNodeKeys, checkSubject, type NodeKeysFinding } from './check.ts';
import { coveredDescriptions } from './description.ts';
import {
  type AccompanyingFile,
  type EvidenceFile,
  type EvidenceManifest,
  isContentOf,
  MAXIMUM_EVIDENCE_MANIFEST,
  parseEvidenceManifest,
  type StatementEntry,
} from './manifest.ts';
import { checkCeremonyFolder, requireOwnKeys } from './separation.ts';
import { MAXIMUM_SIGSTORE_BUNDLE, verifySigstoreBundle } from './sigstore-bundle.ts';
import type { Statement, StatementOf } from './statement.ts';
import { attestationsOf, requireProvenClass } from './token-class.ts';

/**
 * The bytes of a file, from wherever they may be: whoever asks compares them with the digest.
 * @throws HoldfastError `too_large`; `not_found`, `not_ready` where it cannot be had.
 */
export type ReadEvidence = (
  file: Pick<EvidenceFile, 'sha256' | 'address'>,
  maximumBytes: number,
) => Promise<Uint8Array>;

export interface EvidenceRequest {
  /** What the bundle says. */
  readonly manifest: LiveManifest;
  /** The fleet's earlier accepted bundles, whose evidence a renewal may name again. */
  readonly earlier?: readonly LiveManifest[];
  /** The trust policy in force, whose keys sign no evidence; undefined where it is not known. */
  readonly policy?: Pick<TrustPolicyText, 'policy' | 'tlog'> | undefined;
  /** Roots of vendors' attestations that were pinned: a class `attested` must end at one. Undefined: not looked at. */
  readonly vendorRoots?: readonly VendorRoot[] | undefined;
  readonly read: ReadEvidence;
}

export interface VerifiedEvidence {
  readonly evidence: EvidenceManifest;
  readonly statements: readonly { readonly entry: StatementEntry; readonly statement: Statement }[];
  readonly ceremony: CeremonyFinding | undefined;
  /** By the node's name. */
  readonly nodeKeys: ReadonlyMap<string, NodeKeysFinding>;
}

/**
 * Fetches and verifies the evidence that a bundle names, everything but the log.
 * @throws HoldfastError `evidence_wrong`, `evidence_malformed`, `evidence_missing`, `evidence_signature`,
 * `evidence_mismatch`, `possession_invalid`, `token_class_unproven`; and whatever `read` throws.
 */
export async function verifyEvidence(request: EvidenceRequest): Promise<VerifiedEvidence> {
  const { manifest, earlier = [], policy, vendorRoots, read } = request;
  const descriptions = coveredDescriptions(manifest, earlier);
  const evidence = readManifestFile(
    await read(manifest.evidence, MAXIMUM_EVIDENCE_MANIFEST),
    manifest.evidence.sha256,
    descriptions,
  );
  if (policy !== undefined) requireOwnKeys(evidence, manifest, policy);
  const statements: { entry: StatementEntry; statement: Statement }[] = [];
  for (const entry of evidence.statements) {
    const statement = verifyStatementFile(await read(entry, MAXIMUM_SIGSTORE_BUNDLE), entry, evidence);
    checkSubject(statement.subject, manifest.fleet, descriptions);
    statements.push({ entry, statement });
  }
  requireStatements(
    manifest,
    statements.map(({ entry }) => entry),
  );
  const nodeKeys = statements.flatMap(({ statement }) => (statement.kind === 'node-keys' ? [statement] : []));
  const findings = new Map(nodeKeys.map((each) => [each.predicate.node, checkNodeKeys(each, manifest)]));
  const made = statements.flatMap(({ statement }) => (statement.kind === 'ceremony' ? [statement] : []))[0];
  const ceremony = made && checkCeremony(made, manifest, nodeKeys, earlier);
  if (made) checkCeremonyFolder(made, evidence);
  if (vendorRoots !== undefined) await requireProvenClasses(manifest, evidence, nodeKeys, read, vendorRoots);
  return { evidence, statements, ceremony, nodeKeys: findings };
}

async function requireProvenClasses(
  { nodes }: LiveManifest,
  evidence: EvidenceManifest,
  statements: readonly StatementOf<'node-keys'>[],
  read: ReadEvidence,
  roots: readonly VendorRoot[],
): Promise<void> {
  for (const node of nodes) {
    if (node.tokenClass !== 'attested') continue;
    const stated = statements.find(({ predicate }) => predicate.node === node.name);
    const attested = stated
      ? await attestationsOf(stated.predicate, evidence, contentOf(read), roots)
      : 'nothing was stated';
    requireProvenClass(node, attested);
  }
}

/** The file itself, or an error. */
function contentOf(read: ReadEvidence) {
  return async (file: AccompanyingFile, maximumBytes: number): Promise<Uint8Array> => {
    const content = await read(file, maximumBytes);
    if (isContentOf(file, content)) return content;
    throw new HoldfastError('evidence_wrong', `the ${file.kind} is not the file that the evidence names`);
  };
}

/**
 * The manifest of the evidence, which is the file that the bundle names and is about this fleet.
 * @throws HoldfastError `evidence_wrong`, `evidence_malformed`, `evidence_mismatch`.
 */
export function readManifestFile(
  file: Uint8Array,
  sha256: Digest,
  descriptions: ReadonlySet<Digest>,
): EvidenceManifest {
  if (!isContentOf({ sha256, size: file.length }, file)) {
    throw new HoldfastError('evidence_wrong', 'the evidence manifest is not the file that the bundle names', {
      details: { sha256 },
    });
  }
  const evidence = parseEvidenceManifest(file);
  if (descriptions.has(evidence.description)) return evidence;
  throw new HoldfastError(
    'evidence_mismatch',
    'the evidence was made for another description than this bundle’s; make the evidence anew, or name the right one',
    { details: { description: evidence.description } },
  );
}

/**
 * The statement in a file, which is the one that the manifest names, of the kind and by the key that it says.
 * @throws HoldfastError `evidence_wrong`, `evidence_malformed`, `evidence_signature`, `evidence_mismatch`.
 */
export function verifyStatementFile(
  file: Uint8Array,
  entry: StatementEntry,
  { keys }: Pick<EvidenceManifest, 'keys'>,
): Statement {
  if (!isContentOf(entry, file)) {
    throw new HoldfastError('evidence_wrong', `the ${entry.kind} statement is not the file that the evidence names`, {
      details: { sha256: entry.sha256 },
    });
  }
  const statement = verifySigstoreBundle(
    file,
    keys.filter(({ name }) => name === entry.key),
  );
  const node = statement.kind === 'node-keys' ? statement.predicate.node : undefined;
  if (statement.kind === entry.kind && node === entry.node) return statement;
  throw new HoldfastError(
    'evidence_mismatch',
    `the evidence names a statement ${titleOf(entry)}, and finds one ${titleOf({ kind: statement.kind, node })}`,
  );
}

/**
 * Which statements a bundle's evidence must have: `node-keys` of every node, and outside of development a `ceremony` and
 * `software`.
 * @throws HoldfastError `evidence_missing` naming the first that it has not.
 */
export function requireStatements(
  { environment, nodes }: Pick<LiveManifest, 'environment' | 'nodes'>,
  entries: readonly Pick<StatementEntry, 'kind' | 'node'>[],
): void {
  const wanted: Pick<StatementEntry, 'kind' | 'node'>[] = nodes.map(({ name }) => ({ kind: 'node-keys', node: name }));
  if (environment !== DEVELOPMENT) {
    wanted.push({ kind: 'ceremony', node: undefined }, { kind: 'software', node: undefined });
  }
  const missing = wanted.find(({ kind, node }) => !entries.some((entry) => entry.kind === kind && entry.node === node));
  if (missing === undefined) return;
  throw new HoldfastError('evidence_missing', `the evidence has no statement ${titleOf(missing)}`, {
    details: { kind: missing.kind, ...(missing.node !== undefined && { node: missing.node }) },
  });
}

function titleOf({ kind, node }: { readonly kind: Statement['kind']; readonly node: string | undefined }): string {
  return node === undefined ? `of kind ${kind}` : `of kind ${kind} on ${node}`;
}
