/** From the fleet that an application is set to, over verified retirements, to the one that is live today. */

import { HoldfastError } from '../../core/index.ts';
import type { TrustStateStore } from './state.ts';
import type { TrustRequest, VerifiedTrust } from './types.ts';
import { establishTrust } from './verify.ts';

/** Retirements that are followed in one go; what was followed is stored, so that trying again goes on from there. */
export const MAXIMUM_RETIREMENTS = 16;

export interface FollowRequest extends Omit<TrustRequest, 'state' | 'set' | 'operation'> {
  readonly operation: 'enrol' | 'move';
}

/**
 * The fleet to enrol at. For recovering, confirming and deleting use `establishTrust` with the fleet that has the record.
 * @param fetchSet the newest trust set of a fleet; nothing about it is trusted.
 * @throws HoldfastError as `establishTrust`; `chain_broken` after 16 retirements; and whatever `fetchSet` throws.
 */
export async function establishLiveFleet(
  request: FollowRequest,
  fetchSet: (fleet: string) => Promise<Uint8Array>,
  store: TrustStateStore,
): Promise<VerifiedTrust> {
  let { fleet } = request.configuration;
  for (let i = 0; i <= MAXIMUM_RETIREMENTS; i++) {
    const set = await fetchSet(fleet);
    const next = { ...request, set, configuration: { ...request.configuration, fleet } };
    // Following first: it is right for a live fleet too, and what it stores lets the successor be trusted.
    const { standing } = await establishTrust({ ...next, operation: 'follow' }, store);
    if (standing.state === 'live') return await establishTrust(next, store);
    fleet = standing.successor;
  }
  throw new HoldfastError('chain_broken', `more than ${MAXIMUM_RETIREMENTS} fleets have retired to each other`);
}
