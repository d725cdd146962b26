/** Each rule of the protocol is needed, and the simulation notices when it is gone. */

import { describe, expect, it } from 'vitest';
import type { Transitions } from '../../src/protocol/index.ts';
import { MUTATIONS, withMutation } from './mutations.ts';
import { type RunResult, run } from './scenario.ts';
import { type Attack, siege } from './siege.ts';

/** Seeds within which each planted bug must show, and the properties that it may break. */
const EXPECTED: Readonly<
  Record<
    string,
    {
      readonly within: number;
      readonly from?: number;
      readonly property: RegExp;
      readonly epochs?: boolean;
      readonly attack?: Attack;
      readonly nodes?: number;
    }
  >
> = {
  'no-certificate-check': { within: 20, property: /^1/ },
  'no-fence-check': { within: 100, property: /^1/ },
  'evaluate-before-anchoring': { within: 40, property: /^4/ },
  'budget-reset-on-open': { within: 200, from: 101, property: /^1/ },
  'forgotten-tombstone': { within: 60, property: /^([134]|liveness)/ },
  'no-repair-barrier': { within: 40, property: /^[14]/ },
  'destruction-by-own-count': { within: 60, property: /^2/ },
  'confirm-without-certificate': { within: 40, property: /^1/ },
  'open-not-bound-to-owner': { within: 200, from: 101, property: /^[24]/ },
  'epoch-begins-with-fewer-leaves': { within: 300, from: 200, property: /^[14]/, epochs: true },
  'leavers-vote-on': { within: 100, property: /^[1234]/, epochs: true },
  'repair-merges-certified-only': { within: 200, property: /^1/ },
  'stage-by-majority': { within: 40, property: /^2/, attack: 'takeover' },
  'spent-on-old-heads': { within: 40, property: /^2/, attack: 'spent' },
  'spent-on-few-heads': { within: 40, property: /^2/, attack: 'spent' },
  'takeover-delay-from-certificate': { within: 40, property: /^2/, attack: 'takeover', nodes: 5 },
  'takeover-deletes-unstaged': { within: 40, property: /^2/, attack: 'takeover' },
};

type Expectation = (typeof EXPECTED)[string];

function runOf(seed: number, { epochs = false, attack, nodes = 3 }: Expectation, transitions?: Transitions) {
  const options = { seed, nodes, ...(transitions && { transitions }) };
  return attack ? siege({ ...options, attack }) : run({ ...options, epochs });
}

async function firstViolation(mutation: string, expected: Expectation): Promise<RunResult | undefined> {
  const { from = 1, within } = expected;
  return withMutation(mutation, async (transitions) => {
    for (let seed = from; seed < from + within; seed++) {
      const result = await runOf(seed, expected, transitions);
      if (result.violation !== undefined) return result;
    }
    return undefined;
  });
}

describe('the simulation finds', () => {
  it('every planted bug has its expectation', () => {
    expect(Object.keys(EXPECTED).sort()).toEqual(Object.keys(MUTATIONS).sort());
  });

  it.each(Object.entries(EXPECTED))('%s', async (mutation, expected) => {
    const found = await firstViolation(mutation, expected);
    expect(found?.violation).toMatch(expected.property);
    // The very same run keeps the property once the bug is gone.
    expect((await runOf(found!.seed, expected)).violation).toBeUndefined();
  });
});
