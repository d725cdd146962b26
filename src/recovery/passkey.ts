/**
 * Passkeys that open a backup: the PRF extension of WebAuthn (level 3, section 10.1.4) as age files use it, stanza type
 * `age-encryption.org/fido2prf` (the library `age-encryption`). User verification is required, the relying party is part
 * of the credential, and the PRF's inputs begin with that type's name and hold a nonce of 16 bytes that is fresh for each
 * file, so that an answer is of use for nothing else. Answers to challenges are thrown away: this signs nobody in.
 */

import { type Identity, type Recipient, webauthn } from 'age-encryption';
import { HoldfastError } from '../core/index.ts';

/** The way to the authenticator, exchanged in tests. */
export interface PasskeyPort {
  /** A new passkey: `AGE-PLUGIN-FIDO2PRF-1...`, which names credential and relying party and is no secret. */
  create(options: { readonly name: string; readonly relyingParty?: string }): Promise<string>;
  recipient(credential: string): Recipient;
  identity(credential: string): Identity;
}

/** The browser's own; each use asks the person for a gesture, in a secure context only. */
export const browserPasskeys: PasskeyPort = {
  create: ({ name, relyingParty }) =>
    webauthn.createCredential({ keyName: name, ...(relyingParty !== undefined && { rpId: relyingParty }) }),
  recipient: (credential) => new webauthn.WebAuthnRecipient({ identity: credential }),
  identity: (credential) => new webauthn.WebAuthnIdentity({ identity: credential }),
};

/**
 * What went wrong at an authenticator, told in Holdfast's codes.
 * @returns `cancelled` where the person declined, took too long, or has no such passkey here (browsers do not tell which);
 *   `passkey_unsupported` where browser or authenticator lack what is needed.
 */
export function passkeyError(thrown: unknown): HoldfastError {
  if (thrown instanceof HoldfastError) return thrown;
  const name = thrown instanceof Error ? thrown.name : '';
  if (name === 'NotAllowedError' || name === 'AbortError') {
    return new HoldfastError(
      'cancelled',
      'the passkey was not used: it was declined, took too long, or is not on this device; try again or use another way',
      { cause: thrown },
    );
  }
  return new HoldfastError(
    'passkey_unsupported',
    'this browser or passkey cannot encrypt (the WebAuthn extension PRF is missing); use another passkey or another way',
    { cause: thrown },
  );
}
