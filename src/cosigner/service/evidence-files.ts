/**
 * Evidence that the cosigner serves beside its log (docs/trust.md, section 4): files by their SHA-256, uploaded by operators
 * or fetched before a bundle was signed, so that one site has all that an audit reads.
 */

import { mkdir, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bytesToHex, fromUtf8, HoldfastError, sha256 } from '../../core/index.ts';
import {
  MAXIMUM_ACCOMPANYING_FILE,
  MAXIMUM_EVIDENCE_MANIFEST,
  parseEvidenceManifest,
  parseSigstoreBundle,
  parseStatement,
} from '../../evidence/index.ts';
import type { TileFiles } from '../log/index.ts';

/** What a file is, which its name tells: manifests and signed statements, transcripts, certificates in DER. */
export const EVIDENCE_EXTENSIONS = {
  json: 'application/json',
  txt: 'text/plain; charset=utf-8',
  cer: 'application/pkix-cert',
};
export type EvidenceExtension = keyof typeof EVIDENCE_EXTENSIONS;

/** Bytes of one file. */
export const MAXIMUM_EVIDENCE_FILE = MAXIMUM_ACCOMPANYING_FILE;

export interface EvidenceFilesOptions {
  /** Writes into `folder`, each file as a whole. */
  readonly files: Pick<TileFiles, 'replace'>;
  readonly folder: string;
  /** Bytes of all files: operators must not fill the disk. */
  readonly maximumBytes: number;
}

const NAME = /^([0-9a-f]{64})\.(json|txt|cer)$/;

export class EvidenceFiles {
  readonly #options: EvidenceFilesOptions;
  /** Extensions by digest. */
  readonly #known = new Map<string, EvidenceExtension>();
  #bytes = 0;
  /** One after another, so that the sum is right. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: EvidenceFilesOptions) {
    this.#options = options;
  }

  /** Makes the folder, or looks at what is in it. */
  static async open(options: EvidenceFilesOptions): Promise<EvidenceFiles> {
    const opened = new EvidenceFiles(options);
    await mkdir(options.folder, { recursive: true, mode: 0o755 });
    for (const name of await readdir(options.folder)) {
      const [, digest, extension] = NAME.exec(name) ?? [];
      if (digest === undefined) continue;
      opened.#known.set(digest, extension as EvidenceExtension);
      opened.#bytes += (await stat(join(options.folder, name))).size;
    }
    return opened;
  }

  has(digest: string): boolean {
    return this.#known.has(digest);
  }

  /** Path and type of the file with this SHA-256; undefined where there is none. */
  find(digest: string): { readonly path: string; readonly type: string } | undefined {
    const extension = this.#known.get(digest);
    if (extension === undefined) return undefined;
    return { path: join(this.#options.folder, `${digest}.${extension}`), type: EVIDENCE_EXTENSIONS[extension] };
  }

  /** Its bytes. @throws HoldfastError `too_large`. */
  async read(digest: string, maximumBytes: number): Promise<Uint8Array | undefined> {
    const found = this.find(digest);
    if (!found) return undefined;
    if ((await stat(found.path)).size > maximumBytes) {
      throw new HoldfastError('too_large', `the evidence ${digest} has more than ${maximumBytes} bytes`);
    }
    return new Uint8Array(await readFile(found.path));
  }

  /**
   * Keeps a file, durably. What is no evidence is refused: this is no place for just anything.
   * @returns its SHA-256 in hexadecimal.
   * @throws HoldfastError `evidence_malformed`, `too_large`, `overloaded` where no more files are kept.
   */
  keep(content: Uint8Array, extension: EvidenceExtension): Promise<string> {
    const result = this.#last.then(() => this.#keep(content, extension));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #keep(content: Uint8Array, extension: EvidenceExtension): Promise<string> {
    const digest = bytesToHex(sha256(content));
    if (this.#known.has(digest)) return digest;
    checkContent(content, extension);
    const { files, maximumBytes } = this.#options;
    if (this.#bytes + content.length > maximumBytes) {
      throw new HoldfastError(
        'overloaded',
        `the files of evidence would have more than ${maximumBytes} bytes; raise evidence.maximumBytes, or remove some`,
      );
    }
    await files.replace(`${digest}.${extension}`, content);
    this.#known.set(digest, extension);
    this.#bytes += content.length;
    return digest;
  }
}

/** @throws HoldfastError `evidence_malformed`, `too_large`. */
export function checkContent(content: Uint8Array, extension: EvidenceExtension): void {
  if (content.length > MAXIMUM_EVIDENCE_FILE) {
    throw new HoldfastError('too_large', `a file of evidence has at most ${MAXIMUM_EVIDENCE_FILE} bytes`);
  }
  if (extension === 'json') {
    if (content.length <= MAXIMUM_EVIDENCE_MANIFEST && isReadable(() => parseEvidenceManifest(content))) return;
    parseStatement(parseSigstoreBundle(content).payload);
    return;
  }
  const right =
    extension === 'txt'
      ? content.length > 0 && !content.includes(0) && isReadable(() => fromUtf8(content))
      : content.length > 4 && content[0] === 0x30;
  if (!right)
    throw new HoldfastError('evidence_malformed', `this is no ${extension === 'txt' ? 'text' : 'certificate'}`);
}

function isReadable(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}
