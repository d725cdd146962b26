/** Keys of evidence that sign nothing else, and what a ceremony's statement refers to (docs/trust.md, section 4). */

import { HoldfastError } from '../core/index.ts';
import type { LiveManifest, TrustPolicyText } from '../trust/index.ts';
import { rawKeyOf } from './keys.ts';
import type { EvidenceManifest } from './manifest.ts';
import type { StatementOf } from './statement.ts';

/**
 * A key that signs evidence has one name and signs nothing else: otherwise a text of one purpose could pass for another, or
 * one party for two.
 * @throws HoldfastError `evidence_mismatch` naming the key.
 */
export function requireOwnKeys(
  { keys }: Pick<EvidenceManifest, 'keys'>,
  { nodes }: Pick<LiveManifest, 'nodes'>,
  { policy, tlog }: Pick<TrustPolicyText, 'policy' | 'tlog'>,
): void {
  const { cosigner, operator, roster, plexi, revokers, policyKeys } = policy;
  const others = [cosigner, operator, roster, plexi, ...revokers, ...policyKeys.keys];
  const logged = [...tlog.logs, ...tlog.witnesses].map(({ key }) => key);
  const used = new Set([...others, ...logged].map(({ publicKey }) => publicKey.join()));
  for (const { keys: own } of nodes) for (const point of [own.identity, own.session, own.oprf]) used.add(point.join());
  for (const key of keys) {
    const raw = rawKeyOf(key)?.join() ?? '';
    if (used.has(raw)) {
      throw new HoldfastError('evidence_mismatch', `the key ${key.name} signs evidence, and something else too`, {
        details: { key: key.name },
      });
    }
    // The next one with this key would be another name for it.
    used.add(raw);
  }
}

/**
 * What a ceremony's statement refers to is in the evidence, and nobody in it has signed with a key that signs statements: a
 * machine is no witness of itself.
 * @throws HoldfastError `evidence_missing`, `evidence_mismatch`.
 */
export function checkCeremonyFolder(
  { predicate }: Pick<StatementOf<'ceremony'>, 'predicate'>,
  { files, keys }: Pick<EvidenceManifest, 'files' | 'keys'>,
): void {
  const { transcript, people } = predicate;
  if (transcript !== null && !files.some(({ kind, sha256 }) => kind === 'transcript' && sha256 === transcript)) {
    throw new HoldfastError('evidence_missing', 'the transcript of the ceremony is not in the evidence', {
      details: { sha256: transcript },
    });
  }
  const signers = new Set(keys.map(({ spki }) => spki.join()));
  const own = people.find(({ key }) => signers.has(key.spki.join()));
  if (own === undefined) return;
  throw new HoldfastError('evidence_mismatch', `${own.name} has signed the ceremony with a key that signs evidence`, {
    details: { person: own.name },
  });
}
