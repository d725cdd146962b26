/** Adding, using, removing and renewing the ways to a backup key. Pure but for the passkey's authenticator. */

import { Decrypter, Encrypter, type Identity, identityToRecipient, type Recipient } from 'age-encryption';
import { bytesToHex, equalBytes, HoldfastError } from '../core/index.ts';
import type { RecoveryCode } from './code.ts';
import {
  checkMethods,
  leftFor,
  newMethodId,
  openMethods,
  type RecoveryMethod,
  type RecoveryMethods,
  readMethods,
} from './methods.ts';
import { browserPasskeys, type PasskeyPort, passkeyError } from './passkey.ts';

export interface BackupKey {
  /** `AGE-SECRET-KEY-1...`, what all ways lead to. */
  readonly identity: string;
}

/** A list with no way in it yet; nothing can be sealed before there is one that is no passkey. */
export async function noMethods({ identity }: BackupKey): Promise<RecoveryMethods> {
  return { recipient: await identityToRecipient(identity), revision: 0, methods: [] };
}

function withMethod(list: RecoveryMethods, method: Omit<RecoveryMethod, 'id'>): RecoveryMethods {
  const methods = [...list.methods, { id: newMethodId(), ...method }];
  checkMethods(methods);
  return { ...list, revision: list.revision + 1, methods };
}

/** States that the vault keeps the key under the person's PIN. `fleet` names it for people. */
export function addPin(list: RecoveryMethods, { fleet, now }: { fleet: string; now: number }): RecoveryMethods {
  if (list.methods.some(({ kind }) => kind === 'pin')) return list;
  return withMethod(list, { kind: 'pin', addedAt: now, label: fleet, hint: '', wrapped: new Uint8Array() });
}

/**
 * Wraps the key for a recovery code, with the code as passphrase: only who has the code can make a copy that it opens, so
 * that nobody can lead its owner to a key of theirs. A code that is on the list already is not put there again.
 */
export async function addRecoveryCode(
  list: RecoveryMethods,
  { identity }: BackupKey,
  { code, now }: { code: RecoveryCode; now: number },
): Promise<RecoveryMethods> {
  if (await byCode(list.methods, code)) return list;
  const wrapped = await wrapForCode(identity, code);
  return withMethod(list, { kind: 'recovery-code', addedAt: now, label: code.name, hint: '', wrapped });
}

/**
 * Makes a passkey and wraps the key for it: two gestures, the second of which proves that it works.
 * @throws HoldfastError `passkey_alone` where no other way is there; `cancelled`, `passkey_unsupported`.
 */
export async function addPasskey(
  list: RecoveryMethods,
  { identity }: BackupKey,
  options: { name: string; now: number; relyingParty?: string; passkeys?: PasskeyPort },
): Promise<RecoveryMethods> {
  const { name, now, passkeys = browserPasskeys } = options;
  // Before a passkey is made that could not be used.
  checkMethods([...list.methods, { kind: 'passkey' }]);
  try {
    const hint = await passkeys.create(options);
    const wrapped = await wrap(identity, passkeys.recipient(hint));
    return withMethod(list, { kind: 'passkey', addedAt: now, label: name, hint, wrapped });
  } catch (thrown) {
    throw passkeyError(thrown);
  }
}

/**
 * Takes a way off the list. Copies of the old list, and the way itself, still open everything encrypted to this key: only
 * `renewKey` ends that.
 * @throws HoldfastError `last_method` or `passkey_alone` where that would leave no way, or passkeys only; `not_found`.
 */
export function removeMethod(list: RecoveryMethods, id: Uint8Array): RecoveryMethods {
  const methods = list.methods.filter((method) => !equalBytes(method.id, id));
  if (methods.length === list.methods.length)
    throw new HoldfastError('not_found', 'there is no such way to this backup');
  checkMethods(methods);
  return { ...list, revision: list.revision + 1, methods };
}

export interface RenewOptions {
  /** Ids of ways that are not to lead to the new key. */
  readonly without?: readonly Uint8Array[];
  /** The codes that are to lead to the new key; others are left out, since nothing can be wrapped for a code without it. */
  readonly codes?: readonly RecoveryCode[];
  /** Each passkey that stays asks for a gesture; one that fails is left out. */
  readonly passkeys?: PasskeyPort;
}

/**
 * The same ways, but for those left out, to a new key. The new key is in the vault only after the caller has put it there
 * (`changePin` with a new secret), and protects what is encrypted from then on: backups made before still open with the old
 * key, until they are made anew and the old ones deleted.
 * @returns the list, and the ways that could not be taken along.
 * @throws HoldfastError as `removeMethod`, before any gesture.
 */
export async function renewKey(
  list: RecoveryMethods,
  next: BackupKey,
  { without = [], codes = [], passkeys = browserPasskeys }: RenewOptions = {},
): Promise<{ readonly list: RecoveryMethods; readonly dropped: readonly RecoveryMethod[] }> {
  const wanted = list.methods.filter(({ id }) => !without.some((other) => equalBytes(other, id)));
  const coded = await Promise.all(codes.map(async (code) => ({ code, method: await byCode(wanted, code) })));
  const codeOf = (method: RecoveryMethod) => coded.find((one) => one.method === method)?.code;
  checkMethods(wanted.filter((method) => method.kind !== 'recovery-code' || codeOf(method)));
  const methods: RecoveryMethod[] = [];
  const dropped: RecoveryMethod[] = [];
  for (const method of wanted) {
    const code = codeOf(method);
    if (method.kind === 'pin') methods.push(method);
    else if (code) methods.push({ ...method, wrapped: await wrapForCode(next.identity, code) });
    else if (method.kind === 'recovery-code') dropped.push(method);
    else {
      const wrapped = await wrap(next.identity, passkeys.recipient(method.hint)).catch(() => undefined);
      if (wrapped) methods.push({ ...method, wrapped });
      else dropped.push(method);
    }
  }
  const recipient = await identityToRecipient(next.identity);
  return { list: { recipient, revision: list.revision + 1, methods, left: leftFor(list) }, dropped };
}

