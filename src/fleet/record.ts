/** The service record of a fleet on one machine: what its running nodes sign of themselves, in the log (docs/trust.md, section 4). */

import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '../core/index.ts';
import { fileEntry } from '../evidence/index.ts';
import { lockFile } from '../lock/index.ts';
import { gatherServiceRecord, loggedAt, readLog, signStatement, waitForLeaf } from '../operator/index.ts';
import { parseLeaf } from '../trust/index.ts';
import { openDesk } from './announce.ts';
import { writeWhole } from './files.ts';
import { type FleetFolder, readPlan } from './folder.ts';
import { logUrl, OPERATOR } from './parties.ts';

export interface RecordFleetOptions {
  readonly folder: FleetFolder;
  /** Makes this process's SoftHSM use that configuration (SOFTHSM2_CONF). */
  readonly useSoftHsm: (configuration: string) => void;
  /** Milliseconds to wait for all nodes. */
  readonly patience: number;
  readonly signal?: AbortSignal;
}

export interface RecordedFleet {
  /** Digest of the accepted bundle. */
  readonly bundle: string;
  readonly sha256: string | undefined;
  /** Numbers of the nodes that did not answer. */
  readonly missing: readonly number[];
  /** Whether there was a record of all nodes on this bundle before. */
  readonly already: boolean;
}

/** Milliseconds that another process may take beside its waits for the nodes and for the witnesses, each of which has its patience. */
const SIGNING_TIME = 60_000;

/**
 * Gathers, signs and logs the record of the accepted bundle, once for each bundle, and waits until an audit of the site finds
 * it. Where another process does so now, it is waited for: two at a time would write into one journal.
 * @throws HoldfastError `usage` for a fleet without a log, `not_found` where nothing is accepted, `not_ready` where the other
 *   process does not come to an end or the witnesses do not confirm the log in time, as `gatherServiceRecord`.
 */
export async function recordFleet(options: RecordFleetOptions): Promise<RecordedFleet> {
  const { folder, patience, signal } = options;
  const lock = await lockFile(join(folder.path, 'service-record'), 2 * patience + SIGNING_TIME, signal);
  try {
    return await record(options);
  } finally {
    lock.release();
  }
}

async function record(options: RecordFleetOptions): Promise<RecordedFleet> {
  const { folder, useSoftHsm, patience, signal } = options;
  const { name: fleet } = readPlan(folder);
  // A journal of its own: the operator's may be in use by whoever announces or retires a fleet meanwhile.
  await using desk = await openDesk(folder, useSoftHsm, (home) => join(home.of(OPERATOR), 'record-journal'), signal);
  const { state, entries } = await readLog(desk.policy, desk.site, { which: 'newest', now: Date.now(), signal });
  const bundle = state.fleets.get(fleet)?.accepted;
  if (!bundle) throw new HoldfastError('not_found', `no bundle of ${fleet} has been accepted`);
  const path = join(folder.evidence, 'records', `${bundle.digest}.json`);
  const shown = (index: number) => waitForLeaf(desk.site, index, { patience, signal });
  if (existsSync(path)) {
    const { sha256 } = fileEntry(await readFile(path));
    const leaves = entries.map((entry) => parseLeaf(entry));
    await shown(leaves.findIndex((leaf) => leaf.type === 'evidence' && leaf.evidence.sha256 === sha256));
    return { bundle: bundle.digest, sha256: undefined, missing: [], already: true };
  }
  const { statement, missing } = await gatherServiceRecord({ bundle, patience, signal });
  const file = await signStatement(statement, desk.evidence);
  await desk.submission.evidenceFile('json', file, signal);
  const entry = fileEntry(file);
  const index = await desk.submission.evidence(loggedAt(logUrl(readPlan(desk.home)), entry), signal);
  if (missing.length === 0) {
    await mkdir(join(folder.evidence, 'records'), { recursive: true, mode: 0o755 });
    await writeWhole(path, file, 0o644);
  }
  await shown(index);
  return { bundle: bundle.digest, sha256: entry.sha256, missing, already: false };
}
