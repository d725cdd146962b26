/**
 * What the security officer of a token does, step by step: slots with or without a token, C_InitToken, C_InitPIN, C_SetPIN,
 * and the token's own random generator (PKCS#11 v2.40, sections 5.5, 5.6 and 5.13). Each call stands for itself and leaves
 * nothing open, so that whoever leads through them may stop after any.
 */

import { fromUtf8, HoldfastError, type Secret } from '../../core/index.ts';
import type { TokenDescription } from '../port.ts';
import { describeToken, slotNumber, type TokenSelector, tidy } from './connection.ts';
import { CK, type Cryptoki, finalizeModule, type Handle, initialiseModule, loadModule } from './cryptoki.ts';
import { ckrName, tokenError } from './errors.ts';
import { resolveModule, useModule } from './process.ts';

export interface ModuleAccess {
  /** Path of the PKCS#11 module. */
  readonly module: string;
  /** Text for the module’s C_Initialize, where it wants some. */
  readonly moduleParameters?: string;
}

/** A slot with something in it, as the module describes it without a login. */
export interface SlotState {
  readonly slot: number;
  /** `label` and `serial` may be empty where nothing is initialised. */
  readonly token: TokenDescription;
  readonly initialised: boolean;
  /** Whether C_InitPIN was called since. */
  readonly userPinSet: boolean;
  /** CKF_RNG. */
  readonly hasRandom: boolean;
  /** CKF_PROTECTED_AUTHENTICATION_PATH: PINs are typed at the device, and no program can bring them. */
  readonly protectedPath: boolean;
  /** Bytes that a PIN may have, as the token says; 0 where it does not say. */
  readonly pinLength: { readonly minimum: number; readonly maximum: number };
}

/** Every slot with a token in it, initialised or not. @throws HoldfastError `usage` for a wrong path, else `token_*`. */
export function readSlots(access: ModuleAccess): Promise<SlotState[]> {
  return administer(access, 'inventory', (module, path) =>
    module.C_GetSlotList(true).map((slot) => slotState(module, slot, path)),
  );
}

/**
 * C_InitToken on exactly this slot, whatever is there: **destroys all of it**. Who calls it has looked first. A token that
 * was initialised before keeps its security officer's PIN, and wants it here.
 * @param label 1 to 32 bytes of UTF-8. @throws HoldfastError `usage`, `token_*`.
 */
export function initialiseSlot(access: ModuleAccess, slot: number, label: string, soPin: Secret): Promise<void> {
  const length = Buffer.byteLength(label, 'utf8');
  if (length === 0 || length > 32) throw new HoldfastError('usage', 'a token label has 1 to 32 bytes');
  return administer(access, 'initialise', (module) => {
    const handle = module.C_GetSlotList(true).find((each) => slotNumber(each) === slot);
    if (!handle)
      throw new HoldfastError('token_removed', `there is no token in slot ${slot}; look at holdfast token list`);
    initialiseHandle(module, handle, label, soPin);
  });
}

/** C_InitPIN by the security officer. @throws HoldfastError `token_*`. */
export function setUserPin(access: ModuleAccess, token: TokenSelector, soPin: Secret, userPin: Secret): Promise<void> {
  return inSession(access, token, 'set_user_pin', (module, session) => initialisePin(module, session, soPin, userPin));
}

/** C_SetPIN by the security officer, for its own PIN. @throws HoldfastError `token_*`. */
export function replaceSoPin(access: ModuleAccess, token: TokenSelector, from: Secret, to: Secret): Promise<void> {
  return inSession(access, token, 'replace_so_pin', (module, session) => {
    module.C_Login(session, CK.CKU_SO, fromUtf8(from.reveal()));
    try {
      module.C_SetPIN(session, fromUtf8(from.reveal()), fromUtf8(to.reveal()));
    } finally {
      module.C_Logout(session);
    }
  });
}

/** What the token said to a PIN. A refusal costs one of the few tries that it allows. */
export type PinTrial = 'accepted' | 'refused' | 'locked' | 'not_set';

const TRIALS: Readonly<Record<string, PinTrial>> = {
  CKR_PIN_INCORRECT: 'refused',
  CKR_PIN_INVALID: 'refused',
  CKR_PIN_LEN_RANGE: 'refused',
  CKR_PIN_LOCKED: 'locked',
  CKR_USER_PIN_NOT_INITIALIZED: 'not_set',
};

