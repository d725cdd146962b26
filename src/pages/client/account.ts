/**
 * A person's backup: the key behind it, its ways, the file at the application's server. Everything here is what an
 * application does with the SDK; nothing of it shows anything.
 */

import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import {
  type ClientStep,
  IndexedDbTrustStore,
  parseTrustAnchor,
  readUserToken,
  type Status,
  TrustedFleet,
  TrustedVault,
} from '../../client/index.ts';
import { equalBytes, fromUtf8, HoldfastError, parseJson, utf8 } from '../../core/index.ts';
import {
  addPasskey,
  addPin,
  addRecoveryCode,
  decryptBackup,
  encryptBackup,
  methodsIn,
  newRecoveryCode,
  noMethods,
  openMethods,
  openWith,
  type RecoveryCode,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
  removeMethod,
  renewKey,
  sealMethods,
  standingOf,
  type Way,
} from '../../recovery/index.ts';
import type { BackupPlace, Device, Note } from './device.ts';
import {
  backupId,
  dropBackup,
  fetchAnchor,
  fetchBackup,
  fetchVia,
  listBackups,
  openSession,
  storeBackup,
} from './server.ts';

/** A token is renewed this many milliseconds before it ends. */
const RENEW_BEFORE = 60_000;

/** The backup key, in memory only, from a way of the person's until the page goes. */
interface Unlocked {
  readonly identity: string;
  readonly list: RecoveryMethods;
}

/** A backup at the application's server or in a file, and what it says of the ways to it (not verified). */
export interface FoundBackup {
  readonly file: Uint8Array;
  readonly savedAt: number | undefined;
  readonly sealed: Uint8Array | undefined;
  readonly ways: readonly RecoveryMethod[];
}

export class Account {
  readonly device: Device;
  readonly trust: TrustedFleet;
  readonly vault: TrustedVault;
  /** Told of each step of the vault's, for progress. */
  onStep: (step: ClientStep) => void = () => {};
  #tokens: Readonly<Record<string, string>> = {};
  #unlocked: Unlocked | undefined;
  #isTakenOver = false;
  /** Done once the last change that was begun is. */
  #last: Promise<void> = Promise.resolve();

  private constructor(device: Device, anchor: string) {
    this.device = device;
    const parsed = parseTrustAnchor(anchor);
    const store = new IndexedDbTrustStore({ key: `${parsed.vault}/${parsed.environment}` });
    // An application's build puts its own time here.
    const trust = { anchor: parsed, state: store, cache: store, builtAt: 0, connect: () => fetchVia };
    this.trust = new TrustedFleet(trust);
    this.vault = new TrustedVault({
      trust: this.trust,
      credential: async (fleet) => await this.#credential(fleet),
      onStep: (step) => this.onStep(step),
    });
  }

  static async open(device: Device): Promise<Account> {
    return new Account(device, await fetchAnchor());
  }

