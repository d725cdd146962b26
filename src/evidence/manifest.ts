/** The evidence manifest: the one file whose SHA-256 a bundle names, and which names all other evidence by theirs. */

import { bytesToHex, fromUtf8, HoldfastError, type JsonValue, parseJson, sha256, utf8 } from '../core/index.ts';
import {
  type CanonicalValue,
  canonicalJson,
  type Digest,
  readDigest,
  readNodeName,
  requireCanonical,
  withCode,
} from '../trust/index.ts';
import { type EvidenceKey, readEvidenceKey, readKeyName, writeEvidenceKey } from './keys.ts';
import { readFileAddress } from './lines.ts';

/** A file by its content. */
export interface EvidenceFile {
  readonly sha256: Digest;
  /** Bytes, from 1. */
  readonly size: number;
  /** An absolute address, or the name of a file beside the manifest: `<sha256>.json`. Nothing that comes from there is trusted. */
  readonly address: string;
}

/** A statement in a Sigstore bundle. */
export interface StatementEntry extends EvidenceFile {
  readonly kind: 'ceremony' | 'node-keys' | 'software';
  /** Name of the node that a `node-keys` statement is about; undefined for the others. */
  readonly node: string | undefined;
  /** Name of the key that signed it. */
  readonly key: string;
}

/** What statements refer to by SHA-256. */
export interface AccompanyingFile extends EvidenceFile {
  /** `transcript`: a ceremony's, as text. `attestation`: one certificate in DER. */
  readonly kind: 'transcript' | 'attestation';
}

export interface EvidenceManifest {
  /** Digest of the description that the statements were made for. */
  readonly description: Digest;
  /** 1 to 16, with different names. */
  readonly keys: readonly EvidenceKey[];
  /** 1 to 32. */
  readonly statements: readonly StatementEntry[];
  /** 0 to 128. */
  readonly files: readonly AccompanyingFile[];
}

export const EVIDENCE_MANIFEST = 'holdfast/evidence-manifest/v1';
/** Bytes of a manifest. */
export const MAXIMUM_EVIDENCE_MANIFEST = 262_144;
/** Bytes of an accompanying file. */
export const MAXIMUM_ACCOMPANYING_FILE = 4_194_304;

/** @throws HoldfastError `evidence_malformed` for anything that `serialiseEvidenceManifest` would not have written. */
export function parseEvidenceManifest(bytes: Uint8Array): EvidenceManifest {
  if (bytes.length > MAXIMUM_EVIDENCE_MANIFEST) {
    throw new HoldfastError(
      'evidence_malformed',
      `the evidence manifest has more than ${MAXIMUM_EVIDENCE_MANIFEST} bytes`,
    );
  }
  return withCode('evidence_malformed', () => {
    const text = fromUtf8(bytes);
    const json = parseJson(text, 'evidence_malformed');
    const file = json.object(['format', 'description', 'keys', 'statements', 'files']);
    file.required('format').word([EVIDENCE_MANIFEST]);
    const manifest = {
      description: readDigest(file.required('description')),
      keys: file.required('keys').array(1, 16).map(readEvidenceKey),
      statements: file.required('statements').array(1, 32).map(readStatementEntry),
      files: file.required('files').array(0, 128).map(readAccompanying),
    };
    different(
      json,
      'keys',
      manifest.keys.map(({ name }) => name),
    );
    different(
      json,
      'files',
      [...manifest.statements, ...manifest.files].map(({ sha256 }) => sha256),
    );
    different(
      json,
      'statements',
      manifest.statements.map(({ kind, node }) => `${kind} ${node ?? ''}`),
    );
    requireCanonical(text, textOf(manifest), 'evidence_malformed');
    return manifest;
  });
}

/** Canonical JSON and a newline. @throws HoldfastError `evidence_malformed` for what `parseEvidenceManifest` would refuse. */
export function serialiseEvidenceManifest(manifest: EvidenceManifest): Uint8Array<ArrayBuffer> {
  const bytes = utf8(withCode('evidence_malformed', () => textOf(manifest)));
  parseEvidenceManifest(bytes);
  return bytes;
}

/** The entry of a file that lies beside the manifest. @param extension with its dot. */
export function fileEntry(content: Uint8Array, extension = '.json'): EvidenceFile {
  const digest = bytesToHex(sha256(content));
  return { sha256: digest, size: content.length, address: `${digest}${extension}` };
}

/** Whether `content` is the file that an entry names. */
export function isContentOf(
  { sha256: digest, size }: Pick<EvidenceFile, 'sha256' | 'size'>,
  content: Uint8Array,
): boolean {
  return content.length === size && bytesToHex(sha256(content)) === digest;
}

function different(json: JsonValue, what: string, values: readonly string[]): void {
  if (new Set(values).size !== values.length) json.fail(`must have different ${what}`);
}

function readStatementEntry(value: JsonValue): StatementEntry {
  const entry = value.object(['kind', 'node', 'key', 'sha256', 'size', 'address']);
  const kind = entry.required('kind').word(['ceremony', 'node-keys', 'software']);
  const node = entry.optional('node');
  if ((kind === 'node-keys') !== (node !== undefined)) value.fail('must have a node exactly if it is about one');
  return {
    kind,
    node: node && readNodeName(node),
    key: readKeyName(entry.required('key')),
    sha256: readDigest(entry.required('sha256')),
    size: entry.required('size').integer(1),
    address: readFileAddress(entry.required('address')),
  };
}

function readAccompanying(value: JsonValue): AccompanyingFile {
  const entry = value.object(['kind', 'sha256', 'size', 'address']);
  return {
    kind: entry.required('kind').word(['transcript', 'attestation']),
    sha256: readDigest(entry.required('sha256')),
    size: entry.required('size').integer(1, MAXIMUM_ACCOMPANYING_FILE),
    address: readFileAddress(entry.required('address')),
  };
}

function textOf({ description, keys, statements, files }: EvidenceManifest): string {
  const file = ({ sha256, size, address }: EvidenceFile): { readonly [name: string]: CanonicalValue } => ({
    ...{ sha256, size, address },
  });
  return `${canonicalJson({
    format: EVIDENCE_MANIFEST,
    description,
    keys: keys.map(writeEvidenceKey),
    statements: statements.map((entry) => ({ ...file(entry), kind: entry.kind, node: entry.node, key: entry.key })),
    files: files.map((entry) => ({ ...file(entry), kind: entry.kind })),
  })}\n`;
}
