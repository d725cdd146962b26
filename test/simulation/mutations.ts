/** Planted bugs: each takes one rule away, and the simulation must find out. */

import type { Transitions } from '../../src/protocol/index.ts';

export const MUTATIONS: Record<string, () => { transitions?: Transitions; restore?: () => void }> = {};

export async function withMutation<T>(
  name: string | undefined,
  body: (transitions: Transitions | undefined) => Promise<T>,
): Promise<T> {
  const planted = name === undefined ? {} : MUTATIONS[name]!();
  try {
    return await body(planted.transitions);
  } finally {
    planted.restore?.();
  }
}
