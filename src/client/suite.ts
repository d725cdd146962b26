/** The client's cryptography as one port: the real one below, and a cheap one in the simulation. */

import { hashUserToken, signAsClient } from '../access/client.ts';
import { type Random, type Secret, systemRandom } from '../core/index.ts';
import {
  type Blinded,
  blind,
  deriveKeys,
  finalize,
  type MaskedShare,
  type NodeOutput,
  nativeArgon2id,
  newSeed,
  openEnvelope,
  protectSeed,
  recoverSeed,
  type SeedKeys,
  type StretchParameters,
  sealEnvelope,
  sealRequest,
  signEd25519,
  stretchPin,
  verifyEcdsa,
  verifyEd25519,
} from '../crypto/index.ts';
import { encodeOuter, encodeSealingInfo, type Outer, type SignatureChecks } from '../protocol/index.ts';
import type { Credential } from './ports.ts';

export interface SealedForNode {
  readonly enc: Uint8Array;
  readonly ciphertext: Uint8Array;
  /** @throws HoldfastError `untrusted` where the node did not seal this to this very request. */
  openAnswer(sealed: Uint8Array): Promise<Uint8Array>;
}

export interface ClientSuite {
  readonly checks: SignatureChecks;
  stretch(pin: Uint8Array, salt: Uint8Array, parameters: StretchParameters): Promise<Uint8Array>;
  /** Whether `stretch` works outside the main thread, so that something else can be done meanwhile. Default false. */
  readonly stretchesAside?: boolean;
  blind(input: Uint8Array): Blinded;
  /** @throws HoldfastError `untrusted` for the identity and anything else that is no element. */
  finalize(input: Uint8Array, blind: Secret, evaluatedElement: Uint8Array): Uint8Array;
  newSeed(): Secret;
  deriveKeys(seed: Secret): SeedKeys;
  sign(key: SeedKeys['ownerKey'], message: Uint8Array): Uint8Array;
  protectSeed(options: { seed: Secret; threshold: number; outputs: readonly NodeOutput[] }): Promise<MaskedShare[]>;
  recoverSeed(options: {
    shares: readonly MaskedShare[];
    outputs: readonly NodeOutput[];
    threshold: number;
    accept: (seed: Secret) => boolean;
  }): Promise<{ seed: Secret; lying: readonly number[] }>;
  sealEnvelope(key: Secret, binding: Uint8Array, secret: Uint8Array): Uint8Array;
  openEnvelope(key: Secret, binding: Uint8Array, envelope: Uint8Array): Secret;
  /** The client key's signature over the outer fields and the user token. */
  signRequest(credential: Credential, outer: Outer): Uint8Array;
  seal(sessionKey: Uint8Array, outer: Outer, plaintext: Uint8Array): Promise<SealedForNode>;
}

/** The real one: RFC 9497, RFC 9180, Argon2id, Ed25519. Runs in Node and browsers. */
export function standardSuite(random: Random = systemRandom): ClientSuite {
  return {
    checks: { ecdsa: verifyEcdsa, ed25519: verifyEd25519 },
    stretch: stretchPin,
    stretchesAside: nativeArgon2id !== undefined,
    blind: (input) => blind(input, random),
    finalize,
    newSeed: () => newSeed(random),
    deriveKeys,
    sign: (key, message) => signEd25519(key.secretKey, message),
    protectSeed,
    recoverSeed,
    sealEnvelope,
    openEnvelope,
    signRequest: ({ userToken, clientKey }, outer) =>
      signAsClient(clientKey, encodeOuter(outer), hashUserToken(userToken)),
    async seal(publicKey, outer, plaintext) {
      const { fleet, epoch, node } = outer;
      const aad = encodeOuter(outer);
      const sealed = await sealRequest({ publicKey, info: encodeSealingInfo({ fleet, epoch, node }), aad, plaintext });
      return {
        enc: sealed.enc,
        ciphertext: sealed.ciphertext,
        openAnswer: (answer) => sealed.openAnswer(aad, answer),
      };
    },
  };
}
