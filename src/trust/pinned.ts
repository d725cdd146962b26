/** Trust files of the pinned mode: a fleet's keys and policy in one JSON file that an application ships (docs/hsm.md). */

import { HoldfastError, type JsonValue as Json, parseJson, toBase64Url } from '../core/index.ts';
import { isPublicPoint } from '../crypto/index.ts';
import { checkFleet, type Fleet, type NodeKeys, type Policy, type TakeoverPolicy } from '../protocol/index.ts';

export interface PinnedTrust {
  readonly fleet: Fleet;
  /** Which deployment this is for, for example `production`. */
  readonly environment: string;
  /** Milliseconds since 1970; whole seconds. */
  readonly expires: number;
  /** Node i's name at index i - 1, as its certificate has it. */
  readonly names: readonly string[];
  /** HTTPS addresses of coordinators, without a path. Plain HTTP is for loopback only. */
  readonly coordinators: readonly string[];
  /** PEM certificate of the authority of the coordinators' HTTPS; undefined for the platform's own authorities. */
  readonly authority: string | undefined;
}

export const TRUST_FORMAT = 'holdfast/trust/v1';
/** Characters of a trust file. */
export const MAXIMUM_TRUST_FILE = 65_536;

const MEMBERS = [
  'format',
  'environment',
  'fleet',
  'epoch',
  'expires',
  'policy',
  'nodes',
  'coordinators',
  'authority',
] as const;
const POLICY_MEMBERS = [
  'limit',
  'lifetimeLimit',
  'waits',
  'takeover',
  'destroyAfter',
  'minimumShares',
  'keyStretching',
] as const;

/**
 * Reads a trust file; `now` is in milliseconds since 1970.
 * @throws HoldfastError `bad_input` naming what is wrong, `trust_expired` from `expires` on.
 */
export function parseTrustFile(text: string, { now }: { readonly now: number }): PinnedTrust {
  if (text.length > MAXIMUM_TRUST_FILE) {
    throw new HoldfastError('bad_input', `the trust file has more than ${MAXIMUM_TRUST_FILE} characters`);
  }
  const file = parseJson(text, 'bad_input').object(MEMBERS);
  file.required('format').word([TRUST_FORMAT]);
  const nodes = file
    .required('nodes')
    .array(1, 9)
    .map((item, i) => readNode(item, i + 1));
  const names = nodes.map(({ name }) => name);
  if (new Set(names).size !== names.length) file.required('nodes').fail('must have different names');
  const fleet: Fleet = {
    fleet: file.required('fleet').text(64),
    epoch: file.required('epoch').integer(1),
    nodes: nodes.map(({ keys }) => keys),
    policy: readPolicy(file.required('policy')),
  };
  checkFleet(fleet);
  const coordinators = file
    .required('coordinators')
    .array(1, 32)
    .map((item) => readCoordinator(item));
  const trust = {
    fleet,
    environment: readEnvironment(file.required('environment')),
    expires: readTime(file.required('expires')),
    names,
    coordinators,
    authority: readAuthority(file.optional('authority')),
  };
  // Written so that a clock that tells no number refuses.
  if (!(now < trust.expires)) {
    throw new HoldfastError('trust_expired', 'the trust file has expired; get the newest version of your application', {
      details: { expires: formatTime(trust.expires) },
    });
  }
  return trust;
}

/** The file that `parseTrustFile` reads back as the same. @throws HoldfastError `bad_input` for what it would refuse. */
export function serialiseTrustFile(trust: PinnedTrust): string {
  const { fleet, names, authority } = trust;
  const { takeover, keyStretching, waits, ...numbers } = fleet.policy;
  const text = `${JSON.stringify(
    {
      format: TRUST_FORMAT,
      environment: trust.environment,
      fleet: fleet.fleet,
      epoch: fleet.epoch,
      expires: formatTime(trust.expires),
      policy: { ...numbers, waits: [...waits], takeover: { ...takeover }, keyStretching: { ...keyStretching } },
      nodes: fleet.nodes.map((keys, i) => ({
        node: i + 1,
        name: names[i],
        identity: toBase64Url(keys.identity),
        session: toBase64Url(keys.session),
        oprf: toBase64Url(keys.oprf),
      })),
      coordinators: [...trust.coordinators],
      ...(authority !== undefined && { authority }),
    },
    undefined,
    2,
  )}\n`;
  // What leaves here passes the same reader as at the client.
  parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  return text;
}

