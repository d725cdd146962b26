/** A fleet with all its evidence, for tests: software keys made from names, so that every run has the same. Runs in browsers too. */

import { p256 } from '@noble/curves/nist.js';
import { hexToBytes, Secret, sha256, utf8 } from '../../src/core/index.ts';
import { ed25519KeyFromSeed } from '../../src/crypto/index.ts';
import {
  type AnsweringToken,
  agreementTexts,
  bundleSubject,
  type CeremonyPredicate,
  descriptionDigest,
  descriptionSubject,
  type EvidenceKey,
  type EvidenceManifest,
  fileEntry,
  IN_TOTO,
  type NodeKeysPredicate,
  type PossessionProof,
  possessionText,
  preAuthenticationEncoding,
  presenceText,
  publicKeyOf,
  type SoftwarePredicate,
  type Statement,
  type StatementEntry,
  type StatementOf,
  serialiseEvidenceManifest,
  serialiseSigstoreBundle,
  serialiseStatement,
} from '../../src/evidence/index.ts';
import { encodeServiceStatement, type Policy } from '../../src/protocol/index.ts';
import {
  type DeployManifest,
  digestOf,
  ecdsaFromDer,
  ecdsaToDer,
  type LiveManifest,
  serialiseBundle,
  toBase64,
} from '../../src/trust/index.ts';
import { DAY, deployment, NOW } from '../trust/manifests.ts';

/** The secret scalar of a point that `point(name)` of test/trust makes. */
const secretOf = (name: string) => sha256(utf8(name));

/** ECDSA in DER by the key of that name. */
export function signWith(name: string, message: Uint8Array): Uint8Array {
  return ecdsaToDer(p256.sign(message, secretOf(name), { lowS: true, prehash: true, format: 'compact' }));
}

const ed = (name: string) => ed25519KeyFromSeed(new Secret(sha256(utf8(`secret of ${name}`))));

export const EVIDENCE_KEY: EvidenceKey = {
  name: 'operator.example/evidence',
  ...publicKeyOf('Ed25519', ed('operator.example/evidence').publicKey),
};
export const CEREMONY_KEY: EvidenceKey = {
  name: 'ceremony.example/ceremony',
  ...publicKeyOf('P-256', p256.getPublicKey(secretOf('ceremony.example/ceremony'), false)),
};

/** A statement in its Sigstore bundle, signed by the key of that name. */
export function signed(statement: Statement, key: EvidenceKey): Uint8Array<ArrayBuffer> {
  return signedPayload(serialiseStatement(statement), key);
}

export function signedPayload(payload: Uint8Array, key: EvidenceKey): Uint8Array<ArrayBuffer> {
  const message = preAuthenticationEncoding(IN_TOTO, payload);
  const raw = key.algorithm === 'Ed25519' ? ed(key.name).sign(message) : signWith(key.name, message);
  return serialiseSigstoreBundle(key.name, {
    payloadType: IN_TOTO,
    payload: toBase64(payload),
    signatures: [{ sig: toBase64(raw) }],
  });
}

const token = (node: string) => ({
  module: 'libsofthsm2.so',
  label: node,
  manufacturer: 'Example Tokens',
  model: 'Vault 2',
  serial: `serial-${node}`,
  firmware: '2.1',
});

export const PROTECTED = { CKA_SENSITIVE: true, CKA_EXTRACTABLE: false, CKA_NEVER_EXTRACTABLE: true } as const;

