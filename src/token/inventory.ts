/** What is on a PKCS#11 module: slots, tokens, mechanisms and objects as plain data, for operators. Never a key's value. */

import graphene from 'graphene-pk11';
import { bytesToHex, fromUtf8, HoldfastError, type Secret } from '../core/index.ts';
import type { TokenSelector } from './pkcs11/connection.ts';
import { CK, finalizeModule, initialiseOptions, loadModule } from './pkcs11/cryptoki.ts';
import { ckrName, tokenError } from './pkcs11/errors.ts';
import { resolveModule, useModule } from './pkcs11/process.ts';

export interface InventoryOptions {
  /** Path of the PKCS#11 module. */
  readonly module: string;
  /** Text for the module’s C_Initialize, where it wants some. */
  readonly moduleParameters?: string;
  /** Shows private objects too, of the one token that fits all that is given. */
  readonly login?: TokenSelector & { readonly pin: Secret };
}

export interface ModuleInventory {
  readonly module: string;
  readonly library: string;
  readonly manufacturer: string;
  readonly cryptokiVersion: string;
  readonly slots: readonly SlotInventory[];
}

export interface SlotInventory {
  readonly number: number;
  readonly description: string;
  readonly token: TokenInventory | undefined;
}

export interface TokenInventory {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  /** Names of CKF_* flags that are set. */
  readonly flags: readonly string[];
  readonly mechanisms: readonly MechanismInventory[];
  readonly objects: readonly ObjectInventory[];
}

export interface MechanismInventory {
  /** CKM_* name, or the number in hexadecimal where it has none here. */
  readonly name: string;
  readonly minimumKeyBits: number;
  readonly maximumKeyBits: number;
}

export interface ObjectInventory {
  readonly class: string;
  readonly label: string;
  /** CKA_ID in hexadecimal. */
  readonly id: string;
  /** Those attributes that the object has. */
  readonly attributes: Readonly<Record<string, boolean>>;
}

/** Never emptied: graphene's module closes the library when it is collected. */
const modules = new Map<string, graphene.Module>();

const TOKEN_FLAGS: Readonly<Record<string, number>> = {
  CKF_RNG: CK.CKF_RNG,
  CKF_WRITE_PROTECTED: CK.CKF_WRITE_PROTECTED,
  CKF_LOGIN_REQUIRED: CK.CKF_LOGIN_REQUIRED,
  CKF_USER_PIN_INITIALIZED: CK.CKF_USER_PIN_INITIALIZED,
  CKF_TOKEN_INITIALIZED: CK.CKF_TOKEN_INITIALIZED,
  CKF_USER_PIN_COUNT_LOW: CK.CKF_USER_PIN_COUNT_LOW,
  CKF_USER_PIN_FINAL_TRY: CK.CKF_USER_PIN_FINAL_TRY,
  CKF_USER_PIN_LOCKED: CK.CKF_USER_PIN_LOCKED,
};

const CLASSES: Readonly<Record<number, string>> = {
  [CK.CKO_DATA]: 'data',
  [CK.CKO_CERTIFICATE]: 'certificate',
  [CK.CKO_PUBLIC_KEY]: 'public key',
  [CK.CKO_PRIVATE_KEY]: 'private key',
  [CK.CKO_SECRET_KEY]: 'secret key',
};

const FLAGS: Readonly<Record<string, number>> = {
  CKA_TOKEN: CK.CKA_TOKEN,
  CKA_PRIVATE: CK.CKA_PRIVATE,
  CKA_MODIFIABLE: CK.CKA_MODIFIABLE,
  CKA_LOCAL: CK.CKA_LOCAL,
  CKA_SENSITIVE: CK.CKA_SENSITIVE,
  CKA_ALWAYS_SENSITIVE: CK.CKA_ALWAYS_SENSITIVE,
  CKA_EXTRACTABLE: CK.CKA_EXTRACTABLE,
  CKA_NEVER_EXTRACTABLE: CK.CKA_NEVER_EXTRACTABLE,
  CKA_SIGN: CK.CKA_SIGN,
  CKA_VERIFY: CK.CKA_VERIFY,
  CKA_ENCRYPT: CK.CKA_ENCRYPT,
  CKA_DECRYPT: CK.CKA_DECRYPT,
  CKA_WRAP: CK.CKA_WRAP,
  CKA_UNWRAP: CK.CKA_UNWRAP,
  CKA_DERIVE: CK.CKA_DERIVE,
};

