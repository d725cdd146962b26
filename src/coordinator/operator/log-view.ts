/** What a trust set says of the fleet's bundle and the log, for the operator to see. Nothing of it is verified here. */

import type { BundleView, CheckpointView, LogView } from '../../dashboard/index.ts';
import {
  decodeCosignature,
  parseBundle,
  parseCheckpoint,
  parseNote,
  parseTlogProof,
  parseTrustSet,
} from '../../trust/index.ts';

/** Witnesses are names of the policy; more than these are not shown. */
const MAXIMUM_COSIGNATURES = 32;

/** @param fetchedAt milliseconds since 1970. A set that cannot be read shows as none. */
export function logView(set: Uint8Array, fetchedAt: number): LogView {
  try {
    const { bundle, rosterProof, revocation } = parseTrustSet(set);
    return { fetchedAt, bundle: bundleView(bundle, revocation !== undefined), checkpoint: checkpointView(rosterProof) };
  } catch {
    return { fetchedAt, bundle: null, checkpoint: null };
  }
}

function bundleView(note: string, revoked: boolean): BundleView | null {
  const { manifest, digest } = parseBundle(parseNote(note).text);
  if (manifest.kind === 'revoke') return null;
  const { serial, epoch, kind, notBefore, notAfter } = manifest;
  const ending =
    manifest.kind === 'retire'
      ? { successor: manifest.successor, sunset: manifest.sunset }
      : { successor: null, sunset: null };
  return { serial, epoch, kind, revoked, digest, notBefore, notAfter, ...ending };
}

function checkpointView(proof: string): CheckpointView {
  const { checkpoint: note } = parseTlogProof(proof);
  const { origin, size } = parseCheckpoint(note.text);
  const cosignatures = note.signatures
    .filter(({ name }) => name !== origin)
    .flatMap(({ name, signature }) => {
      const decoded = decodeCosignature(signature);
      return decoded ? [{ name, time: decoded.seconds * 1000 }] : [];
    })
    .sort((a, b) => b.time - a.time)
    .slice(0, MAXIMUM_COSIGNATURES);
  return { origin, size, cosignatures, majorityAt: cosignatures[Math.floor(cosignatures.length / 2)]?.time ?? null };
}
