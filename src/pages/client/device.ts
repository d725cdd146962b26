/** What this browser remembers of the person: notes, where backups go, the key that user tokens are bound to. No secret of the backup. */

import { clientKeyFromJwk, clientKeyToJwk, generateClientKey } from '../../client/index.ts';
import { fromBase64Url, toBase64Url } from '../../core/index.ts';

export interface Note {
  readonly id: string;
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly writtenAt: number;
}

/** What backups are encrypted to from here: nothing in it is secret. */
export interface BackupPlace {
  readonly recipient: string;
  /** The sealed list of ways, which every backup carries. */
  readonly sealed: Uint8Array;
  /** Milliseconds since 1970, of the last backup that the app's server took. */
  readonly savedAt: number;
  /** The generation of the vault's record that holds the key; 0 where no PIN leads to it. */
  readonly generation: number;
}

interface Stored {
  readonly name: string;
  readonly clientKey: unknown;
  readonly notes: readonly Note[];
  readonly backup?: (Omit<BackupPlace, 'sealed'> & { readonly sealed: string }) | undefined;
}

const KEY = 'keepsake/v1';

/**
 * One person's data in this browser. Several people on one device would each need a profile of their own. Several tabs share it:
 * each reads what is there now, and changes only what it means to change, in one turn.
 */
export class Device {
  #stored: Stored;

  private constructor(stored: Stored) {
    this.#stored = stored;
  }

  static load(): Device | undefined {
    const stored = read();
    return stored && new Device(stored);
  }

  static create(name: string): Device {
    const stored = { name, clientKey: clientKeyToJwk(generateClientKey()), notes: [] };
    localStorage.setItem(KEY, JSON.stringify(stored));
    return new Device(stored);
  }

  get name(): string {
    return this.#now.name;
  }

  get clientKey() {
    return clientKeyFromJwk(this.#now.clientKey);
  }

  get notes(): readonly Note[] {
    return this.#now.notes;
  }

  set notes(notes: readonly Note[]) {
    this.#save({ notes });
  }

  get backup(): BackupPlace | undefined {
    const { backup } = this.#now;
    return backup && { ...backup, sealed: fromBase64Url(backup.sealed) };
  }

  set backup(place: BackupPlace | undefined) {
    this.#save({ backup: place && { ...place, sealed: toBase64Url(place.sealed) } });
  }

  forget(): void {
    localStorage.removeItem(KEY);
  }

  /** As another tab may have left it; where one has forgotten this device, as it was last. */
  get #now(): Stored {
    this.#stored = read() ?? this.#stored;
    return this.#stored;
  }

  #save(change: Partial<Stored>): void {
    this.#stored = { ...this.#now, ...change };
    // What was forgotten in another tab does not come back.
    if (read()) localStorage.setItem(KEY, JSON.stringify(this.#stored));
  }
}

function read(): Stored | undefined {
  const text = localStorage.getItem(KEY);
  if (text === null) return undefined;
  try {
    return JSON.parse(text) as Stored;
  } catch {
    return undefined;
  }
}
