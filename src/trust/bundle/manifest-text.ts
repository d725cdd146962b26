/** Reading and writing the text of a validation bundle: a closed set of members for each kind, in one form only. */

import { HoldfastError, type JsonValue as Json } from '../../core/index.ts';
import { checkFleet, type Fleet, threshold } from '../../protocol/index.ts';
import { type CanonicalValue, canonicalJson } from '../canonical.ts';
import {
  type Digest,
  formatTime,
  readAddress,
  readAuthority,
  readDigest,
  readDigestOrNull,
  readEarlier,
  readEnvironment,
  readName,
  readNodeKeys,
  readNodeName,
  readOrganisation,
  readOrigin,
  readPolicy,
  readTime,
  writeEarlier,
  writeNodeKeys,
  writePolicy,
} from '../fields.ts';
import { digestOf, parseDocument, requireCanonical, serialiseDocument, withCode } from '../text.ts';
import {
  BUNDLE_TYPE,
  type BundleNode,
  type LiveManifest,
  MAXIMUM_BUNDLE_TEXT,
  type Manifest,
  TOKEN_CLASSES,
} from './manifest.ts';

const HEAD = ['vault', 'environment', 'fleet', 'epoch', 'kind', 'serial'] as const;
const FLEET_MEMBERS = [
  ...HEAD,
  'previous',
  'accepted',
  'notBefore',
  'notAfter',
  'threshold',
  'policy',
  'nodes',
  'earlier',
  'coordinators',
  'authority',
  'evidence',
] as const;
const ALL_MEMBERS = [...FLEET_MEMBERS, 'successor', 'sunset', 'revokes', 'reason'] as const;
const NODE_MEMBERS = [
  'node',
  'name',
  'operator',
  'region',
  'identity',
  'session',
  'oprf',
  'tokenClass',
  'endpoint',
] as const;

/** What a renewal or a retirement changes, and what would otherwise need the description's own digest. */
const NOT_DESCRIBED: readonly string[] = [
  'kind',
  'serial',
  'previous',
  'accepted',
  'notBefore',
  'notAfter',
  'evidence',
  'successor',
  'sunset',
];

/** A bundle's text with what it says; `digest` is of the text. */
export interface Bundle<M extends Manifest = Manifest> {
  readonly text: string;
  readonly digest: Digest;
  readonly manifest: M;
}

/**
 * Reads a bundle's text (not its signatures), which nothing has authenticated yet.
 * @throws HoldfastError `bundle_malformed` for anything that `serialiseBundle` would not have written.
 */
export function parseBundle(text: string): Bundle {
  return withCode('bundle_malformed', () => {
    const manifest = readManifest(parseDocument(BUNDLE_TYPE, text, MAXIMUM_BUNDLE_TEXT, 'bundle_malformed'));
    requireCanonical(text, textOf(manifest), 'bundle_malformed');
    return { text, digest: digestOf(text), manifest };
  });
}

/** The text that `parseBundle` reads back as the same. @throws HoldfastError `bundle_malformed` for what it would refuse. */
export function serialiseBundle(manifest: Manifest): string {
  const text = withCode('bundle_malformed', () => textOf(manifest));
  parseBundle(text);
  return text;
}

/**
 * What statements of evidence bind: everything of a fleet's manifest that stays as it is when the bundle is renewed or the
 * fleet retires. Its kind, its place in the chain, its dates and its evidence are left out.
 */
export function descriptionText(manifest: LiveManifest): string {
  const members = Object.entries(membersOf(manifest)).filter(([name]) => !NOT_DESCRIBED.includes(name));
  return serialiseDocument('holdfast/description/v1', Object.fromEntries(members));
}

/** All that a manifest says of its nodes, as canonical JSON: to see whether two say the same. */
export function nodesText(nodes: readonly BundleNode[]): string {
  return canonicalJson(nodes.map(writeNode));
}

/** The fleet as the protocol knows it, with its earlier epochs. */
export function fleetOf(manifest: LiveManifest): Fleet {
  const { fleet, epoch, nodes, policy, earlier = [] } = manifest;
  return { fleet, epoch, nodes: nodes.map(({ keys }) => keys), policy, ...(earlier.length > 0 && { earlier }) };
}

function readManifest(json: Json): Manifest {
  const any = json.object(ALL_MEMBERS);
  const kind = any.required('kind').word(['deploy', 'retire', 'revoke']);
  const head = {
    vault: readName(any.required('vault')),
    environment: readEnvironment(any.required('environment')),
    fleet: readName(any.required('fleet')),
    epoch: any.required('epoch').integer(1),
    serial: any.required('serial').integer(1),
  };
  if (kind === 'revoke') {
    const file = json.object([...HEAD, 'revokes', 'reason']);
    return {
      ...head,
      kind,
      revokes: readDigest(file.required('revokes')),
      reason: readReason(file.required('reason')),
    };
  }
  const file = kind === 'deploy' ? json.object(FLEET_MEMBERS) : json.object([...FLEET_MEMBERS, 'successor', 'sunset']);
  const manifest = { ...head, ...readFleetMembers(json.object(ALL_MEMBERS)) };
  checkLive(json, manifest, file.required('threshold'));
  if (kind === 'deploy') return { ...manifest, kind };
  const successor = any.required('successor');
  if (readName(successor) === head.fleet) successor.fail('must be another fleet');
  const sunset = any.required('sunset');
  const time = readTime(sunset);
  if (time <= manifest.notBefore || time > manifest.notAfter)
    sunset.fail('must be after notBefore and not after notAfter');
  return { ...manifest, kind, successor: readName(successor), sunset: time };
}

