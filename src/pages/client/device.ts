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

/** One person's data in this browser. Several people on one device would each need a profile of their own. */
export class Device {
  #stored: Stored;

  private constructor(stored: Stored) {
    this.#stored = stored;
  }

  static load(): Device | undefined {
    const text = localStorage.getItem(KEY);
    if (text === null) return undefined;
    try {
      return new Device(JSON.parse(text) as Stored);
    } catch {
      return undefined;
    }
  }

  static create(name: string): Device {
    const device = new Device({ name, clientKey: clientKeyToJwk(generateClientKey()), notes: [] });
    device.#save({});
    return device;
  }

  get name(): string {
    return this.#stored.name;
  }

  get clientKey() {
    return clientKeyFromJwk(this.#stored.clientKey);
  }

  get notes(): readonly Note[] {
    return this.#stored.notes;
  }

  set notes(notes: readonly Note[]) {
    this.#save({ notes });
  }

  get backup(): BackupPlace | undefined {
    const { backup } = this.#stored;
    return backup && { ...backup, sealed: fromBase64Url(backup.sealed) };
  }

  set backup(place: BackupPlace | undefined) {
    this.#save({ backup: place && { ...place, sealed: toBase64Url(place.sealed) } });
  }

  forget(): void {
    localStorage.removeItem(KEY);
  }

  #save(change: Partial<Stored>): void {
    this.#stored = { ...this.#stored, ...change };
    localStorage.setItem(KEY, JSON.stringify(this.#stored));
  }
}
