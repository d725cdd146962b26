/** The token's own ceiling: what its raw operations cost, and how many recoveries they would allow by themselves. */

import { mkdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { benchScript } from './holdfast.ts';

export interface TokenResult {
  /** Tokens measured at the same time, one for each core. */
  readonly tokens: number;
  /** Calls per second through one token's worker thread, the best of several rounds. */
  readonly rates: Readonly<Record<string, number>>;
  /** Microseconds of one operation inside the module, the least of several rounds: what the token itself costs. */
  readonly microseconds: Readonly<Record<string, number>>;
}

interface Round {
  readonly rates: Readonly<Record<string, number>>;
  readonly microseconds: Readonly<Record<string, number>>;
}

/** One fresh token for each core, all measured at once, as a fleet's nodes are. */
export async function measureTokens(directory: string): Promise<TokenResult> {
  const tokens = cpus().length;
  const measured = await Promise.all(
    Array.from({ length: tokens }, async (_, i) => {
      const folder = join(directory, `token-${i}`);
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      return (await benchScript('token-rates.ts', [folder])) as { rounds: Round[] };
    }),
  );
  const rounds = measured.flatMap((one) => one.rounds);
  return {
    tokens,
    rates: best(rounds, 'rates', Math.max),
    microseconds: best(rounds, 'microseconds', Math.min),
  };
}

/** Other programs can only make a round slower: the best one is nearest to the truth. */
function best(
  rounds: readonly Round[],
  which: keyof Round,
  better: (...numbers: number[]) => number,
): Record<string, number> {
  const names = Object.keys(rounds[0]![which]);
  return Object.fromEntries(names.map((name) => [name, better(...rounds.map((round) => round[which][name]!))]));
}

export interface Ceiling {
  /** CPU milliseconds of all nodes' tokens for one recovery, by the raw costs. */
  readonly millisecondsPerRecovery: number;
  /** Recoveries per second if the machine did nothing but these operations. */
  readonly recoveriesPerSecond: number;
}

/** From the operations that one recovery was counted to take. Operations never measured by themselves are left out. */
export function ceilingOf(
  { microseconds }: TokenResult,
  perRecovery: Readonly<Record<string, number>>,
  cores: number,
): Ceiling {
  const total = Object.entries(perRecovery).reduce(
    (sum, [operation, count]) => sum + count * (microseconds[operation] ?? 0),
    0,
  );
  return { millisecondsPerRecovery: total / 1000, recoveriesPerSecond: (cores * 1e6) / total };
}
