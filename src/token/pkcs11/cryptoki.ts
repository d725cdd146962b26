/**
 * Loading and initialising a PKCS#11 module (PKCS#11 v2.40), and the typed constructors of everything that is passed to
 * it: pkcs11js aborts the process on a malformed template or parameter, so none is ever written by hand.
 */

import { endianness } from 'node:os';
import pkcs11js from 'pkcs11js';
import { HoldfastError } from '../../core/index.ts';

/** Synchronous calls only: the others leak or corrupt memory (pkcs11js issues 120 and 121). */
export type Cryptoki = Pick<
  pkcs11js.PKCS11,
  | 'C_Initialize'
  | 'C_Finalize'
  | 'C_GetSlotList'
  | 'C_GetSlotInfo'
  | 'C_GetTokenInfo'
  | 'C_InitToken'
  | 'C_InitPIN'
  | 'C_SetPIN'
  | 'C_GenerateRandom'
  | 'C_OpenSession'
  | 'C_CloseSession'
  | 'C_Login'
  | 'C_Logout'
  | 'C_CreateObject'
  | 'C_DestroyObject'
  | 'C_FindObjectsInit'
  | 'C_FindObjects'
  | 'C_FindObjectsFinal'
  | 'C_GetAttributeValue'
  | 'C_SetAttributeValue'
  | 'C_SignInit'
  | 'C_Sign'
  | 'C_GenerateKey'
  | 'C_GenerateKeyPair'
  | 'C_DeriveKey'
  | 'C_WrapKey'
  | 'C_GetSessionInfo'
>;

export type Handle = Buffer;
export type Attribute = { type: number; value: Buffer | boolean };
export type Template = Attribute[];

export const CK = pkcs11js;

/** Missing from pkcs11js: PKCS#11 v3.0. */

/** Never emptied: the library is unmapped when its object is collected, whoever else still uses it. */
const loaded = new Map<string, pkcs11js.PKCS11>();

/** @throws HoldfastError `usage` if there is no PKCS#11 module at `path`. */
export function loadModule(path: string): Cryptoki {
  const known = loaded.get(path);
  if (known) return known;
  const module = new pkcs11js.PKCS11();
  try {
    module.load(path);
  } catch (cause) {
    throw new HoldfastError(
      'usage',
      `no PKCS#11 module could be loaded from ${path}; check the path and its libraries`,
      {
        cause,
      },
    );
  }
  loaded.set(path, module);
  return module;
}

/** 1 to 1000 printable ASCII characters. */
const PARAMETERS = /^[\x20-\x7e]{1,1000}$/;

/**
 * What C_Initialize is given: locking by the module itself, without which concurrent sessions corrupt its memory, and
 * the text that some modules want besides (NSS softokn: where its database is).
 * @throws HoldfastError `usage`.
 */
export function initialiseOptions(parameters: string | undefined): pkcs11js.InitializationOptions {
  const flags = pkcs11js.CKF_OS_LOCKING_OK;
  // An empty text must not be passed on: modules of the standard alone refuse the longer structure that it comes in.
  if (parameters === undefined) return { flags };
  if (!PARAMETERS.test(parameters)) {
    throw new HoldfastError('usage', 'the module’s parameters are 1 to 1000 printable ASCII characters on one line');
  }
  // pkcs11js 2.1.7 cuts off the last character.
  return { flags, libraryParameters: `${parameters} ` };
}

/** C_Initialize. `parameters` as for `initialiseOptions`; the process's first call decides. */
export function initialiseModule(module: Pick<Cryptoki, 'C_Initialize'>, parameters?: string): void {
  const options = initialiseOptions(parameters);
  try {
    module.C_Initialize(options);
  } catch (error) {
    // The state is the process's: another worker was first.
    if ((error as { code?: number }).code !== pkcs11js.CKR_CRYPTOKI_ALREADY_INITIALIZED) throw error;
  }
}

/** C_Finalize. Only when nothing of this process is inside the module: anything else is a crash. */
export function finalizeModule(module: Pick<Cryptoki, 'C_Finalize'>): void {
  try {
    module.C_Finalize();
  } catch (error) {
    // It may never have come up, which whoever opened it was told.
    if ((error as { code?: number }).code !== pkcs11js.CKR_CRYPTOKI_NOT_INITIALIZED) throw error;
  }
}

const LITTLE = endianness() === 'LE';

/** A CK_ULONG of 8 bytes (LP64); pkcs11js itself would cut numbers to 32 bits. */
export function ulongBytes(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  if (LITTLE) buffer.writeBigUInt64LE(BigInt(value));
  else buffer.writeBigUInt64BE(BigInt(value));
  return buffer;
}

export function fromUlong(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength === 8) return Number(view.getBigUint64(0, LITTLE));
  if (bytes.byteLength === 4) return view.getUint32(0, LITTLE);
  throw new HoldfastError('token_failed', 'the token returned a number of unknown size; check the module');
}

export const flagAttribute = (type: number, value: boolean): Attribute => ({ type, value });
export const numberAttribute = (type: number, value: number): Attribute => ({ type, value: ulongBytes(value) });
export const textAttribute = (type: number, value: string): Attribute => ({ type, value: Buffer.from(value, 'utf8') });
export const bytesAttribute = (type: number, value: Uint8Array): Attribute => ({ type, value: Buffer.from(value) });
/** CK_DATE, 8 ASCII digits (YYYYMMDD) of the UTC day. */
export const dateAttribute = (type: number, milliseconds: number): Attribute => ({
  type,
  value: Buffer.from(new Date(milliseconds).toISOString().slice(0, 10).replaceAll('-', ''), 'latin1'),
});

export const plainMechanism = (mechanism: number): pkcs11js.Mechanism => ({ mechanism });

/** CKM_ECDH1_DERIVE with CKD_NULL: the derived value is the x-coordinate itself. */
export function ecdhMechanism(publicData: Uint8Array): pkcs11js.Mechanism {
  const parameter: pkcs11js.ECDH1 = {
    type: pkcs11js.CK_PARAMS_EC_DH,
    kdf: pkcs11js.CKD_NULL,
    publicData: Buffer.from(publicData),
  };
  return { mechanism: pkcs11js.CKM_ECDH1_DERIVE, parameter };
}

/** One attribute of an object. @throws what the module throws. */
export function readAttribute(module: Cryptoki, session: Handle, object: Handle, type: number): Buffer | undefined {
  return readAttributes(module, session, object, [type])[0];
}

/** Several, in one call. @throws what the module throws, which it does where the object lacks one of them. */
export function readAttributes(
  module: Cryptoki,
  session: Handle,
  object: Handle,
  types: readonly number[],
): (Buffer | undefined)[] {
  const read = module.C_GetAttributeValue(
    session,
    object,
    types.map((type) => ({ type })),
  );
  return types.map((_, index) => {
    const value = read[index]?.value as unknown;
    return Buffer.isBuffer(value) ? value : typeof value === 'string' ? Buffer.from(value) : undefined;
  });
}

/** All objects that match. */
export function findObjects(module: Cryptoki, session: Handle, template: Template): Handle[] {
  const found: Handle[] = [];
  module.C_FindObjectsInit(session, template);
  try {
    for (;;) {
      const some = module.C_FindObjects(session, 32);
      found.push(...some);
      if (some.length === 0) return found;
    }
  } finally {
    module.C_FindObjectsFinal(session);
  }
}