/** Reads everything, changes nothing. @throws HoldfastError `usage` for a wrong path, else `token_*`. */
export async function readInventory(options: InventoryOptions): Promise<ModuleInventory> {
  const path = resolveModule(options.module);
  let module = modules.get(path);
  return useModule(
    path,
    () => {
      try {
        module ??= graphene.Module.load(path, path);
        modules.set(path, module);
        module.initialize(initialiseOptions(options.moduleParameters));
        return describe(module, path, options);
      } catch (error) {
        throw tokenError(error, 'inventory');
      }
    },
    () => finalizeModule(loadModule(path)),
  );
}

function describe(module: graphene.Module, path: string, options: InventoryOptions): ModuleInventory {
  const handles = module.getSlots(true);
  const slots = Array.from({ length: handles.length }, (_, index) => describeSlot(handles.items(index), options));
  if (options.login && !slots.some((slot) => fits(slot, options.login))) {
    throw new HoldfastError(
      'token_removed',
      'no token fits the one to log in to; check it against holdfast token list',
    );
  }
  return {
    module: path,
    library: clean(module.libraryDescription),
    manufacturer: clean(module.manufacturerID),
    cryptokiVersion: `${module.cryptokiVersion.major}.${module.cryptokiVersion.minor}`,
    slots,
  };
}

function fits(
  { number, token }: { number: number; token: Pick<TokenInventory, 'serial' | 'label'> | undefined },
  wanted: TokenSelector | undefined,
): boolean {
  if (!token || !wanted) return false;
  const { slot = number, serial = token.serial, label = token.label } = wanted;
  return slot === number && serial === token.serial && label === token.label;
}

function describeSlot(slot: graphene.Slot, options: InventoryOptions): SlotInventory {
  const token = slot.getToken();
  const number = slot.handle.readUIntLE(0, Math.min(6, slot.handle.length));
  const description = clean(slot.slotDescription);
  if ((token.flags & CK.CKF_TOKEN_INITIALIZED) === 0) return { number, description, token: undefined };
  const serial = clean(token.serialNumber);
  const label = clean(token.label);
  const pin = fits({ number, token: { serial, label } }, options.login) ? options.login?.pin : undefined;
  return {
    number,
    description,
    token: {
      label,
      manufacturer: clean(token.manufacturerID),
      model: clean(token.model),
      serial,
      firmware: `${token.firmwareVersion.major}.${token.firmwareVersion.minor}`,
      flags: Object.keys(TOKEN_FLAGS).filter((name) => (token.flags & TOKEN_FLAGS[name]!) !== 0),
      mechanisms: describeMechanisms(slot),
      objects: describeObjects(slot, pin),
    },
  };
}

function describeMechanisms(slot: graphene.Slot): MechanismInventory[] {
  const mechanisms = slot.getMechanisms();
  return Array.from({ length: mechanisms.length }, (_, index) => {
    const mechanism = mechanisms.items(index);
    const name = mechanism.name === 'unknown' ? `0x${mechanism.type.toString(16)}` : `CKM_${mechanism.name}`;
    return { name, minimumKeyBits: mechanism.minKeySize, maximumKeyBits: mechanism.maxKeySize };
  });
}

function describeObjects(slot: graphene.Slot, pin: Secret | undefined): ObjectInventory[] {
  const session = slot.open();
  try {
    if (pin) login(session, pin);
    const objects = session.find();
    return Array.from({ length: objects.length }, (_, index) => describeObject(objects.items(index)));
  } finally {
    session.close();
  }
}

function login(session: graphene.Session, pin: Secret): void {
  try {
    session.login(fromUtf8(pin.reveal()));
  } catch (error) {
    if (ckrName(error) !== 'CKR_USER_ALREADY_LOGGED_IN') throw error;
  }
}

function describeObject(object: graphene.SessionObject): ObjectInventory {
  const read = (type: number): Buffer | undefined => {
    try {
      return object.getAttribute(type);
    } catch {
      return undefined; // this object has no such attribute
    }
  };
  const attributes: Record<string, boolean> = {};
  for (const [name, type] of Object.entries(FLAGS)) {
    const value = read(type);
    if (value?.length === 1) attributes[name] = value[0] !== 0;
  }
  return {
    class: CLASSES[read(CK.CKA_CLASS)?.readUInt32LE(0) ?? -1] ?? 'other',
    label: read(CK.CKA_LABEL)?.toString('utf8') ?? '',
    id: bytesToHex(Uint8Array.from(read(CK.CKA_ID) ?? [])),
    attributes,
  };
}

const clean = (text: string) => text.replaceAll('\0', ' ').trim();
