/**
 * A token's key bound to one purpose: it signs after its own checks, a person's approval where one is configured, and an
 * entry in the signing journal that is on stable storage before the signature is released.
 */

import { bytesToHex, type Clock, HoldfastError, sha256, systemClock } from '../core/index.ts';
import type { SigningAlgorithm, SigningKey, SigningToken } from '../token/port.ts';
import { ecdsaToDer, type NoteSigner, newVerifierKey, type SignatureType } from '../trust/index.ts';
import { type Approver, renderMessage } from './approval.ts';
import type { Signed } from './journal.ts';
import { ED25519_ONLY, PURPOSES, type Purpose, type SigningScope, subjectOf } from './purposes.ts';

/** What a purpose key needs of a journal; `SigningJournal` is one. */
export interface JournalSink {
  append(signed: Signed): Promise<unknown>;
}

export interface PurposeKeyOptions {
  readonly token: SigningToken;
  /** The key's name in signed notes, for example `cosigner.example/bundle`. Printable ASCII without spaces and plus. */
  readonly name: string;
  readonly scope: SigningScope;
  readonly journal: JournalSink;
  /** Asked before each signature; default nobody. */
  readonly approver?: Approver;
  /** What the approver is shown instead of the plain text. */
  readonly render?: (message: Uint8Array) => readonly string[];
  /**
   * Whether the key refuses a tree head on another root for a size it signed before, or on a smaller size, by its
   * journal. Default: true for `witness` and `audit`. For `checkpoint` it needs a log that keeps what it is about to sign,
   * and signs the same again after a crash.
   */
  readonly refuseForks?: boolean;
  readonly clock?: Clock;
}

/** A `SigningKey` for whatever takes one. Every signature goes through all checks. */
export interface PurposeKey extends SigningKey {
  readonly purpose: Purpose;
  /** 64 bytes, as `SigningKey` says. @throws HoldfastError `signing_refused`, `not_approved`, `journal_damaged`, `token_*`. */
  sign(message: Uint8Array): Promise<Uint8Array>;
  /** The same key for notes: its signatures are 64 bytes of Ed25519, or DER of ECDSA. */
  readonly note: NoteSigner;
}

const PREFIX = 'holdfast/signer/';

/** CKA_LABEL of a purpose's key. @throws HoldfastError `usage` for a name that no such key has. */
export function keyLabel(purpose: Purpose, name: string): string {
  const label = `${PREFIX}${purpose}/${name}`;
  if (!/^[\x21-\x7e]+$/.test(name) || name.includes('+') || label.length > 200) {
    throw new HoldfastError('usage', 'a key’s name has up to 170 printable ASCII characters, without spaces and plus');
  }
  return label;
}

/** The purpose and name of a label that `keyLabel` made, or undefined. */
export function parseKeyLabel(label: string): { purpose: Purpose; name: string } | undefined {
  const purpose = PURPOSES.find((each) => label.startsWith(`${PREFIX}${each}/`));
  const name = purpose && label.slice(PREFIX.length + purpose.length + 1);
  return purpose && name ? { purpose, name } : undefined;
}

/** The algorithm of a new key: Ed25519 where the token has it, else ECDSA where the purpose allows. @throws `token_unsuitable`. */
export function algorithmFor(purpose: Purpose, token: SigningToken): SigningAlgorithm {
  const found = token.algorithms.find((each) => each === 'Ed25519' || !ED25519_ONLY.includes(purpose));
  if (found) return found;
  throw new HoldfastError('token_unsuitable', `a key for ${purpose} is always Ed25519, which the token cannot do`, {
    details: { missing: 'Ed25519' },
  });
}

/** Generates the key of `purpose` on the token. @throws HoldfastError `token_unsuitable` if it is there already. */
export function generatePurposeKey(token: SigningToken, purpose: Purpose, name: string): Promise<SigningKey> {
  return token.generate(keyLabel(purpose, name), algorithmFor(purpose, token));
}

/** The verifier key of a purpose's key: type 0x04 for witnesses, else 0x01 or 0x02 by algorithm. */
export function verifierKeyOf(purpose: Purpose, name: string, key: Pick<SigningKey, 'algorithm' | 'publicKey'>) {
  const isWitness = purpose === 'witness' || purpose === 'audit';
  const type: SignatureType = isWitness ? 'cosignature' : key.algorithm === 'Ed25519' ? 'ed25519' : 'ecdsa';
  return newVerifierKey(name, type, key.publicKey);
}

/**
 * Opens the key of the scope's purpose and that name.
 * @throws HoldfastError `token_unsuitable` if it is not on the token, not as it should be, or of the wrong algorithm.
 */
export async function openPurposeKey(options: PurposeKeyOptions): Promise<PurposeKey> {
  const { token, name, scope, journal, approver, clock = systemClock } = options;
  const { purpose } = scope;
  const key = await token.open(keyLabel(purpose, name));
  if (key.algorithm !== 'Ed25519' && ED25519_ONLY.includes(purpose)) {
    throw new HoldfastError('token_unsuitable', `the key ${name} for ${purpose} is not Ed25519; make it anew`);
  }
  const { text: verifierKey, id } = verifierKeyOf(purpose, name, key);
  const refuseForks = options.refuseForks ?? (purpose === 'witness' || purpose === 'audit');

  const sign = async (given: Uint8Array): Promise<Uint8Array> => {
    // A copy: what was checked and shown is what is signed, whatever the caller does to its bytes meanwhile.
    const message = given.slice();
    const { about, tree } = subjectOf(scope, message, clock.now());
    const digest = bytesToHex(sha256(message));
    if (approver) {
      const lines = options.render?.(message) ?? renderMessage({ purpose, key: name, digest, about }, message);
      await approver.approve({ purpose, key: name, digest, lines });
    }
    const signature = await key.sign(message);
    const entry = { purpose, key: `${name}+${id}`, digest, about, ...(tree && refuseForks && { tree }) };
    await journal.append(entry);
    return signature;
  };

  return {
    purpose,
    algorithm: key.algorithm,
    publicKey: key.publicKey,
    sign,
    note: {
      name,
      verifierKey,
      sign: async (message) => (key.algorithm === 'P-256' ? ecdsaToDer(await sign(message)) : sign(message)),
    },
  };
}
