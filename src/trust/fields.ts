/** Readers of the members that several trust documents share: names, times, addresses, digests, node keys and policies. */

import { HoldfastError, type JsonValue as Json, toBase64Url } from '../core/index.ts';
import { isPublicPoint } from '../crypto/index.ts';
import {
  type Fleet,
  type KeyStretching,
  MAXIMUM_EARLIER,
  type Membership,
  type NodeKeys,
  type Policy,
  type TakeoverPolicy,
} from '../protocol/index.ts';

/** SHA-256 as 64 lower-case hexadecimal digits. */
export type Digest = string;

const POLICY_MEMBERS = [
  'limit',
  'lifetimeLimit',
  'waits',
  'takeover',
  'destroyAfter',
  'minimumShares',
  'keyStretching',
] as const;

/** A vault or fleet: 1 to 64 of a-z, 0-9 and '-', which is neither first nor last. */
export function readName(value: Json): string {
  const name = value.text(64);
  const right = /^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$/.test(name);
  return right ? name : value.fail('must be 1 to 64 of a-z 0-9 -, with neither end a -');
}

export function readEnvironment(value: Json): string {
  const name = value.text(64);
  return /^[a-z0-9-]+$/.test(name) ? name : value.fail('must be 1 to 64 of a-z 0-9 -');
}

/** An organisation or region, in a form in which no two that look alike differ: operators are counted by it. */
export function readOrganisation(value: Json): string {
  const name = value.text(64);
  const right = /^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/.test(name);
  return right ? name : value.fail('must be 1 to 64 of a-z 0-9 . -, beginning and ending with a letter or digit');
}

/** A node's name, as its certificate has it. */
export function readNodeName(value: Json): string {
  const name = value.text(64);
  return /^[a-z0-9._-]{1,64}$/.test(name) ? name : value.fail('must be 1 to 64 of a-z 0-9 . _ -');
}

export function readDigest(value: Json): Digest {
  const text = value.text(64);
  return /^[0-9a-f]{64}$/.test(text) ? text : value.fail('must be a SHA-256 in 64 lower-case hexadecimal digits');
}

export function readDigestOrNull(value: Json): Digest | null {
  return value.value === null ? null : readDigest(value);
}

/** Three uncompressed points on P-256 in base64url. */
export function readNodeKeys(node: { required(name: 'identity' | 'session' | 'oprf'): Json }): NodeKeys {
  const key = (which: 'identity' | 'session' | 'oprf') => readPublicKey(node.required(which));
  return { identity: key('identity'), session: key('session'), oprf: key('oprf') };
}

function readPublicKey(value: Json): Uint8Array {
  const point = value.bytes(65, 65);
  return isPublicPoint(point) ? point : value.fail('must be an uncompressed point on P-256');
}

/** The member `earlier` of a fleet's description: nodes of earlier epochs, in the order of their numbers. */
export function readEarlier(value: Json | undefined): Pick<Fleet, 'earlier'> {
  if (!value) return {};
  const earlier = value.array(1, MAXIMUM_EARLIER).map((item) => {
    const membership = item.object(['epoch', 'nodes']);
    const nodes = membership.required('nodes').array(1, 9);
    return {
      epoch: membership.required('epoch').integer(1),
      nodes: nodes.map((one) => {
        const node = one.object(['identity', 'oprf']);
        return { identity: readPublicKey(node.required('identity')), oprf: readPublicKey(node.required('oprf')) };
      }),
    };
  });
  return { earlier };
}

/** The member `earlier`, or none where the fleet carries no earlier epoch. */
export function writeEarlier({ earlier = [] }: Pick<Fleet, 'earlier'>) {
  if (earlier.length === 0) return {};
  const keys = (nodes: Membership['nodes']) =>
    nodes.map(({ identity, oprf }) => ({ identity: toBase64Url(identity), oprf: toBase64Url(oprf) }));
  return { earlier: earlier.map(({ epoch, nodes }) => ({ epoch, nodes: keys(nodes) })) };
}

