/** Which files of a backup are the same one under several names, so that its content is stored once. */

import type { BigIntStats } from 'node:fs';
import type { ByteString } from './names.ts';
import { fileKey } from './walk.ts';

/** Memory: one name for each file of which some names were not met yet. */
export class HardLinks {
  readonly #stored = new Map<string, { readonly name: ByteString; left: bigint }>();

  /** The name under which the same file was stored before; counts this one as met. */
  storedAs(stats: BigIntStats): ByteString | undefined {
    if (stats.nlink < 2n) return undefined;
    const key = fileKey(stats);
    const found = this.#stored.get(key);
    if (found && --found.left === 0n) this.#stored.delete(key);
    return found?.name;
  }

  /** Remembers a file whose content was stored. */
  add(name: ByteString, stats: BigIntStats): void {
    if (stats.nlink > 1n) this.#stored.set(fileKey(stats), { name, left: stats.nlink - 1n });
  }
}
