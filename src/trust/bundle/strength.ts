/** How hard a fleet is to break, as figures that can be compared: with a policy's floors, and with the fleet before it. */

import { type Policy, type TakeoverPolicy, threshold } from '../../protocol/index.ts';
import { type BundleNode, type LiveManifest, TOKEN_CLASSES, type TokenClass } from './manifest.ts';

/** What makes one fleet weaker than another, as a sentence each; empty if nothing does. */
export function weakenings(before: LiveManifest, after: LiveManifest): string[] {
  const found: string[] = [];
  const fewer = (was: number, is: number, what: string) => {
    if (is < was) found.push(`${what}: ${is} instead of ${was}`);
  };
  fewer(before.nodes.length, after.nodes.length, 'fewer nodes');
  fewer(operatorsOfMajority(before.nodes), operatorsOfMajority(after.nodes), 'fewer operators make a majority');
  for (const weakest of ['attested', 'declared'] as const) {
    const [was, is] = [before, after].map(({ nodes }) => majorityOfClass(nodes, weakest));
    fewer(was!, is!, `fewer nodes of a majority have a token of the class ${weakest} or better`);
  }
  return [...found, ...policyWeakenings(before.policy, after.policy)];
}

/** The part of `weakenings` that is about the rules of guessing. */
export function policyWeakenings(
  before: Pick<Policy, 'limit' | 'lifetimeLimit' | 'waits' | 'takeover' | 'keyStretching'>,
  after: Policy,
): string[] {
  const found: string[] = [];
  const check = (weaker: boolean, sentence: string) => {
    if (weaker) found.push(sentence);
  };
  check(after.limit > before.limit, `more guesses in a row: ${after.limit} instead of ${before.limit}`);
  check(
    after.lifetimeLimit > before.lifetimeLimit,
    `more attempts in a lifetime: ${after.lifetimeLimit} instead of ${before.lifetimeLimit}`,
  );
  check(shorterWaits(before.waits, after.waits), 'shorter waits between attempts');
  check(looserTakeover(before.takeover, after.takeover), 'records are taken over without their owner more easily');
  const [was, is] = [before.keyStretching, after.keyStretching];
  check(
    is.memoryKiB < was.memoryKiB,
    `less memory for stretching the PIN: ${is.memoryKiB} KiB instead of ${was.memoryKiB}`,
  );
  check(is.passes < was.passes, `fewer passes for stretching the PIN: ${is.passes} instead of ${was.passes}`);
  return found;
}

/** The fewest operators that together run as many nodes as make a majority. */
export function operatorsOfMajority(nodes: readonly Pick<BundleNode, 'operator'>[]): number {
  const counts = new Map<string, number>();
  for (const { operator } of nodes) counts.set(operator, (counts.get(operator) ?? 0) + 1);
  let left = Math.floor(nodes.length / 2) + 1;
  let operators = 0;
  for (const count of [...counts.values()].sort((a, b) => b - a)) {
    if (left <= 0) break;
    left -= count;
    operators++;
  }
  return operators;
}

/** How many tokens of the class `weakest` or better somebody must break at least to have a majority. */
function majorityOfClass(nodes: LiveManifest['nodes'], weakest: TokenClass): number {
  const below = nodes.filter(({ tokenClass }) => isWeaker(tokenClass, weakest)).length;
  return Math.max(0, threshold({ nodes: nodes.map(({ keys }) => keys) }) - below);
}

export function isWeaker(a: TokenClass, b: TokenClass): boolean {
  return TOKEN_CLASSES.indexOf(a) < TOKEN_CLASSES.indexOf(b);
}

/** The last wait repeats (protocol, `Policy.waits`). */
function shorterWaits(before: readonly number[], after: readonly number[]): boolean {
  const at = (waits: readonly number[], i: number) => waits[Math.min(i, waits.length - 1)]!;
  return Array.from({ length: Math.max(before.length, after.length) }).some((_, i) => at(after, i) < at(before, i));
}

function looserTakeover(before: TakeoverPolicy, after: TakeoverPolicy): boolean {
  const delay = (takeover: TakeoverPolicy) => {
    if (takeover.kind === 'off') return Number.POSITIVE_INFINITY;
    return takeover.kind === 'immediate' ? 0 : takeover.seconds;
  };
  return delay(after) < delay(before);
}
