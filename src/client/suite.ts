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
  newRequestSender,
  newSeed,
  openEnvelope,
  protectSeed,
  recoverSeed,
  type SeedKeys,
  type StretchParameters,
  sealEnvelope,
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

/** Seals the requests of one session to one node. */
export interface NodeSealer {
  /** The encapsulated key, 65 bytes, by which the node knows the HPKE context. */
  readonly enc: Uint8Array;
  /** Whether it takes no further request: the session then goes on with a new one. */
  readonly isSpent: boolean;
  seal(outer: Outer, plaintext: Uint8Array): Promise<SealedForNode>;
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
  /** The client key's signature over the outer fields, the user token and, where it is for that too, an HPKE context of its own. */
  signRequest(credential: Credential, outer: Outer, enc?: Uint8Array): Uint8Array;
  /** `place`: of the outer fields, those that stay the same for one node. */
  newSealer(sessionKey: Uint8Array, place: Pick<Outer, 'fleet' | 'epoch' | 'node'>): Promise<NodeSealer>;
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
    signRequest: ({ userToken, clientKey }, outer, enc) =>
      signAsClient(clientKey, encodeOuter(outer), hashUserToken(userToken), enc),
    async newSealer(publicKey, { fleet, epoch, node }) {
      const sender = await newRequestSender({ publicKey, info: encodeSealingInfo({ fleet, epoch, node }) });
      return {
        enc: sender.enc,
        get isSpent() {
          return sender.left === 0;
        },
        async seal(outer, plaintext) {
          const aad = encodeOuter(outer);
          const sealed = await sender.seal(aad, plaintext);
          return {
            enc: sealed.enc,
            ciphertext: sealed.ciphertext,
            openAnswer: (answer) => sealed.openAnswer(aad, answer),
          };
        },
      };
    },
  };
}
