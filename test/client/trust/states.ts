/** States of trust for tests of stores. */

import { serialiseTrustState } from '../../../src/trust/index.ts';

const stateOfSize = (size: number) =>
  serialiseTrustState({
    ...{ vault: 'family', environment: 'production', policyVersion: 1, policyDigest: 'a'.repeat(64) },
    ...{ origin: 'log.example/family/production', size, root: 'b'.repeat(64), time: 1 },
    fleets: [{ fleet: 'first', serial: 1, digest: 'c'.repeat(64), successor: null }],
  });

export const STATES = [stateOfSize(1), stateOfSize(22), stateOfSize(333)] as const;
