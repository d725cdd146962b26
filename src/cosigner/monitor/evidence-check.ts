/** The deeper look at evidence whose SHA-256 is right: that it proves of its bundle what it has to (docs/trust.md, section 4). */

import { HoldfastError } from '../../core/index.ts';
import { verifyEvidence } from '../../evidence/index.ts';
import { type LiveManifest, parseLeaf } from '../../trust/index.ts';
import type { LogReplay } from '../replay/index.ts';
import type { EvidenceOptions } from './evidence.ts';

type Fetch = NonNullable<EvidenceOptions['fetch']>;

/**
 * A look at what the newest bundles name as their evidence, with all files that it names in turn. Of other files the log says
 * only what they hash to.
 */
export function evidenceCheck(replay: LogReplay, fetch: Fetch): NonNullable<EvidenceOptions['verify']> {
  return async ({ sha256 }, bytes, signal) => {
    for (const { proposal, accepted } of replay.state.fleets.values()) {
      const bundle = [accepted, proposal].find((each) => each?.manifest.evidence.sha256 === sha256);
      if (!bundle) continue;
      const { manifest } = bundle;
      const read = async (file: { sha256: string; address: string }, maximumBytes: number) =>
        file.sha256 === sha256
          ? bytes
          : fetch(addressOf(file.address, manifest.evidence.address), maximumBytes, signal);
      try {
        await verifyEvidence({ manifest, earlier: acceptedBefore(replay, manifest), read });
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        return `${error.code}: ${error.message}`;
      }
    }
    return undefined;
  };
}

function acceptedBefore(replay: LogReplay, { fleet, serial }: LiveManifest): LiveManifest[] {
  const found: LiveManifest[] = [];
  for (const entry of replay.mirror.entries(0)) {
    const leaf = leafOf(entry);
    if (leaf?.type !== 'acceptance') continue;
    const { manifest } = leaf.bundle;
    if (manifest.fleet === fleet && manifest.serial < serial) found.push(manifest);
  }
  return found;
}

function leafOf(entry: Uint8Array) {
  try {
    return parseLeaf(entry);
  } catch {
    // A rule that it breaks is reported elsewhere.
    return undefined;
  }
}

function addressOf(address: string, manifest: string): string {
  return URL.canParse(address) ? address : new URL(address, manifest).href;
}
