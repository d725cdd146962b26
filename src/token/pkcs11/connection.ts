/**
 * One logged-in session with a token and what must hold around every use of it: re-opening after a loss, dropping after
 * an unclear error, and measuring the time inside the module. Belongs to one thread.
 */

import { fromUtf8, HoldfastError } from '../../core/index.ts';
import type { TokenDescription } from '../port.ts';
import { CK, type Cryptoki, type Handle, initialiseModule } from './cryptoki.ts';
import { ckrName, losesSession, tokenError } from './errors.ts';

/** Which token: all that are given must fit, and exactly one token may. Slot numbers of SoftHSM change; serials do not. */
export interface TokenSelector {
  readonly slot?: number;
  readonly label?: string;
  readonly serial?: string;
}

/** Operation, how many, nanoseconds inside the module. */
export type Timing = [operation: string, count: number, nanoseconds: number];

export class Connection {
  readonly #module: Cryptoki;
  readonly #modulePath: string;
  readonly #selector: TokenSelector;
  readonly #pin: Uint8Array | undefined;
  readonly #onOpen: (() => void)[] = [];
  #session: Handle | undefined;
  #description: TokenDescription | undefined;
  /** A refused PIN is never tried again: a token locks after a few. */
  #refused: HoldfastError | undefined;
  #timings: Timing[] = [];
  readonly #parameters: string | undefined;

  /** @param parameters text for C_Initialize, where the module wants some. */
  constructor(
    module: Cryptoki,
    modulePath: string,
    selector: TokenSelector,
    pin: Uint8Array | undefined,
    parameters?: string,
  ) {
    this.#parameters = parameters;
    this.#module = module;
    this.#modulePath = modulePath;
    this.#selector = selector;
    this.#pin = pin;
  }

  get module(): Cryptoki {
    return this.#module;
  }

  /** Calls `listener` whenever a new session replaces a lost one: object handles must then be found again. */
  onReopen(listener: () => void): void {
    this.#onOpen.push(listener);
  }

  /** Opens the session now. @throws HoldfastError `token_*`. */
  open(): TokenDescription {
    this.run('open', true, () => undefined);
    return this.#description!;
  }

  /**
   * Runs `body` with the session, as `count` operations named `operation`. An idempotent one is tried once more in a
   * new session when the first was lost. @throws HoldfastError `token_*`.
   */
  run<T>(operation: string, idempotent: boolean, body: (session: Handle) => T, count = 1): T {
    for (let last = !idempotent; ; last = true) {
      try {
        const session = this.#ensureSession();
        const start = process.hrtime.bigint();
        try {
          return body(session);
        } finally {
          this.#timings.push([operation, count, Number(process.hrtime.bigint() - start)]);
        }
      } catch (error) {
        const lost = losesSession(error);
        if (lost) this.#drop();
        if (last || !lost || this.#refused) throw tokenError(error, operation);
      }
    }
  }

  /** Counts what took no time in the module. */
  note(operation: string, count: number): void {
    this.#timings.push([operation, count, 0]);
  }

  /** What was measured since the last call. */
  takeTimings(): Timing[] {
    const timings = this.#timings;
    this.#timings = [];
    return timings;
  }

  /** Closes the session; the token logs out with the process's last one (PKCS#11 v2.40, C_CloseSession). */
  close(): void {
    this.#drop();
    this.#refused = new HoldfastError('token_failed', 'the token has been closed; open it again');
  }

  #drop(): void {
    const session = this.#session;
    this.#session = undefined;
    if (!session) return;
    try {
      this.#module.C_CloseSession(session);
    } catch {
      // It may be gone already, which is why it is dropped.
    }
  }

  #ensureSession(): Handle {
    if (this.#session) return this.#session;
    if (this.#refused) throw this.#refused;
    initialiseModule(this.#module, this.#parameters);
    const slot = this.#findSlot();
    const session = this.#module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
    this.#session = session;
    if (this.#pin) this.#login(session, fromUtf8(this.#pin));
    for (const listener of this.#onOpen) listener();
    return session;
  }

  #login(session: Handle, pin: string): void {
    try {
      this.#module.C_Login(session, CK.CKU_USER, pin);
    } catch (error) {
      // The login state is the process's: another session was first.
      if (ckrName(error) === 'CKR_USER_ALREADY_LOGGED_IN') return;
      const refused = tokenError(error, 'login');
      if (refused.code === 'token_pin_incorrect' || refused.code === 'token_pin_locked') this.#refused = refused;
      this.#drop();
      throw refused;
    }
  }

  #findSlot(): Handle {
    const { slot, label, serial } = this.#selector;
    const wanted = this.#description?.serial ?? serial;
    const fitting: { slot: Handle; description: TokenDescription }[] = [];
    for (const candidate of this.#module.C_GetSlotList(true)) {
      const description = describeToken(this.#module, candidate, this.#modulePath);
      if (!description) continue;
      if (slot !== undefined && slotNumber(candidate) !== slot) continue;
      if (label !== undefined && description.label !== label) continue;
      if (wanted !== undefined && description.serial !== wanted) continue;
      fitting.push({ slot: candidate, description });
    }
    const [first, ...others] = fitting;
    if (!first) {
      throw new HoldfastError('token_removed', 'no initialised token fits the configured slot, label or serial', {
        details: { operation: 'open', ckr: 'CKR_TOKEN_NOT_PRESENT' },
      });
    }
    if (others.length > 0) {
      throw new HoldfastError('usage', 'more than one token fits the configuration; name it by its serial', {
        details: { serials: fitting.map((each) => each.description.serial) },
      });
    }
    this.#description = first.description;
    return first.slot;
  }
}

/** A slot's number, for configuration by number. */
export function slotNumber(slot: Handle): number {
  return slot.readUIntLE(0, Math.min(6, slot.length));
}

/** CK_TOKEN_INFO of an initialised token in `slot`, or undefined. Blank padding is cut. */
export function describeToken(module: Cryptoki, slot: Handle, modulePath: string): TokenDescription | undefined {
  const info = module.C_GetTokenInfo(slot);
  if ((info.flags & CK.CKF_TOKEN_INITIALIZED) === 0) return undefined;
  return {
    module: modulePath,
    label: tidy(info.label),
    manufacturer: tidy(info.manufacturerID),
    model: tidy(info.model),
    serial: tidy(info.serialNumber),
    firmware: `${info.firmwareVersion.major}.${info.firmwareVersion.minor}`,
  };
}

/** Fixed-width text of a module, without its padding. */
export function tidy(text: string): string {
  return text.replaceAll('\0', ' ').trim();
}
