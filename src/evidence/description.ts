/**
 * The description of a fleet, which statements of evidence bind: what stays as it is when a bundle is renewed, after the
 * line `holdfast/description/v1` (docs/trust.md, section 2).
 */

import { type Digest, descriptionText, digestOf, type LiveManifest, nodesText } from '../trust/index.ts';

/** SHA-256 of `descriptionText`, in hexadecimal. */
export function descriptionDigest(manifest: LiveManifest): Digest {
  return digestOf(descriptionText(manifest));
}

/**
 * The descriptions that evidence of a bundle may be about: its own, and those of the fleet's earlier accepted bundles of the
 * same epoch with exactly the same nodes. So a change of limits or coordinators, and of no key, needs no new
 * ceremony: the two signatures on the bundle, and its service record, speak of those.
 */
export function coveredDescriptions(
  manifest: LiveManifest,
  earlier: readonly LiveManifest[] = [],
): ReadonlySet<Digest> {
  const same = earlier.filter(
    ({ vault, environment, fleet, epoch, nodes, serial }) =>
      vault === manifest.vault &&
      environment === manifest.environment &&
      fleet === manifest.fleet &&
      epoch === manifest.epoch &&
      serial < manifest.serial &&
      nodesText(nodes) === nodesText(manifest.nodes),
  );
  return new Set([manifest, ...same].map(descriptionDigest));
}
