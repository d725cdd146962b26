/**
 * Cheap stand-ins for cryptography, at the ports only. Nobody in the simulation attacks them: a public key is its own
 * secret, and who signs what is decided by who calls `sign`. The OPRF is a hash of key, record, generation and input,
 * which only the holder of the blind can unwrap.
 */

import type { ClientSuite } from '../../src/client/index.ts';
import { bytesToHex, concatBytes, equalBytes, HoldfastError, Secret, sha256, utf8 } from '../../src/core/index.ts';
import type { SeedKeys } from '../../src/crypto/index.ts';
import type { ClientAuthentication, RequestContext, RequestSealing } from '../../src/node/index.ts';
import { encodeOuter, type Outer, type SignatureChecks } from '../../src/protocol/index.ts';
import type { Chance } from './random.ts';

const ZERO = new Uint8Array(32);

const sameStart = (a: Uint8Array, b: Uint8Array, length: number): boolean => {
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return false;
  return true;
};

/** 32 bytes over all parts; the parts have fixed lengths where it matters. */
const digest = (...parts: Uint8Array[]): Uint8Array => sha256(concatBytes(...parts));

/** 64 bytes. */
export const signWith = (key: Uint8Array, message: Uint8Array): Uint8Array => concatBytes(digest(key, message), ZERO);

/** 65 bytes that pass for an uncompressed point. */
export const publicPoint = (key: Uint8Array): Uint8Array => concatBytes(Uint8Array.of(4), key, ZERO);

export const checks: SignatureChecks = {
  ecdsa: (publicKey, message, signature) => sameStart(signature, digest(publicKey.subarray(1, 33), message), 32),
  ed25519: (publicKey, message, signature) => sameStart(signature, digest(publicKey, message), 32),
};

const TAG = 16;

/**
 * What a node's half of the sealing does: the tag binds to the node's key, the encapsulation, the request's number in its
 * session, and the outer fields.
 */
export function requestSealing(sessionKey: Uint8Array): RequestSealing {
  /** By `enc`; a restarted node has none. */
  const contexts = new Map<string, RequestContext>();
  return {
    async open(outer, enc, ciphertext) {
      const aad = encodeOuter(outer);
      const number = ciphertext.slice(0, 1);
      const plaintext = ciphertext.slice(1 + TAG);
      const right =
        sameStart(enc.subarray(1, 33), sessionKey.subarray(1, 33), 32) &&
        ciphertext.length >= 1 + TAG &&
        sameStart(ciphertext.subarray(1), digest(enc, number, aad, plaintext), TAG);
      if (!right) throw new HoldfastError('malformed', 'the request was not sealed to this node’s key');
      const answerKey = digest(utf8('answer'), enc, number, aad);
      const name = bytesToHex(enc);
      const context = contexts.get(name) ?? { enc, authenticated: undefined };
      contexts.set(name, context);
      return {
        ...{ plaintext, context },
        sealAnswer: (answer) => concatBytes(digest(answerKey, answer).subarray(0, TAG), answer),
      };
    },
  };
}

/** A user token is "record:client key", and the tenant has issued exactly those in `issued`. */
export function authentication(issued: ReadonlySet<string>): ClientAuthentication {
  return {
    async check(outer, { version, userToken, clientSignature }, context) {
      const [record, key] = userToken.split(':');
      const entitled = issued.has(userToken) && record === bytesToHex(outer.record);
      if (!entitled) throw new HoldfastError('forbidden', 'the user token does not allow this');
      const token = utf8(userToken);
      const enc = version === 1 ? undefined : context.enc;
      const signed = clientSignature
        ? sameStart(clientSignature, requestSignature(key!, userToken, outer, enc), 32)
        : context.authenticated !== undefined && equalBytes(context.authenticated, token);
      const details = { reason: 'client_signature' };
      if (!signed) throw new HoldfastError('forbidden', 'the user token does not allow this', { details });
      if (version === 2) context.authenticated = token;
    },
  };
}

export function requestSignature(key: string, userToken: string, outer: Outer, enc?: Uint8Array): Uint8Array {
  return concatBytes(digest(utf8(key), utf8(userToken), encodeOuter(outer), enc ?? new Uint8Array(0)), ZERO);
}

