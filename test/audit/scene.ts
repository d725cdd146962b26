/** A site in memory that serves a log, a fleet and its evidence, all in order, and what may be changed about it. Runs in browsers too. */

import {
  type AuditOptions,
  type AuditReport,
  type AuditStep,
  type AuditStepId,
  runAudit,
} from '../../src/audit/index.ts';
import { HoldfastError, hexToBytes, utf8 } from '../../src/core/index.ts';
import type { ServiceRecordPredicate } from '../../src/evidence/index.ts';
import type { Policy } from '../../src/protocol/index.ts';
import {
  anchorOf,
  digestOf,
  evidenceLeaf,
  type NoteSigner,
  noteLeaf,
  parseVerifierKey,
  plexiMessage,
  plexiNamespace,
  plexiResponse,
  type SignedPolicy,
  serialiseNote,
  serialiseTrustAnchor,
  TileWriter,
  type TrustAnchor,
  type TrustPolicy,
  tilePath,
} from '../../src/trust/index.ts';
import {
  EVIDENCE_KEY,
  type EvidenceChanges,
  type EvidenceFolder,
  evidenceFolder,
  serviceRecordOf,
  signed,
} from '../evidence/scene.ts';
import { acceptance, key, proposal, signPolicy, TestLog, trustPolicy } from '../trust/fixture.ts';
import { NOW } from '../trust/manifests.ts';

export const SITE = 'https://vault.example';
export const PLEXI = key('cosigner.example/plexi');

export interface SceneChanges extends EvidenceChanges {
  readonly policy?: Partial<TrustPolicy>;
  /** Leave out these pieces of evidence from the log, by their place in the manifest's statements; -1 is the manifest. */
  readonly unlogged?: readonly number[];
  /** Undefined logs no service record. */
  readonly service?: ((record: ServiceRecordPredicate) => ServiceRecordPredicate) | undefined;
  readonly withoutService?: boolean;
  /** Texts that are logged as evidence before everything else. */
  readonly first?: readonly string[];
  /** The policy that nodes say they count by. */
  readonly nodePolicy?: Partial<Policy>;
}

export class AuditScene {
  readonly policy: SignedPolicy;
  readonly anchor: TrustAnchor;
  readonly log: TestLog;
  readonly folder: EvidenceFolder;
  /** By path under the site. Change it as an attacker would. */
  readonly files = new Map<string, Uint8Array>();

  private constructor(policy: SignedPolicy, folder: EvidenceFolder) {
    this.policy = policy;
    this.anchor = anchorOf(policy, [SITE]);
    this.log = new TestLog(policy);
    this.folder = folder;
  }

  static async make(changes: SceneChanges = {}): Promise<AuditScene> {
    const scene = new AuditScene(await signPolicy(trustPolicy(changes.policy)), evidenceFolder(changes));
    const { log, folder, files } = scene;
    files.set('anchor.json', utf8(serialiseTrustAnchor(scene.anchor)));
    files.set('policies/1', utf8(serialiseNote(scene.policy.note)));
    await log.append(noteLeaf('policy', scene.policy.note));
    for (const text of changes.first ?? []) await scene.logEvidence(utf8(text));
    const { evidence, manifest } = folder;
    const content = folder.files.get(manifest.evidence.sha256)!;
    const all = [
      { sha256: manifest.evidence.sha256, size: content.length, address: manifest.evidence.address, place: -1 },
      ...evidence.statements.map(({ sha256, size }, place) => ({
        ...{ sha256, size, place },
        address: `${SITE}/evidence/${sha256}.json`,
      })),
    ].filter(({ place }) => !changes.unlogged?.includes(place));
    const leaves = all.map(({ sha256, size, address }) => evidenceLeaf({ sha256, size, address }));
    for (const [sha256, bytes] of folder.files) files.set(`evidence/${sha256}.json`, bytes);
    await log.append(...leaves, await proposal(manifest), await acceptance(manifest));
    if (!changes.withoutService) await scene.logService(changes);
    await scene.publish();
    return scene;
  }

  async logService({ service = (record) => record, nodePolicy = {} }: SceneChanges = {}): Promise<void> {
    const statement = serviceRecordOf(this.folder.manifest, nodePolicy);
    await this.logEvidence(signed({ ...statement, predicate: service(statement.predicate) }, EVIDENCE_KEY));
  }

  /** Logs a file of evidence, and serves it. */
  async logEvidence(content: Uint8Array): Promise<string> {
    const sha256 = digestOf(new TextDecoder().decode(content));
    this.files.set(`evidence/${sha256}.json`, content);
    await this.log.append(evidenceLeaf({ sha256, size: content.length, address: `${SITE}/evidence/${sha256}.json` }));
    return sha256;
  }

  /** Serves what the log has now. */
  async publish(log = this.log, plexiSigner: NoteSigner = PLEXI): Promise<void> {
    const { files } = this;
    files.set('checkpoint', utf8(serialiseNote(await log.checkpoint())));
    const writer = new TileWriter();
    for (const entry of log.entries) writer.append(entry);
    for (const { tile, data } of writer.take()) files.set(tilePath(tile), data);
    for (const fleet of log.state.fleets.keys()) {
      const accepted = log.state.fleets.get(fleet)!.accepted;
      if (accepted === undefined) continue;
      files.set(`trust/${fleet}`, await log.trustSet(fleet));
      const namespace = plexiNamespace(accepted.manifest);
      const { serial } = accepted.manifest;
      const statement = { namespace, timestamp: NOW, epoch: serial, digest: hexToBytes(accepted.digest) };
      const signature = await plexiSigner.sign(plexiMessage(statement));
      const { publicKey } = parseVerifierKey(plexiSigner.verifierKey);
      const answer = JSON.stringify(plexiResponse(statement, publicKey, signature));
      files.set(`namespaces/${namespace}/audits/${serial}`, utf8(answer));
    }
  }

  options(changes: Partial<AuditOptions> = {}): AuditOptions {
    return {
      source: {
        fetch: async (address) => {
          const found = this.files.get(address.replace(`${SITE}/`, ''));
          if (found !== undefined) return found;
          throw new HoldfastError('not_found', `${address} is not there`);
        },
      },
      site: SITE,
      anchor: this.anchor,
      now: NOW,
      ...changes,
    };
  }

  audit(changes: Partial<AuditOptions> = {}): Promise<AuditReport> {
    return runAudit(this.options(changes));
  }
}

/** State, or the code of a failure, of one step of the only fleet. */
export function resultOf({ steps }: AuditReport, id: AuditStepId): string {
  const step = steps.find((each): each is AuditStep => each.id === id);
  return step?.code ?? step?.state ?? 'absent';
}
