/**
 * The statement on a key ceremony: who was present, what was done with which tokens, which keys came of it and what was
 * destroyed. It is reported by the ceremony machine; the people who were present have signed that they saw it.
 */

import { bytesToHex, type JsonValue, sha256, utf8 } from '../core/index.ts';
import type { NodeKeys } from '../protocol/index.ts';
import {
  type CanonicalValue,
  canonicalJson,
  type Digest,
  formatTime,
  readDigestOrNull,
  readNodeKeys,
  readNodeName,
  readTime,
  serialiseDocument,
  toBase64,
  writeNodeKeys,
} from '../trust/index.ts';
import { type PublicKey, readBase64, readPublicKey, writePublicKey } from './keys.ts';
import { readLine, readTokenMembers, TOKEN_MEMBERS, type TokenFacts, writeTokenFacts } from './lines.ts';

export interface CeremonyPerson {
  /** A name or an alias, as the person wants it published. */
  readonly name: string;
  /** Such as `operator`, `witness`, `keeper of the security officer's PIN`. */
  readonly role: string;
  readonly key: PublicKey;
  /** Of `presenceText` by `key`: 64 bytes of Ed25519, or ECDSA in DER. */
  readonly signature: Uint8Array;
}

export interface CeremonyToken extends TokenFacts {
  /** Name of the node that the token is for; null for a token of another party. */
  readonly node: string | null;
  /** Numbers of tamper-evident seals, 0 to 16. */
  readonly seals: readonly string[];
}

export interface CeremonyStep {
  /** Milliseconds since 1970, whole seconds. */
  readonly at: number;
  /** The command as it was run, without secrets, up to 2,000 characters; or what a person did. */
  readonly command: string;
  readonly result: 'done' | 'failed' | 'skipped';
  /** What came of it, in one line of up to 2,000 characters. */
  readonly finding: string;
}

export interface CeremonyDestruction {
  /** Such as `PIN of the security officer of node-1`. */
  readonly what: string;
  readonly how: string;
  /** Milliseconds since 1970, whole seconds. */
  readonly at: number;
}

export interface CeremonyPredicate {
  /** Milliseconds since 1970, whole seconds. */
  readonly began: number;
  readonly ended: number;
  /** Version of Holdfast that ran the ceremony. */
  readonly version: string;
  /** 1 to 32. */
  readonly people: readonly CeremonyPerson[];
  /** 1 to 64. */
  readonly tokens: readonly CeremonyToken[];
  /** The public keys that were made, by the node's name: exactly the bundle's. 1 to 9. */
  readonly keys: readonly { readonly node: string; readonly keys: NodeKeys }[];
  /** 1 to 2,000. */
  readonly steps: readonly CeremonyStep[];
  /** 0 to 256. */
  readonly destroyed: readonly CeremonyDestruction[];
  /** SHA-256 of the full transcript, which the evidence manifest lists among its files; null for none. */
  readonly transcript: Digest | null;
}

/** What every ceremony's statement says of itself. */
export const REPORTED_BY = 'the ceremony machine';

const MEMBERS = [
  'reportedBy',
  'began',
  'ended',
  'version',
  'people',
  'tokens',
  'keys',
  'steps',
  'destroyed',
  'transcript',
] as const;

/**
 * SHA-256, in hexadecimal, of the statement's predicate in which no person has a signature: what all of them sign.
 */
export function ceremonyRecordDigest(predicate: Omit<CeremonyPredicate, 'people'> & Unsigned): Digest {
  return bytesToHex(sha256(utf8(canonicalJson(withoutSignatures(predicate)))));
}

interface Unsigned {
  readonly people: readonly Omit<CeremonyPerson, 'signature'>[];
}

/**
 * The text that a person who was present signs: a line `holdfast/presence/v1` and one line of JSON.
 * @param description digest of the fleet's description, the statement's subject.
 */
export function presenceText(
  description: Digest,
  predicate: Omit<CeremonyPredicate, 'people'> & Unsigned,
  { name, role }: Pick<CeremonyPerson, 'name' | 'role'>,
): string {
  return serialiseDocument('holdfast/presence/v1', {
    description,
    record: ceremonyRecordDigest(predicate),
    name,
    role,
  });
}

