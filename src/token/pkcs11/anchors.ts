/**
 * The two anchor objects of section 7 of docs/protocol.md: private data objects (CKO_DATA) written in turn, so that a
 * write torn at any moment leaves the other whole. On a token that refuses such objects they are, by profile, private
 * keys that are never used and whose labels hold the values: like those, nobody without the PIN can change them.
 *
 * Each holds `write counter (8 bytes) || first 8 bytes of SHA-256 over counter and value || value`. The checksum finds
 * torn writes, nothing else: authenticity comes from the MAC inside the value. CKA_APPLICATION names a data object, and
 * CKA_ID a key, since CKA_LABEL may be where the value is.
 */

import { concatBytes, equalBytes, fromBase64Url, HoldfastError, sha256, toBase64Url, utf8 } from '../../core/index.ts';
import type { TokenProfile } from '../profile.ts';
import {
  bytesAttribute,
  CK,
  type Cryptoki,
  findObjects,
  flagAttribute,
  fromUlong,
  type Handle,
  numberAttribute,
  plainMechanism,
  readAttribute,
  readAttributes,
  type Template,
  textAttribute,
} from './cryptoki.ts';
import { ckrName } from './errors.ts';
import { pairTemplates, secretTemplate } from './keys.ts';

export const ANCHOR_MAXIMUM = 256;

interface Place {
  readonly application: string;
  handle: Handle | undefined;
  /** Zero where nothing readable is. */
  counter: bigint;
  value: Uint8Array | undefined;
}

function seal(counter: bigint, value: Uint8Array): Uint8Array {
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, counter);
  return concatBytes(prefix, sha256(prefix, value).subarray(0, 8), value);
}

function unseal(sealed: Uint8Array | undefined): { counter: bigint; value: Uint8Array } | undefined {
  if (!sealed || sealed.length < 16 || sealed.length > 16 + ANCHOR_MAXIMUM) return undefined;
  const prefix = sealed.slice(0, 8);
  const value = sealed.slice(16);
  if (!equalBytes(sha256(prefix, value).subarray(0, 8), sealed.subarray(8, 16))) return undefined;
  return { counter: new DataView(prefix.buffer).getBigUint64(0), value };
}

const template = (application: string): Template => [
  numberAttribute(CK.CKA_CLASS, CK.CKO_DATA),
  textAttribute(CK.CKA_APPLICATION, application),
];

/** A private key for its label alone: a secret key or, where the token makes none, half of an EC pair. */
function createCarrier(module: Cryptoki, session: Handle, application: string, sealed: Uint8Array): Handle {
  const named = [textAttribute(CK.CKA_LABEL, toBase64Url(sealed)), ...carrierTemplate(application)];
  try {
    const { mechanism, template } = secretTemplate('hmac-generic', true, named);
    return module.C_GenerateKey(session, mechanism, template);
  } catch (error) {
    if (!/^CKR_(MECHANISM_|FUNCTION_NOT_SUPPORTED|KEY_|TEMPLATE_|ATTRIBUTE_)/.test(ckrName(error) ?? '')) throw error;
  }
  const pair = pairTemplates(CK.CKA_DERIVE, true, named);
  const mechanism = plainMechanism(CK.CKM_EC_KEY_PAIR_GEN);
  const { privateKey, publicKey } = module.C_GenerateKeyPair(session, mechanism, pair.public, pair.private);
  module.C_DestroyObject(session, publicKey);
  return privateKey;
}

const carrierTemplate = (application: string): Template => [
  bytesAttribute(CK.CKA_ID, sha256(utf8(application)).slice(0, 16)),
];

/** Creates an object that holds `sealed` in the way that `method` can replace. */
export function createData(
  module: Cryptoki,
  session: Handle,
  application: string,
  sealed: Uint8Array,
  method: TokenProfile['anchor'],
): Handle {
  if (method === 'key-label') return createCarrier(module, session, application, sealed);
  return module.C_CreateObject(session, [
    ...template(application),
    flagAttribute(CK.CKA_TOKEN, true),
    flagAttribute(CK.CKA_PRIVATE, true),
    textAttribute(CK.CKA_LABEL, method === 'label' ? toBase64Url(sealed) : application),
    ...(method === 'label' ? [] : [bytesAttribute(CK.CKA_VALUE, sealed)]),
  ]);
}

/** Changes the object in place. */
export function changeData(
  module: Cryptoki,
  session: Handle,
  object: Handle,
  sealed: Uint8Array,
  method: Exclude<TokenProfile['anchor'], 'replace'>,
): void {
  module.C_SetAttributeValue(session, object, [
    method === 'value' ? bytesAttribute(CK.CKA_VALUE, sealed) : textAttribute(CK.CKA_LABEL, toBase64Url(sealed)),
  ]);
}

/** What an object holds, by value or by label, so that a node's anchors outlive a change of method. */
export function readData(module: Cryptoki, session: Handle, object: Handle): Uint8Array | undefined {
  for (const type of [CK.CKA_VALUE, CK.CKA_LABEL]) {
    const content = orNothing(() => contentOf(type, readAttribute(module, session, object, type)));
    if (content) return content;
  }
  return undefined;
}

