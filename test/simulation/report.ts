/** What a person needs of a failing seed: what broke, how to see it again, and what came before. */

import type { RunResult } from './scenario.ts';

export function describeFailure(
  result: RunResult,
  options: {
    readonly nodes?: number | undefined;
    readonly mutation?: string | undefined;
    readonly epochs?: boolean;
    readonly attack?: string | undefined;
  },
): string {
  const nodes = options.nodes ? ` --nodes ${options.nodes}` : '';
  const epochs = options.epochs ? ' --epochs' : '';
  const attack = options.attack ? ` --siege ${options.attack}` : '';
  const mutation = options.mutation ? ` --mutation ${options.mutation}` : '';
  return [
    `seed ${result.seed} breaks property ${result.violation}`,
    `again: npm run simulate -- --seeds 1 --from ${result.seed}${nodes}${epochs}${attack}${mutation} --verbose`,
    ...result.recent,
  ].join('\n');
}
