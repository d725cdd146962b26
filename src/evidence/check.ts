/** What each statement must fulfil besides its signature: that it is about this fleet, and contradicts nothing. */

import { bytesToHex, equalBytes, HoldfastError, utf8 } from '../core/index.ts';
import { verifyEcdsa } from '../crypto/index.ts';
import { type NodeKeys, verifyServiceStatement } from '../protocol/index.ts';
import {
  type Bundle,
  type BundleNode,
  canonicalJson,
  type Digest,
  digestOf,
  ecdsaFromDer,
  fleetOf,
  type LiveManifest,
  writePolicy,
} from '../trust/index.ts';
import { presenceText } from './ceremony.ts';
import { publicKeyOf, verifyWithKey } from './keys.ts';
import { agreementTexts, type NodeKeyFacts, possessionText } from './node-keys.ts';
import type { SignedServiceReport } from './service-record.ts';
import { bundleSubject, descriptionSubject, type StatementOf, type StatementSubject } from './statement.ts';

/** Keys of a node that its bundle has. */
const BUNDLE_KEYS = ['identity', 'session', 'oprf'] as const satisfies readonly (keyof NodeKeys)[];

const mismatch = (problem: string, details: Readonly<Record<string, string>> = {}) =>
  new HoldfastError('evidence_mismatch', problem, { details });

/**
 * A statement belongs to one of these descriptions of the fleet.
 * @param descriptions as `coveredDescriptions` gives them.
 * @throws HoldfastError `evidence_mismatch`.
 */
export function checkSubject(subject: StatementSubject, fleet: string, descriptions: ReadonlySet<Digest>): void {
  const right = descriptions.has(subject.sha256) && subject.name === descriptionSubject(fleet, subject.sha256).name;
  if (!right) throw mismatch(`a statement is about ${subject.name}, ${subject.sha256}, which is not this fleet`);
}

/** What the log must have the digests of for a proof by agreement, in this order, before the statement: two texts. */
export interface LoggedAgreement {
  readonly key: NodeKeyFacts['name'];
  readonly commitment: string;
  readonly answer: string;
}

/**
 * The log has an exchange with a key in its order: the commitment, the answer, and then the statement with the secret.
 * @param statement SHA-256 of the statement's file.
 * @param placeOf index of the first leaf of evidence with a SHA-256.
 * @throws HoldfastError `possession_invalid`.
 */
export function requireAgreementOrder(
  { key, commitment, answer }: LoggedAgreement,
  statement: Digest,
  node: string,
  placeOf: (sha256: Digest) => number | undefined,
): void {
  const places = [digestOf(commitment), digestOf(answer), statement].map(placeOf);
  const right = places.every((place, i) => place !== undefined && (i === 0 || place > places[i - 1]!));
  if (right) return;
  throw new HoldfastError(
    'possession_invalid',
    `the exchange with the key ${node} ${key} is not in the log in its order`,
    { details: { key: `${node} ${key}` } },
  );
}

/** A node's keys whose proofs verified, and those for which none is claimed. */
export interface NodeKeysFinding {
  readonly signed: readonly NodeKeyFacts['name'][];
  readonly agreed: readonly LoggedAgreement[];
  readonly unproven: readonly NodeKeyFacts['name'][];
}

/**
 * A node's keys are exactly the bundle's; each proof of possession is right, and the identity key has one.
 * @throws HoldfastError `evidence_mismatch`, `possession_invalid`.
 */
