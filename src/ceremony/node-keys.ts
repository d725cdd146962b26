/** The statement on one node's keys: read back from its token, and signed for by the identity key itself. */

import { HoldfastError, utf8 } from '../core/index.ts';
import {
  type AgreementAnswers,
  type AgreementChallenge,
  answerAgreement,
  descriptionSubject,
  fileEntry,
  IN_TOTO,
  type NodeKeyFacts,
  type NodeKeysPredicate,
  possessionText,
  type RevealedAgreement,
  requireChallengeOf,
  serialiseSigstoreBundle,
  serialiseStatement,
  withAgreement,
} from '../evidence/index.ts';
import { signDsse } from '../signer/index.ts';
import { type KeyReading, nodeKeySpecs, openToken, type TokenDescription } from '../token/index.ts';
import { type Digest, ecdsaToDer } from '../trust/index.ts';
import { accessOf, fact, listFact, type Machine, tokenFacts, tokenOf, userPin } from './machine.ts';
import { type EvidenceParts, fileOf } from './parts.ts';
import { ceremonyKey, withCeremonyKey } from './seal.ts';
import { readBack } from './work-keys.ts';

const NAMES = ['identity', 'session', 'oprf', 'tweak', 'anchor'] as const;
const NO_SIGNATURE =
  'a key for key agreement cannot sign; that it answers for its public key was tried on the machine that read it, and is proven to nobody else without an exchange';
const NO_PUBLIC_HALF = 'a secret key has no public half by which anything could be proven';

export interface NodeKeysInput {
  readonly description: Digest;
  /** The node's name. */
  readonly node: string;
  /** Milliseconds since 1970: when the token was read. */
  readonly readAt: number;
  readonly token: TokenDescription;
  /** As `readKeys` gives them. */
  readonly readings: readonly KeyReading[];
  /** 64 bytes, r || s, of the identity key, as `Token.sign` gives them. */
  readonly sign: (message: Uint8Array) => Promise<Uint8Array>;
  /** SHA-256 of certificates on a key, by its label: its own first. */
  readonly attestation?: ReadonlyMap<string, readonly Digest[]>;
}

/** What is stated of a node's keys. @throws HoldfastError `token_unsuitable` for a key that is missing or not as required. */
export async function nodeKeysPredicate(input: NodeKeysInput): Promise<NodeKeysPredicate> {
  const { node, token, readings, description, sign, attestation } = input;
  const keys: NodeKeyFacts[] = [];
  for (const name of NAMES) {
    const reading = readings.find((each) => each.name === name);
    if (!reading || reading.faults.length > 0) {
      const problem = reading ? reading.faults.join('; ') : 'it is not on the token';
      throw new HoldfastError('token_unsuitable', `the key ${name} of ${node} is not as required: ${problem}`);
    }
    const { label, id, type, curve, length, publicKey, attributes } = reading;
    const told = Object.entries(attributes).filter((entry): entry is [string, boolean] => entry[1] !== null);
    const proof: NodeKeyFacts['proof'] =
      name === 'identity'
        ? { kind: 'signature', signature: ecdsaToDer(await sign(utf8(possessionText({ description, node, label })))) }
        : { kind: 'none', reason: publicKey === null ? NO_PUBLIC_HALF : NO_SIGNATURE };
    keys.push({
      ...{ name, label, id, publicKey, proof },
      type: curve === null ? `${type}, ${8 * (length ?? 0)} bit` : `${type} ${curve}`,
      attributes: Object.fromEntries(told),
      attestation: attestation?.get(label) ?? [],
    });
  }
  return { node, readAt: Math.floor(input.readAt / 1000) * 1000, token: linesOf(token), keys };
}

/** What a token leaves empty must still be a line. */
export function linesOf(token: Parameters<typeof tokenFacts>[0]) {
  const facts = tokenFacts(token);
  const line = (name: string) => facts[name] || 'not told';
  return {
    module: line('module'),
    label: line('label'),
    manufacturer: line('manufacturer'),
    model: line('model'),
    serial: line('serial'),
    firmware: line('firmware'),
  };
}

/** The node that a ceremony made the keys of. @throws HoldfastError `usage`. */
function nodeOf({ progress }: Machine) {
  const { keys } = progress.plan;
  if (keys.kind !== 'node') throw new HoldfastError('usage', 'only a node’s ceremony has such a statement');
  if (!progress.closed) throw new HoldfastError('usage', 'the ceremony is not at its end yet; go on with it first');
  return keys;
}

/**
 * The answers of a ceremony's node to a witness's challenge, made on its token.
 * @throws HoldfastError `usage`, `evidence_mismatch` for another node's challenge, `token_*`.
 */
export async function answerChallenge(machine: Machine, challenge: AgreementChallenge): Promise<AgreementAnswers> {
  const { fleet, node } = nodeOf(machine);
  requireChallengeOf(challenge, fleet, node, nodeKeySpecs({ fleet, node }));
  using pin = await userPin(machine);
  const token = await openToken({ ...accessOf(machine), ...tokenOf(machine.progress), pin, fleet, node });
  try {
    return await answerAgreement(challenge, token);
  } finally {
    await token.close();
  }
}

/**
 * The node-keys statement of a ceremony's node for one description of the fleet, signed by the ceremony's key on the same
 * token. May be made again for another description.
 * @param agreement proves possession of the keys that sign nothing; without it that is not claimed.
 * @throws HoldfastError `usage`, `possession_invalid` for an exchange that proves nothing, `token_*`.
 */
export async function nodeKeysParts(
  machine: Machine,
  description: Digest,
  now: number,
  agreement?: RevealedAgreement,
): Promise<EvidenceParts> {
  const { progress } = machine;
  const { fleet, node } = nodeOf(machine);
  const readings = await readBack(machine);
  const chains = listFact(progress.outcome('certificates').facts, 'chains').map(
    (each) => [fact(each, 'label', 'string'), listFact(each, 'sha256').map(String)] as const,
  );
  using pin = await userPin(machine);
  const token = await openToken({ ...accessOf(machine), ...tokenOf(progress), pin, fleet, node });
  let predicate: NodeKeysPredicate;
  try {
    const sign = (message: Uint8Array) => token.sign(message);
    predicate = await nodeKeysPredicate({
      ...{ description, node, readAt: now, token: token.description, readings, sign },
      attestation: new Map(chains),
    });
    if (agreement !== undefined) predicate = withAgreement(predicate, description, agreement);
  } finally {
    await token.close();
  }
  const key = ceremonyKey(progress);
  const statement = serialiseStatement({
    kind: 'node-keys',
    subject: descriptionSubject(fleet, description),
    predicate,
  });
  const bundle = await withCeremonyKey(machine, async (signer) =>
    serialiseSigstoreBundle(key.name, await signDsse(IN_TOTO, statement, signer)),
  );
  const certificates = [...new Set(chains.flatMap(([, chain]) => chain))];
  const files = await Promise.all(certificates.map((sha256) => fileOf(machine.folder.certificates, `${sha256}.der`)));
  return {
    name: node,
    manifest: {
      description,
      keys: [key],
      statements: [{ ...fileEntry(bundle), kind: 'node-keys', node, key: key.name }],
      files: files.map((content) => ({ ...fileEntry(content, '.cer'), kind: 'attestation' })),
    },
    contents: [bundle, ...files],
  };
}
