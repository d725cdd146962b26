/** From a configuration to an open token of signing keys, with SoftHSM told where its own configuration is. */

import { applyTokenEnvironment, type SigningTokenConfiguration } from '../configuration/index.ts';
import type { Secret } from '../core/index.ts';
import { openSigningToken, openUnlessRefused } from '../token/index.ts';
import type { SigningToken } from '../token/port.ts';

/**
 * A PIN that the token refuses is not tried again, whoever starts this process anew.
 * @param folder where that is remembered: the process's own, which survives a restart.
 * @throws HoldfastError `token_*`, or what `readPin` throws.
 */
export async function openConfiguredToken(
  token: SigningTokenConfiguration,
  readPin: () => Promise<Secret>,
  folder: string,
): Promise<SigningToken> {
  applyTokenEnvironment({ token });
  const { module, slot, label, serial, timeout, moduleParameters, syncFolder } = token;
  const place = {
    module,
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  };
  using pin = await readPin();
  return await openUnlessRefused({ folder, token: place }, pin, () =>
    openSigningToken({
      ...place,
      pin,
      timeout,
      ...(moduleParameters !== undefined && { moduleParameters }),
      ...(syncFolder !== undefined && { syncFolder }),
    }),
  );
}
