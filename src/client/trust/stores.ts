/** Where a client keeps what it has verified: in memory for tests, in IndexedDB (W3C Indexed Database API 3.0) in browsers. */

import { HoldfastError } from '../../core/index.ts';
import type { TrustStateStore } from '../../trust/index.ts';

/**
 * The last trust set of each fleet by its name, and bundles by theirs (`bundle.<digest>`), for when no source can be
 * reached. Verified anew at every use, so it may be lost or wrong.
 */
export interface TrustSetCache {
  load(name: string): Promise<Uint8Array | undefined>;
  store(name: string, content: Uint8Array): Promise<void>;
}

/** For tests, and for who starts from the anchor every time: protects from being taken back only while it lives. */
export class MemoryTrustStore implements TrustStateStore {
  #stored: Uint8Array | undefined;

  async load(): Promise<Uint8Array | undefined> {
    return this.#stored?.slice();
  }

  async compareAndSwap(previous: Uint8Array | undefined, next: Uint8Array): Promise<boolean> {
    if (!isSame(previous, this.#stored)) return false;
    this.#stored = next.slice();
    return true;
  }
}

export class MemoryTrustSetCache implements TrustSetCache {
  readonly #sets = new Map<string, Uint8Array>();

  async load(fleet: string): Promise<Uint8Array | undefined> {
    return this.#sets.get(fleet);
  }

  async store(fleet: string, set: Uint8Array): Promise<void> {
    this.#sets.set(fleet, set.slice());
  }
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return (
    a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]))
  );
}

const STATES = 'states';
const SETS = 'sets';

/**
 * State and sets of one vault and environment in a browser. One read-write transaction compares and swaps, so that tabs
 * and workers of an origin cannot come between each other; it ends when the browser says that it is on disk.
 */
export class IndexedDbTrustStore implements TrustStateStore, TrustSetCache {
  readonly #name: string;
  readonly #key: string;

  /** @param options.name of the database; @param options.key what this state is for, such as `family/production`. */
  constructor({ name = 'holdfast-trust', key }: { readonly name?: string; readonly key: string }) {
    this.#name = name;
    this.#key = key;
  }

  /** Returns the state, or with `fleet` that fleet's trust set. @throws HoldfastError `trust_state_damaged`. */
  async load(fleet?: string): Promise<Uint8Array | undefined> {
    return await this.#transact(fleet === undefined ? STATES : SETS, 'readonly', async (store) =>
      bytesOf(await settled(store.get(this.#keyOf(fleet)))),
    );
  }

  async compareAndSwap(previous: Uint8Array | undefined, next: Uint8Array): Promise<boolean> {
    return await this.#transact(STATES, 'readwrite', async (store) => {
      const stored = bytesOf(await settled(store.get(this.#keyOf())));
      if (!isSame(previous, stored)) return false;
      await settled(store.put(next.slice(), this.#keyOf()));
      return true;
    });
  }

  async store(fleet: string, set: Uint8Array): Promise<void> {
    await this.#transact(SETS, 'readwrite', (store) => settled(store.put(set.slice(), this.#keyOf(fleet))));
  }

  #keyOf(fleet?: string): string {
    return fleet === undefined ? this.#key : `${this.#key}/${fleet}`;
  }

  async #transact<T>(
    name: string,
    mode: 'readonly' | 'readwrite',
    work: (store: IDBObjectStore) => Promise<T>,
  ): Promise<T> {
    const database = await this.#open();
    try {
      const transaction = database.transaction(name, mode, { durability: 'strict' });
      const ended = new Promise<void>((resolve, reject) => {
        transaction.oncomplete = () => resolve();
        transaction.onabort = () => reject(transaction.error ?? new Error('the transaction was aborted'));
      });
      const [result] = await Promise.all([work(transaction.objectStore(name)), ended]);
      return result;
    } finally {
      database.close();
    }
  }

  async #open(): Promise<IDBDatabase> {
    const request = indexedDB.open(this.#name, 1);
    request.onupgradeneeded = () => {
      for (const name of [STATES, SETS]) request.result.createObjectStore(name);
    };
    return await settled(request);
  }
}

function settled<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value === undefined || value instanceof Uint8Array) return value;
  throw new HoldfastError(
    'trust_state_damaged',
    'what this browser remembers of the fleets that it trusts is damaged; clear this site’s data only if you know why',
  );
}
