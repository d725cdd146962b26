/** Makes an empty token of a free slot (C_InitToken, C_InitPIN), as SoftHSM and some hardware allow. */

import { fromUtf8, HoldfastError, type Secret } from '../../core/index.ts';
import type { TokenDescription } from '../port.ts';
import { describeToken, slotNumber } from './connection.ts';
import { CK, type Cryptoki, finalizeModule, type Handle, initialiseModule, loadModule } from './cryptoki.ts';
import { tokenError } from './errors.ts';
import { resolveModule, useModule } from './process.ts';

export interface InitialiseOptions {
  /** Path of the PKCS#11 module. */
  readonly module: string;
  /** Up to 32 bytes of UTF-8. */
  readonly label: string;
  /** Security officer's PIN and the user's, as many characters as the token wants (SoftHSM: 4 to 255). */
  readonly soPin: Secret;
  readonly userPin: Secret;
  /** Slot by number; default is the first one whose token is not initialised. */
  readonly slot?: number;
}

/**
 * Never touches a token that is initialised already: that would destroy its keys.
 * @throws HoldfastError `token_unsuitable` if no slot is free or the label is taken, else `token_*`.
 */
export async function initialiseToken(options: InitialiseOptions): Promise<TokenDescription> {
  const path = resolveModule(options.module);
  const label = Buffer.from(options.label, 'utf8');
  if (label.length === 0 || label.length > 32) throw new HoldfastError('usage', 'a token label has 1 to 32 bytes');
  return useModule(
    path,
    () => {
      const module = loadModule(path);
      try {
        initialiseModule(module);
        return initialise(module, path, options);
      } catch (error) {
        throw tokenError(error, 'initialise');
      }
    },
    () => finalizeModule(loadModule(path)),
  );
}

function initialise(module: Cryptoki, path: string, options: InitialiseOptions): TokenDescription {
  const slots = module.C_GetSlotList(true);
  if (slots.some((slot) => describeToken(module, slot, path)?.label === options.label)) {
    throw new HoldfastError('token_unsuitable', `there is a token ${options.label} already; choose another label`);
  }
  const slot = freeSlot(module, path, slots, options.slot);
  // The module reads exactly 32 bytes, padded with blanks (PKCS#11 v2.40, C_InitToken).
  const padding = 32 - Buffer.byteLength(options.label, 'utf8');
  module.C_InitToken(slot, fromUtf8(options.soPin.reveal()), options.label + ' '.repeat(padding));
  const session = module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
  try {
    module.C_Login(session, CK.CKU_SO, fromUtf8(options.soPin.reveal()));
    try {
      module.C_InitPIN(session, fromUtf8(options.userPin.reveal()));
    } finally {
      module.C_Logout(session);
    }
  } finally {
    module.C_CloseSession(session);
  }
  const description = describeToken(module, slot, path);
  if (!description) throw new HoldfastError('token_failed', 'the token is not initialised; look at the module’s log');
  return description;
}

function freeSlot(module: Cryptoki, path: string, slots: readonly Handle[], wanted: number | undefined): Handle {
  const slot = slots.find((each) =>
    wanted === undefined ? !describeToken(module, each, path) : slotNumber(each) === wanted,
  );
  if (!slot || describeToken(module, slot, path)) {
    throw new HoldfastError('token_unsuitable', 'no free slot; choose one whose token is not initialised');
  }
  return slot;
}
