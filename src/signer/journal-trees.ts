/** The largest tree of each log that each key has signed: what a journal keeps a key from contradicting. */

import { equalBytes, HoldfastError } from '../core/index.ts';
import { fromBase64 } from '../trust/index.ts';
import { type JournalEntry, type SignedTree, sortedTrees } from './journal-format.ts';
import type { SigningSubject } from './purposes.ts';

type Tree = NonNullable<SigningSubject['tree']>;

const TREE = /^(?:checkpoint|cosignature) of (.+), size (\d+), root ([A-Za-z0-9+/]{43}=)$/;

/** The tree that an entry is about, where it is about one. */
function treeOf({ purpose, about }: Pick<JournalEntry, 'purpose' | 'about'>): Tree | undefined {
  const [, origin, size, root] = TREE.exec(about) ?? [];
  if (!['checkpoint', 'witness', 'audit'].includes(purpose) || origin === undefined) return undefined;
  return { origin, size: Number(size), root: fromBase64(root!) };
}

export class SignedTrees {
  readonly #trees = new Map<string, SignedTree>();

  constructor(carried: Iterable<SignedTree> = []) {
    for (const tree of carried) this.#trees.set(`${tree.key} ${tree.origin}`, tree);
  }

  /** In the order in which a segment's first line has them. */
  all(): SignedTree[] {
    return sortedTrees(this.#trees.values());
  }

  /** Of what stands in a line, so that a journal that is read again comes to the same. */
  remember(entry: Pick<JournalEntry, 'purpose' | 'key' | 'about'>, tree = treeOf(entry)): void {
    if (!tree) return;
    const { key } = entry;
    const name = `${key} ${tree.origin}`;
    const before = this.#trees.get(name);
    // Where forks are allowed, a smaller tree must not make the journal forget the larger one.
    if (!before || tree.size >= before.size) this.#trees.set(name, { key, ...tree });
  }

  /** @throws HoldfastError `signing_refused` for another root of a size that was signed, or a smaller size. */
  refuseFork(key: string, tree: Tree | undefined): void {
    const before = tree && this.#trees.get(`${key} ${tree.origin}`);
    if (!tree || !before) return;
    if (tree.size > before.size || (tree.size === before.size && equalBytes(tree.root, before.root))) return;
    throw new HoldfastError(
      'signing_refused',
      `this key signed another tree of ${tree.origin} before, of size ${before.size}; find out how its history changed`,
      { details: { size: tree.size, signed: before.size } },
    );
  }
}
