/** Makes an empty token of a free slot (C_InitToken, C_InitPIN), as SoftHSM and some hardware allow. */

import { HoldfastError, type Secret } from '../../core/index.ts';
import type { TokenDescription } from '../port.ts';
import { administer, initialiseHandle, initialisePin } from './administration.ts';
import { describeToken, slotNumber } from './connection.ts';
import { CK, type Cryptoki, type Handle } from './cryptoki.ts';

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
  const length = Buffer.byteLength(options.label, 'utf8');
  if (length === 0 || length > 32) throw new HoldfastError('usage', 'a token label has 1 to 32 bytes');
  return administer(options, 'initialise', (module, path) => initialise(module, path, options));
}

function initialise(module: Cryptoki, path: string, options: InitialiseOptions): TokenDescription {
  const slots = module.C_GetSlotList(true);
  if (slots.some((slot) => describeToken(module, slot, path)?.label === options.label)) {
    throw new HoldfastError('token_unsuitable', `there is a token ${options.label} already; choose another label`);
  }
  const slot = freeSlot(module, path, slots, options.slot);
  initialiseHandle(module, slot, options.label, options.soPin);
  const session = module.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION);
  try {
    initialisePin(module, session, options.soPin, options.userPin);
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
