/** What a change of membership means for the records of a fleet, in words for people who have to approve it. */

import { isRetained, type Membership } from '../../protocol/index.ts';
import { canonicalJson } from '../canonical.ts';
import { writeEarlier } from '../fields.ts';
import type { LiveManifest } from './manifest.ts';
import { fleetOf } from './manifest-text.ts';
import { beginsAnew } from './rules.ts';

/** One sentence for each thing that people must know about the epochs of two manifests; none where nothing changed. */
export function epochSentences(before: LiveManifest, after: LiveManifest): string[] {
  return [...newEpoch(before, after), ...pastChanges(before, after)];
}

function newEpoch(before: LiveManifest, after: LiveManifest): string[] {
  if (before.epoch === after.epoch) return [];
  if (beginsAnew(before, after)) {
    return [`epoch ${after.epoch} has no token of epoch ${before.epoch}: no record of before can be recovered there`];
  }
  const fleet = fleetOf(after);
  const replaced = after.nodes.filter((_, i) => !isRetained(fleet, before.epoch, i + 1)).map(({ name }) => name);
  const whose = replaced.length === 0 ? 'all tokens stay' : `new tokens for ${replaced.join(', ')}`;
  return [`epoch ${after.epoch} follows epoch ${before.epoch}: ${whose}`];
}

function pastChanges(before: LiveManifest, after: LiveManifest): string[] {
  const [was, is] = [fleetOf(before), fleetOf(after)];
  const known = [...(was.earlier ?? []), ...(before.epoch === after.epoch ? [] : [was])];
  return [...new Set([...known, ...(is.earlier ?? [])].map(({ epoch }) => epoch))].flatMap((epoch) => {
    const then = known.find((one) => one.epoch === epoch);
    const now = is.earlier?.find((one) => one.epoch === epoch);
    if (!now) return [`epoch ${epoch} is no longer carried: records not enrolled anew since then are lost`];
    if (!then) return [`epoch ${epoch} is carried, of which the bundle before says nothing`];
    return text(then) === text(now) ? [] : [`it says otherwise than before who was in epoch ${epoch}`];
  });
}

const text = (membership: Membership): string => canonicalJson(writeEarlier({ earlier: [membership] }));