export function checkNodeKeys(
  { predicate, subject }: StatementOf<'node-keys'>,
  { nodes }: Pick<LiveManifest, 'nodes'>,
): NodeKeysFinding {
  const node = nodeOf(predicate.node, nodes);
  for (const name of BUNDLE_KEYS) {
    const stated = predicate.keys.find((key) => key.name === name)?.publicKey;
    if (!stated) throw mismatch(`the statement on ${node.name} does not have its key ${name}`, { node: node.name });
    if (!equalBytes(stated, node.keys[name])) {
      throw mismatch(`the key ${name} of ${node.name} is another one than in the bundle`, { node: node.name });
    }
  }
  const signed: NodeKeyFacts['name'][] = [];
  const agreed: LoggedAgreement[] = [];
  const unproven: NodeKeyFacts['name'][] = [];
  for (const key of predicate.keys) {
    checkAttributes(key, node.name);
    const about = { description: subject.sha256, node: node.name, label: key.label };
    const { proof } = key;
    if (proof.kind === 'none') {
      unproven.push(key.name);
    } else if (key.publicKey === null) {
      throw possession(key, node, 'it has no public key by which a proof could be checked');
    } else if (proof.kind === 'signature') {
      if (!isSignedBy(key.publicKey, possessionText(about), proof.signature)) {
        throw possession(key, node, 'its signature is false');
      }
      signed.push(key.name);
    } else {
      const texts = agreementTexts(about, proof.secret, key.publicKey);
      if (texts === undefined || !isSignedBy(node.keys.identity, texts.answer, proof.signature)) {
        throw possession(key, node, 'its answer is false');
      }
      agreed.push({ key: key.name, ...texts });
    }
  }
  if (!signed.includes('identity')) {
    throw new HoldfastError('possession_invalid', `the identity key of ${node.name} has not signed for itself`, {
      details: { node: node.name, key: 'identity' },
    });
  }
  return { signed, agreed, unproven };
}

/** A key that says of itself that it can leave its token is none that this fleet may have (docs/protocol.md, section 3). */
function checkAttributes({ name, attributes, publicKey }: NodeKeyFacts, node: string): void {
  const { CKA_SENSITIVE: sensitive, CKA_EXTRACTABLE: extractable } = attributes;
  if (sensitive === true && extractable === false) return;
  const kind = publicKey === null ? 'secret' : 'private';
  throw mismatch(`the ${kind} key ${name} of ${node} is not said to be sensitive and not extractable`, { node });
}

function possession(key: NodeKeyFacts, node: BundleNode, problem: string): HoldfastError {
  return new HoldfastError(
    'possession_invalid',
    `nothing proves that ${node.name} has its key ${key.name}: ${problem}`,
    { details: { node: node.name, key: key.name } },
  );
}

/** ECDSA in DER by a key of a node. */
function isSignedBy(point: Uint8Array, text: string, signature: Uint8Array): boolean {
  const both = ecdsaFromDer(signature);
  return both !== undefined && verifyEcdsa(point, utf8(text), both);
}

export interface CeremonyFinding {
  /** Nodes whose keys this ceremony made. */
  readonly made: readonly string[];
  /** Nodes whose keys an earlier accepted bundle had already. */
  readonly earlier: readonly string[];
}

/**
 * A ceremony made the bundle's keys on the tokens that the statements on the nodes have, and everybody who was present has
 * signed for it.
 * @param nodeKeys the statements on the nodes, which `checkNodeKeys` has passed.
 * @param earlier the fleet's earlier accepted bundles: keys that one of them had need no ceremony again.
 * @throws HoldfastError `evidence_mismatch`, `evidence_signature`.
 */
export function checkCeremony(
  { predicate, subject }: StatementOf<'ceremony'>,
  manifest: LiveManifest,
  nodeKeys: readonly StatementOf<'node-keys'>[],
  earlier: readonly LiveManifest[] = [],
): CeremonyFinding {
  for (const person of predicate.people) {
    if (verifyWithKey(person.key, utf8(presenceText(subject.sha256, predicate, person)), person.signature)) continue;
    throw new HoldfastError('evidence_signature', `the signature of ${person.name} on the ceremony is false`, {
      details: { person: person.name },
    });
  }
  const people = predicate.people.map(({ key }) => key.spki.join());
  const own = manifest.nodes.map(({ keys }) => publicKeyOf('P-256', keys.identity).spki.join());
  if (new Set([...people, ...own]).size !== people.length + own.length) {
    throw mismatch('two people of the ceremony have one key, or a node’s');
  }
  const made = predicate.keys.map((entry) => {
    const node = nodeOf(entry.node, manifest.nodes);
    if (!sameKeys(entry.keys, node.keys)) {
      throw mismatch(`the ceremony made other keys for ${node.name} than the bundle has`, { node: node.name });
    }
    return node.name;
  });
  if (new Set(made).size !== made.length) throw mismatch('the ceremony made keys for one node twice');
  const before = manifest.nodes.filter(({ name }) => !made.includes(name));
  for (const node of before) {
    const known = earlier.some(({ nodes }) => nodes.some(({ keys }) => sameKeys(keys, node.keys)));
    if (!known) throw mismatch(`no ceremony has made the keys of ${node.name}`, { node: node.name });
  }
  for (const { predicate: read } of nodeKeys) {
    if (!made.includes(read.node)) continue;
    const { manufacturer, model, serial } = read.token;
    const found = predicate.tokens.some(
      (token) =>
        token.node === read.node &&
        token.manufacturer === manufacturer &&
        token.model === model &&
        token.serial === serial,
    );
    if (!found) {
      throw mismatch(`the token that ${read.node} has, serial ${serial}, was not in the ceremony`, { node: read.node });
    }
  }
  return { made, earlier: before.map(({ name }) => name) };
}

