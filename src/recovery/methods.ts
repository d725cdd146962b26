/**
 * The list of ways to one backup key, each with its own wrapped copy of the key, authenticated under the key itself
 * (docs/recovery-methods.md). The key is an age X25519 identity; wrapped copies are age files that hold its text.
 */

import {
  codec,
  equalBytes,
  HoldfastError,
  hmacSha256,
  type Infer,
  type Random,
  systemRandom,
  utf8,
} from '../core/index.ts';
import { hkdf } from '../crypto/index.ts';

export const MAXIMUM_METHODS = 16;
/** Bytes of a sealed list, at most. */
export const MAXIMUM_SEALED_BYTES = 65_536;

const METHOD = codec.struct({
  id: codec.fixed(8),
  kind: codec.word('pin', 'recovery-code', 'passkey'),
  /** Milliseconds since 1970. */
  addedAt: codec.uint,
  /** For people: the fleet, the first four characters of the code, the name that the person gave the passkey. */
  label: codec.text(256),
  /** Of a passkey its credential, which is no secret; else empty. */
  hint: codec.text(2048),
  /** An age file with the backup key's text, for this way only; empty for the PIN, under which the vault keeps the key. */
  wrapped: codec.bytes(2048),
});

const MEMBERS = {
  /** The backup key's recipient, `age1...`. */
  recipient: codec.text(62),
  /** Grows by one with every change. */
  revision: codec.uint,
  methods: codec.list(METHOD, MAXIMUM_METHODS),
};
const METHODS = codec.message('holdfast/recovery-methods/v1', MEMBERS);

/** Keys that a list names as left: far more than anybody changes a key. */
const MAXIMUM_LEFT = 64;
/** The list of a key for which others were left. */
const METHODS_AFTER = codec.message('holdfast/recovery-methods/v2', {
  ...MEMBERS,
  left: codec.list(codec.text(62), MAXIMUM_LEFT),
});

const SEALED = codec.message('holdfast/sealed-recovery-methods/v1', {
  methods: codec.bytes(MAXIMUM_SEALED_BYTES),
  tag: codec.fixed(32),
});

const TAG_KEY_INFO = codec.message('holdfast/recovery-methods-tag-key/v1', {}).encode({});

export type RecoveryMethod = Readonly<Infer<typeof METHOD>>;
export type MethodKind = RecoveryMethod['kind'];

export interface RecoveryMethods {
  readonly recipient: string;
  readonly revision: number;
  readonly methods: readonly RecoveryMethod[];
  /** Recipients of the keys that were left, one for the other, before there was this one; the last first, never none. */
  readonly left?: readonly string[];
}

/**
 * Refuses a list that could leave a person without a way.
 * @throws HoldfastError `last_method` for an empty one, `passkey_alone` where passkeys are the only ways: they are lost with
 *   an account, a device or a changed domain, without anybody's fault. `too_large` for more than 16.
 */
export function checkMethods(methods: readonly Pick<RecoveryMethod, 'kind'>[]): void {
  if (methods.length === 0) {
    throw new HoldfastError(
      'last_method',
      'this is the last way to the backup; add another one first, or delete the backup',
    );
  }
  if (methods.every(({ kind }) => kind === 'passkey')) {
    throw new HoldfastError(
      'passkey_alone',
      'a passkey cannot be the only way to a backup; keep the PIN or a recovery code beside it',
    );
  }
  if (methods.length > MAXIMUM_METHODS) {
    throw new HoldfastError('too_large', `a backup has at most ${MAXIMUM_METHODS} ways; remove one first`);
  }
}

export const newMethodId = (random: Random = systemRandom): Uint8Array => random(8);

function tagOf(identity: string, encoded: Uint8Array): Uint8Array {
  return hmacSha256(hkdf(utf8(identity), TAG_KEY_INFO, 32), encoded);
}

function encode({ left = [], ...list }: RecoveryMethods): Uint8Array<ArrayBuffer> {
  const members = { ...list, methods: [...list.methods] };
  return left.length === 0 ? METHODS.encode(members) : METHODS_AFTER.encode({ ...members, left: [...left] });
}

function decode(encoded: Uint8Array): RecoveryMethods {
  if (codec.labelOf(encoded) === METHODS.label) return METHODS.decode(encoded);
  const list = METHODS_AFTER.decode(encoded);
  if (list.left.length > 0 && !list.left.includes(list.recipient)) return list;
  throw new HoldfastError('malformed', 'the list of recovery ways leaves no key, or its own');
}

/** The keys that are left once the key of this list is. */
export function leftFor({ recipient, left = [] }: RecoveryMethods): readonly string[] {
  return [recipient, ...left].slice(0, MAXIMUM_LEFT);
}

/** The list as it is stored in backups or beside them. @throws HoldfastError as `checkMethods`. */
export function sealMethods(list: RecoveryMethods, identity: string): Uint8Array<ArrayBuffer> {
  checkMethods(list.methods);
  const encoded = encode(list);
  return SEALED.encode({ methods: encoded, tag: tagOf(identity, encoded) });
}

/**
 * The list as anybody can read it, **not verified**: enough to ask a person which way to take, and to try it.
 * @throws HoldfastError `malformed`, `too_large`, or as `checkMethods`.
 */
export function readMethods(sealed: Uint8Array): RecoveryMethods {
  if (sealed.length > MAXIMUM_SEALED_BYTES)
    throw new HoldfastError('too_large', 'the list of recovery ways is too large');
  const list = decode(SEALED.decode(sealed).methods);
  checkMethods(list.methods);
  const ids = new Set(list.methods.map(({ id }) => id.join()));
  if (ids.size !== list.methods.length) throw new HoldfastError('malformed', 'two recovery ways have the same id');
  return list;
}

/**
 * The list, verified under the backup key. Whoever does not have the key can neither add, change nor remove a way; an older
 * list of the same key still verifies.
 * @throws HoldfastError as `readMethods`; `untrusted` where the list is not this key's, or was changed.
 */
export function openMethods(sealed: Uint8Array, identity: string): RecoveryMethods {
  const list = readMethods(sealed);
  const { methods, tag } = SEALED.decode(sealed);
  if (equalBytes(tag, tagOf(identity, methods))) return list;
  throw new HoldfastError(
    'untrusted',
    'the list of recovery ways is not this backup key’s, or somebody changed it; do not back up to it',
  );
}

/**
 * What a list that was opened is to a device that knows `known`. A key that was left is one that somebody may still have: with
 * it they can write lists that verify, of any revision, and put them in the way of whoever opens them by a way that stayed.
 * @returns `left` for a key that `known` names as left: nothing is backed up to it; `older` for an earlier list of the same
 *   key; `next` for anything else.
 */
export function standingOf(list: RecoveryMethods, known: RecoveryMethods | undefined): 'left' | 'older' | 'next' {
  if (known === undefined) return 'next';
  if (known.left?.includes(list.recipient)) return 'left';
  return known.recipient === list.recipient && known.revision > list.revision ? 'older' : 'next';
}