function readNode(item: Json, number: number): { name: string; keys: NodeKeys } {
  const node = item.object(['node', 'name', 'identity', 'session', 'oprf']);
  if (node.required('node').integer(1, 9) !== number) node.required('node').fail('must count from 1, in order');
  const name = node.required('name');
  if (!/^[a-z0-9._-]{1,64}$/.test(name.text(64))) name.fail('must be 1 to 64 of a-z 0-9 . _ -');
  const key = (which: 'identity' | 'session' | 'oprf') => {
    const value = node.required(which);
    const point = value.bytes(65, 65);
    return isPublicPoint(point) ? point : value.fail('must be an uncompressed point on P-256');
  };
  return { name: name.text(64), keys: { identity: key('identity'), session: key('session'), oprf: key('oprf') } };
}

function readPolicy(value: Json): Policy {
  const policy = value.object(POLICY_MEMBERS);
  const stretching = policy.required('keyStretching').object(['memoryKiB', 'passes', 'parallelism']);
  return {
    limit: policy.required('limit').integer(1),
    lifetimeLimit: policy.required('lifetimeLimit').integer(1),
    waits: policy
      .required('waits')
      .array(1, 100)
      .map((wait) => wait.integer(0)),
    takeover: readTakeover(policy.required('takeover')),
    destroyAfter: policy.required('destroyAfter').integer(0),
    minimumShares: policy.required('minimumShares').integer(1),
    keyStretching: {
      memoryKiB: stretching.required('memoryKiB').integer(8),
      passes: stretching.required('passes').integer(1),
      parallelism: stretching.required('parallelism').integer(1),
    },
  };
}

function readTakeover(value: Json): TakeoverPolicy {
  const takeover = value.object(['kind', 'seconds']);
  const kind = takeover.required('kind').word(['off', 'immediate', 'delayed']);
  if (kind === 'delayed') return { kind, seconds: takeover.required('seconds').integer(1) };
  if (takeover.optional('seconds')) value.fail('has seconds, which belong to a delayed takeover');
  return { kind };
}

function readEnvironment(value: Json): string {
  const name = value.text(64);
  return /^[a-z0-9-]+$/.test(name) ? name : value.fail('must be 1 to 64 of a-z 0-9 -');
}

function readCoordinator(value: Json): string {
  const text = value.text(256);
  const url = URL.canParse(text) ? new URL(text) : value.fail('must be a URL');
  if (`${url.origin}` !== text) value.fail('must be an origin: scheme, host and port, nothing else');
  const loopback = ['localhost', '127.0.0.1', '[::1]'].includes(url.hostname);
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && loopback)) {
    value.fail('must be https (http is for loopback only)');
  }
  return text;
}

function readAuthority(value: Json | undefined): string | undefined {
  const text = value?.text(16_384);
  if (text === undefined) return undefined;
  const one = /^-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n)+-----END CERTIFICATE-----\n$/.test(text);
  return one ? text : value?.fail('must be one PEM certificate');
}

/** RFC 3339 in UTC with whole seconds, the only form that is taken. */
function readTime(value: Json): number {
  const text = value.text(20);
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(time) || formatTime(time) !== text) value.fail('must be a time like 2030-01-31T00:00:00Z');
  return time;
}

function formatTime(time: number): string {
  try {
    return new Date(time).toISOString().replace(/\.\d{3}Z$/, 'Z');
  } catch (cause) {
    throw new HoldfastError('bad_input', 'the time is out of range', { cause });
  }
}
