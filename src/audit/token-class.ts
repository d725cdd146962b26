/** Step `token-class`: what is known of the devices in which the keys are said to be, and that no more is claimed. */

import { asHoldfastError, HoldfastError } from '../core/index.ts';
import {
  type Attestation,
  type EvidenceManifest,
  MAXIMUM_CERTIFICATE,
  type NodeKeyFacts,
  type NodeKeysPredicate,
  type VendorRoot,
  verifyAttestation,
} from '../evidence/index.ts';
import type { Bundle, BundleNode, LiveManifest } from '../trust/index.ts';
import { statementsOfKind, type VerifiedStatements } from './evidence-steps.ts';
import type { AuditedSite } from './site.ts';
import type { Finding } from './steps.ts';

/** Keys that a bundle calls `attested`: all of them have to be. */
const ATTESTED_KEYS: readonly NodeKeyFacts['name'][] = ['identity', 'session', 'oprf'];

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
  const read = new Map(statementsOfKind(statements, 'node-keys').map(({ predicate }) => [predicate.node, predicate]));
  const findings: NodeFinding[] = [];
  for (const node of manifest.nodes) {
    const predicate = read.get(node.name);
    const attested = predicate
      ? await attestationsOf(site, manifest, evidence, predicate, roots)
      : 'nothing was stated';
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
  if (tokenClass === 'attested') {
    throw new HoldfastError(
      'token_class_unproven',
      `the bundle calls the token of ${name} attested, and ${attested}; take it for the operator’s word`,
      { details: { node: name } },
    );
  }
  const emulated =
    'These keys are in software, as their operator says itself: nothing protects them from whoever has the machine.';
  const declared = `The operator states that these keys live in ${token}. Nothing independent confirms it.`;
  const sentence = tokenClass === 'emulated' ? emulated : declared;
  return { proven: false, sentence, fact: `${name}: ${tokenClass}, ${token}` };
}

/** The vendor's word for all keys of a node, or why there is none. */
async function attestationsOf(
  site: AuditedSite,
  manifest: LiveManifest,
  { files }: EvidenceManifest,
  { keys, readAt }: NodeKeysPredicate,
  roots: readonly VendorRoot[],
): Promise<Attestation | string> {
  let found: Attestation | undefined;
  for (const name of ATTESTED_KEYS) {
    const key = keys.find((each) => each.name === name);
    if (!key?.publicKey || key.attestation.length === 0) return `no vendor’s chain is shown for its key ${name}`;
    try {
      const chain: Uint8Array[] = [];
      for (const digest of key.attestation) {
        const file = files.find((each) => each.sha256 === digest && each.kind === 'attestation');
        if (file === undefined) return `a certificate of its key ${name} is not in the evidence`;
        chain.push(await site.evidence(file, MAXIMUM_CERTIFICATE, manifest.evidence.address));
      }
      found = await verifyAttestation(chain, key.publicKey, roots, readAt);
    } catch (error) {
      const failure = asHoldfastError(error);
      if (failure.code === 'cancelled') throw failure;
      return `for its key ${name} ${failure.message}`;
    }
  }
  return found ?? 'no vendor’s chain is shown';
}
