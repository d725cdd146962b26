/**
 * What the cosigner checks of a deployment's evidence before it signs a bundle (docs/trust.md, section 4): every file is
 * there by its digest, every statement is signed, in the log, and about exactly this fleet.
 */

import { HoldfastError } from '../../core/index.ts';
import {
  checkServiceRecord,
  isContentOf,
  MAXIMUM_ACCOMPANYING_FILE,
  MAXIMUM_EVIDENCE_MANIFEST,
  parseEvidenceManifest,
  parseSigstoreBundle,
  parseStatement,
  requireAgreementOrder,
  type Statement,
  type VendorRoot,
  verifyEvidence,
  verifySigstoreBundle,
} from '../../evidence/index.ts';
import type { Bundle, Evidence, LiveManifest } from '../../trust/index.ts';
import type { EvidenceContext, EvidencePort } from './cosigner.ts';
import type { EvidenceExtension, EvidenceFiles } from './evidence-files.ts';

/**
 * The bytes at an address that somebody else chose.
 * @throws HoldfastError `not_ready` where they are not served, `too_large`, `untrusted` for an address that must not be
 * fetched from.
 */
export type FetchEvidence = (address: string, maximumBytes: number, signal: AbortSignal) => Promise<Uint8Array>;

export interface EvidenceCheckOptions {
  readonly files: EvidenceFiles;
  /** Undefined: only what was uploaded counts. */
  readonly fetch: FetchEvidence | undefined;
  /** Roots of vendors' attestations that this cosigner has pinned; default none, so that no token is `attested`. */
  readonly vendorRoots?: readonly VendorRoot[] | undefined;
}

/** Milliseconds for all that is fetched for one bundle. */
const DEADLINE = 20_000;
/** Bytes of all files of one bundle's evidence. */
const MAXIMUM_BYTES = 64 * 1024 * 1024;
/** Bundles whose evidence is looked at together, one of each operator: each may hold so many bytes in memory, for so long. */
const MAXIMUM_TOGETHER = 2;

export function createEvidenceCheck(options: EvidenceCheckOptions): EvidencePort {
  const together = new Set<string>();
  return {
    async verify(bundle, context) {
      const { operator } = context;
      if (together.has(operator) || together.size >= MAXIMUM_TOGETHER) {
        throw new HoldfastError(
          'overloaded',
          'the evidence of another proposal is being verified; try again in a moment',
        );
      }
      together.add(operator);
      try {
        await verifyOf(options, bundle, context);
      } finally {
        together.delete(operator);
      }
    },
    checkLeaf: (evidence, accepted) => checkLeafOf(options.files, evidence, accepted),
  };
}

async function verifyOf(
  { files, fetch, vendorRoots = [] }: EvidenceCheckOptions,
  bundle: Bundle<LiveManifest>,
  { policy, earlier, isLogged, placeOf }: EvidenceContext,
): Promise<void> {
  const { evidence: named } = bundle.manifest;
  const deadline = AbortSignal.timeout(DEADLINE);
  const fetched = new Map<string, { content: Uint8Array; extension: EvidenceExtension }>();
  let bytes = 0;
  const read = async (file: { sha256: string; address: string }, maximumBytes: number): Promise<Uint8Array> => {
    const kept = fetched.get(file.sha256)?.content ?? (await files.read(file.sha256, maximumBytes));
    if (kept) return kept;
    const content = await fetchFile(fetch, addressOf(file.address, named.address), maximumBytes, deadline);
    bytes += content.length;
    if (bytes > MAXIMUM_BYTES) {
      throw new HoldfastError('too_large', `the evidence has more than ${MAXIMUM_BYTES} bytes`);
    }
    fetched.set(file.sha256, { content, extension: extensionOf(file.address) });
    return content;
  };
  const { manifest } = bundle;
  const { evidence, statements, nodeKeys } = await verifyEvidence({ manifest, earlier, policy, vendorRoots, read });
  const size = (await read(named, MAXIMUM_EVIDENCE_MANIFEST)).length;
  requireLogged('the evidence', { sha256: named.sha256, size }, isLogged);
  for (const entry of evidence.statements) requireLogged(`the ${entry.kind} statement`, entry, isLogged);
  for (const [node, { agreed }] of nodeKeys) {
    const own = statements.find(({ entry }) => entry.kind === 'node-keys' && entry.node === node)!.entry.sha256;
    for (const agreement of agreed) requireAgreementOrder(agreement, own, node, placeOf);
  }
  for (const file of evidence.files) {
    if (isContentOf(file, await read(file, MAXIMUM_ACCOMPANYING_FILE))) continue;
    throw new HoldfastError('evidence_wrong', `the ${file.kind} is not the file that the evidence names`, {
      details: { sha256: file.sha256 },
    });
  }
  // Only now, so that nobody's rubbish is kept.
  for (const { content, extension } of fetched.values()) await files.keep(content, extension);
}

function requireLogged(
  what: string,
  { sha256, size }: { readonly sha256: string; readonly size: number },
  isLogged: EvidenceContext['isLogged'],
): void {
  if (isLogged({ sha256, size })) return;
  throw new HoldfastError(
    'evidence_unlogged',
    `${what} ${sha256} is not in the log with its size; publish the evidence first: holdfast evidence publish`,
    { details: { sha256 } },
  );
}

/**
 * A leaf is not false where the file is here: it has that size, and a service record of an accepted bundle says what the
 * bundle says.
 */
async function checkLeafOf(
  files: EvidenceFiles,
  { sha256, size }: Evidence,
  accepted: (digest: string) => Bundle<LiveManifest> | undefined,
): Promise<void> {
  const content = await files.read(sha256, MAXIMUM_ACCOMPANYING_FILE);
  if (content === undefined) return;
  if (content.length !== size) {
    throw new HoldfastError('evidence_wrong', `the file ${sha256} has ${content.length} bytes, not ${size}`, {
      details: { sha256 },
    });
  }
  const statement = statementIn(content);
  const bundle = statement?.kind === 'service-record' ? accepted(statement.subject.sha256) : undefined;
  const named = bundle && (await files.read(bundle.manifest.evidence.sha256, MAXIMUM_EVIDENCE_MANIFEST));
  if (!bundle || !named) return;
  const signed = verifySigstoreBundle(content, parseEvidenceManifest(named).keys);
  if (signed.kind === 'service-record') checkServiceRecord(signed, bundle);
}

/** Undefined for anything else that is kept. */
function statementIn(content: Uint8Array): Statement | undefined {
  try {
    return parseStatement(parseSigstoreBundle(content).payload);
  } catch {
    return undefined;
  }
}

async function fetchFile(
  fetch: FetchEvidence | undefined,
  address: string,
  maximumBytes: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (!fetch) {
    throw new HoldfastError(
      'evidence_missing',
      `the evidence at ${address} was not uploaded, and this cosigner fetches none; run holdfast evidence publish`,
    );
  }
  try {
    return await fetch(address, maximumBytes, signal);
  } catch (cause) {
    if (!(cause instanceof HoldfastError) || cause.code === 'untrusted' || cause.code === 'too_large') throw cause;
    throw new HoldfastError('evidence_missing', `the evidence at ${address} cannot be fetched: ${cause.message}`, {
      cause,
    });
  }
}

/** A name beside the manifest, or an address of its own. */
function addressOf(address: string, manifest: string): string {
  return URL.canParse(address) ? address : new URL(address, manifest).href;
}

function extensionOf(address: string): EvidenceExtension {
  if (address.endsWith('.txt')) return 'txt';
  return address.endsWith('.cer') || address.endsWith('.der') ? 'cer' : 'json';
}