/** What no party of the simulation may look at: inputs behind blinded elements, and the seeds behind shares. */
export class Oracle {
  readonly #chance: Chance;
  readonly #elements = new Map<string, { readonly input: Uint8Array; readonly mask: Uint8Array }>();
  readonly #seeds = new Map<string, { readonly seed: Uint8Array; readonly outputs: ReadonlyMap<number, string> }>();
  /** Told of every signature by an owner's or confirmation key. */
  onSign: (message: Uint8Array, publicKey: Uint8Array) => void = () => {};
  /** Told of every request that an entitled client sealed. */
  onRequest: (outer: Outer) => void = () => {};

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** A blinded element without a known input, as a malicious client would send. */
  strayElement(): Uint8Array {
    return concatBytes(Uint8Array.of(2), this.#chance.bytes(32));
  }

  /** The token's half of the OPRF: 33 bytes. */
  evaluate(key: Uint8Array, tweakInput: Uint8Array, element: Uint8Array): Uint8Array {
    const known = this.#elements.get(bytesToHex(element));
    const output = digest(key, sha256(tweakInput), known?.input ?? element);
    const mask = known?.mask ?? ZERO;
    return concatBytes(
      Uint8Array.of(3),
      output.map((byte, i) => byte ^ mask[i]!),
    );
  }

  suite(): ClientSuite {
    const chance = this.#chance;
    return {
      checks,
      stretch: async (pin, salt) => digest(salt, pin),
      blind: (input) => {
        const blind = chance.bytes(32);
        const blindedElement = this.strayElement();
        this.#elements.set(bytesToHex(blindedElement), { input: input.slice(), mask: sha256(blind) });
        return { blind: new Secret(blind), blindedElement };
      },
      finalize: (input, blind, evaluated) => {
        if (evaluated[0] !== 3) throw new HoldfastError('untrusted', 'no element');
        const mask = sha256(blind.reveal());
        return digest(
          evaluated.subarray(1).map((byte, i) => byte ^ mask[i]!),
          input,
        );
      },
      newSeed: () => new Secret(chance.bytes(32)),
      deriveKeys,
      sign: (key, message) => {
        this.onSign(message, key.publicKey);
        return key.sign(message);
      },
      protectSeed: async ({ seed, outputs }) => {
        const shares = outputs.map(({ node }) => ({ node, x: node, masked: chance.bytes(32) }));
        const right = new Map(outputs.map(({ node, output }) => [node, bytesToHex(output)]));
        for (const { masked } of shares) {
          this.#seeds.set(bytesToHex(masked), { seed: seed.reveal().slice(), outputs: right });
        }
        return shares;
      },
      recoverSeed: async ({ shares, outputs, threshold, accept }) => {
        const known = this.#seeds.get(bytesToHex(shares[0]!.masked));
        if (outputs.length < threshold) throw new HoldfastError('no_majority', 'too few answers');
        const lying = outputs.filter(({ node, output }) => known?.outputs.get(node) !== bytesToHex(output));
        if (known && outputs.length - lying.length >= threshold) {
          const seed = new Secret(known.seed.slice());
          if (accept(seed)) return { seed, lying: lying.map(({ node }) => node) };
        }
        throw new HoldfastError('wrong_pin', 'wrong PIN', { details: { spare: outputs.length > threshold } });
      },
      sealEnvelope: (key, binding, secret) => concatBytes(digest(key.reveal(), sha256(binding), secret), secret),
      openEnvelope: (key, binding, envelope) => {
        const secret = envelope.slice(32);
        if (!sameStart(envelope, digest(key.reveal(), sha256(binding), secret), 32)) {
          throw new HoldfastError('untrusted', 'the envelope does not open');
        }
        return new Secret(secret);
      },
      signRequest: ({ userToken }, outer, enc) => requestSignature(userToken.split(':')[1]!, userToken, outer, enc),
      newSealer: async (sessionKey) => {
        let session: Uint8Array | undefined;
        let next = 0;
        const encapsulated = () => {
          session ??= chance.bytes(32);
          return concatBytes(Uint8Array.of(4), sessionKey.subarray(1, 33), session);
        };
        return {
          get enc() {
            return encapsulated();
          },
          isSpent: false,
          seal: async (outer, plaintext) => {
            this.onRequest(outer);
            // Drawn for every request, though one is enough for all: so a seed goes on leading where it led.
            if (next > 0) chance.bytes(32);
            const enc = encapsulated();
            const aad = encodeOuter(outer);
            const number = Uint8Array.of(next++);
            const answerKey = digest(utf8('answer'), enc, number, aad);
            return {
              enc,
              ciphertext: concatBytes(number, digest(enc, number, aad, plaintext).subarray(0, TAG), plaintext),
              openAnswer: async (sealed) => {
                const answer = sealed.slice(TAG);
                if (!sameStart(sealed, digest(answerKey, answer), TAG))
                  throw new HoldfastError('untrusted', 'not for this');
                return answer;
              },
            };
          },
        };
      },
    };
  }
}

function deriveKeys(seed: Secret): SeedKeys {
  const key = (label: string) => {
    const bytes = digest(seed.reveal(), utf8(label));
    // The protocol's code wipes secrets that it no longer needs: each half is a copy of its own.
    const secretKey = new Secret(bytes.slice());
    return { publicKey: bytes, secretKey, sign: (message: Uint8Array) => signWith(secretKey.reveal(), message) };
  };
  const encryptionKey = new Secret(digest(seed.reveal(), utf8('encryption')));
  return { encryptionKey, confirmKey: key('confirm'), ownerKey: key('owner') };
}
