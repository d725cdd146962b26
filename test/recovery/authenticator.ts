/** Authenticators in memory: the age library's own file format over a PRF that a key of each credential makes. */

import { createHmac, randomBytes } from 'node:crypto';
import { Stanza } from 'age-encryption';
import type { PasskeyPort } from '../../src/recovery/index.ts';

const TYPE = 'age-encryption.org/fido2prf';

/** What a browser throws, by name. */
export const domError = (name: string) => Object.assign(new Error(name), { name });

export class Authenticator implements PasskeyPort {
  readonly keys = new Map<string, Buffer>();
  /** Thrown at the next gesture. */
  refusal: Error | undefined;
  gestures = 0;

  create = async ({ name }: { readonly name: string }): Promise<string> => {
    this.#gesture();
    const credential = `AGE-PLUGIN-FIDO2PRF-1${name}-${randomBytes(4).toString('hex')}`;
    this.keys.set(credential, randomBytes(32));
    return credential;
  };

  recipient = (credential: string) => ({
    wrapFileKey: async (fileKey: Uint8Array) => {
      const nonce = randomBytes(16);
      const body = fileKey.map((byte, i) => byte ^ this.#prf(credential, nonce)[i]!);
      return [new Stanza([TYPE, nonce.toString('base64').replace(/=+$/, '')], body)];
    },
  });

  identity = (credential: string) => ({
    unwrapFileKey: async (stanzas: Stanza[]) => {
      const [stanza] = stanzas.filter(({ args }) => args[0] === TYPE);
      if (!stanza) return null;
      const stream = this.#prf(credential, Buffer.from(stanza.args[1]!, 'base64'));
      return stanza.body.map((byte, i) => byte ^ stream[i]!);
    },
  });

  #gesture(): void {
    this.gestures++;
    const { refusal } = this;
    this.refusal = undefined;
    if (refusal) throw refusal;
  }

  #prf(credential: string, nonce: Uint8Array): Buffer {
    this.#gesture();
    const key = this.keys.get(credential);
    // Browsers say the same of a passkey that is not there and of one that the person declined.
    if (!key) throw domError('NotAllowedError');
    return createHmac('sha256', key).update(nonce).digest();
  }
}
