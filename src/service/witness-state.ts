/** The state of a new witness, and what its journal says of an older one. */

import type { WitnessConfiguration } from '../configuration/index.ts';
import { HoldfastError } from '../core/index.ts';
import { initialiseWitnessStore, WITNESS_TABLES } from '../cosigner/witness/index.ts';
import { readJournal, SigningJournal } from '../signer/index.ts';
import { openLmdbStore } from '../store/index.ts';

/** Sizes that were cosigned, by origin, as the journal has them. */
export type Signed = ReadonlyMap<string, number>;

const COSIGNED = /^cosignature of (.+), size (\d+), root \S+$/;

/** Of this witness, whichever key it had. @throws HoldfastError `journal_damaged`. */
export async function signedSizes(journal: string, name: string): Promise<Signed> {
  const sizes = new Map<string, number>();
  await readJournal(journal, ({ purpose, key, about }) => {
    const [, origin, size] = COSIGNED.exec(about) ?? [];
    if ((purpose !== 'witness' && purpose !== 'audit') || !key.startsWith(`${name}+`) || origin === undefined) return;
    sizes.set(origin, Math.max(sizes.get(origin) ?? 0, Number(size)));
  });
  return sizes;
}

/**
 * Makes the state of a new witness, once.
 * @throws HoldfastError `usage` where there is one already, or where the journal says that this witness has cosigned.
 */
export async function initialiseWitness({ name, store, journal }: WitnessConfiguration): Promise<void> {
  const signing = await SigningJournal.open(journal);
  await signing.close();
  if ((await signedSizes(journal, name)).size > 0) {
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