  async #credential(fleet: string) {
    const { name, clientKey } = this.device;
    const token = this.#tokens[fleet];
    if (token === undefined || readUserToken(token).expiresAt - Date.now() < RENEW_BEFORE) {
      this.#tokens = await openSession(name, clientKey.publicKey);
    }
    const userToken = this.#tokens[fleet];
    return userToken === undefined ? undefined : { userToken, clientKey };
  }

  status(): Promise<Status> {
    return this.vault.status();
  }

  /** Guesses between two uses of the right PIN. */
  async guesses(): Promise<number> {
    const { fleets } = await this.trust.view();
    return fleets.at(-1)!.fleet.policy.limit;
  }

  get isUnlocked(): boolean {
    return this.#unlocked !== undefined;
  }

  /** The ways to the backup, as far as this device knows. */
  get ways(): readonly RecoveryMethod[] {
    const { backup } = this.device;
    return this.#unlocked?.list.methods ?? (backup ? readMethods(backup.sealed).methods : []);
  }

  get #key(): Unlocked {
    if (this.#unlocked) return this.#unlocked;
    throw new HoldfastError('forbidden', 'this needs one of the ways to the backup first');
  }

  /**
   * One change after another: a slow one would put what it knew when it began over what another has changed meanwhile, here and
   * at the server, such as a way that was just added.
   */
  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last = promise;
    await before;
    try {
      return await change();
    } finally {
      resolve();
    }
  }

  /** Turns the backup on: a new key, kept by the vault under the PIN, and a first backup. */
  async turnOn(pin: string): Promise<void> {
    await this.#inTurn(async () => {
      const identity = await generateX25519Identity();
      const { fleet } = await this.vault.enrol(pin, utf8(identity));
      await this.#adopt({ identity, list: addPin(await noMethods({ identity }), { fleet, now: Date.now() }) });
    });
  }

  /**
   * Saves the notes as they are now. Needs no secret.
   * @throws HoldfastError `superseded` where key, PIN or ways were changed on another device: what is saved with what this
   *   one knows might not open with what the person has now.
   */
  async save(): Promise<void> {
    await this.#inTurn(() => this.#save());
  }

  async #save(): Promise<void> {
    const { backup, notes, name } = this.device;
    if (!backup) return;
    const { recipient, sealed } = backup;
    const id = backupId(recipient);
    const { revision, methods } = readMethods(sealed);
    const all = await listBackups(name);
    const kept = all.some((one) => one.id === id) ? await this.#fetch(id) : undefined;
    const newer = kept?.sealed !== undefined && readMethods(kept.sealed).revision > revision;
    const moved = methods.some(({ kind }) => kind === 'pin') && (await this.#generation()) !== backup.generation;
    if (newer || moved || (!kept && all.length > 0)) {
      throw new HoldfastError('superseded', 'the backup was changed on another device; open it here once to go on');
    }
    await storeBackup(name, id, await encryptNotes(notes, recipient, sealed));
    this.#note(backup, { savedAt: Date.now() });
  }

  /** Notes something of a backup place, unless another tab or task has put another one there meanwhile. */
  #note({ recipient, sealed }: BackupPlace, change: Partial<Pick<BackupPlace, 'savedAt' | 'generation'>>): void {
    const { backup } = this.device;
    if (backup?.recipient !== recipient || !equalBytes(backup.sealed, sealed)) return;
    this.device.backup = { ...backup, ...change };
  }

  /** 0 where the vault has no record to recover from. */
  async #generation(): Promise<number> {
    const { state, generation } = await this.vault.status();
    return state === 'none' || state === 'destroyed' ? 0 : generation;
  }

  async #fetch(id: string, savedAt?: number): Promise<FoundBackup> {
    return await readBackup(await fetchBackup(this.device.name, id), savedAt);
  }

  /** The backup file, for the person to keep. Stock age opens it too. */
  async file(): Promise<Uint8Array> {
    const { backup, notes } = this.device;
    if (!backup) throw new HoldfastError('not_found', 'the backup is off');
    return await encryptNotes(notes, backup.recipient, backup.sealed);
  }

  /** Backups of this person at the application's server, newest first. */
  async find(): Promise<FoundBackup[]> {
    const kept = await listBackups(this.device.name);
    return await Promise.all(kept.map(async ({ id, savedAt }) => await this.#fetch(id, savedAt)));
  }

  /**
   * Whether the record that the PIN opened last was enrolled over an earlier one without its PIN. Whoever makes user tokens
   * can do that, with a key of their own and a PIN that they guess to be the person's.
   */
  get isTakenOver(): boolean {
    return this.#isTakenOver;
  }

  /**
   * The backup key by the PIN. Costs an attempt, given back by the right PIN.
   * @throws HoldfastError `untrusted` where the record was taken over, and leads to another key than this device knows.
   */
  async identityByPin(pin: string): Promise<string> {
    const { secret, takenOver } = await this.vault.recover(pin);
    try {
      this.#isTakenOver = takenOver;
      const identity = fromUtf8(secret.reveal());
      const known = this.device.backup?.recipient;
      if (!takenOver || known === undefined) return identity;
      if ((await identityToRecipient(identity).catch(() => '')) === known) return identity;
      throw new HoldfastError(
        'untrusted',
        'this record was enrolled over an earlier one without its PIN, and leads to another key than this device’s backup; open that with another way',
      );
    } finally {
      secret.wipe();
    }
  }

  /**
   * Opens the first of these backups that the way opens, takes its notes over beside those that are here, and goes on
   * backing up to its key. Of a key that this device knows as left only the notes are taken over, unless the vault gave it for
   * the PIN: whoever still has such a key would read all that is backed up to it.
   * @returns whether it goes on with what it opened.
   * @throws HoldfastError as `openWith` for the first of them.
   */
  async restore(backups: readonly FoundBackup[], way: Way): Promise<boolean> {
    return await this.#inTurn(() => this.#restore(backups, way));
  }

  async #restore(backups: readonly FoundBackup[], way: Way): Promise<boolean> {
    const known = this.device.backup;
    let failure: unknown;
    let isLeft = false;
    for (const { file, sealed, savedAt } of backups) {
      if (!sealed) continue;
      try {
        const { identity, list } = await openWith(sealed, way);
        this.device.notes = mergeNotes(this.device.notes, readNotes(await decryptBackup(file, identity)));
        const standing = standingOf(list, known && readMethods(known.sealed));
        if (standing === 'left' && way.kind !== 'identity') {
          isLeft = true;
          continue;
        }
        const newest = standing === 'older' ? known!.sealed : sealed;
        const generation = await this.#generation().catch(() => 0);
        this.device.backup = { recipient: list.recipient, sealed: newest, savedAt: savedAt ?? Date.now(), generation };
        this.#unlocked = { identity, list: openMethods(newest, identity) };
        return true;
      } catch (thrown) {
        failure ??= thrown;
        if (way.kind === 'passkey' && !isOther(thrown)) break;
      }
    }
    if (isLeft) return false;
    throw failure ?? new HoldfastError('not_found', 'there is no backup to restore');
  }

  /** Lets the ways be changed: the key again, by one of them, with what other devices have changed. */
  async unlock(way: Way): Promise<void> {
    if (await this.restore(await this.find(), way)) return;
    throw new HoldfastError(
      'untrusted',
      'this leads to a key that was left; use the PIN, or a way to the newest backup',
    );
  }

  /** Wraps the key for a code that the person has confirmed. */
  async addCode(code: RecoveryCode): Promise<void> {
    await this.#inTurn(async () => {
      const { identity, list } = this.#key;
      await this.#adopt({ identity, list: await addRecoveryCode(list, { identity }, { code, now: Date.now() }) });
    });
  }

  async addPasskey(name: string): Promise<void> {
    await this.#inTurn(async () => {
      const { identity, list } = this.#key;
      await this.#adopt({ identity, list: await addPasskey(list, { identity }, { name, now: Date.now() }) });
    });
  }

  /** A new PIN for the same key, where the old one is forgotten. */
  async replacePin(pin: string): Promise<void> {
    await this.#inTurn(async () => {
      const { identity, list } = this.#key;
      const { fleet } = await this.vault.enrol(pin, utf8(identity), { takeover: true });
      await this.#adopt({ identity, list: addPin(list, { fleet, now: Date.now() }) });
    });
  }

  /** Takes a way off the list only. @throws HoldfastError `last_method`, `passkey_alone`. */
  async remove(id: Uint8Array): Promise<void> {
    await this.#inTurn(async () => {
      const { identity, list } = this.#key;
      await this.#adopt({ identity, list: removeMethod(list, id) });
    });
  }

  /** Whether the way may go, before anything is asked of the person. @throws HoldfastError `last_method`, `passkey_alone`. */
  checkRemoval(id: Uint8Array): void {
    removeMethod({ recipient: '', revision: 0, methods: this.ways }, id);
  }

  /** A code to be shown and confirmed before `renew`. */
  prepareCode(): RecoveryCode {
    return newRecoveryCode();
  }

  /**
   * A new key without the way `id`, with a new recovery code in place of all others, and a backup for it; then the PIN leads
   * to the new key, and the old backup goes. Whatever interrupts this, the ways of either key open one of the two backups.
   * @returns passkeys that could not be taken along.
   */
  async renew(id: Uint8Array | undefined, pin: string, code: RecoveryCode): Promise<readonly RecoveryMethod[]> {
    return await this.#inTurn(async () => {
      const { identity, list } = this.#key;
      // Before anything is changed: with a wrong PIN the vault could not follow.
      if ((await this.identityByPin(pin)) !== identity) {
        throw new HoldfastError('untrusted', 'the PIN leads to another key than this backup’s');
      }
      const old = list.recipient;
      const next = { identity: await generateX25519Identity() };
      const codes = list.methods.filter((method) => method.kind === 'recovery-code').map((method) => method.id);
      const without = [...codes, ...(id ? [id] : [])];
      const withCode = await addRecoveryCode(list, { identity }, { code, now: Date.now() });
      const { list: renewed, dropped } = await renewKey(withCode, next, { without, codes: [code] });
      await this.#adopt({ identity: next.identity, list: renewed });
      if (renewed.methods.some(({ kind }) => kind === 'pin')) {
        await this.vault.changePin(pin, pin, { secret: utf8(next.identity) });
      } else {
        await this.vault.delete(pin);
      }
      await this.#remember();
      await dropBackup(this.device.name, backupId(old));
      return dropped;
    });
  }

  /** Deletes the record and all backups at the application's server. The notes stay on this device. */
  async turnOff(pin: string): Promise<void> {
    await this.#inTurn(async () => {
      if (this.ways.some(({ kind }) => kind === 'pin')) await this.vault.delete(pin);
      const { name } = this.device;
      for (const { id } of await listBackups(name)) await dropBackup(name, id);
      this.device.backup = undefined;
      this.#unlocked = undefined;
    });
  }

  async changePin(oldPin: string, newPin: string): Promise<void> {
    await this.#inTurn(async () => {
      await this.vault.changePin(oldPin, newPin);
      await this.#remember();
    });
  }

  /** The record's generation, after this device has changed it. */
  async #remember(): Promise<void> {
    const { backup } = this.device;
    if (backup) this.#note(backup, { generation: await this.#generation() });
  }

  async #adopt(unlocked: Unlocked): Promise<void> {
    const { identity, list } = unlocked;
    const sealed = sealMethods(list, identity);
    const recipient = await identityToRecipient(identity);
    const file = await encryptNotes(this.device.notes, recipient, sealed);
    await storeBackup(this.device.name, backupId(recipient), file);
    const generation = await this.#generation();
    this.device.backup = { recipient, sealed, savedAt: Date.now(), generation };
    this.#unlocked = unlocked;
  }

  /** A way by its id, or undefined once it is gone. */
  way(id: Uint8Array): RecoveryMethod | undefined {
    return this.ways.find((method) => equalBytes(method.id, id));
  }
}