export function nodeKeysOf(manifest: LiveManifest, name: string, keysOf = name): NodeKeysPredicate {
  const node = manifest.nodes.find((each) => each.name === name)!;
  const description = descriptionDigest(manifest);
  const key = (which: 'identity' | 'session' | 'oprf') => ({
    name: which,
    label: `holdfast/${which}`,
    id: '01',
    type: 'EC P-256',
    publicKey: node.keys[which],
    attributes: PROTECTED,
    attestation: [],
  });
  const text = possessionText({ description, node: name, label: 'holdfast/identity' });
  return {
    node: name,
    readAt: NOW - 20 * DAY,
    token: token(name),
    keys: [
      {
        ...key('identity'),
        proof: { kind: 'signature', signature: signWith(`${keysOf} identity`, utf8(text)) },
      },
      { ...key('session'), proof: { kind: 'none', reason: 'a key for ECDH signs nothing' } },
      { ...key('oprf'), proof: { kind: 'none', reason: 'a key for ECDH signs nothing' } },
      {
        ...key('identity'),
        name: 'anchor',
        label: 'holdfast/anchor',
        type: 'generic secret',
        publicKey: null,
        proof: { kind: 'none', reason: 'a key of HMAC has no public proof' },
      },
    ],
  };
}

const PEOPLE = [
  { name: 'Anna', role: 'operator' },
  { name: 'Bela', role: 'witness' },
] as const;

export function ceremonyOf(manifest: LiveManifest, changes: Partial<CeremonyPredicate> = {}): CeremonyPredicate {
  const record: CeremonyPredicate = {
    began: NOW - 21 * DAY,
    ended: NOW - 20 * DAY,
    version: '0.1.0',
    people: PEOPLE.map((person) => ({
      ...person,
      key: publicKeyOf('Ed25519', ed(person.name).publicKey),
      signature: new Uint8Array(64),
    })),
    tokens: manifest.nodes.map(({ name }) => ({ node: name, ...token(name), seals: [`seal-${name}`] })),
    keys: manifest.nodes.map(({ name, keys }) => ({ node: name, keys })),
    steps: [{ at: NOW - 20 * DAY, command: 'holdfast node keys', result: 'done', finding: 'three keys' }],
    destroyed: [{ what: 'PINs of the security officer', how: 'overwritten and shredded', at: NOW - 20 * DAY }],
    transcript: null,
    ...changes,
  };
  return { ...record, people: changes.people ?? signatures(manifest, record) };
}

function signatures(manifest: LiveManifest, record: CeremonyPredicate): CeremonyPredicate['people'] {
  const description = descriptionDigest(manifest);
  return record.people.map((person) => ({
    ...person,
    signature: ed(person.name).sign(utf8(presenceText(description, record, person))),
  }));
}

export const SOFTWARE: SoftwarePredicate = {
  version: '0.1.0',
  source: 'git+https://code.example/holdfast',
  commit: 'c'.repeat(40),
  lockfile: '1'.repeat(64),
  builder: 'https://operator.example/builder',
  artifacts: [{ name: 'container image', sha256: '2'.repeat(64) }],
};

export interface EvidenceFolder {
  readonly manifest: DeployManifest;
  readonly evidence: EvidenceManifest;
  /** By SHA-256, the evidence manifest too. */
  readonly files: Map<string, Uint8Array>;
}

/** The key that a person of the ceremony has. */
export const personKey = (name: string) => publicKeyOf('Ed25519', ed(name).publicKey);

/** An exchange with a node's key: what stands in the log of it, and the proof. */
export function agreementOf(manifest: LiveManifest, node: string, key: 'session' | 'oprf') {
  const subject = { description: descriptionDigest(manifest), node, label: `holdfast/${key}` };
  const secret = secretOf(`ephemeral of ${node} ${key}`);
  const publicKey = manifest.nodes.find(({ name }) => name === node)!.keys[key];
  const { commitment, answer } = agreementTexts(subject, secret, publicKey)!;
  const signature = signWith(`${node} identity`, utf8(answer));
  return { commitment, answer, proof: { kind: 'agreement', secret, signature } satisfies PossessionProof };
}

/** A node's keys, as its token has them. */
export const answeringToken = (node: string): AnsweringToken => ({
  agree: async (key, point) => p256.getSharedSecret(secretOf(`${node} ${key}`), point, true).slice(1),
  sign: async (message) => ecdsaFromDer(signWith(`${node} identity`, message))!,
});

