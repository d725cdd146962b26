/** A run is its seed's alone. */

import { describe, expect, it } from 'vitest';
import { type RunResult, run } from './scenario.ts';

describe('a run', () => {
  const facts = ({ hash, events, violation }: RunResult) => ({ hash, events, violation });

  it.each([1, 2, 3, 42, 1_000_003])('replays exactly: seed %i', async (seed) => {
    const first = await run({ seed });
    await run({ seed: seed + 1 });
    expect(facts(await run({ seed }))).toEqual(facts(first));
  });

  it('depends on its seed', async () => {
    expect((await run({ seed: 1 })).hash).not.toBe((await run({ seed: 2 })).hash);
  });
});
