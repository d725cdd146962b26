/**
 * A deployment's evidence as a folder (docs/trust.md, section 4): files by their SHA-256, what each part adds to the evidence
 * manifest in `parts*.json`, and in the end the manifest itself, under its digest and as `evidence.json`.
 */

import { mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  bytesToHex,
  equalBytes,
  fromUtf8,
  HoldfastError,
  parseJson,
  sha256,
  systemRandom,
  utf8,
} from '../core/index.ts';
import {
  EVIDENCE_MANIFEST,
  type EvidenceFile,
  type EvidenceKey,
  type EvidenceManifest,
  fileEntry,
  MAXIMUM_EVIDENCE_MANIFEST,
  parseEvidenceManifest,
  type ReadEvidence,
  type Statement,
  serialiseEvidenceManifest,
} from '../evidence/index.ts';
import { type CanonicalValue, canonicalJson } from '../trust/index.ts';

/** The manifest of a folder that is complete. */
export const EVIDENCE_FILE = 'evidence.json';

const PARTS = /^parts(?:-[a-z0-9-]+)?\.json$/;

/** Adds a signed statement, and what the manifest will say of it. The same again changes nothing. */
export async function addStatement(
  folder: string,
  statement: Statement,
  file: Uint8Array,
  key: EvidenceKey,
): Promise<EvidenceFile> {
  if (statement.kind === 'service-record') {
    throw new HoldfastError('usage', 'a service record comes after the bundle, and belongs to no evidence manifest');
  }
  const node = statement.kind === 'node-keys' ? statement.predicate.node : undefined;
  const entry = { kind: statement.kind, node, key: key.name, ...fileEntry(file) };
  const part = serialiseEvidenceManifest({
    ...{ description: statement.subject.sha256, keys: [key], statements: [entry], files: [] },
  });
  await mkdir(folder, { recursive: true, mode: 0o755 });
  await place(folder, entry.address, file);
  const { format: _, ...members } = parseJson(fromUtf8(part), 'evidence_malformed').value as Record<
    string,
    CanonicalValue
  >;
  const title = node === undefined ? statement.kind : `${statement.kind}-${bytesToHex(sha256(utf8(node))).slice(0, 8)}`;
  await place(folder, `parts-${title}.json`, utf8(`${canonicalJson(members)}\n`));
  return entry;
}

/**
 * Puts all parts together into the manifest.
 * @throws HoldfastError `usage` for a folder without parts, `evidence_malformed`, `evidence_mismatch` for parts of different
 * descriptions, `evidence_wrong` for a file that is not what its part says.
 */
export async function assembleEvidence(
  folder: string,
): Promise<EvidenceFile & { readonly manifest: EvidenceManifest }> {
  const names = (await listFolder(folder)).filter((name) => PARTS.test(name)).toSorted();
  if (names.length === 0) {
    throw new HoldfastError(
      'usage',
      `there are no parts of evidence in ${folder}; make some: holdfast evidence software`,
    );
  }
  const parts: EvidenceManifest[] = [];
  for (const name of names) parts.push(parsePart(await readBounded(join(folder, name), MAXIMUM_EVIDENCE_MANIFEST)));
  const manifest = merge(parts);
  for (const file of [...manifest.statements, ...manifest.files]) await readEvidenceFile(folder)(file, file.size);
  const content = serialiseEvidenceManifest(manifest);
  const entry = fileEntry(content);
  await place(folder, entry.address, content);
  await place(folder, EVIDENCE_FILE, content);
  return { ...entry, manifest };
}

/** The manifest of a folder. @throws HoldfastError `usage` where it is not assembled, `evidence_malformed`. */
export async function readEvidenceFolder(
  folder: string,
): Promise<{ readonly content: Uint8Array; readonly entry: EvidenceFile; readonly manifest: EvidenceManifest }> {
  if (!(await listFolder(folder)).includes(EVIDENCE_FILE)) {
    throw new HoldfastError('usage', `${folder} has no ${EVIDENCE_FILE}; run holdfast evidence assemble`);
  }
  const content = await readBounded(join(folder, EVIDENCE_FILE), MAXIMUM_EVIDENCE_MANIFEST);
  return { content, entry: fileEntry(content), manifest: parseEvidenceManifest(content) };
}

/** Reads files of a folder, whatever address they have besides. @throws HoldfastError `evidence_missing`, `evidence_wrong`. */
export function readEvidenceFile(folder: string): ReadEvidence {
  return async ({ sha256: digest, address }, maximumBytes) => {
    const extension = /\.[a-z0-9]{1,8}$/.exec(address)?.[0] ?? '.json';
    const content = await readBounded(join(folder, `${digest}${extension}`), maximumBytes);
    if (bytesToHex(sha256(content)) === digest) return content;
    throw new HoldfastError(
      'evidence_wrong',
      `the file ${digest}${extension} was changed: its name is not its SHA-256`,
    );
  };
}

function parsePart(content: Uint8Array): EvidenceManifest {
  const { value } = parseJson(fromUtf8(content), 'evidence_malformed');
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HoldfastError('evidence_malformed', 'a part of evidence must be a JSON object');
  }
  const members = { ...(value as { readonly [name: string]: CanonicalValue }), format: EVIDENCE_MANIFEST };
  return parseEvidenceManifest(utf8(`${canonicalJson(members)}\n`));
}

function merge(parts: readonly EvidenceManifest[]): EvidenceManifest {
  const [{ description }] = parts as [EvidenceManifest];
  if (parts.some((part) => part.description !== description)) {
    throw new HoldfastError('evidence_mismatch', 'the parts are about different descriptions; use a folder for each', {
      details: { descriptions: [...new Set(parts.map((part) => part.description))] },
    });
  }
  const keys = new Map<string, EvidenceKey>();
  for (const key of parts.flatMap((part) => part.keys)) {
    const known = keys.get(key.name);
    if (known && !equalBytes(known.spki, key.spki)) {
      throw new HoldfastError('evidence_mismatch', `two keys are called ${key.name}`, { details: { key: key.name } });
    }
    keys.set(key.name, key);
  }
  const statements = parts.flatMap((part) => part.statements);
  const files = new Map(parts.flatMap((part) => part.files).map((file) => [file.sha256, file]));
  return { description, keys: [...keys.values()], statements, files: [...files.values()] };
}

async function listFolder(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    throw new HoldfastError('usage', `${folder} cannot be read (${(cause as NodeJS.ErrnoException).code})`, { cause });
  }
}

async function readBounded(path: string, maximumBytes: number): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > maximumBytes) throw new HoldfastError('too_large', `${path} has more than ${maximumBytes} bytes`);
    return Uint8Array.from(await readFile(path));
  } catch (cause) {
    if (cause instanceof HoldfastError) throw cause;
    throw new HoldfastError('evidence_missing', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code})`, {
      cause,
    });
  }
}

/** Whole or not at all, and durable. */
async function place(folder: string, name: string, content: Uint8Array): Promise<void> {
  const temporary = join(folder, `.new-${bytesToHex(systemRandom(6))}`);
  await using file = await open(temporary, 'wx', 0o644);
  await file.writeFile(content);
  await file.sync();
  await rename(temporary, join(folder, name));
  await using place = await open(folder, 'r');
  await place.sync();
}
