/** Publishing evidence: every file to the cosigner, which serves it, and every statement as an entry of its log. */

import { type EvidenceFile, type EvidenceManifest, MAXIMUM_ACCOMPANYING_FILE } from '../evidence/index.ts';
import type { Evidence } from '../trust/index.ts';
import { readEvidenceFile, readEvidenceFolder } from './evidence-folder.ts';
import { EVIDENCE_FILE_KINDS, type EvidenceFileKind, type HttpSubmission } from './submission.ts';

export interface PublishEvidenceOptions {
  /** An assembled folder. */
  readonly folder: string;
  readonly submission: Pick<HttpSubmission, 'evidence' | 'evidenceFile'>;
  /** Origin where the files will be found, below `/evidence/`: the cosigner's public one, or a mirror's. */
  readonly site: string;
  /** False where another site serves the files. */
  readonly upload?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Uploads an evidence folder and has it logged. The same again changes nothing.
 * @returns what a bundle names.
 * @throws HoldfastError as `readEvidenceFolder`; and whatever the cosigner refuses with.
 */
export async function publishEvidence(options: PublishEvidenceOptions): Promise<Evidence> {
  const { folder, submission, site, upload = true, signal } = options;
  const { content, entry, manifest } = await readEvidenceFolder(folder);
  const read = readEvidenceFile(folder);
  for (const file of filesOf(manifest)) {
    const bytes = await read(file, MAXIMUM_ACCOMPANYING_FILE);
    if (upload) await submission.evidenceFile(kindOf(file.address), bytes, signal);
  }
  if (upload) await submission.evidenceFile('json', content, signal);
  for (const statement of manifest.statements) await submission.evidence(loggedAt(site, statement), signal);
  const named = loggedAt(site, entry);
  await submission.evidence(named, signal);
  return named;
}

/** What the log and the bundle say of a file that `site` serves. */
export function loggedAt(site: string, { sha256, size }: Pick<EvidenceFile, 'sha256' | 'size'>): Evidence {
  return { sha256, size, address: `${site}/evidence/${sha256}.json` };
}

function filesOf({ statements, files }: EvidenceManifest): readonly EvidenceFile[] {
  return [...statements, ...files];
}

function kindOf(address: string): EvidenceFileKind {
  if (address.endsWith('.der')) return 'cer';
  return EVIDENCE_FILE_KINDS.find((kind) => address.endsWith(`.${kind}`)) ?? 'json';
}
