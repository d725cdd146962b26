/** Trust files of the pinned mode: a fleet's keys and policy in one JSON file that an application ships (docs/hsm.md). */

import { HoldfastError, type JsonValue as Json, parseJson } from '../core/index.ts';
import { checkFleet, type Fleet, type NodeKeys } from '../protocol/index.ts';
import {
  formatTime,
  readAuthority,
  readEarlier,
  readEnvironment,
  readNodeKeys,
  readNodeName,
  readOrigin,
  readPolicy,
  readTime,
  writeEarlier,
  writeNodeKeys,
  writePolicy,
} from './fields.ts';

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
  'earlier',
  'coordinators',
  'authority',
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
    ...readEarlier(file.optional('earlier')),
  };
  checkFleet(fleet);
  const coordinators = file.required('coordinators').array(1, 32).map(readOrigin);
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
  const text = `${JSON.stringify(
    {
      format: TRUST_FORMAT,
      environment: trust.environment,
      fleet: fleet.fleet,
      epoch: fleet.epoch,
      expires: formatTime(trust.expires),
      policy: writePolicy(fleet.policy),
      nodes: fleet.nodes.map((keys, i) => ({
        node: i + 1,
        name: names[i],
        ...writeNodeKeys(keys),
      })),
      ...writeEarlier(fleet),
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
  return { name: readNodeName(node.required('name')), keys: readNodeKeys(node) };
}
