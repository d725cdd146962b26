/** From a configuration to an open token of signing keys, with SoftHSM told where its own configuration is. */

import { applyTokenEnvironment, type SigningTokenConfiguration } from '../configuration/index.ts';
import type { Secret } from '../core/index.ts';
import { openSigningToken } from '../token/index.ts';
import type { SigningToken } from '../token/port.ts';

/** @throws HoldfastError `token_*`, or what `readPin` throws. */
export async function openConfiguredToken(
  token: SigningTokenConfiguration,
  readPin: () => Promise<Secret>,
): Promise<SigningToken> {
  applyTokenEnvironment({ token });
  const { module, slot, label, serial, timeout, moduleParameters, syncFolder } = token;
  using pin = await readPin();
  return await openSigningToken({
    module,
    pin,
    timeout,
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
    ...(moduleParameters !== undefined && { moduleParameters }),
    ...(syncFolder !== undefined && { syncFolder }),
  });
}
