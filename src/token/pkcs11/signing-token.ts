/** `SigningToken` and `TokenSigner` (../port.ts) on a PKCS#11 module: signing keys of one role, through one login. */

import { HoldfastError, systemRandom } from '../../core/index.ts';
import type {
  FoundSigningKey,
  SigningAlgorithm,
  SigningKey,
  SigningToken,
  TokenDescription,
  TokenSigner,
  TokenUsage,
} from '../port.ts';
import type { SigningProfile } from '../profile.ts';
import { checkLabel, checkMessage, SignatureCheck } from '../signature.ts';
import { FolderSync } from '../sync.ts';
import type { KeySpec, LoadedKey } from './keys.ts';
import { type Spawn, signReleased, type TokenAccess, type WorkerPool, withPool } from './pool.ts';

export interface SigningTokenOptions extends TokenAccess {
  /** Parts of the profile that are not to be probed for. */
  readonly profile?: Partial<SigningProfile>;
  /** For tokens that are files and do not sync them (SoftHSM): their folder, synced after each key is made. */
  readonly syncFolder?: string;
}

export interface SignerOptions extends SigningTokenOptions {
  /** CKA_LABEL of the key: 1 to 200 printable ASCII characters. */
  readonly key: string;
  /** Of a new key; default P-256. */
  readonly algorithm?: SigningAlgorithm;
}

class Pkcs11SigningToken implements SigningToken {
  readonly description: TokenDescription;
  readonly algorithms: readonly SigningAlgorithm[];
  readonly #pool: WorkerPool;
  readonly #profile: SigningProfile;
  readonly #sync: FolderSync | undefined;
  /** Every key opened so far: the workers know these and no others. */
  readonly #specs = new Map<string, KeySpec>();
  readonly #keys = new Map<string, SigningKey>();
  /** Keys are made and opened one after the other. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    pool: WorkerPool,
    description: TokenDescription,
    profile: SigningProfile,
    syncFolder: string | undefined,
  ) {
    this.#pool = pool;
    this.description = description;
    this.#profile = profile;
    this.algorithms = [...(profile.eddsa ? ['Ed25519' as const] : []), ...(profile.ecdsa ? ['P-256' as const] : [])];
    this.#sync = syncFolder === undefined ? undefined : new FolderSync(syncFolder);
  }

  find(prefix: string): Promise<readonly FoundSigningKey[]> {
    return this.#pool.callFirst('find', { prefix });
  }

  generate(label: string, algorithm: SigningAlgorithm): Promise<SigningKey> {
    return this.#inTurn(async () => {
      const spec = this.#spec(label, algorithm);
      if (!this.algorithms.includes(algorithm)) {
        throw new HoldfastError('token_unsuitable', `the token cannot sign with ${algorithm}; use another token`, {
          details: { missing: algorithm },
        });
      }
      await this.#pool.callFirst('generate', { keys: [spec], profile: this.#profile, now: Date.now() });
      const key = await this.#use(spec);
      this.#sync?.sync();
      return key;
    });
  }

  open(label: string): Promise<SigningKey> {
    return this.#inTurn(async () => {
      checkLabel(label);
      const opened = this.#keys.get(label);
      if (opened) return opened;
      const found = (await this.find(label)).filter((key) => key.label === label);
      if (found.length === 0) {
        throw new HoldfastError('token_unsuitable', `the token has no signing key ${label}; generate it first`, {
          details: { key: label, problem: 'is not on the token' },
        });
      }
      // More than one of that label, or one of another type, is found out by the check of attributes.
      return this.#use(this.#spec(label, found[0]?.algorithm ?? 'P-256'));
    });
  }

  usage(): readonly TokenUsage[] {
    return this.#pool.usage();
  }

  close(): Promise<void> {
    this.#keys.clear();
    return this.#pool.close();
  }

  #spec(label: string, algorithm: SigningAlgorithm): KeySpec {
    checkLabel(label);
    return { name: label, label, use: 'sign', algorithm };
  }

  /** Has every worker check all keys anew, tries the new one, and keeps it. */
  async #use(spec: KeySpec): Promise<SigningKey> {
    const keys = [...this.#specs.values(), spec];
    const [loaded] = await this.#pool.callAll('use', { keys, profile: this.#profile });
    const key = this.#keyOf(spec, loaded?.at(-1));
    await this.#try(key, spec.label);
    this.#specs.set(spec.label, spec);
    this.#keys.set(spec.label, key);
    return key;
  }

  /** The public key's object is one that anyone with the PIN could have replaced. */
  async #try(key: SigningKey, label: string): Promise<void> {
    try {
      // Random, so that the signature means nothing to anybody.
      await key.sign(systemRandom(32));
    } catch (cause) {
      if (!(cause instanceof HoldfastError) || cause.code !== 'token_failed' || 'ckr' in cause.details) throw cause;
      throw new HoldfastError('token_unsuitable', `key ${label} does not sign for its public key; do not use it`, {
        cause,
        details: { key: label, problem: 'does not sign for its public key' },
      });
    }
  }

  #keyOf({ label, algorithm = 'P-256' }: KeySpec, loaded: LoadedKey | undefined): SigningKey {
    const publicKey = loaded?.publicKey;
    if (!publicKey) throw new HoldfastError('token_unsuitable', `the token has no public key ${label}; make it anew`);
    const check = new SignatureCheck({ algorithm, publicKey });
    return {
      algorithm,
      publicKey,
      sign: async (message) => {
        checkMessage(message);
        return signReleased(this.#pool, label, check, message);
      },
    };
  }

  #inTurn<T>(body: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(body);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** Logs in and finds out what the token can sign with. @throws HoldfastError `token_*`. */
export async function openSigningToken(options: SigningTokenOptions, spawn?: Spawn): Promise<SigningToken> {
  return withPool(options, spawn, async (pool, description) => {
    const probed = await pool.callFirst('probeSigning', {});
    return new Pkcs11SigningToken(pool, description, { ...probed, ...options.profile }, options.syncFolder);
  });
}

async function singleKey(
  options: SignerOptions,
  body: (token: SigningToken) => Promise<SigningKey>,
): Promise<TokenSigner> {
  checkLabel(options.key);
  const token = await openSigningToken(options);
  try {
    const key = await body(token);
    return { ...key, close: () => token.close() };
  } catch (error) {
    await token.close();
    throw error;
  }
}

/** Generates one key that only signs, and opens it. @throws HoldfastError `token_unsuitable` if the label is taken. */
export function createTokenSigner(options: SignerOptions): Promise<TokenSigner> {
  return singleKey(options, (token) => token.generate(options.key, options.algorithm ?? 'P-256'));
}

/** Opens the signing key of that label. @throws HoldfastError `token_unsuitable` if it is not there or not so. */
export function openTokenSigner(options: SignerOptions): Promise<TokenSigner> {
  return singleKey(options, (token) => token.open(options.key));
}
