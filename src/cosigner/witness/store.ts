/**
 * What a witness must not forget: for every origin the newest checkpoint it has vouched for. Kept in the durable
 * key-value store, one entry per origin, changed only by compare-and-swap (C2SP tlog-witness: checking the old size and
 * persisting the new checkpoint must be one atomic step).
 */

import { equalBytes, HoldfastError, sha256, utf8 } from '../../core/index.ts';
import type { KeyValueStore } from '../../store/port.ts';
import { MIRROR_TABLES } from '../replay/index.ts';
import { decodeState, encodeState, type WitnessState } from './state.ts';

/** A witness's tables: the mark, one state per origin, what proves misconduct, an auditing witness's copies of logs. */
export const WITNESS_TABLES = ['meta', 'state', 'evidence', ...MIRROR_TABLES] as const;
export type WitnessTable = (typeof WITNESS_TABLES)[number];
export type WitnessDisk = KeyValueStore<WitnessTable>;

export interface WitnessStore {
  /** Undefined for an origin never seen. @throws HoldfastError `store_refused` for an entry that is not ours. */
  load(origin: string): WitnessState | undefined;
  /**
   * Resolves true once `next` is on stable storage, false where the entry is no longer `previous`.
   * Rejects with nothing changed where the disk fails.
   */
  compareAndSwap(origin: string, previous: WitnessState | undefined, next: WitnessState): Promise<boolean>;
}

const MARK = utf8('holdfast/witness-state/v1');

/** Writes the mark of a new, empty state. @throws HoldfastError `usage` where there is a state already. */
export async function initialiseWitnessStore(store: WitnessDisk): Promise<void> {
  if (store.get('meta', MARK)) {
    throw new HoldfastError('usage', 'this folder has a witness’s state already; nothing was changed');
  }
  await store.commit([{ table: 'meta', key: MARK, value: new Uint8Array() }]);
}

/**
 * The states in an initialised store. A lost folder must not look like a witness that has seen nothing yet: it would
 * cosign a second history.
 * @throws HoldfastError `store_refused` where the store was never initialised.
 */
export function openWitnessStore(store: WitnessDisk): WitnessStore {
  if (!store.get('meta', MARK)) {
    throw new HoldfastError(
      'store_refused',
      'there is no state of a witness here; restore it, or run holdfast witness init for a witness with a new key',
    );
  }
  /** Swaps run one after another: what one has compared, no other changes before it has written. */
  let last: Promise<unknown> = Promise.resolve();
  const keyOf = (origin: string) => sha256(utf8(origin));
  const load = (origin: string) => {
    const bytes = store.get('state', keyOf(origin));
    return bytes && decodeState(origin, bytes);
  };
  const swap = async (origin: string, previous: WitnessState | undefined, next: WitnessState): Promise<boolean> => {
    const stored = store.get('state', keyOf(origin));
    const same = previous
      ? stored !== undefined && equalBytes(stored, encodeState(origin, previous))
      : stored === undefined;
    if (!same) return false;
    await store.commit([{ table: 'state', key: keyOf(origin), value: encodeState(origin, next) }]);
    return true;
  };
  return {
    load,
    compareAndSwap: (origin, previous, next) => {
      const result = last.then(() => swap(origin, previous, next));
      last = result.catch(() => undefined);
      return result;
    },
  };
}