export function writeNodeKeys(keys: NodeKeys): { identity: string; session: string; oprf: string } {
  return { identity: toBase64Url(keys.identity), session: toBase64Url(keys.session), oprf: toBase64Url(keys.oprf) };
}

export function readPolicy(value: Json): Policy {
  const policy = value.object(POLICY_MEMBERS);
  return {
    limit: policy.required('limit').integer(1),
    lifetimeLimit: policy.required('lifetimeLimit').integer(1),
    waits: readWaits(policy.required('waits')),
    takeover: readTakeover(policy.required('takeover')),
    destroyAfter: policy.required('destroyAfter').integer(0),
    minimumShares: policy.required('minimumShares').integer(1),
    keyStretching: readKeyStretching(policy.required('keyStretching')),
  };
}

/** The members of a policy as they are written, in no order. */
export function writePolicy(policy: Policy) {
  const { takeover, keyStretching, waits, limit, lifetimeLimit, destroyAfter, minimumShares } = policy;
  const { memoryKiB, passes, parallelism } = keyStretching;
  return {
    limit,
    lifetimeLimit,
    destroyAfter,
    minimumShares,
    waits: [...waits],
    takeover: writeTakeover(takeover),
    keyStretching: { memoryKiB, passes, parallelism },
  };
}

export function readWaits(value: Json): number[] {
  return value.array(1, 100).map((wait) => wait.integer(0));
}

export function readKeyStretching(value: Json): KeyStretching {
  const stretching = value.object(['memoryKiB', 'passes', 'parallelism']);
  return {
    memoryKiB: stretching.required('memoryKiB').integer(8),
    passes: stretching.required('passes').integer(1),
    parallelism: stretching.required('parallelism').integer(1),
  };
}

export function readTakeover(value: Json): TakeoverPolicy {
  const takeover = value.object(['kind', 'seconds']);
  const kind = takeover.required('kind').word(['off', 'immediate', 'delayed']);
  if (kind === 'delayed') return { kind, seconds: takeover.required('seconds').integer(1) };
  if (takeover.optional('seconds')) value.fail('has seconds, which belong to a delayed takeover');
  return { kind };
}

export function writeTakeover(takeover: TakeoverPolicy) {
  return takeover.kind === 'delayed' ? { kind: takeover.kind, seconds: takeover.seconds } : { kind: takeover.kind };
}

/** The origin of a server of ours: scheme, host and port, nothing else. Plain HTTP is for loopback only. */
export function readOrigin(value: Json): string {
  const text = value.text(256);
  const url = readUrl(value, text);
  return url.origin === text ? text : value.fail('must be an origin: scheme, host and port, nothing else');
}

/** An absolute address in the one form that the URL standard gives it. */
export function readAddress(value: Json): string {
  const text = value.text(512);
  const url = readUrl(value, text);
  if (url.username !== '' || url.password !== '') value.fail('must have no user name or password');
  return url.href === text ? text : value.fail('must be a URL in its normal form');
}

function readUrl(value: Json, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : value.fail('must be a URL');
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && loopback)) return url;
  return value.fail('must be https (http is for loopback only)');
}

export function readAuthority(value: Json | undefined): string | undefined {
  const text = value?.text(16_384);
  if (text === undefined) return undefined;
  const one = /^-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n$/.test(text);
  return one ? text : value?.fail('must be one PEM certificate');
}

/** RFC 3339 in UTC with whole seconds, the only form that is taken, as milliseconds since 1970. */
export function readTime(value: Json): number {
  const text = value.text(20);
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time) || formatTime(time) !== text) value.fail('must be a time like 2030-01-31T00:00:00Z');
  return time;
}

/** @throws HoldfastError `bad_input` for a time that no date has. */
export function formatTime(time: number): string {
  try {
    return new Date(time).toISOString().replace(/\.\d{3}Z$/, 'Z');
  } catch (cause) {
    throw new HoldfastError('bad_input', 'the time is out of range', { cause });
  }
}
