/**
 * A token in memory, for tests and simulations: the real algorithms of `Token`, with a state that can be snapshotted,
 * restored and rolled back, and faults that can be injected. It protects nothing.
 */

import { createECDH, createPrivateKey, type KeyObject, sign as nativeSign } from 'node:crypto';
import { p256 } from '@noble/curves/nist.js';
import {
  asHoldfastError,
  bytesToHex,
  type ErrorCode,
  HoldfastError,
  hmacSha256,
  type Random,
  systemRandom,
  toBase64Url,
} from '../core/index.ts';
import { lowS } from '../crypto/index.ts';
import { evaluate, requireUncompressed } from './evaluate.ts';
import type { Token, TokenDescription, TokenPublicKeys, TokenUsage } from './port.ts';

/** Everything that the token holds: copy it to clone the token, put it back to roll it back. */
export interface SoftwareTokenState {
  /** 32-byte scalars and keys. */
  readonly identity: Uint8Array;
  readonly session: Uint8Array;
  readonly oprf: Uint8Array;
  readonly tweak: Uint8Array;
  readonly anchor: Uint8Array;
  readonly createdAt: number;
  /** The two anchor objects, and how many writes there have been: the next goes to `writes % 2`. */
  readonly anchors: readonly [Uint8Array | undefined, Uint8Array | undefined];
  readonly writes: number;
}

export type SoftwareOperation = 'sign' | 'ecdh' | 'prf' | 'anchor_read' | 'anchor_write';

/**
 * Called before each operation; returns what shall go wrong. `wrong_result`: the answer has one bit changed.
 * `unclear`: the operation takes effect and then rejects. A code: it rejects without effect.
 */
export type FaultInjector = (operation: SoftwareOperation) => 'wrong_result' | 'unclear' | ErrorCode | undefined;

export interface SoftwareTokenOptions {
  /** Resumes from this state instead of generating keys. */
  readonly state?: SoftwareTokenState;
  readonly random?: Random;
  /** Milliseconds since 1970 at which the keys count as generated. */
  readonly now?: number;
  readonly label?: string;
  readonly rollbackResistant?: boolean;
  readonly faults?: FaultInjector;
}

const CURVE = 'prime256v1';

function randomScalar(random: Random): Uint8Array {
  for (;;) {
    const candidate = Uint8Array.from(random(32));
    if (p256.utils.isValidSecretKey(candidate)) return candidate;
  }
}

function publicPoint(scalar: Uint8Array): Uint8Array {
  const ecdh = createECDH(CURVE);
  ecdh.setPrivateKey(scalar);
  return Uint8Array.from(ecdh.getPublicKey());
}

function privateKeyObject(scalar: Uint8Array): KeyObject {
  const point = publicPoint(scalar);
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: toBase64Url(point.subarray(1, 33)),
    y: toBase64Url(point.subarray(33)),
    d: toBase64Url(scalar),
  };
  return createPrivateKey({ key: jwk, format: 'jwk' });
}

const copyState = (state: SoftwareTokenState): SoftwareTokenState => ({
  ...state,
  identity: state.identity.slice(),
  session: state.session.slice(),
  oprf: state.oprf.slice(),
  tweak: state.tweak.slice(),
  anchor: state.anchor.slice(),
  anchors: [state.anchors[0]?.slice(), state.anchors[1]?.slice()],
});

export class SoftwareToken implements Token {
  readonly description: TokenDescription;
  readonly publicKeys: TokenPublicKeys;
  readonly keysCreatedAt: number;
  readonly rollbackResistant: boolean;
  /** May be exchanged at any time. */
  faults: FaultInjector | undefined;
  #state: SoftwareTokenState;
  readonly #identity: KeyObject;
  readonly #usage = new Map<string, number>();
  #closed = false;