/** A backup file, from wherever it comes. @throws HoldfastError `bad_input`, `malformed`. */
export async function readBackup(file: Uint8Array, savedAt?: number): Promise<FoundBackup> {
  const sealed = await methodsIn(file);
  return { file, savedAt, sealed, ways: sealed ? readMethods(sealed).methods : [] };
}

/** Whether a backup is of another list than the one a way belongs to, so that the next one may be the right one. */
const isOther = (thrown: unknown): boolean => thrown instanceof HoldfastError && thrown.code === 'not_found';

/** Characters of a note, and notes of a backup. */
const MAXIMUM_NOTE = 100_000;
const MAXIMUM_NOTES = 100_000;

/**
 * The notes of a backup. Whoever knows the recipient, as the application's server does, can make one that opens: what is
 * taken over from it must not be more than notes. @throws HoldfastError `bad_input`.
 */
export function readNotes(content: Uint8Array): Note[] {
  return parseJson(fromUtf8(content), 'bad_input')
    .array(0, MAXIMUM_NOTES)
    .map((value) => {
      const note = value.object(['id', 'text', 'writtenAt']);
      return {
        id: note.required('id').text(64),
        text: note.required('text').text(MAXIMUM_NOTE),
        writtenAt: note.required('writtenAt').integer(0, LATEST),
      };
    });
}
/** Milliseconds since 1970 of the last time that a date can be (ECMA-262, "Time Values"). */
const LATEST = 8.64e15;

/** Each note once, newest first. */
function mergeNotes(here: readonly Note[], there: readonly Note[]): Note[] {
  const byId = new Map([...there, ...here].map((note) => [note.id, note]));
  return [...byId.values()].sort((a, b) => b.writtenAt - a.writtenAt);
}

async function encryptNotes(notes: readonly Note[], recipient: string, sealed: Uint8Array): Promise<Uint8Array> {
  return await encryptBackup(utf8(JSON.stringify(notes)), { recipient, sealed });
}
