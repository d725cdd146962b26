/** `Token` (../port.ts) on a PKCS#11 module, for one node. */

import { createECDH } from 'node:crypto';
import { asHoldfastError, bytesToHex, equalBytes, HoldfastError, systemRandom } from '../../core/index.ts';
import { requireUncompressed } from '../evaluate.ts';
import type { Token, TokenDescription, TokenPublicKeys, TokenUsage } from '../port.ts';
import type { TokenProfile } from '../profile.ts';
import { SignatureCheck } from '../signature.ts';
import { FolderSync } from '../sync.ts';
import { ANCHOR_MAXIMUM } from './anchors.ts';
import type { KeySpec, LoadedKey } from './keys.ts';
import { errorOf } from './messages.ts';
import { released, type Spawn, signReleased, type TokenAccess, type WorkerPool, withPool } from './pool.ts';

/** A node's place on a token; several nodes may share one. */
export interface TokenOptions extends TokenAccess {
  /** Names of the fleet and of this node: 1 to 64 of `a-z 0-9 . _ -`. */
  readonly fleet: string;
  readonly node: string;
  /** Whether the deployment declares the token rollback-resistant (real hardware). Default false. */
  readonly rollbackResistant?: boolean;
  /** Parts of the profile that are not to be probed for. */
  readonly profile?: Partial<TokenProfile>;
  /** For tokens that are files and do not sync them (SoftHSM): their folder, synced after every anchor write. */
  readonly syncFolder?: string;
}

/** What was generated. */
export interface CreatedKeys {
  readonly publicKeys: TokenPublicKeys;
  readonly profile: TokenProfile;
}

const NAME = /^[a-z0-9._-]{1,64}$/;

function keyPrefix({ fleet, node }: Pick<TokenOptions, 'fleet' | 'node'>): string {
  if (!NAME.test(fleet) || !NAME.test(node)) {
    throw new HoldfastError('usage', 'names of fleet and node have 1 to 64 characters of a-z 0-9 . _ -');
  }
  return `holdfast/${fleet}/${node}`;
}

/** The five keys of a node, as `createTokenKeys` makes and `openToken` wants them. @throws HoldfastError `usage`. */
export function nodeKeySpecs(place: Pick<TokenOptions, 'fleet' | 'node'>): KeySpec[] {
  return nodeKeys(keyPrefix(place));
}

function nodeKeys(prefix: string): KeySpec[] {
  const spec = (name: string, use: KeySpec['use']): KeySpec => ({ name, label: `${prefix}/${name}`, use });
  return [
    spec('identity', 'sign'),
    spec('session', 'derive'),
    spec('oprf', 'derive'),
    spec('tweak', 'prf'),
    spec('anchor', 'prf'),
  ];
}

function publicKeysOf(keys: readonly LoadedKey[]): TokenPublicKeys {
  const point = (name: string) => {
    const publicKey = keys.find((key) => key.name === name)?.publicKey;
    if (!publicKey)
      throw new HoldfastError('token_unsuitable', `the token has no public key ${name}; generate the keys anew`);
    return publicKey;
  };
  return { identity: point('identity'), session: point('session'), oprf: point('oprf') };
}

async function profileOf(pool: WorkerPool, scratch: string, known: Partial<TokenProfile> = {}): Promise<TokenProfile> {
  const { ecdhPoint, ecdsa, prf, anchor } = known;
  if (ecdhPoint && ecdsa && prf && anchor) return { ecdhPoint, ecdsa, prf, anchor };
  return { ...(await pool.callFirst('probe', { scratch })), ...known };
}

/**
 * Generates a node's five keys on the token and checks them.
 * @throws HoldfastError `token_unsuitable` if keys of that name exist or the token cannot make them as section 3 of
 *   docs/protocol.md asks; nothing is left behind then.
 */
export async function createTokenKeys(options: TokenOptions): Promise<CreatedKeys> {
  const prefix = keyPrefix(options);
  return withPool({ ...options, workers: 1 }, undefined, async (pool) => {
    const profile = await profileOf(pool, `${prefix}/probe`, options.profile);
    const keys = await pool.callFirst('generate', { keys: nodeKeys(prefix), profile, now: Date.now() });
    await pool.close();
    if (options.syncFolder !== undefined) new FolderSync(options.syncFolder).sync();
    return { publicKeys: publicKeysOf(keys), profile };
  });
}

/** Opens a node's token: logs in, checks every key's attributes, and tries each key once. @throws HoldfastError. */
export async function openToken(options: TokenOptions, spawn?: Spawn): Promise<Pkcs11Token> {
  const prefix = keyPrefix(options);
  return withPool(options, spawn, async (pool, description) => {
    const profile = await profileOf(pool, `${prefix}/probe`, options.profile);
    const { syncFolder } = options;
    const [keys] = await pool.callAll('use', {
      ...{ keys: nodeKeys(prefix), profile, anchorPrefix: `${prefix}/anchor` },
      ...(syncFolder !== undefined && { syncFolder }),
    });
    const token = new Pkcs11Token(pool, description, keys!, profile, options);
    await token.check();
    return token;
  });
}

