/** An operator's view of a cosigner in memory, or of a log that obeys nothing: sites and submissions without a network. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { HoldfastError } from '../../src/core/index.ts';
import {
  type DeploymentDraft,
  evidenceOf,
  type LogSource,
  type Site,
  type Submission,
} from '../../src/operator/index.ts';
import { cosign, digestOf, parseNote, type SignedPolicy, serialiseNote } from '../../src/trust/index.ts';
import { CosignerBench } from '../cosigner/cosigner-fixture.ts';
import { key, type TestLog, WITNESSES } from '../trust/fixture.ts';
import { deployment } from '../trust/manifests.ts';

export const EVIDENCE_CONTENT = new TextEncoder().encode('what was done, and by whom');
export const EVIDENCE = evidenceOf(EVIDENCE_CONTENT, 'https://vault.example/evidence/first.json');

export function draft(changes: Partial<DeploymentDraft> = {}): DeploymentDraft {
  const { policy, nodes, coordinators, authority, notBefore, notAfter } = deployment();
  return {
    epoch: undefined,
    policy,
    nodes,
    coordinators,
    authority,
    notBefore,
    notAfter,
    evidence: EVIDENCE,
    ...changes,
  };
}

export async function codeOf(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return 'nothing';
}

export class OperatorBench {
  readonly bench: CosignerBench;
  /** Who cosigns, by name. */
  witnesses: readonly string[] = WITNESSES;
  /** How often something was asked of the site. */
  asked = 0;
  #witnessed: string | undefined;

  private constructor(bench: CosignerBench) {
    this.bench = bench;
  }

  static async create(options: { approval?: boolean } = {}): Promise<OperatorBench> {
    return new OperatorBench(await CosignerBench.create(options));
  }

  get policy(): SignedPolicy {
    return this.bench.policy;
  }

  /** A clock on which waiting passes at once, and lets the witnesses come by. */
  get clock() {
    return {
      now: () => this.bench.now,
      sleep: async (milliseconds: number) => {
        this.bench.now += milliseconds;
        await this.witness();
      },
    };
  }

  /** All witnesses cosign the newest checkpoint, and what follows from it is published. */
  async witness(): Promise<void> {
    if (this.witnesses.length === 0) return;
    const note = parseNote(this.bench.log.head.checkpoint);
    const seconds = Math.floor(this.bench.now / 1000);
    const lines = await Promise.all(this.witnesses.map((name) => cosign(note.text, key(name, 'cosignature'), seconds)));
    this.#witnessed = serialiseNote({ text: note.text, signatures: [...note.signatures, ...lines] });
    await this.bench.trustSets.publish({ note: this.#witnessed, size: this.bench.log.head.size, quorum: seconds });
  }

  readonly site: Site = {
    checkpoint: async (which) => {
      this.asked++;
      const text =
        which === 'newest' ? this.bench.log.head.checkpoint : (this.#witnessed ?? this.bench.log.head.checkpoint);
      return new TextEncoder().encode(text);
    },
    leaves: async (from, to) => Array.from({ length: to - from }, (_, i) => this.bench.log.entry(from + i)!),
    policy: async () => undefined,
    trustSet: async (fleet) => {
      try {
        return Uint8Array.from(readFileSync(join(this.bench.folder, 'trust', 'fleets', fleet)));
      } catch {
        return undefined;
      }
    },
    submit: (kind, note) =>
      kind === 'acceptance' ? this.bench.cosigner.accept(note) : this.bench.cosigner.revoke(note),
  };

  readonly submission: Submission = {
    evidence: async (evidence) => (await this.bench.cosigner.addEvidence(evidence, 'olga')).index,
    proposal: (text) => this.bench.cosigner.propose(text, 'olga'),
    policy: (note) => this.bench.cosigner.addPolicy(note),
    waiting: async () =>
      (this.bench.approvals?.waiting ?? []).map(({ text, since }) => ({ text, since, digest: digestOf(text) })),
    approve: (digest) => this.bench.cosigner.approve(digest, 'carla'),
    reject: (digest) => this.bench.cosigner.reject(digest),
  };
}

/** A log that may say anything, as a source. */
export function sourceOf(
  log: TestLog,
  options: { witnessed?: Readonly<Record<string, number>>; policies?: readonly string[] } = {},
): LogSource {
  return {
    checkpoint: async () =>
      new TextEncoder().encode(
        serialiseNote(await log.checkpoint(options.witnessed ? { witnessed: options.witnessed } : {})),
      ),
    leaves: async (from, to) => log.entries.slice(from, to),
    policy: async (version) => options.policies?.[version - 1],
  };
}
