/** What is known of the devices in which a bundle says that keys are, and that it claims no more than a vendor has proven. */

import { asHoldfastError, HoldfastError } from '../core/index.ts';
import type { BundleNode } from '../trust/index.ts';
import { type Attestation, type VendorRoot, verifyAttestation } from './attestation.ts';
import { MAXIMUM_CERTIFICATE } from './certificate.ts';
import type { AccompanyingFile, EvidenceManifest } from './manifest.ts';
import type { NodeKeyFacts, NodeKeysPredicate } from './node-keys.ts';

/** Keys that a bundle calls `attested`: all of them have to be. */
const ATTESTED_KEYS: readonly NodeKeyFacts['name'][] = ['identity', 'session', 'oprf'];

/**
 * The vendor's word for all keys of a node, or why there is none, as the end of a sentence.
 * @param read the bytes of a certificate, by its entry in the evidence.
 * @throws HoldfastError `cancelled`, and nothing else: what cannot be had proves nothing.
 */
export async function attestationsOf(
  { keys, readAt }: Pick<NodeKeysPredicate, 'keys' | 'readAt'>,
  { files }: Pick<EvidenceManifest, 'files'>,
  read: (file: AccompanyingFile, maximumBytes: number) => Promise<Uint8Array>,
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
        chain.push(await read(file, MAXIMUM_CERTIFICATE));
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

/**
 * A node is called `attested` only where a vendor attests its keys.
 * @param attested what `attestationsOf` has found.
 * @throws HoldfastError `token_class_unproven`.
 */
export function requireProvenClass(
  { name, tokenClass }: Pick<BundleNode, 'name' | 'tokenClass'>,
  attested: Attestation | string,
): void {
  if (tokenClass !== 'attested' || typeof attested !== 'string') return;
  throw new HoldfastError(
    'token_class_unproven',
    `the bundle calls the token of ${name} attested, and ${attested}; take it for the operator’s word`,
    { details: { node: name } },
  );
}
