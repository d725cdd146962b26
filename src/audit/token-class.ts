/** Step `token-class`: what is known of the devices in which the keys are said to be, and that no more is claimed. */

import {
  type AccompanyingFile,
  type Attestation,
  attestationsOf,
  type EvidenceManifest,
  type NodeKeysPredicate,
  requireProvenClass,
  type VendorRoot,
} from '../evidence/index.ts';
import type { Bundle, BundleNode, LiveManifest } from '../trust/index.ts';
import { statementsOfKind, type VerifiedStatements } from './evidence-steps.ts';
import type { AuditedSite } from './site.ts';
import type { Finding } from './steps.ts';

interface NodeFinding {
  readonly sentence: string;
  readonly fact: string;
  readonly proven: boolean;
}

/** @throws HoldfastError `token_class_unproven` for a class `attested` without a proof for each key. */
export async function tokenClassStep(
  site: AuditedSite,
  { manifest }: Bundle<LiveManifest>,
  evidence: EvidenceManifest,
  statements: VerifiedStatements,
  roots: readonly VendorRoot[],
): Promise<Finding<undefined>> {
  const stated = new Map(statementsOfKind(statements, 'node-keys').map(({ predicate }) => [predicate.node, predicate]));
  const read = (file: AccompanyingFile, maximumBytes: number) =>
    site.evidence(file, maximumBytes, manifest.evidence.address);
  const findings: NodeFinding[] = [];
  for (const node of manifest.nodes) {
    const predicate = stated.get(node.name);
    const attested = predicate ? await attestationsOf(predicate, evidence, read, roots) : 'nothing was stated';
    requireProvenClass(node, attested);
    findings.push(findingOf(node, predicate, attested));
  }
  const sentences = [...new Set(findings.map(({ sentence }) => sentence))];
  return {
    state: findings.every(({ proven }) => proven) ? 'passed' : 'stated',
    value: undefined,
    message: sentences.join(' '),
    facts: { nodes: findings.map(({ fact }) => fact), pinnedRoots: roots.map(({ vendor }) => vendor) },
  };
}

function findingOf(
  { name, tokenClass }: BundleNode,
  predicate: NodeKeysPredicate | undefined,
  attested: Attestation | string,
): NodeFinding {
  const token = predicate ? `${predicate.token.manufacturer} ${predicate.token.model}` : 'a token';
  if (typeof attested !== 'string') {
    const { vendor, device } = attested;
    const sentence = `${vendor} attests that these keys were made in its device${device && ` (${device})`}; this says nothing about who holds the PIN, or about other keys.`;
    return { proven: true, sentence, fact: `${name}: attested by ${vendor}, ${device}` };
  }
  const emulated =
    'These keys are in software, as their operator says itself: nothing protects them from whoever has the machine.';
  const declared = `The operator states that these keys live in ${token}. Nothing independent confirms it.`;
  const sentence = tokenClass === 'emulated' ? emulated : declared;
  return { proven: false, sentence, fact: `${name}: ${tokenClass}, ${token}` };
}
