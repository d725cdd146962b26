/**
 * Which modules of the bundled command share a file. Left alone, the bundler makes a file of whatever the same commands load, and
 * most commands then load fifty small ones, of which each costs a start as much as 16 KiB more of code.
 */

/** A file that the bundler would make. */
export interface Part {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Something is begun with it, or imports it by itself: it stays as it is. */
  readonly isEntry: boolean;
  /** Names of what it needs at once. */
  readonly imports: readonly string[];
}

/** Bytes of code that a command does not need and loads cost it about as much as one more file: 0.6 ms. */
export const FILE_COST = 16_384;

interface Group {
  readonly members: readonly string[];
  readonly size: number;
  readonly isEntry: boolean;
  readonly imports: ReadonlySet<number>;
}

/**
 * Puts parts together that are mostly loaded together. None needs another around a third one, as the bundler's own do not.
 * @param always what every command has loaded before it loads its own: those of `parts` that are entries.
 * @returns names of those that are to be one file, for each file that is no entry.
 */
export function mergeParts(parts: readonly Part[], always: readonly string[]): string[][] {
  let groups = initialGroups(parts);
  for (;;) {
    const best = bestPair(groups, loadsOf(groups, always));
    if (!best) return groups.filter(({ isEntry }) => !isEntry).map(({ members }) => [...members]);
    groups = merged(groups, best);
  }
}

function initialGroups(parts: readonly Part[]): Group[] {
  const indexOf = new Map(parts.map(({ name }, i) => [name, i]));
  return parts.map(({ name, size, isEntry, imports }) => ({
    members: [name],
    ...{ size, isEntry },
    imports: new Set(imports.flatMap((other) => indexOf.get(other) ?? [])),
  }));
}

/** All that is loaded with each of the groups, itself included. */
function closures(groups: readonly Group[]): Set<number>[] {
  const found = groups.map(() => new Set<number>());
  const visit = (from: number, at: number): void => {
    if (found[from]!.has(at)) return;
    found[from]!.add(at);
    for (const next of groups[at]!.imports) visit(from, next);
  };
  for (const i of groups.keys()) visit(i, i);
  return found;
}

interface Loads {
  readonly closure: readonly Set<number>[];
  /** For each group, which of the commands load it. */
  readonly commands: readonly Set<number>[];
}

function loadsOf(groups: readonly Group[], always: readonly string[]): Loads {
  const closure = closures(groups);
  const base = new Set(groups.flatMap(({ members }, i) => (always.includes(members[0]!) ? [...closure[i]!] : [])));
  const commands = groups.map(() => new Set<number>());
  for (const [i, { isEntry }] of groups.entries()) {
    if (!isEntry) continue;
    for (const loaded of new Set([...base, ...closure[i]!])) commands[loaded]!.add(i);
  }
  return { closure, commands };
}

/** The two that are best put together, or undefined where that would only make commands load more. */
function bestPair(groups: readonly Group[], loads: Loads): readonly [number, number] | undefined {
  let best: readonly [number, number] | undefined;
  let most = 0;
  for (let one = 0; one < groups.length; one++) {
    for (let other = one + 1; other < groups.length; other++) {
      if (groups[one]!.isEntry || groups[other]!.isEntry) continue;
      const gain = gainOf(groups, loads, one, other, most);
      if (gain > most && !isAround(groups, loads, one, other)) [best, most] = [[one, other], gain];
    }
  }
  return best;
}

/** What all commands together spare, in bytes; anything up to `least` where it is no more than that. */
function gainOf(groups: readonly Group[], loads: Loads, one: number, other: number, least: number): number {
  const [ones, others] = [loads.commands[one]!, loads.commands[other]!];
  const onlyOne = [...ones].filter((command) => !others.has(command));
  const onlyOther = [...others].filter((command) => !ones.has(command));
  let gain = (ones.size - onlyOne.length) * FILE_COST;
  gain -= onlyOne.length * groups[other]!.size + onlyOther.length * groups[one]!.size;
  for (const [more, needs] of [[onlyOne, other] as const, [onlyOther, one] as const]) {
    for (const needed of loads.closure[needs]!) {
      if (gain <= least) return gain;
      if (needed === one || needed === other) continue;
      const without = more.filter((command) => !loads.commands[needed]!.has(command));
      gain -= without.length * (groups[needed]!.size + FILE_COST);
    }
  }
  return gain;
}

/** Whether one needs the other around a third, which would then need both and be needed by them. */
function isAround(groups: readonly Group[], { closure }: Loads, one: number, other: number): boolean {
  const around = (from: number, to: number) =>
    [...groups[from]!.imports].some((next) => next !== to && next !== from && closure[next]!.has(to));
  return around(one, other) || around(other, one);
}

function merged(groups: readonly Group[], [one, other]: readonly [number, number]): Group[] {
  const moved = (index: number) => (index === other ? one : index > other ? index - 1 : index);
  const together: Group = {
    members: [...groups[one]!.members, ...groups[other]!.members],
    size: groups[one]!.size + groups[other]!.size,
    isEntry: false,
    imports: new Set([...groups[one]!.imports, ...groups[other]!.imports]),
  };
  return groups
    .map((group, i) => (i === one ? together : group))
    .filter((_, i) => i !== other)
    .map((group, i) => ({
      ...group,
      imports: new Set([...group.imports].map(moved).filter((index) => index !== i)),
    }));
}