export function withProof(
  predicate: NodeKeysPredicate,
  name: 'session' | 'oprf',
  proof: PossessionProof,
): NodeKeysPredicate {
  return { ...predicate, keys: predicate.keys.map((key) => (key.name === name ? { ...key, proof } : key)) };
}

/** What all nodes of an accepted bundle say of the limits by which they count, each with its own signature. */
export function serviceRecordOf(manifest: LiveManifest, policy: Partial<Policy> = {}): StatementOf<'service-record'> {
  const digest = digestOf(serialiseBundle(manifest));
  const reports = manifest.nodes.map(({ name }, i) => {
    const statement = encodeServiceStatement({
      ...{ fleet: manifest.fleet, epoch: manifest.epoch, node: i + 1, incarnation: 1, time: NOW - DAY },
      bundle: hexToBytes(digest),
      policy: { ...manifest.policy, ...policy },
      software: { version: '0.1.0', commit: 'c'.repeat(40), runtime: 'node 24' },
      token: { module: 'm', manufacturer: 'Example Tokens', model: 'Vault 2', serial: 's', firmware: '2.1' },
    });
    return { node: i + 1, statement, signature: signWith(`${name} identity`, statement) };
  });
  const predicate = { gathered: NOW - DAY, through: manifest.coordinators, reports };
  return { kind: 'service-record', subject: bundleSubject(manifest.fleet, digest), predicate };
}

/** What may be changed before it is signed. */
export interface EvidenceChanges {
  readonly bundle?: Partial<DeployManifest>;
  readonly statements?: (statements: Statement[]) => Statement[];
  /** Signed files, in the order of the statements. */
  readonly signed?: (files: Uint8Array<ArrayBuffer>[]) => Uint8Array<ArrayBuffer>[];
  readonly evidence?: (evidence: EvidenceManifest) => EvidenceManifest;
}

export function statementsOf(manifest: LiveManifest): Statement[] {
  const subject = descriptionSubject(manifest.fleet, descriptionDigest(manifest));
  return [
    { kind: 'ceremony', subject, predicate: ceremonyOf(manifest) },
    ...manifest.nodes.map(
      ({ name }): Statement => ({ kind: 'node-keys', subject, predicate: nodeKeysOf(manifest, name) }),
    ),
    { kind: 'software', subject, predicate: SOFTWARE },
  ];
}

/** A fleet whose evidence is in order, but for `changes`. */
export function evidenceFolder(changes: EvidenceChanges = {}): EvidenceFolder {
  const draft = deployment(changes.bundle ?? {});
  const statements = (changes.statements ?? ((all) => all))(statementsOf(draft));
  const keyOf = ({ kind }: Statement) => (kind === 'ceremony' ? CEREMONY_KEY : EVIDENCE_KEY);
  const contents = (changes.signed ?? ((all) => all))(statements.map((each) => signed(each, keyOf(each))));
  const files = new Map<string, Uint8Array>();
  const add = (content: Uint8Array) => {
    const entry = fileEntry(content);
    files.set(entry.sha256, content);
    return entry;
  };
  const entries = statements.map((statement, i): StatementEntry => {
    const { kind } = statement;
    if (kind === 'service-record') throw new Error('a service record belongs to no manifest');
    const node = statement.kind === 'node-keys' ? statement.predicate.node : undefined;
    return { kind, node, key: keyOf(statement).name, ...add(contents[i]!) };
  });
  const evidence = (changes.evidence ?? ((all) => all))({
    description: descriptionDigest(draft),
    keys: [CEREMONY_KEY, EVIDENCE_KEY],
    statements: entries,
    files: [],
  });
  const { sha256: digest } = add(serialiseEvidenceManifest(evidence));
  const address = `https://vault.example/evidence/${digest}.json`;
  return { manifest: { ...draft, evidence: { sha256: digest, address } }, evidence, files };
}