/** Logs in and out again. @throws HoldfastError `token_*` for any answer but those of `PinTrial`. */
export function tryPin(
  access: ModuleAccess,
  token: TokenSelector,
  user: 'security officer' | 'user',
  pin: Secret,
): Promise<PinTrial> {
  return inSession(access, token, 'login', (module, session) => {
    try {
      module.C_Login(session, user === 'user' ? CK.CKU_USER : CK.CKU_SO, fromUtf8(pin.reveal()));
    } catch (error) {
      const trial = TRIALS[ckrName(error) ?? ''];
      if (trial) return trial;
      throw error;
    }
    module.C_Logout(session);
    return 'accepted';
  });
}

/** `length` bytes of the token's generator, or undefined where it has none. @throws HoldfastError `token_*`. */
export function tokenRandom(
  access: ModuleAccess,
  token: TokenSelector,
  length: number,
): Promise<Uint8Array | undefined> {
  return inSession(access, token, 'random', (module, session) => {
    try {
      return Uint8Array.from(module.C_GenerateRandom(session, Buffer.alloc(length)));
    } catch (error) {
      if (
        ['CKR_RANDOM_NO_RNG', 'CKR_FUNCTION_NOT_SUPPORTED', 'CKR_USER_NOT_LOGGED_IN'].includes(ckrName(error) ?? '')
      ) {
        return undefined;
      }
      throw error;
    }
  });
}

/** C_InitToken; the module reads exactly 32 bytes of label, padded with blanks (PKCS#11 v2.40, C_InitToken). */
export function initialiseHandle(module: Cryptoki, slot: Handle, label: string, soPin: Secret): void {
  const padding = 32 - Buffer.byteLength(label, 'utf8');
  module.C_InitToken(slot, fromUtf8(soPin.reveal()), label + ' '.repeat(padding));
}

/** Logs the security officer in for C_InitPIN, and out again. */
export function initialisePin(module: Cryptoki, session: Handle, soPin: Secret, userPin: Secret): void {
  module.C_Login(session, CK.CKU_SO, fromUtf8(soPin.reveal()));
  try {
    module.C_InitPIN(session, fromUtf8(userPin.reveal()));
  } finally {
    module.C_Logout(session);
  }
}

function slotState(module: Cryptoki, slot: Handle, path: string): SlotState {
  const info = module.C_GetTokenInfo(slot);
  const has = (flag: number) => (info.flags & flag) !== 0;
  // Some modules say CK_UNAVAILABLE_INFORMATION.
  const length = (value: number) => (Number.isSafeInteger(value) && value > 0 && value < 4096 ? value : 0);
  return {
    slot: slotNumber(slot),
    token: describeToken(module, slot, path) ?? {
      module: path,
      label: '',
      manufacturer: tidy(info.manufacturerID),
      model: tidy(info.model),
      serial: tidy(info.serialNumber),
      firmware: `${info.firmwareVersion.major}.${info.firmwareVersion.minor}`,
    },
    initialised: has(CK.CKF_TOKEN_INITIALIZED),
    userPinSet: has(CK.CKF_USER_PIN_INITIALIZED),
    hasRandom: has(CK.CKF_RNG),
    protectedPath: has(CK.CKF_PROTECTED_AUTHENTICATION_PATH),
    pinLength: { minimum: length(info.minPinLen), maximum: length(info.maxPinLen) },
  };
}

/** Runs `body` in this thread, in its turn with whoever else of this process uses the module. */
export function administer<T>(
  access: ModuleAccess,
  operation: string,
  body: (module: Cryptoki, path: string) => T,
): Promise<T> {
  const path = resolveModule(access.module);
  return useModule(
    path,
    () => {
      try {
        const module = loadModule(path);
        initialiseModule(module, access.moduleParameters);
        return body(module, path);
      } catch (error) {
        throw tokenError(error, operation);
      }
    },
    () => finalizeModule(loadModule(path)),
  );
}

/** The same with a session on the one initialised token that fits, not logged in. */
export function inSession<T>(
  access: ModuleAccess,
  { slot, label, serial }: TokenSelector,
  operation: string,
  body: (module: Cryptoki, session: Handle) => T,
): Promise<T> {
  return administer(access, operation, (module, path) => {
    const fitting = module.C_GetSlotList(true).filter((handle) => {
      const token = describeToken(module, handle, path);
      if (!token || (slot !== undefined && slotNumber(handle) !== slot)) return false;
      return (label ?? token.label) === token.label && (serial ?? token.serial) === token.serial;
    });
    if (fitting.length !== 1) {
      throw new HoldfastError(
        'token_removed',
        `${fitting.length === 0 ? 'no' : 'more than one'} initialised token fits what was named; look at holdfast token list`,
      );
    }
    const session = module.C_OpenSession(fitting[0]!, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
    try {
      return body(module, session);
    } finally {
      module.C_CloseSession(session);
    }
  });
}
