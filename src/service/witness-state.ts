/** The state of a new witness, and what its journal says of an older one. */

import type { WitnessConfiguration } from '../configuration/index.ts';
import { HoldfastError } from '../core/index.ts';
import { initialiseWitnessStore, WITNESS_TABLES } from '../cosigner/witness/index.ts';
import { type SignedTree, SigningJournal } from '../signer/index.ts';
import { openLmdbStore } from '../store/index.ts';

/** Sizes that were cosigned, by origin, as the journal has them. */
export type Signed = ReadonlyMap<string, number>;

/** Of this witness, whichever key it had. @param trees as the journal remembers them. */
export function signedSizes(trees: readonly SignedTree[], name: string): Signed {
  const sizes = new Map<string, number>();
  for (const { key, origin, size } of trees) {
    if (key.startsWith(`${name}+`)) sizes.set(origin, Math.max(sizes.get(origin) ?? 0, size));
  }
  return sizes;
}

/**
 * Makes the state of a new witness, once.
 * @throws HoldfastError `usage` where there is one already, or where the journal says that this witness has cosigned.
 */
export async function initialiseWitness({ name, store, journal }: WitnessConfiguration): Promise<void> {
  const signing = await SigningJournal.open(journal);
  const { trees } = signing;
  await signing.close();
  if (signedSizes(trees, name).size > 0) {
    throw new HoldfastError(
      'usage',
      `${name} has cosigned before, as its journal says: restore its newest state, or make a witness with a new name and key`,
    );
  }
  const disk = await openLmdbStore(store.directory, WITNESS_TABLES);
  try {
    await initialiseWitnessStore(disk);
  } finally {
    await disk.close();
  }
}
