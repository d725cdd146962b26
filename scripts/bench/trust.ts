/** How long a client takes to verify a fleet: bundle, two proofs, and a quorum of three witnesses; first use and each later one. */

import { verifyTrustSet } from '../../src/trust/index.ts';
import { WITNESSES } from '../../test/trust/fixture.ts';
import { NOW } from '../../test/trust/manifests.ts';
import { scene } from '../../test/trust/verify/scene.ts';
import { quantile, round } from './statistics.ts';

export interface TrustResult {
  /** Bytes of the trust set. */
  readonly setBytes: number;
  readonly cosignatures: number;
  /** Milliseconds. */
  readonly first: { readonly median: number; readonly p95: number };
  readonly again: { readonly median: number; readonly p95: number };
}

/** Milliseconds for the median on Node. */
export const TRUST_GOAL = 10;
const ROUNDS = 200;
const WARM_UP = 20;

export async function measureTrust(): Promise<TrustResult> {
  const { log, request } = await scene();
  const witnessed = Object.fromEntries(WITNESSES.slice(0, 3).map((name) => [name, NOW - 3_600_000]));
  const set = await log.trustSet('first', { witnessed });
  const { nextState } = await verifyTrustSet({ ...request, set });
  const time = async (state: typeof request.state) => {
    const times: number[] = [];
    for (let i = 0; i < ROUNDS + WARM_UP; i++) {
      const start = performance.now();
      await verifyTrustSet({ ...request, set, state });
      if (i >= WARM_UP) times.push(performance.now() - start);
    }
    return { median: round(quantile(times, 0.5)), p95: round(quantile(times, 0.95)) };
  };
  return { setBytes: set.length, cosignatures: 3, first: await time(undefined), again: await time(nextState) };
}
