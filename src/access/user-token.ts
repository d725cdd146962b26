/**
 * The user token's form: a JWT (RFC 7519) in compact JWS serialisation (RFC 7515), bound to the client's key (RFC 7800).
 * Reading proves nothing; the node's verifier does.
 */

import { fromBase64Url, fromUtf8, HoldfastError, sha256, utf8 } from '../core/index.ts';
import { type Operation, parseScope } from './operations.ts';
import { isJsonObject, type JsonObject, parseStrictObject } from './strict-json.ts';

/** Bytes of a whole token; longer ones are not even parsed. */
export const MAXIMUM_TOKEN_BYTES = 4096;

/** The header's `typ` (RFC 8725 section 3.11): a token of the same tenant for another service never passes here. */
export const USER_TOKEN_TYPE = 'holdfast+jwt';

const MAXIMUM_TEXT = 256;
/** Seconds since 1970 at the end of the year 9999. */
const LATEST_DATE = 253_402_300_799;

export interface UserTokenHeader {
  readonly alg: string;
  readonly kid: string | undefined;
}

export interface UserTokenClaims {
  readonly issuer: string;
  readonly subject: string;
  /** The fleet's name. */
  readonly audience: string;
  /** Milliseconds since 1970, as all times here; the token itself has seconds. */
  readonly issuedAt: number;
  readonly notBefore: number | undefined;
  readonly expiresAt: number;
  readonly operations: readonly Operation[];
  /** The client's Ed25519 public key, 32 bytes. */
  readonly clientKey: Uint8Array;
  /** The record id, 32 bytes. */
  readonly record: Uint8Array;
}

export interface ParsedUserToken {
  readonly header: UserTokenHeader;
  readonly claims: UserTokenClaims;
}

/** What the token says, unverified: for clients, which hold their own token. @throws HoldfastError `malformed`. */
export function readUserToken(token: string): UserTokenClaims {
  return parseUserToken(token).claims;
}

/** SHA-256 of the token's text, 32 bytes: what the client's signature names. */
export function hashUserToken(token: string): Uint8Array<ArrayBuffer> {
  return sha256(utf8(token));
}

/** Whether `token` is short enough and of the right characters to be looked at. */
export function isCompactToken(token: unknown): token is string {
  return (
    typeof token === 'string' &&
    token.length <= MAXIMUM_TOKEN_BYTES &&
    /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/.test(token)
  );
}

/** @throws HoldfastError `malformed` for anything but a user token in every detail of form. */
export function parseUserToken(token: string): ParsedUserToken {
  if (!isCompactToken(token)) throw malformed('it is not three parts of base64url');
  const [header, payload, signature] = token.split('.').map(fromBase64Url);
  if (signature!.length === 0) throw malformed('it is not signed');
  return {
    header: parseHeader(parseStrictObject(fromUtf8(header!))),
    claims: parseClaims(parseStrictObject(fromUtf8(payload!))),
  };
}

/**
 * Only these members: `jwk`, `jku`, `x5u` and `x5c` would let the token bring its own key, and `crit` and `b64` change
 * what is verified (RFC 8725 sections 3.1 and 3.10).
 */
function parseHeader(header: JsonObject): UserTokenHeader {
  for (const name of Object.keys(header)) {
    if (name !== 'alg' && name !== 'typ' && name !== 'kid') throw malformed('its header has a member it must not have');
  }
  if (header.typ !== USER_TOKEN_TYPE) throw malformed(`its type is not ${USER_TOKEN_TYPE}`);
  return { alg: textOf(header, 'alg'), kid: header.kid === undefined ? undefined : textOf(header, 'kid') };
}

function parseClaims(claims: JsonObject): UserTokenClaims {
  const issuedAt = dateOf(claims, 'iat');
  const expiresAt = dateOf(claims, 'exp');
  if (expiresAt <= issuedAt) throw malformed('it expires before it is issued');
  return {
    issuer: textOf(claims, 'iss'),
    subject: textOf(claims, 'sub'),
    audience: textOf(claims, 'aud'),
    issuedAt,
    notBefore: claims.nbf === undefined ? undefined : dateOf(claims, 'nbf'),
    expiresAt,
    operations: parseScope(textOf(claims, 'scope')),
    clientKey: confirmationKeyOf(claims),
    record: bytes32Of(claims, 'record'),
  };
}

function textOf(object: JsonObject, name: string): string {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  if (typeof value === 'string' && value.length > 0 && value.length <= MAXIMUM_TEXT && value.isWellFormed())
    return value;
  throw malformed(`“${name}” is not a text of 1 to ${MAXIMUM_TEXT} characters`);
}

/** NumericDate in whole seconds, as milliseconds. */
function dateOf(object: JsonObject, name: string): number {
  const value = object[name];
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LATEST_DATE) return value * 1000;
  throw malformed(`“${name}” is not a date in whole seconds`);
}

function bytes32Of(object: JsonObject, name: string): Uint8Array {
  const bytes = fromBase64Url(textOf(object, name));
  if (bytes.length !== 32) throw malformed(`“${name}” is not 32 bytes`);
  return bytes;
}

/** `cnf.jwk`: an Ed25519 public key (RFC 8037). A private key here is published by whoever shows the token. */
function confirmationKeyOf(claims: JsonObject): Uint8Array {
  const jwk = isJsonObject(claims.cnf) ? claims.cnf.jwk : undefined;
  if (!isJsonObject(jwk) || jwk.kty !== 'OKP' || jwk.crv !== 'Ed25519' || Object.hasOwn(jwk, 'd')) {
    throw malformed('“cnf” has no Ed25519 public key');
  }
  return bytes32Of(jwk, 'x');
}

function malformed(what: string): HoldfastError {
  return new HoldfastError('malformed', `this is not a user token: ${what}`);
}
