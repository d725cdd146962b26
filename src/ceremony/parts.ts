/** What one ceremony gives to a fleet's evidence: files named by their content, and what the evidence manifest is to say of them. */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesToHex, fromUtf8, HoldfastError, sha256 } from '../core/index.ts';
import { type EvidenceManifest, MAXIMUM_ACCOMPANYING_FILE, serialiseEvidenceManifest } from '../evidence/index.ts';
import { writeOver } from './secrets.ts';

export interface EvidenceParts {
  /** Of the file `parts-<name>.json`. */
  readonly name: string;
  /** As much of the final manifest as is known. */
  readonly manifest: EvidenceManifest;
  /** The bytes of every statement and file, in the manifest's order. */
  readonly contents: readonly Uint8Array[];
}

/** Writes all files, the one that names them last. @returns their names. */
export async function writeParts(folder: string, { name, manifest, contents }: EvidenceParts): Promise<string[]> {
  const { format: _, ...members } = JSON.parse(fromUtf8(serialiseEvidenceManifest(manifest))) as { format: string };
  const entries = [...manifest.statements, ...manifest.files];
  const names: string[] = [];
  for (const content of contents) {
    const digest = bytesToHex(sha256(content));
    const entry = entries.find((each) => each.sha256 === digest)!;
    await writeOver(join(folder, entry.address), content);
    names.push(entry.address);
  }
  const parts = `parts-${name}.json`;
  await writeOver(join(folder, parts), `${JSON.stringify(members)}\n`);
  return [...names, parts];
}

/** A file whose name is its SHA-256. @throws HoldfastError `ceremony_damaged` where it is another one by now. */
export async function fileOf(folder: string, name: string): Promise<Uint8Array> {
  const content = await readFile(join(folder, name)).catch(() => undefined);
  if (content && content.length <= MAXIMUM_ACCOMPANYING_FILE && name.startsWith(bytesToHex(sha256(content)))) {
    return Uint8Array.from(content);
  }
  throw new HoldfastError(
    'ceremony_damaged',
    `the ceremony’s file ${JSON.stringify(name)} is missing, or not what the transcript names`,
  );
}