/** The same of a data object in one call, most of which a token may need to look whether its object has changed. */
function readAtOnce(module: Cryptoki, session: Handle, object: Handle): Uint8Array | undefined {
  const types = [CK.CKA_VALUE, CK.CKA_LABEL];
  const contents = orNothing(() => readAttributes(module, session, object, types));
  // Where the token lacks one of them, it says nothing of the other.
  if (!contents) return readData(module, session, object);
  for (const [index, type] of types.entries()) {
    const content = orNothing(() => contentOf(type, contents[index]));
    if (content) return content;
  }
  return undefined;
}

function contentOf(type: number, found: Buffer | undefined): Uint8Array | undefined {
  if (!found || found.length === 0) return undefined;
  return type === CK.CKA_VALUE ? Uint8Array.from(found) : fromBase64Url(found.toString('latin1'));
}

/** Neither an attribute the token does not have nor text that is no anchor is worth more than "nothing here". */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code !== 'malformed' && !/^CKR_ATTRIBUTE_/.test(ckrName(error) ?? '')) throw error;
    return undefined;
  }
}

/** The objects of that name, of whichever method, so that a node's anchors outlive a change of it. */
export function findData(module: Cryptoki, session: Handle, application: string): Handle[] {
  const data = findObjects(module, session, template(application));
  if (data.length > 0) return data;
  // Of an EC pair that was torn between its making and the end of its public half, only the private one counts.
  return findObjects(module, session, carrierTemplate(application)).filter((object) => {
    const objectClass = readAttribute(module, session, object, CK.CKA_CLASS);
    return objectClass !== undefined && fromUlong(objectClass) !== CK.CKO_PUBLIC_KEY;
  });
}

export class Anchors {
  readonly #module: Cryptoki;
  readonly #method: TokenProfile['anchor'];
  readonly #prefix: string;
  /** Undefined until read, and after every unclear write: both are then read again before anything else. */
  #places: Place[] | undefined;

  constructor(module: Cryptoki, method: TokenProfile['anchor'], prefix: string) {
    this.#module = module;
    this.#method = method;
    this.#prefix = prefix;
  }

  /** Handles do not outlive a session's loss. */
  forget(): void {
    this.#places = undefined;
  }

  /** @throws HoldfastError `token_failed` if both objects are there but neither is readable (one may be a torn first write). */
  read(session: Handle): Uint8Array[] {
    const places = ['0', '1'].map((suffix): Place => this.#readPlace(session, `${this.#prefix}/${suffix}`));
    if (places.every((place) => place.handle && place.value === undefined)) {
      throw new HoldfastError('token_failed', 'no anchor on the token is readable; repair the node from the others', {
        details: { operation: 'anchor_read' },
      });
    }
    this.#places = places;
    return places.flatMap((place) => (place.value ? [place.value] : []));
  }

  /** Replaces the older anchor and reads it back. After any error the result is unknown. */
  write(session: Handle, value: Uint8Array): void {
    if (value.length > ANCHOR_MAXIMUM)
      throw new HoldfastError('too_large', `an anchor has at most ${ANCHOR_MAXIMUM} bytes`);
    if (!this.#places) this.read(session);
    const [first, second] = this.#places as [Place, Place];
    this.#places = undefined;
    const [older, newer] = first.counter <= second.counter ? [first, second] : [second, first];
    const counter = newer.counter + 1n;
    const sealed = seal(counter, value);
    const handle = this.#replace(session, older, sealed);
    if (!handle) {
      throw new HoldfastError('token_failed', 'the token did not keep the anchor; take it out of service', {
        details: { operation: 'anchor_write' },
      });
    }
    this.#places = [newer, { ...older, handle, counter, value }];
  }

  /** The object that now shows `sealed`, or undefined if the token kept something else. */
  #replace(session: Handle, place: Place, sealed: Uint8Array): Handle | undefined {
    const keeps = (handle: Handle) => {
      const read = this.#method === 'key-label' ? readData : readAtOnce;
      const content = read(this.#module, session, handle);
      return content !== undefined && equalBytes(content, sealed);
    };
    if (place.handle && this.#method !== 'replace') {
      changeData(this.#module, session, place.handle, sealed, this.#method);
      if (keeps(place.handle)) return place.handle;
      // Made by another method, the object goes on showing its old content: make it anew.
    }
    // Destroyed first: the other place is whole, and two objects in one place would leave open which counts.
    if (place.handle) this.#module.C_DestroyObject(session, place.handle);
    const handle = createData(this.#module, session, place.application, sealed, this.#method);
    return keeps(handle) ? handle : undefined;
  }

  #readPlace(session: Handle, application: string): Place {
    const [handle, ...others] = findData(this.#module, session, application);
    if (others.length > 0) {
      throw new HoldfastError('token_unsuitable', `anchor ${application} is there more than once; repair the node`);
    }
    const content = handle && unseal(readData(this.#module, session, handle));
    return { application, handle, counter: content?.counter ?? 0n, value: content?.value };
  }
}
