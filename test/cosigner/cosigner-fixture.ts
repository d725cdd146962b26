/** A cosigner on a store in memory with witnesses in memory, and everybody's keys. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  LOG_TABLES,
  type LogStore,
  type LogTable,
  readRows,
  TileFiles,
  TransparencyLog,
} from '../../src/cosigner/log/index.ts';
import {
  Approvals,
  Cosigner,
  type EvidencePort,
  Ledger,
  PlexiView,
  TrustSets,
} from '../../src/cosigner/service/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import {
  digestOf,
  type LiveManifest,
  type Manifest,
  type NoteSigner,
  parseNote,
  type SignedPolicy,
  serialiseBundle,
  serialiseNote,
  signNote,
} from '../../src/trust/index.ts';
import { COSIGNER, key, LOG, OPERATOR, ORIGIN, ROSTER, signPolicy, trustPolicy } from '../trust/fixture.ts';
import { DAY, deployment, NOW } from '../trust/manifests.ts';
import { testWitnesses } from './witnesses.ts';

export const EVIDENCE = { sha256: 'e'.repeat(64), size: 1000, address: 'https://vault.example/evidence/first.json' };
export const RULES = { maximumValidity: 400 * DAY, maximumAhead: 30 * DAY, pendingFor: DAY, newFleets: 8 };

export const text = (manifest: Manifest) => serialiseBundle(manifest);
export const digest = (manifest: Manifest) => digestOf(text(manifest));
export const signedBy = async (manifest: Manifest, ...signers: readonly NoteSigner[]) =>
  serialiseNote(await signNote(text(manifest), signers));

/** A logged proposal with the operator's line. */
export async function countersigned(note: string, operator: NoteSigner = OPERATOR): Promise<string> {
  const parsed = parseNote(note);
  const { signatures } = await signNote(parsed.text, [operator]);
  return serialiseNote({ text: parsed.text, signatures: [...parsed.signatures, ...signatures] });
}

/** The deployment after `before`, which was proposed, and accepted unless `accepted` says otherwise. */
export function following(before: LiveManifest, changes: Partial<LiveManifest> = {}): LiveManifest {
  return deployment({
    serial: before.serial + 1,
    previous: digest(before),
    accepted: digest(before),
    ...(changes as object),
  });
}

export class CosignerBench {
  readonly folder = mkdtempSync(join(tmpdir(), 'cosigner-'));
  readonly policy: SignedPolicy;
  readonly witnesses;
  readonly evidence: EvidencePort = {
    verify: async () => {
      this.evidenceChecks.push('asked');
      await this.whileEvidence();
    },
    checkLeaf: async () => {},
  };
  readonly evidenceChecks: string[] = [];
  /** What happens while the evidence of a proposal is looked at. */
  whileEvidence: () => Promise<void> = async () => {};
  /** What the bundle key was asked to sign, whatever became of it. */
  readonly signedBundles: string[] = [];
  disk = new MemoryKeyValueStore<LogTable>(undefined, LOG_TABLES);
  now = NOW;
  /** The roster key in the cosigner's configuration. */
  roster: NoteSigner = ROSTER;
  approval = false;
  sound: () => void = () => {};
  /** Told before each step with a file. */
  onStep: () => void = () => {};
  crashAt = Number.POSITIVE_INFINITY;
  events = 0;
  #dead = false;
  log!: TransparencyLog;
  ledger!: Ledger;
  cosigner!: Cosigner;
  approvals: Approvals | undefined;
  plexi!: PlexiView;
  trustSets!: TrustSets;

  private constructor(policy: SignedPolicy, witnesses: ReturnType<typeof testWitnesses>) {
    this.policy = policy;
    this.witnesses = witnesses;
  }

  static async create(changes: { approval?: boolean } = {}): Promise<CosignerBench> {
    const witnesses = testWitnesses(LOG.verifierKey, () => NOW);
    const bench = new CosignerBench(await signPolicy(trustPolicy()), witnesses);
    bench.approval = changes.approval ?? false;
    await bench.open();
    return bench;
  }

  get clock() {
    return { now: () => this.now, sleep: async () => {} };
  }

  async open(): Promise<void> {
    const store = this.#store();
    const { clock, folder } = this;
    this.ledger = new Ledger(store, this.policy, {
      roster: this.roster.verifierKey,
      checkpoint: LOG.verifierKey,
    });
    const files = new TileFiles({ folder, rows: readRows(store), onStep: () => this.#step() });
    this.log = await TransparencyLog.open({
      ...{ origin: ORIGIN, store, files, content: this.ledger, create: true, clock },
      checkpointSigner: this.#signer(LOG),
      rosterSigner: this.#signer(this.roster),
    });
    this.approvals = this.approval ? new Approvals(store, (key) => this.ledger.read(key), clock) : undefined;
    this.cosigner = new Cosigner({
      ...{ log: this.log, ledger: this.ledger, clock, approvals: this.approvals, rules: RULES },
      bundleSigner: this.#signer(COSIGNER, this.signedBundles),
      evidence: this.evidence,
      requireSound: () => this.sound(),
    });
    this.plexi = new PlexiView({
      ...{ store, ledger: this.ledger, signer: key('cosigner.example/plexi'), notBefore: NOW },
      size: () => this.log.head.size,
    });
    this.trustSets = new TrustSets({ log: this.log, ledger: this.ledger, files, folder, clock, keep: DAY });
    await this.cosigner.resume();
  }

  /** After a crash: the same disk, a new process. */
  async reopen(): Promise<void> {
    this.crashAt = Number.POSITIVE_INFINITY;
    this.#dead = false;
    this.disk = this.disk.reopen();
    await this.open();
  }

  /** Evidence, proposal, acceptance. */
  async accepted(manifest: LiveManifest): Promise<string> {
    await this.cosigner.addEvidence(EVIDENCE, 'olga');
    const proposed = await this.cosigner.propose(text(manifest), 'olga');
    if (proposed.status !== 'logged') throw new Error('it waits');
    const { note } = await this.cosigner.accept(await countersigned(proposed.note));
    return note;
  }

  /** The texts of all leaves. */
  leaves(): string[] {
    return Array.from({ length: this.log.head.size }, (_, i) => new TextDecoder().decode(this.log.entry(i)));
  }

  kinds(): string[] {
    return this.leaves().map((leaf) => leaf.split('\n')[0]!.split('/')[1]!);
  }

  #signer(signer: NoteSigner, seen?: string[]): NoteSigner {
    return {
      ...signer,
      sign: async (message) => {
        this.#event();
        seen?.push(new TextDecoder().decode(message));
        const signature = await signer.sign(message);
        this.#event();
        return signature;
      },
    };
  }

  #step(): void {
    this.#event();
    this.onStep();
  }

  #event(): void {
    this.events++;
    if (this.events >= this.crashAt) this.#dead = true;
    if (this.#dead) throw new Error('power cut');
  }

  #store(): LogStore {
    const { disk } = this;
    return {
      get: (table, rowKey) => disk.get(table, rowKey),
      entries: (table) => disk.entries(table),
      size: () => disk.size(),
      close: () => disk.close(),
      commit: async (writes) => {
        this.#event();
        await disk.commit(writes);
        this.#event();
      },
    };
  }
}
