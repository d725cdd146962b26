/** The deeper look at evidence whose SHA-256 is right: that it proves of its bundle what it has to (docs/trust.md, section 4). */

import { HoldfastError } from '../../core/index.ts';
import {
  checkServiceRecord,
  parseSigstoreBundle,
  parseStatement,
  type Statement,
  verifyEvidence,
} from '../../evidence/index.ts';
import { type LiveManifest, parseLeaf } from '../../trust/index.ts';
import type { LogReplay } from '../replay/index.ts';
import type { EvidenceOptions } from './evidence.ts';

type Fetch = NonNullable<EvidenceOptions['fetch']>;

/**
 * A look at what the newest bundles name as their evidence, with all files that it names in turn, and at service records.
 * Of other files the log says only what they hash to.
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
      const fault = await faultOf(() =>
        verifyEvidence({ manifest, earlier: acceptedBefore(replay, manifest), policy: replay.state.policy, read }),
      );
      if (fault !== undefined) return fault;
    }
    return await faultOf(async () => checkRecord(replay, bytes));
  };
}

async function faultOf(check: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await check();
    return undefined;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

/** A service record of a bundle that is in force says what that bundle says, signed by its nodes. */
function checkRecord(replay: LogReplay, bytes: Uint8Array): void {
  const statement = statementIn(bytes);
  if (statement?.kind !== 'service-record') return;
  for (const { accepted } of replay.state.fleets.values()) {
    if (accepted?.digest === statement.subject.sha256) checkServiceRecord(statement, accepted);
  }
}

/** Undefined for anything else that the log may say a digest of. */
function statementIn(bytes: Uint8Array): Statement | undefined {
  try {
    return parseStatement(parseSigstoreBundle(bytes).payload);
  } catch {
    return undefined;
  }
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