/** Probes an open slot's token for its profile, and leaves nothing behind. @throws HoldfastError `token_unsuitable`. */
export async function probeToken(access: TokenAccess): Promise<TokenProfile> {
  return withPool({ ...access, workers: 1 }, undefined, async (pool) => {
    const profile = await pool.callFirst('probe', { scratch: `holdfast/probe/${bytesToHex(systemRandom(8))}` });
    await pool.close();
    return profile;
  });
}

export class Pkcs11Token implements Token {
  readonly description: TokenDescription;
  readonly publicKeys: TokenPublicKeys;
  readonly keysCreatedAt: number | undefined;
  readonly rollbackResistant: boolean;
  readonly profile: TokenProfile;
  readonly #pool: WorkerPool;
  readonly #identity: SignatureCheck;

  constructor(
    pool: WorkerPool,
    description: TokenDescription,
    keys: readonly LoadedKey[],
    profile: TokenProfile,
    options: Pick<TokenOptions, 'rollbackResistant'>,
  ) {
    this.#pool = pool;
    this.description = description;
    this.publicKeys = publicKeysOf(keys);
    const dates = keys.flatMap((key) => key.createdAt ?? []);
    this.keysCreatedAt = dates.length > 0 ? Math.min(...dates) : undefined;
    this.rollbackResistant = options.rollbackResistant ?? false;
    this.profile = profile;
    this.#identity = new SignatureCheck({ algorithm: 'P-256', publicKey: this.publicKeys.identity });
  }

  /**
   * Tries each EC key against its public key, whose object anyone with the PIN could have replaced.
   * @throws HoldfastError `token_unsuitable`.
   */
  async check(): Promise<void> {
    const other = createECDH('prime256v1');
    const point = Uint8Array.from(other.generateKeys());
    await this.sign(point);
    for (const key of ['session', 'oprf'] as const) {
      const [x] = await this.#pool.call('ecdh', { key, points: [point] });
      if (!x || !equalBytes(x, other.computeSecret(this.publicKeys[key]))) {
        throw new HoldfastError(
          'token_unsuitable',
          `the public key ${key} is not that of its private key; do not use this token`,
        );
      }
    }
  }

  async sign(message: Uint8Array): Promise<Uint8Array> {
    return signReleased(this.#pool, 'identity', this.#identity, message);
  }

  deriveSession(point: Uint8Array): Promise<Uint8Array> {
    return this.agree('session', point);
  }

  /**
   * ECDH with either key for key agreement, for proofs of possession (docs/evidence.md): the 32-byte x-coordinate. It must
   * not leave the process: of `oprf` it is the evaluation of an element without the record's scalar.
   */
  async agree(key: 'session' | 'oprf', point: Uint8Array): Promise<Uint8Array> {
    requireUncompressed(point);
    // A copy: what travels to another thread takes all of the memory with it that it is a view of.
    const [x] = await this.#pool.call('ecdh', { key, points: [point.slice()] });
    return x!;
  }

  async evaluate(tweakInput: Uint8Array, blindedElement: Uint8Array): Promise<Uint8Array> {
    const publicKey = this.publicKeys.oprf;
    return this.#pool.call('evaluate', {
      ...{ tweak: 'tweak', oprf: 'oprf', publicKey, tweakInput },
      blindedElement: blindedElement.slice(),
    });
  }

  async anchorMac(message: Uint8Array): Promise<Uint8Array> {
    const [mac] = await this.#pool.call('prf', { key: 'anchor', messages: [message] });
    return mac!;
  }

  async readAnchors(): Promise<Uint8Array[]> {
    return this.#pool.callFirst('readAnchors', {});
  }

  async writeAnchor(value: Uint8Array): Promise<void> {
    checkAnchorSize(value);
    await this.#pool.callFirst('writeAnchor', { value });
  }

  async anchorThenSign(value: Uint8Array, message: Uint8Array): Promise<Uint8Array | HoldfastError> {
    checkAnchorSize(value);
    const signed = await this.#pool.callFirst('writeAnchor', { value, sign: { key: 'identity', message } });
    if (!signed || 'failure' in signed) return signed ? errorOf(signed.failure) : lostSignature();
    try {
      return released(this.#pool, this.#identity, message, signed.signature);
    } catch (thrown) {
      return asHoldfastError(thrown);
    }
  }

  usage(): readonly TokenUsage[] {
    return this.#pool.usage();
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

function checkAnchorSize({ length }: Uint8Array): void {
  if (length > ANCHOR_MAXIMUM) throw new HoldfastError('too_large', `an anchor has at most ${ANCHOR_MAXIMUM} bytes`);
}

const lostSignature = () => new HoldfastError('token_failed', 'the token’s thread lost a request; restart the service');
