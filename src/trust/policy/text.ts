/** Reading and writing the text of a trust policy, in one form only. */

import type { JsonValue as Json } from '../../core/index.ts';
import { TOKEN_CLASSES } from '../bundle/manifest.ts';
import {
  formatTime,
  readDigest,
  readDigestOrNull,
  readEnvironment,
  readKeyStretching,
  readName,
  readOrganisation,
  readTakeover,
  readTime,
  readWaits,
  writeTakeover,
} from '../fields.ts';
import { digestOf, parseDocument, requireCanonical, serialiseDocument, withCode } from '../text.ts';
import { parseTlogPolicy, parseVerifierKey, type SignatureType, type VerifierKey } from '../tlog/index.ts';
import {
  type FleetFloors,
  MAXIMUM_POLICY_KEYS,
  MAXIMUM_POLICY_TEXT,
  POLICY_TYPE,
  type TrustPolicy,
  type TrustPolicyText,
} from './document.ts';

const MEMBERS = [
  'version',
  'previous',
  'vault',
  'environment',
  'fleet',
  'expires',
  'maxAge',
  'graceAge',
  'tlog',
  'auditors',
  'organisations',
  'cosigner',
  'operator',
  'roster',
  'plexi',
  'revokers',
  'floor',
  'floors',
  'weakerBundles',
  'policyKeys',
] as const;
const FLOOR_MEMBERS = [
  'tokenClass',
  'nodes',
  'limit',
  'lifetimeLimit',
  'waits',
  'takeover',
  'keyStretching',
  'oneOperator',
] as const;

/** Ed25519, or ECDSA where a token lacks it: what signs a note's raw text. */
const SIGNS_TEXT: readonly SignatureType[] = ['ed25519', 'ecdsa'];

/**
 * Reads a policy's text (not its signatures), which nothing has authenticated yet.
 * @throws HoldfastError `policy_malformed` for anything that `serialisePolicy` would not have written.
 */
export function parsePolicy(text: string): TrustPolicyText {
  return withCode('policy_malformed', () => {
    const policy = readPolicyDocument(parseDocument(POLICY_TYPE, text, MAXIMUM_POLICY_TEXT, 'policy_malformed'));
    requireCanonical(text, textOf(policy), 'policy_malformed');
    return { text, digest: digestOf(text), policy, tlog: parseTlogPolicy(policy.tlog) };
  });
}

/** The text that `parsePolicy` reads back. @throws HoldfastError `policy_malformed` for what it would refuse. */
export function serialisePolicy(policy: TrustPolicy): string {
  const text = withCode('policy_malformed', () => textOf(policy));
  parsePolicy(text);
  return text;
}

function readPolicyDocument(json: Json): TrustPolicy {
  const file = json.object(MEMBERS);
  const version = file.required('version').integer(1);
  const previous = readDigestOrNull(file.required('previous'));
  if ((version === 1) !== (previous === null)) json.fail('must have a previous exactly from version 2 on');
  const floor = file.required('floor').object(['size', 'root', 'serial']);
  const keys = file.required('policyKeys').object(['threshold', 'keys']);
  return {
    version,
    previous,
    vault: readName(file.required('vault')),
    environment: readEnvironment(file.required('environment')),
    fleet: readName(file.required('fleet')),
    expires: readTime(file.required('expires')),
    maxAge: file.required('maxAge').integer(1),
    graceAge: file.required('graceAge').integer(1),
    tlog: file.required('tlog').text(32_768),
    auditors: readKeys(file.required('auditors'), 32, ['cosignature']),
    organisations: readOrganisations(file.required('organisations')),
    cosigner: readKey(file.required('cosigner'), SIGNS_TEXT),
    operator: readKey(file.required('operator'), SIGNS_TEXT),
    roster: readKey(file.required('roster'), SIGNS_TEXT),
    plexi: readKey(file.required('plexi'), ['ed25519']),
    revokers: readKeys(file.required('revokers'), MAXIMUM_POLICY_KEYS, SIGNS_TEXT),
    floor: {
      size: floor.required('size').integer(0),
      root: readDigest(floor.required('root')),
      serial: floor.required('serial').integer(1),
    },
    floors: readFloors(file.required('floors')),
    weakerBundles: file
      .required('weakerBundles')
      .array(0, 64)
      .map((item) => readDigest(item)),
    policyKeys: {
      threshold: keys.required('threshold').integer(1, MAXIMUM_POLICY_KEYS),
      keys: readKeys(keys.required('keys'), MAXIMUM_POLICY_KEYS, SIGNS_TEXT),
    },
  };
}

function readFloors(value: Json): FleetFloors {
  const floors = value.object(FLOOR_MEMBERS);
  return {
    tokenClass: floors.required('tokenClass').word(TOKEN_CLASSES),
    nodes: floors.required('nodes').integer(1, 9),
    limit: floors.required('limit').integer(1),
    lifetimeLimit: floors.required('lifetimeLimit').integer(1),
    waits: readWaits(floors.required('waits')),
    takeover: readTakeover(floors.required('takeover')),
    keyStretching: readKeyStretching(floors.required('keyStretching')),
    oneOperator: floors.required('oneOperator').word(['refuse', 'allow']),
  };
}

function readKey(value: Json, types: readonly SignatureType[]): VerifierKey {
  const key = parseVerifierKey(value.text(512));
  return types.some((type) => type === key.type) ? key : value.fail(`must be a key of type ${types.join(' or ')}`);
}

function readKeys(value: Json, maximum: number, types: readonly SignatureType[]): VerifierKey[] {
  return value.array(0, maximum).map((item) => readKey(item, types));
}

/** Names of keys are free text, so that they are read as a list of pairs would be. */
function readOrganisations(value: Json): Map<string, string> {
  const { value: raw } = value;
  if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return value.fail('must be an object');
  const names = Object.keys(raw);
  if (names.length > 128) value.fail('must have at most 128 members');
  const members = value.object(names);
  return new Map(names.map((name) => [name, readOrganisation(members.required(name))]));
}

function textOf(policy: TrustPolicy): string {
  const { version, previous, vault, environment, fleet, maxAge, graceAge, tlog, floor, weakerBundles } = policy;
  const texts = (keys: readonly VerifierKey[]) => keys.map(({ text }) => text);
  const { memoryKiB, passes, parallelism } = policy.floors.keyStretching;
  const { tokenClass, nodes, limit, lifetimeLimit, waits, takeover, oneOperator } = policy.floors;
  return serialiseDocument(POLICY_TYPE, {
    version,
    previous,
    vault,
    environment,
    fleet,
    expires: formatTime(policy.expires),
    maxAge,
    graceAge,
    tlog,
    auditors: texts(policy.auditors),
    organisations: Object.fromEntries(policy.organisations),
    cosigner: policy.cosigner.text,
    operator: policy.operator.text,
    roster: policy.roster.text,
    plexi: policy.plexi.text,
    revokers: texts(policy.revokers),
    floor: { size: floor.size, root: floor.root, serial: floor.serial },
    floors: {
      tokenClass,
      nodes,
      limit,
      lifetimeLimit,
      waits,
      takeover: writeTakeover(takeover),
      keyStretching: { memoryKiB, passes, parallelism },
      oneOperator,
    },
    weakerBundles,
    policyKeys: { threshold: policy.policyKeys.threshold, keys: texts(policy.policyKeys.keys) },
  });
}