/** What one node has reported. */
export interface ServiceFinding {
  /** The node's name in the bundle. */
  readonly node: string;
  /** Milliseconds since 1970, by the node's clock. */
  readonly time: number;
  /** Version of Holdfast and commit, as the node says. */
  readonly version: string;
  readonly commit: string;
}

export interface ServiceRecordFinding {
  readonly reports: readonly ServiceFinding[];
  /** Nodes of the bundle that have not reported. */
  readonly silent: readonly string[];
}

/**
 * Running nodes count by the bundle's policy: each report is signed by its node's identity key, and names the bundle.
 * @throws HoldfastError `evidence_malformed`, `evidence_mismatch`, `evidence_signature`.
 */
export function checkServiceRecord(
  { predicate, subject }: StatementOf<'service-record'>,
  { digest, manifest }: Pick<Bundle<LiveManifest>, 'digest' | 'manifest'>,
): ServiceRecordFinding {
  const { fleet, nodes, policy } = manifest;
  if (subject.sha256 !== digest || subject.name !== bundleSubject(fleet, digest).name) {
    throw mismatch(`the service record is about ${subject.name}, ${subject.sha256}, which is not this bundle`);
  }
  const limits = canonicalJson(writePolicy(policy));
  const reports = predicate.reports.map((report) => {
    const name = nodes[report.node - 1]?.name;
    if (name === undefined) throw mismatch(`the service record has a node ${report.node}, which the bundle has not`);
    const says = readReport(report, name, manifest);
    if (says.node !== report.node || bytesToHex(says.bundle) !== digest) {
      throw mismatch(`the report of ${name} is of another node, or about another bundle`, { node: name });
    }
    if (canonicalJson(writePolicy(says.policy)) !== limits) {
      throw mismatch(`${name} counts by other limits than the bundle says`, { node: name });
    }
    return { node: name, time: says.time, version: says.software.version, commit: says.software.commit };
  });
  const silent = nodes.map(({ name }) => name).filter((name) => !reports.some(({ node }) => node === name));
  return { reports, silent };
}

function readReport({ statement, signature }: SignedServiceReport, node: string, manifest: LiveManifest) {
  const both = ecdsaFromDer(signature);
  try {
    if (both === undefined) throw new HoldfastError('untrusted', 'the signature is not ECDSA in DER');
    return verifyServiceStatement({ statement, signature: both }, fleetOf(manifest), { ecdsa: verifyEcdsa });
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const code = error.code === 'untrusted' ? 'evidence_signature' : 'evidence_malformed';
    throw new HoldfastError(code, `the report of ${node}: ${error.message}`, { cause: error, details: { node } });
  }
}

function nodeOf(name: string, nodes: readonly BundleNode[]): BundleNode {
  const node = nodes.find((each) => each.name === name);
  if (node !== undefined) return node;
  throw mismatch(`a statement is about ${name}, which is no node of the bundle`, { node: name });
}

function sameKeys(a: NodeKeys, b: NodeKeys): boolean {
  return BUNDLE_KEYS.every((name) => equalBytes(a[name], b[name]));
}