  constructor(options: SoftwareTokenOptions = {}) {
    const random = options.random ?? systemRandom;
    this.#state = copyState(
      options.state ?? {
        identity: randomScalar(random),
        session: randomScalar(random),
        oprf: randomScalar(random),
        tweak: Uint8Array.from(random(32)),
        anchor: Uint8Array.from(random(32)),
        createdAt: options.now ?? Date.now(),
        anchors: [undefined, undefined],
        writes: 0,
      },
    );
    this.#identity = privateKeyObject(this.#state.identity);
    this.publicKeys = {
      identity: publicPoint(this.#state.identity),
      session: publicPoint(this.#state.session),
      oprf: publicPoint(this.#state.oprf),
    };
    this.keysCreatedAt = this.#state.createdAt;
    this.rollbackResistant = options.rollbackResistant ?? false;
    this.faults = options.faults;
    this.description = {
      module: 'software',
      label: options.label ?? 'software',
      manufacturer: 'Holdfast',
      model: 'test double',
      serial: bytesToHex(this.publicKeys.identity.subarray(1, 9)),
      firmware: '1.0',
    };
  }

  /** A copy of all that the token holds. */
  snapshot(): SoftwareTokenState {
    return copyState(this.#state);
  }

  /** Rolls the anchors (and nothing else) back to those of `state`, as an old image of the same token would. */
  rollback(state: SoftwareTokenState): void {
    const { anchors, writes } = copyState(state);
    this.#state = { ...this.#state, anchors, writes };
  }

  async sign(message: Uint8Array): Promise<Uint8Array> {
    return this.#run('sign', () => {
      const signature = Uint8Array.from(
        nativeSign('sha256', message, { key: this.#identity, dsaEncoding: 'ieee-p1363' }),
      );
      return lowS(signature);
    });
  }

  async deriveSession(point: Uint8Array): Promise<Uint8Array> {
    requireUncompressed(point);
    return this.#multiply(this.#state.session, point);
  }

  async evaluate(tweakInput: Uint8Array, blindedElement: Uint8Array): Promise<Uint8Array> {
    const primitives = {
      publicKey: this.publicKeys.oprf,
      prf: (inputs: readonly Uint8Array[]) =>
        inputs.map((input) => this.#run('prf', () => hmacSha256(this.#state.tweak, input))),
      ecdh: (points: readonly Uint8Array[]) => points.map((point) => this.#multiply(this.#state.oprf, point)),
      onFault: () => this.#count('fault'),
    };
    return evaluate(primitives, tweakInput, blindedElement);
  }

  async anchorMac(message: Uint8Array): Promise<Uint8Array> {
    return this.#run('prf', () => hmacSha256(this.#state.anchor, message));
  }

  async readAnchors(): Promise<Uint8Array[]> {
    return this.#run('anchor_read', () => this.#state.anchors.flatMap((anchor) => (anchor ? [anchor.slice()] : [])));
  }

  async writeAnchor(value: Uint8Array): Promise<void> {
    if (value.length > 256) throw new HoldfastError('too_large', 'an anchor has at most 256 bytes');
    this.#run('anchor_write', () => {
      const [first, second] = this.#state.anchors;
      const copy = value.slice();
      const anchors = this.#state.writes % 2 === 0 ? ([copy, second] as const) : ([first, copy] as const);
      this.#state = { ...this.#state, anchors, writes: this.#state.writes + 1 };
      return undefined;
    });
  }

  async anchorThenSign(value: Uint8Array, message: Uint8Array): Promise<Uint8Array | HoldfastError> {
    await this.writeAnchor(value);
    return this.sign(message).catch(asHoldfastError);
  }

  usage(): readonly TokenUsage[] {
    return [...this.#usage].map(([operation, count]) => ({ operation, count, seconds: 0 }));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #multiply(scalar: Uint8Array, point: Uint8Array): Uint8Array {
    return this.#run('ecdh', () => {
      const ecdh = createECDH(CURVE);
      ecdh.setPrivateKey(scalar);
      return Uint8Array.from(ecdh.computeSecret(point));
    });
  }

  #count(operation: string): void {
    this.#usage.set(operation, (this.#usage.get(operation) ?? 0) + 1);
  }

  #run<T extends Uint8Array | Uint8Array[] | undefined>(operation: SoftwareOperation, body: () => T): T {
    if (this.#closed) throw new HoldfastError('token_failed', 'the token has been closed; open it again');
    const fault = this.faults?.(operation);
    if (fault && fault !== 'wrong_result' && fault !== 'unclear') {
      throw new HoldfastError(fault, 'the test made the token fail', { details: { operation } });
    }
    const result = body();
    this.#count(operation);
    if (fault === 'unclear') {
      throw new HoldfastError('token_failed', 'the test made the result unclear', { details: { operation } });
    }
    if (fault === 'wrong_result' && result instanceof Uint8Array) result[result.length - 1]! ^= 1;
    return result;
  }
}