function readFleetMembers(file: ReturnType<typeof Json.prototype.object<(typeof ALL_MEMBERS)[number]>>) {
  const evidence = file.required('evidence').object(['sha256', 'address']);
  return {
    previous: readDigestOrNull(file.required('previous')),
    accepted: readDigestOrNull(file.required('accepted')),
    notBefore: readTime(file.required('notBefore')),
    notAfter: readTime(file.required('notAfter')),
    policy: readPolicy(file.required('policy')),
    nodes: file
      .required('nodes')
      .array(1, 9)
      .map((item, i) => readNode(item, i + 1)),
    ...readEarlier(file.optional('earlier')),
    coordinators: file
      .required('coordinators')
      .array(1, 32)
      .map((item) => readOrigin(item)),
    authority: readAuthority(file.optional('authority')),
    evidence: { sha256: readDigest(evidence.required('sha256')), address: readAddress(evidence.required('address')) },
  };
}

function readNode(item: Json, number: number): BundleNode {
  const node = item.object(NODE_MEMBERS);
  if (node.required('node').integer(1, 9) !== number) node.required('node').fail('must count from 1, in order');
  return {
    name: readNodeName(node.required('name')),
    operator: readOrganisation(node.required('operator')),
    region: readOrganisation(node.required('region')),
    keys: readNodeKeys(node),
    tokenClass: node.required('tokenClass').word(TOKEN_CLASSES),
    endpoint: readOrigin(node.required('endpoint')),
  };
}

/** What a manifest that has a fleet must fulfil by itself, whatever came before it. */
function checkLive(json: Json, manifest: Omit<LiveManifest, 'kind'>, thresholdValue: Json): void {
  const fleet = { ...manifest, nodes: manifest.nodes.map(({ keys }) => keys) };
  checkFleet(fleet);
  const t = threshold(fleet);
  if (thresholdValue.integer(1, 9) !== t) thresholdValue.fail(`must be ${t} for ${fleet.nodes.length} nodes`);
  if (manifest.notBefore >= manifest.notAfter) json.fail('must have a notAfter that is later than its notBefore');
  if ((manifest.serial === 1) !== (manifest.previous === null))
    json.fail('must have a previous exactly from serial 2 on');
  if (manifest.previous === null && manifest.accepted !== null) json.fail('cannot have an accepted bundle at serial 1');
  const different = (what: string, values: readonly string[]) => {
    if (new Set(values).size !== values.length) json.fail(`must have different ${what}`);
  };
  different(
    'names of nodes',
    manifest.nodes.map(({ name }) => name),
  );
  different(
    'endpoints of nodes',
    manifest.nodes.map(({ endpoint }) => endpoint),
  );
  different('coordinators', manifest.coordinators);
}

function readReason(value: Json): string {
  const text = value.text(256);
  return /^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$/u.test(text)
    ? text
    : value.fail('must be one line without control characters');
}

function textOf(manifest: Manifest): string {
  return serialiseDocument(BUNDLE_TYPE, membersOf(manifest));
}

function membersOf(manifest: Manifest): { readonly [name: string]: CanonicalValue | undefined } {
  const { vault, environment, fleet, epoch, kind, serial } = manifest;
  const head = { vault, environment, fleet, epoch, kind, serial };
  if (manifest.kind === 'revoke') return { ...head, revokes: manifest.revokes, reason: manifest.reason };
  const { previous, accepted, coordinators, authority, evidence } = manifest;
  return {
    ...head,
    previous,
    accepted,
    notBefore: formatTime(manifest.notBefore),
    notAfter: formatTime(manifest.notAfter),
    threshold: threshold({ nodes: manifest.nodes.map(({ keys }) => keys) }),
    policy: writePolicy(manifest.policy),
    nodes: manifest.nodes.map(writeNode),
    ...writeEarlier(manifest),
    coordinators,
    authority,
    evidence: { sha256: evidence.sha256, address: evidence.address },
    ...(manifest.kind === 'retire' && { successor: manifest.successor, sunset: formatTime(manifest.sunset) }),
  };
}

function writeNode(node: BundleNode, index: number) {
  const { name, operator, region, keys, tokenClass, endpoint } = node;
  return { node: index + 1, name, operator, region, ...writeNodeKeys(keys), tokenClass, endpoint };
}

/** The manifest of a bundle that has a fleet. @throws HoldfastError `bundle_malformed` for a revocation. */
export function requireLive(bundle: Bundle): Bundle<LiveManifest> {
  const { manifest } = bundle;
  if (manifest.kind !== 'revoke') return { ...bundle, manifest };
  throw new HoldfastError('bundle_malformed', 'a revocation stands where a bundle with a fleet belongs');
}
