/**
 * `SigningToken` in memory, for tests and simulations: the real algorithms, a state that can be kept and put back, and
 * faults that can be injected. It protects nothing.
 */

import { generateKeyPairSync, type KeyObject, sign as nativeSign } from 'node:crypto';
import { type ErrorCode, fromBase64Url, HoldfastError } from '../core/index.ts';
import type {
  FoundSigningKey,
  SigningAlgorithm,
  SigningKey,
  SigningToken,
  TokenDescription,
  TokenUsage,
} from './port.ts';
import { checkLabel, checkMessage, SignatureCheck } from './signature.ts';

interface SoftwareKey {
  readonly algorithm: SigningAlgorithm;
  readonly privateKey: KeyObject;
}

/** Private keys by their labels. */
export type SoftwareSigningTokenState = ReadonlyMap<string, SoftwareKey>;

export interface SoftwareSigningTokenOptions {
  readonly state?: SoftwareSigningTokenState;
  readonly label?: string;
  /** What it can do; default both. */
  readonly algorithms?: readonly SigningAlgorithm[];
  /** Called before each signature: `wrong_result` makes it wrong by one bit, a code makes it fail. */
  readonly faults?: () => 'wrong_result' | ErrorCode | undefined;
}

export class SoftwareSigningToken implements SigningToken {
  readonly description: TokenDescription;
  readonly algorithms: readonly SigningAlgorithm[];
  /** May be exchanged at any time. */
  faults: SoftwareSigningTokenOptions['faults'];
  readonly #state: Map<string, SoftwareKey>;
  readonly #usage = new Map<string, number>();
  #closed = false;

  constructor(options: SoftwareSigningTokenOptions = {}) {
    this.#state = new Map(options.state ?? []);
    this.algorithms = options.algorithms ?? ['Ed25519', 'P-256'];
    this.faults = options.faults;
    this.description = {
      module: 'software',
      label: options.label ?? 'software',
      manufacturer: 'Holdfast',
      model: 'test double',
      serial: '0000000000000000',
      firmware: '1.0',
    };
  }

  snapshot(): SoftwareSigningTokenState {
    return new Map(this.#state);
  }

  async find(prefix: string): Promise<readonly FoundSigningKey[]> {
    this.#checkOpen();
    return [...this.#state]
      .filter(([label]) => label.startsWith(prefix))
      .map(([label, { algorithm }]) => ({ label, algorithm }))
      .sort((a, b) => (a.label < b.label ? -1 : 1));
  }

  async generate(label: string, algorithm: SigningAlgorithm): Promise<SigningKey> {
    this.#checkOpen();
    checkLabel(label);
    if (!this.algorithms.includes(algorithm)) {
      throw new HoldfastError('token_unsuitable', `the token cannot sign with ${algorithm}; use another token`);
    }
    if (this.#state.has(label)) {
      throw new HoldfastError('token_unsuitable', `the token already holds a key ${label}; choose another name`);
    }
    const { privateKey } =
      algorithm === 'Ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' });
    this.#state.set(label, { algorithm, privateKey });
    return this.open(label);
  }

  async open(label: string): Promise<SigningKey> {
    this.#checkOpen();
    checkLabel(label);
    const found = this.#state.get(label);
    if (!found) throw new HoldfastError('token_unsuitable', `the token has no signing key ${label}; generate it first`);
    const { algorithm, privateKey: key } = found;
    const { x, y } = key.export({ format: 'jwk' });
    const publicKey =
      algorithm === 'Ed25519' ? fromBase64Url(x!) : Uint8Array.of(4, ...fromBase64Url(x!), ...fromBase64Url(y!));
    const check = new SignatureCheck({ algorithm, publicKey });
    const make = (message: Uint8Array) =>
      algorithm === 'Ed25519'
        ? nativeSign(null, message, key)
        : nativeSign('sha256', message, { key, dsaEncoding: 'ieee-p1363' });
    return {
      algorithm,
      publicKey,
      sign: async (message) => {
        checkMessage(message);
        this.#checkOpen();
        const fault = this.faults?.();
        if (fault && fault !== 'wrong_result') throw new HoldfastError(fault, 'the test made the token fail');
        const made = Uint8Array.from(make(message));
        if (fault) made[63]! ^= 1;
        this.#usage.set('sign', (this.#usage.get('sign') ?? 0) + 1);
        return check.release(message, made);
      },
    };
  }

  usage(): readonly TokenUsage[] {
    return [...this.#usage].map(([operation, count]) => ({ operation, count, seconds: 0 }));
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #checkOpen(): void {
    if (this.#closed) throw new HoldfastError('token_failed', 'the token has been closed; open it again');
  }
}
