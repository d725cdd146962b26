/** What a fleet's evidence says of the devices its keys are said to be in: for showing it, as the operator's word. */

import type { AuditedSite } from '../../audit/index.ts';
import {
  MAXIMUM_EVIDENCE_MANIFEST,
  MAXIMUM_SIGSTORE_BUNDLE,
  parseEvidenceManifest,
  type TokenFacts,
  verifySigstoreBundle,
} from '../../evidence/index.ts';
import type { LiveManifest } from '../../trust/index.ts';

/** By the node's name; nodes of which nothing can be read are left out. Never throws: the audit says what is wrong. */
export async function loadHardware(
  site: AuditedSite,
  { evidence }: Pick<LiveManifest, 'evidence'>,
): Promise<ReadonlyMap<string, TokenFacts>> {
  const found = new Map<string, TokenFacts>();
  try {
    // Its size does not stand in the bundle.
    const file = await site.evidence({ ...evidence, size: 0 }, MAXIMUM_EVIDENCE_MANIFEST, evidence.address);
    const manifest = parseEvidenceManifest(file);
    const about = manifest.statements.filter(({ kind }) => kind === 'node-keys');
    await Promise.allSettled(
      about.map(async (entry) => {
        const statement = verifySigstoreBundle(
          await site.evidence(entry, MAXIMUM_SIGSTORE_BUNDLE, evidence.address),
          manifest.keys,
        );
        if (statement.kind === 'node-keys') found.set(statement.predicate.node, statement.predicate.token);
      }),
    );
  } catch {
    // There is none that can be shown.
  }
  return found;
}
