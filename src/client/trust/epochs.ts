/**
 * Who was in a fleet in its earlier epochs: records that were enrolled then are checked with those keys until they are
 * enrolled anew (docs/protocol.md, section 7). Each bundle names the accepted one before it by digest, so whatever verified the
 * newest vouches for all of them.
 */

import { HoldfastError } from '../../core/index.ts';
import { type Fleet, MAXIMUM_EARLIER, type Membership } from '../../protocol/index.ts';
import { type Digest, type LiveManifest, MAXIMUM_CHAIN, parseBundle, requireLive } from '../../trust/index.ts';

/**
 * The fleet of a verified manifest, with its earlier epochs.
 * @param bundleText the text of the bundle with this digest; it is checked here.
 * @throws HoldfastError `chain_broken`; and whatever `bundleText` throws.
 */
export async function withEarlierEpochs(
  fleet: Fleet,
  manifest: LiveManifest,
  bundleText: (digest: Digest) => Promise<string>,
): Promise<Fleet> {
  const earlier: Membership[] = [];
  let current: LiveManifest = manifest;
  for (let steps = 0; current.epoch > 1 && current.accepted !== null && steps < MAXIMUM_CHAIN; steps++) {
    const bundle = requireLive(parseBundle(await bundleText(current.accepted)));
    const before: LiveManifest = bundle.manifest;
    const right =
      bundle.digest === current.accepted &&
      before.fleet === manifest.fleet &&
      before.serial < current.serial &&
      before.epoch <= current.epoch;
    if (!right) throw new HoldfastError('chain_broken', 'a bundle of an earlier epoch is not the one that is named');
    // Where the number of nodes changed, no record of before can be brought over.
    if (before.nodes.length !== manifest.nodes.length || earlier.length >= MAXIMUM_EARLIER) break;
    if (before.epoch < (earlier[0]?.epoch ?? manifest.epoch)) {
      earlier.unshift({
        epoch: before.epoch,
        nodes: before.nodes.map(({ keys: { identity, oprf } }) => ({ identity, oprf })),
      });
    }
    current = before;
  }
  // The last one has to be the epoch just before: one that was never announced leaves nothing to check records with.
  return earlier.at(-1)?.epoch === manifest.epoch - 1 ? { ...fleet, earlier } : fleet;
}
