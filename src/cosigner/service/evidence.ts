/**
 * What the cosigner checks of a deployment's evidence before it signs a bundle (docs/trust.md, section 4): every file is
 * there by its digest, every statement is signed, in the log, and about exactly this fleet.
 */

import { HoldfastError } from '../../core/index.ts';
import { isContentOf, MAXIMUM_ACCOMPANYING_FILE, verifyEvidence } from '../../evidence/index.ts';
import type { Bundle, LiveManifest } from '../../trust/index.ts';
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
}

/** Milliseconds for all that is fetched for one bundle. */
const DEADLINE = 20_000;
/** Bytes of all files of one bundle's evidence. */
const MAXIMUM_BYTES = 64 * 1024 * 1024;
/** Bundles whose evidence is looked at together: each may hold so many bytes in memory. */
const MAXIMUM_TOGETHER = 2;

export function createEvidenceCheck(options: EvidenceCheckOptions): EvidencePort {
  let together = 0;
  return {
    async verify(bundle, context) {
      if (together >= MAXIMUM_TOGETHER) {
        throw new HoldfastError(
          'overloaded',
          'the evidence of other proposals is being verified; try again in a moment',
        );
      }
      together++;
      try {
        await verifyOf(options, bundle, context);
      } finally {
        together--;
      }
    },
  };
}

async function verifyOf(
  { files, fetch }: EvidenceCheckOptions,
  bundle: Bundle<LiveManifest>,
  { logged, earlier, isLogged }: EvidenceContext,
): Promise<void> {
  const { evidence: named } = bundle.manifest;
  const deadline = AbortSignal.timeout(DEADLINE);
  const fetched: { content: Uint8Array; extension: EvidenceExtension }[] = [];
  let bytes = 0;
  const read = async (file: { sha256: string; address: string }, maximumBytes: number): Promise<Uint8Array> => {
    const kept = await files.read(file.sha256, maximumBytes);
    if (kept) return kept;
    const content = await fetchFile(fetch, addressOf(file.address, named.address), maximumBytes, deadline);
    bytes += content.length;
    if (bytes > MAXIMUM_BYTES) {
      throw new HoldfastError('too_large', `the evidence has more than ${MAXIMUM_BYTES} bytes`);
    }
    fetched.push({ content, extension: extensionOf(file.address) });
    return content;
  };
  const manifest = await read(named, logged.size);
  if (!isContentOf({ sha256: named.sha256, size: logged.size }, manifest)) {
    throw new HoldfastError('evidence_wrong', 'the evidence is not what the log says: its size or SHA-256 differs', {
      details: { sha256: named.sha256 },
    });
  }
  const { evidence } = await verifyEvidence({
    manifest: bundle.manifest,
    earlier,
    read: async (file, maximumBytes) => (file.sha256 === named.sha256 ? manifest : read(file, maximumBytes)),
  });
  for (const { sha256, kind } of evidence.statements) {
    if (isLogged(sha256)) continue;
    throw new HoldfastError(
      'evidence_missing',
      `the ${kind} statement ${sha256} is not in the log; publish the evidence first: holdfast evidence publish`,
      { details: { sha256 } },
    );
  }
  for (const file of evidence.files) {
    if (isContentOf(file, await read(file, MAXIMUM_ACCOMPANYING_FILE))) continue;
    throw new HoldfastError('evidence_wrong', `the ${file.kind} is not the file that the evidence names`, {
      details: { sha256: file.sha256 },
    });
  }
  // Only now, so that nobody's rubbish is kept.
  for (const { content, extension } of fetched) await files.keep(content, extension);
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
