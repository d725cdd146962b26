/** The service record of a fleet on one machine: what its running nodes sign of themselves, in the log (docs/trust.md, section 4). */

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HoldfastError } from '../core/index.ts';
import { fileEntry } from '../evidence/index.ts';
import { gatherServiceRecord, loggedAt, readLog, signStatement } from '../operator/index.ts';
import { openDesk } from './announce.ts';
import { type FleetFolder, readPlan } from './folder.ts';
import { logUrl, OPERATOR } from './parties.ts';
import { identityOf, isAlive, type ProcessIdentity } from './process.ts';

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

/**
 * Gathers, signs and logs the record of the accepted bundle, once for each bundle.
 * @throws HoldfastError `usage` for a fleet without a log, `not_found` where nothing is accepted, as `gatherServiceRecord`.
 */
export async function recordFleet(options: RecordFleetOptions): Promise<RecordedFleet> {
  const lock = takeLock(join(options.folder.path, 'record.lock'));
  try {
    return await record(options);
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Two at a time would write into one journal. @throws HoldfastError `not_ready`. */
function takeLock(path: string): string {
  const own = JSON.stringify(identityOf(process.pid));
  for (let again = false; ; again = true) {
    try {
      writeFileSync(path, own, { mode: 0o600, flag: 'wx' });
      return path;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause;
      if (again || isHeld(path)) {
        throw new HoldfastError('not_ready', 'another process gathers the service record now; wait for it', { cause });
      }
      rmSync(path, { force: true });
    }
  }
}

function isHeld(path: string): boolean {
  try {
    return isAlive(JSON.parse(readFileSync(path, 'utf8')) as ProcessIdentity);
  } catch {
    return false;
  }
}

async function record(options: RecordFleetOptions): Promise<RecordedFleet> {
  const { folder, useSoftHsm, patience, signal } = options;
  const { name: fleet } = readPlan(folder);
  // A journal of its own: the operator's may be in use by whoever announces or retires a fleet meanwhile.
  await using desk = await openDesk(folder, useSoftHsm, (home) => join(home.of(OPERATOR), 'record-journal'));
  const { state } = await readLog(desk.policy, desk.site, { which: 'newest', now: Date.now(), signal });
  const bundle = state.fleets.get(fleet)?.accepted;
  if (!bundle) throw new HoldfastError('not_found', `no bundle of ${fleet} has been accepted`);
  const path = join(folder.evidence, 'records', `${bundle.digest}.json`);
  if (existsSync(path)) return { bundle: bundle.digest, sha256: undefined, missing: [], already: true };
  const { statement, missing } = await gatherServiceRecord({ bundle, patience, signal });
  const file = await signStatement(statement, desk.evidence);
  await desk.submission.evidenceFile('json', file, signal);
  const entry = fileEntry(file);
  await desk.submission.evidence(loggedAt(logUrl(readPlan(desk.home)), entry), signal);
  if (missing.length === 0) {
    await mkdir(join(folder.evidence, 'records'), { recursive: true, mode: 0o755 });
    await writeFile(path, file, { mode: 0o644 });
  }
  return { bundle: bundle.digest, sha256: entry.sha256, missing, already: false };
}
