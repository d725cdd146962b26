/**
 * What a policy's quorum rule says about sets of witnesses (C2SP tlog-policy, "Defining a witness group").
 *
 * Every name is a member of at most one group, and at most once. So a rule is a tree in which each witness stands once,
 * and what is asked here is answered group by group, without looking at all sets of witnesses.
 */

import { HoldfastError } from '../../core/index.ts';

/** One witness, or a group of which at least `threshold` members must have cosigned. */
export type QuorumRule =
  | { readonly name: string; readonly members?: undefined }
  | { readonly name: string; readonly threshold: number; readonly members: readonly QuorumRule[] };

/** Whether these witnesses, by their names in the policy, are a quorum. `null`, the rule `none`, asks for nobody. */
export function isQuorum(rule: QuorumRule | null, witnesses: ReadonlySet<string>): boolean {
  if (rule === null) return true;
  if (rule.members === undefined) return witnesses.has(rule.name);
  return rule.members.filter((member) => isQuorum(member, witnesses)).length >= rule.threshold;
}

/** The names of all witnesses that the rule counts. */
export function witnessesOf(rule: QuorumRule | null): string[] {
  if (rule === null) return [];
  return rule.members === undefined ? [rule.name] : rule.members.flatMap(witnessesOf);
}

/**
 * How many witnesses any two quorums have in common at least. 0 means that there are two without a common witness, which
 * could vouch for two different histories and neither would lie twice.
 */
export function minimumOverlap(rule: QuorumRule | null): number {
  if (rule === null) return 0;
  if (rule.members === undefined) return 1;
  // Two quorums share at least 2k - n of the n members, and the worst two share those that overlap least.
  const shared = Math.max(0, 2 * rule.threshold - rule.members.length);
  return sumOfSmallest(rule.members.map(minimumOverlap), shared);
}

/** How many witnesses the smallest quorum has. */
export function minimumQuorumSize(rule: QuorumRule | null): number {
  if (rule === null) return 0;
  if (rule.members === undefined) return 1;
  return sumOfSmallest(rule.members.map(minimumQuorumSize), rule.threshold);
}

function sumOfSmallest(values: readonly number[], count: number): number {
  return values
    .toSorted((a, b) => a - b)
    .slice(0, count)
    .reduce((sum, value) => sum + value, 0);
}

/** Whether any two quorums have a witness in common. */
export function quorumsIntersect(rule: QuorumRule | null): boolean {
  return minimumOverlap(rule) > 0;
}

/**
 * Whether every quorum has at least one of `witnesses`: whether those left are no quorum. With the names of an
 * organisation's witnesses it tells whether that organisation can stop the log; with the names of all witnesses outside
 * some organisations, whether those organisations alone are no quorum.
 */
export function everyQuorumIncludes(rule: QuorumRule | null, witnesses: ReadonlySet<string>): boolean {
  return !isQuorum(rule, new Set(witnessesOf(rule).filter((name) => !witnesses.has(name))));
}

/**
 * The quorums of which no witness can be left out, as names in the policy's order.
 * @throws HoldfastError `too_large` if there are more than `maximum`.
 */
export function minimalQuorums(rule: QuorumRule | null, maximum = 10_000): string[][] {
  if (rule === null) return [[]];
  if (rule.members === undefined) return [[rule.name]];
  // By number of members chosen: the quorums of the members so far.
  let chosen: string[][][] = [[[]]];
  for (const [i, member] of rule.members.entries()) {
    const own = minimalQuorums(member, maximum);
    // Fewer than this cannot become enough with the members that are left.
    const needed = rule.threshold - (rule.members.length - i - 1);
    const next = chosen.map((quorums, count) => (count < needed ? [] : [...quorums]));
    for (const [count, quorums] of chosen.entries()) {
      if (count === rule.threshold || count + 1 < needed) continue;
      next[count + 1] ??= [];
      if (next[count + 1]!.length + quorums.length * own.length > maximum) {
        throw new HoldfastError('too_large', `the policy has more than ${maximum} minimal quorums`);
      }
      next[count + 1]!.push(...quorums.flatMap((quorum) => own.map((more) => [...quorum, ...more])));
    }
    chosen = next;
  }
  return chosen[rule.threshold] ?? [];
}
