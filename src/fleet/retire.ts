/** The end of a fleet in its log: retired, with another that follows and takes its records, or revoked at once (docs/trust.md, section 2). */

import { HoldfastError, systemClock } from '../core/index.ts';
import {
  checkProposal,
  countersign,
  nextRetirement,
  propose,
  readLog,
  revocationOf,
  waitForRevocation,
  waitForTrustSet,
} from '../operator/index.ts';
import { type Bundle, type Evidence, type LiveManifest, serialiseNote, signText } from '../trust/index.ts';
import { type OperatorDesk, openDesk } from './announce.ts';
import { type FleetFolder, logFolderOf, readPlan } from './folder.ts';

interface EndOptions {
  readonly folder: FleetFolder;
  /** Makes this process's SoftHSM use that configuration (SOFTHSM2_CONF). */
  readonly useSoftHsm: (configuration: string) => void;
  readonly signal?: AbortSignal;
}

export interface RetireOptions extends EndOptions {
  readonly successor: FleetFolder;
  /** Milliseconds since 1970, whole seconds: until when records are still recovered and deleted here. */
  readonly sunset: number;
}

export interface Ended {
  readonly fleet: string;
  readonly digest: string;
  readonly serial: number;
}

/** Milliseconds for the witnesses to confirm the proposal. */
const PATIENCE = 60_000;
const POLL = 200;
const EARLY: readonly string[] = ['not_found', 'quorum_not_met', 'conflict', 'not_ready', 'overloaded'];

/**
 * Retires a fleet in favour of another in the same log. Clients then move their records there at the next use of the PIN.
 * Running it again with the same sunset changes nothing.
 * @throws HoldfastError `usage` where the other is not in the same log or not announced; as src/operator.
 */
export async function retireFleet({ folder, successor, sunset, useSoftHsm, signal }: RetireOptions): Promise<Ended> {
  const [{ name: fleet }, { name: follows }] = [readPlan(folder), readPlan(successor)];
  const [home, other] = [folder, successor].map((one) => logFolderOf(one, readPlan(one))?.path);
  if (home === undefined || home !== other || fleet === follows) {
    throw new HoldfastError('usage', 'the fleet that follows must be another one in the same log: make it with --join');
  }
  await using desk = await openDesk(folder, useSoftHsm, undefined, signal);
  const { policy, site } = desk;
  const view = await readLog(policy, site, { which: 'newest', now: Date.now(), signal });
  const heir = view.state.fleets.get(follows)?.accepted;
  if (heir?.manifest.kind !== 'deploy') {
    throw new HoldfastError('usage', `no bundle of ${follows} is accepted; bring it up first: holdfast fleet up`);
  }
  const last = view.state.fleets.get(fleet)?.accepted;
  if (last?.manifest.kind === 'retire' && last.manifest.successor === follows && last.manifest.sunset === sunset) {
    await waitForTrustSet(site, fleet, last.digest, { patience: PATIENCE, signal });
    return { fleet, digest: last.digest, serial: last.manifest.serial };
  }
  const bundle = nextRetirement(view.state, fleet, { successor: follows, sunset, now: Date.now() });
  await publishBundle(desk, bundle, undefined, signal);
  return { fleet, digest: bundle.digest, serial: bundle.manifest.serial };
}

/**
 * Takes one bundle all the way: proposed, cosigned, witnessed, countersigned, accepted. @returns the trust set's bytes.
 * @throws HoldfastError as src/operator, `not_ready` where a person must approve it.
 */
export async function publishBundle(
  desk: OperatorDesk,
  bundle: Bundle<LiveManifest>,
  evidence: Evidence | undefined,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const { policy, site, submission } = desk;
  const { fleet } = bundle.manifest;
  const answer = await propose(bundle, evidence, { submission, policy, signal });
  if (answer.status !== 'logged') throw new HoldfastError('not_ready', 'the cosigner waits for a person to approve it');
  const checked = await witnessed(desk, fleet, bundle.digest, signal);
  await site.submit('acceptance', serialiseNote(await countersign(checked, desk.operator)), signal);
  return await waitForTrustSet(site, fleet, bundle.digest, { signal });
}

async function witnessed(
  { policy, site }: OperatorDesk,
  fleet: string,
  digest: string,
  signal: AbortSignal | undefined,
) {
  const end = performance.now() + PATIENCE;
  for (;;) {
    try {
      return await checkProposal({ policy, source: site, fleet, digest, now: Date.now(), signal });
    } catch (error) {
      const early = error instanceof HoldfastError && EARLY.includes(error.code);
      if (!early || performance.now() > end) throw error;
      await systemClock.sleep(POLL, signal);
    }
  }
}

export interface RevokeOptions extends EndOptions {
  /** One line, for people. */
  readonly reason: string;
}

/**
 * Revokes a fleet's accepted bundle with the operator's key alone, for ever: no client uses any of its keys again.
 * @throws HoldfastError `not_found` where nothing is accepted, `bundle_revoked` where that has happened.
 */
export async function revokeFleet({ folder, reason, useSoftHsm, signal }: RevokeOptions): Promise<Ended> {
  const { name: fleet } = readPlan(folder);
  await using desk = await openDesk(folder, useSoftHsm, undefined, signal);
  const { policy, site, operator } = desk;
  const { state } = await readLog(policy, site, { which: 'newest', now: Date.now(), signal });
  const accepted = state.fleets.get(fleet)?.accepted;
  if (!accepted)
    throw new HoldfastError('not_found', `no bundle of ${fleet} has been accepted; there is nothing to revoke`);
  const { text, digest, manifest } = revocationOf(state, accepted.digest, reason);
  const note = serialiseNote({ text, signatures: [await signText(text, operator)] });
  const { index } = await site.submit('revocation', note, signal);
  // It is in force once the witnesses have seen it: until then the set that clients fetch does not have it.
  await waitForRevocation(site, manifest, index, { patience: PATIENCE, signal });
  return { fleet, digest, serial: manifest.serial };
}