/** What the person has at hand. */
export type Way =
  | { readonly kind: 'identity'; readonly identity: string }
  | { readonly kind: 'recovery-code'; readonly code: RecoveryCode }
  | { readonly kind: 'passkey'; readonly id: Uint8Array; readonly passkeys?: PasskeyPort };

export interface OpenedMethods extends BackupKey {
  readonly list: RecoveryMethods;
}

/**
 * The backup key by one of its ways (`identity` is what the vault gave for the PIN), and the list verified under it.
 * @throws HoldfastError `recovery_code_wrong` or `passkey_wrong` where the way is none of this list's; `untrusted` where it
 *   opens but the list is not the key's; `not_found` for a passkey that is not on the list; `cancelled`,
 *   `passkey_unsupported`; as `readMethods`.
 */
export async function openWith(sealed: Uint8Array, way: Way): Promise<OpenedMethods> {
  const identity = way.kind === 'identity' ? way.identity : await unwrapBy(readMethods(sealed), way);
  const list = openMethods(sealed, identity);
  if ((await identityToRecipient(identity)) === list.recipient) return { identity, list };
  throw new HoldfastError('untrusted', 'the list of recovery ways names another backup key; do not back up to it');
}

async function unwrapBy(list: RecoveryMethods, way: Exclude<Way, { kind: 'identity' }>): Promise<string> {
  if (way.kind === 'recovery-code') {
    const codes = list.methods.filter(({ kind }) => kind === 'recovery-code');
    const found = await byCode(codes, way.code);
    if (found) return unwrapByCode(found.wrapped, way.code);
    const others = codes.map(({ label }) => label).join(', ');
    const hint = others === '' ? 'no recovery code opens it' : `its code begins with ${others}`;
    throw new HoldfastError(
      'recovery_code_wrong',
      `the code that begins with ${way.code.name} does not open this backup: ${hint}`,
      { details: { entered: way.code.name, names: codes.map(({ label }) => label) } },
    );
  }
  const method = list.methods.find(({ id, kind }) => kind === 'passkey' && equalBytes(id, way.id));
  if (!method) throw new HoldfastError('not_found', `no passkey ${bytesToHex(way.id)} leads to this backup`);
  const asked = (way.passkeys ?? browserPasskeys).identity(method.hint);
  let failure: unknown;
  const noting: Identity = {
    unwrapFileKey: async (stanzas) => {
      try {
        return await asked.unwrapFileKey(stanzas);
      } catch (thrown) {
        failure = thrown;
        throw thrown;
      }
    },
  };
  return unwrap(method.wrapped, noting).catch((thrown: unknown) => {
    if (failure !== undefined) throw passkeyError(failure);
    throw new HoldfastError('passkey_wrong', 'this passkey does not open the backup; use another one or another way', {
      cause: thrown,
    });
  });
}

async function wrap(identity: string, recipient: Recipient): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipient);
  return encrypter.encrypt(identity);
}

/** The way that a code is, or undefined. */
async function byCode(methods: readonly RecoveryMethod[], code: RecoveryCode): Promise<RecoveryMethod | undefined> {
  for (const method of methods) {
    // The name only saves work: two codes may have the same.
    if (method.kind !== 'recovery-code' || method.label !== code.name) continue;
    if (await unwrapByCode(method.wrapped, code).catch(() => undefined)) return method;
  }
  return undefined;
}

/**
 * Of scrypt (RFC 7914), as a power of two: 16 MiB and some 50 ms. A code's 235 random bits need no stretching at all; it is
 * the form in which age takes passphrases.
 */
const WORK_FACTOR = 14;
const FOR_CODE = new RegExp(`^age-encryption\\.org/v1\n-> scrypt [A-Za-z0-9+/]{22} ${WORK_FACTOR}\n`);

async function wrapForCode(identity: string, code: RecoveryCode): Promise<Uint8Array> {
  const encrypter = new Encrypter();
  encrypter.setScryptWorkFactor(WORK_FACTOR);
  encrypter.setPassphrase(code.passphrase());
  return encrypter.encrypt(identity);
}

async function unwrapByCode(wrapped: Uint8Array, code: RecoveryCode): Promise<string> {
  // Before the work: whoever made the file chose how much memory and time it asks for.
  if (!FOR_CODE.test(String.fromCharCode(...wrapped.subarray(0, 100)))) {
    throw new HoldfastError('malformed', 'what is wrapped for a recovery code is not in its one form');
  }
  const decrypter = new Decrypter();
  decrypter.addPassphrase(code.passphrase());
  return checkIdentity(await decrypter.decrypt(wrapped, 'text'));
}

async function unwrap(wrapped: Uint8Array, by: Identity): Promise<string> {
  const decrypter = new Decrypter();
  decrypter.addIdentity(by);
  return checkIdentity(await decrypter.decrypt(wrapped, 'text'));
}

function checkIdentity(text: string): string {
  if (/^AGE-SECRET-KEY-1[0-9A-Z]{58}$/.test(text)) return text;
  throw new HoldfastError('malformed', 'a recovery way leads to something that is no age identity');
}
