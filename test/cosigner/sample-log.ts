/** A log in memory for tests: leaves, checkpoints of any size, proofs between them, and what a witness is sent. */

import { utf8 } from '../../src/core/index.ts';
import { encodeAddCheckpoint } from '../../src/cosigner/witness/index.ts';
import {
  Frontier,
  hashEntry,
  type NoteSigner,
  parseVerifierKey,
  proveConsistency,
  serialiseCheckpoint,
  serialiseNote,
  signNote,
  softwareNoteSigner,
  type TreeNode,
  treeRoot,
  type VerifierKey,
} from '../../src/trust/index.ts';
import { ed25519Key } from '../trust/tlog/keys.ts';

export class SampleLog {
  readonly origin: string;
  readonly signer: NoteSigner;
  readonly leaves: Uint8Array[] = [];
  readonly #frontier = new Frontier();
  readonly #nodes = new Map<string, Uint8Array>();

  constructor(origin = 'log.example/vault/test', seed = origin) {
    this.origin = origin;
    this.signer = softwareNoteSigner(origin, ed25519Key(seed));
  }

  get key(): VerifierKey {
    return parseVerifierKey(this.signer.verifierKey);
  }

  append(...leaves: readonly (Uint8Array | string)[]): this {
    for (const leaf of leaves) {
      const bytes = typeof leaf === 'string' ? utf8(leaf) : leaf;
      this.leaves.push(bytes);
      this.#frontier.append(hashEntry(bytes), ({ level, index }, hash) => this.#nodes.set(`${level}/${index}`, hash));
    }
    return this;
  }

  /** Leaves `from` up to `to` with contents of their own. */
  grow(to: number, mark = ''): this {
    while (this.leaves.length < to) this.append(`leaf ${this.leaves.length}${mark}`);
    return this;
  }

  root(size: number): Promise<Uint8Array> {
    return treeRoot(size, this);
  }

  readHashes(nodes: readonly TreeNode[]): Promise<readonly Uint8Array[]> {
    return Promise.resolve(nodes.map(({ level, index }) => this.#nodes.get(`${level}/${index}`)!));
  }

  async text(size = this.leaves.length): Promise<string> {
    return serialiseCheckpoint({ origin: this.origin, size, root: await this.root(size) });
  }

  async checkpoint(size?: number, signers: readonly NoteSigner[] = [this.signer]): Promise<string> {
    return serialiseNote(await signNote(await this.text(size), signers));
  }

  /** The body of `add-checkpoint` from `oldSize` to `size`. */
  async request(oldSize: number, size: number): Promise<Uint8Array> {
    const proof = await proveConsistency(oldSize, size, this);
    return encodeAddCheckpoint({ oldSize, proof, checkpoint: utf8(await this.checkpoint(size)) });
  }
}