export function writeCeremony(predicate: CeremonyPredicate): CanonicalValue {
  const people = predicate.people.map((person) => ({ ...personOf(person), signature: toBase64(person.signature) }));
  return { ...membersOf(predicate), people };
}

function withoutSignatures(predicate: Omit<CeremonyPredicate, 'people'> & Unsigned): CanonicalValue {
  return { ...membersOf(predicate), people: predicate.people.map(personOf) };
}

function personOf({ name, role, key }: Omit<CeremonyPerson, 'signature'>) {
  return { name, role, key: writePublicKey(key) };
}

function membersOf(predicate: Omit<CeremonyPredicate, 'people'>): { readonly [name: string]: CanonicalValue } {
  const { began, ended, version, tokens, keys, steps, destroyed, transcript } = predicate;
  return {
    reportedBy: REPORTED_BY,
    began: formatTime(began),
    ended: formatTime(ended),
    version,
    tokens: tokens.map((token) => ({ node: token.node, ...writeTokenFacts(token), seals: token.seals })),
    keys: keys.map((entry) => ({ node: entry.node, ...writeNodeKeys(entry.keys) })),
    steps: steps.map(({ at, command, result, finding }) => ({ at: formatTime(at), command, result, finding })),
    destroyed: destroyed.map(({ what, how, at }) => ({ what, how, at: formatTime(at) })),
    transcript,
  };
}

/** Reads what `writeCeremony` writes. Throws as `JsonValue` does. */
export function readCeremony(value: JsonValue): CeremonyPredicate {
  const file = value.object(MEMBERS);
  file.required('reportedBy').word([REPORTED_BY]);
  const predicate = {
    began: readTime(file.required('began')),
    ended: readTime(file.required('ended')),
    version: readLine(file.required('version'), 64),
    people: file.required('people').array(1, 32).map(readPerson),
    tokens: file.required('tokens').array(1, 64).map(readToken),
    keys: file.required('keys').array(1, 9).map(readKeys),
    steps: file.required('steps').array(1, 2000).map(readStep),
    destroyed: file.required('destroyed').array(0, 256).map(readDestruction),
    transcript: readDigestOrNull(file.required('transcript')),
  };
  if (predicate.ended < predicate.began) file.required('ended').fail('must not be before began');
  const names = predicate.people.map(({ name }) => name);
  if (new Set(names).size !== names.length) file.required('people').fail('must have different names');
  return predicate;
}

function readPerson(value: JsonValue): CeremonyPerson {
  const person = value.object(['name', 'role', 'key', 'signature']);
  return {
    name: readLine(person.required('name'), 128),
    role: readLine(person.required('role'), 128),
    key: readPublicKey(person.required('key')),
    signature: readBase64(person.required('signature'), 72),
  };
}

function readToken(value: JsonValue): CeremonyToken {
  const token = value.object(['node', 'seals', ...TOKEN_MEMBERS]);
  const node = token.required('node');
  const seals = token.required('seals').array(0, 16);
  return {
    node: node.value === null ? null : readNodeName(node),
    ...readTokenMembers(token),
    seals: seals.map((seal) => readLine(seal, 64)),
  };
}

function readKeys(value: JsonValue): { readonly node: string; readonly keys: NodeKeys } {
  const keys = value.object(['node', 'identity', 'session', 'oprf']);
  return { node: readNodeName(keys.required('node')), keys: readNodeKeys(keys) };
}

function readStep(value: JsonValue): CeremonyStep {
  const step = value.object(['at', 'command', 'result', 'finding']);
  return {
    at: readTime(step.required('at')),
    command: readLine(step.required('command'), 2000),
    result: step.required('result').word(['done', 'failed', 'skipped']),
    finding: readLine(step.required('finding'), 2000),
  };
}

function readDestruction(value: JsonValue): CeremonyDestruction {
  const destroyed = value.object(['what', 'how', 'at']);
  return {
    what: readLine(destroyed.required('what')),
    how: readLine(destroyed.required('how')),
    at: readTime(destroyed.required('at')),
  };
}
