/**
 * An exchange with a node's keys for key agreement, as files that go between a witness and the node: the challenge with the
 * hashes of the witness's secrets, the node's signed answers, and the secrets, which are revealed last (docs/evidence.md).
 */

import { bytesToHex, HoldfastError, type Random, sha256, utf8 } from '../core/index.ts';
import { publicPointOf, verifyEcdsa } from '../crypto/index.ts';
import { type Digest, digestOf, ecdsaFromDer, ecdsaToDer } from '../trust/index.ts';
import {
  AGREEMENT_KEYS,
  type AgreementAnswers,
  type AgreementChallenge,
  type AgreementKey,
  type AgreementQuestion,
  type AgreementSecrets,
  type RevealedAgreement,
  serialiseAgreementChallenge,
} from './exchange-files.ts';
import {
  agreementAnswerOf,
  agreementCommitmentOf,
  agreementMac,
  agreementTexts,
  type NodeKeysPredicate,
  type PossessionProof,
} from './node-keys.ts';

/** Draws of 32 bytes; one in 2^32 is no scalar. */
const DRAWS = 8;

const wrong = (problem: string) => new HoldfastError('possession_invalid', problem);

/** A challenge with new secrets. @param labels CKA_LABEL of each key. */
export function makeAgreementChallenge(
  {
    description,
    node,
    labels,
  }: Pick<AgreementChallenge, 'description' | 'node'> & {
    readonly labels: Readonly<Record<AgreementKey, string>>;
  },
  random: Random,
): { readonly challenge: AgreementChallenge; readonly secrets: AgreementSecrets } {
  const drawn = AGREEMENT_KEYS.map((key) => ({ key, ...drawSecret(random) }));
  const questions = drawn.map(({ key, secret, point }) => ({
    ...{ key, label: labels[key], point },
    secret: bytesToHex(sha256(secret)),
  }));
  const challenge = { description, node, questions };
  const digest = digestOf(serialiseAgreementChallenge(challenge));
  return { challenge, secrets: { challenge: digest, secrets: drawn.map(({ secret }) => secret) } };
}

function drawSecret(random: Random): { secret: Uint8Array; point: Uint8Array } {
  for (let i = 0; i < DRAWS; i++) {
    const secret = random(32);
    const point = publicPointOf(secret);
    if (point !== undefined) return { secret, point };
  }
  throw new HoldfastError('unexpected', 'the generator of this machine gives no usable numbers');
}

/** What the node answers with. Both methods are as `Pkcs11Token` has them. */
export interface AnsweringToken {
  /** The x-coordinate, 32 bytes, of the product of a key with a point. */
  agree(key: AgreementKey, point: Uint8Array): Promise<Uint8Array>;
  /** ECDSA over SHA-256 by the identity key, 64 bytes. */
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/**
 * A challenge is for this node's keys.
 * @param keys names and labels of the node's keys.
 * @throws HoldfastError `evidence_mismatch`.
 */
export function requireChallengeOf(
  challenge: AgreementChallenge,
  fleet: string,
  node: string,
  keys: readonly { readonly name: string; readonly label: string }[],
): void {
  const right = challenge.questions.every(({ key, label }) =>
    keys.some((each) => each.name === key && each.label === label),
  );
  if (challenge.node === node && right) return;
  throw new HoldfastError(
    'evidence_mismatch',
    `the challenge is for keys of another node or fleet than ${node} of ${fleet}; answer nothing else`,
    { details: { node: challenge.node } },
  );
}

/**
 * The node's answers. What leaves the token's machine of each product is an HMAC that it keys, so that the answers are of no
 * use for anything else.
 * @throws HoldfastError whatever the token rejects with.
 */
export async function answerAgreement(challenge: AgreementChallenge, token: AnsweringToken): Promise<AgreementAnswers> {
  const answers: AgreementAnswers['answers'][number][] = [];
  for (const question of challenge.questions) {
    const shared = await token.agree(question.key, question.point);
    const commitment = commitmentOf(challenge, question);
    const mac = agreementMac(commitment, shared);
    shared.fill(0);
    const text = agreementAnswerOf(commitment, question.point, mac);
    answers.push({ mac, signature: ecdsaToDer(await token.sign(utf8(text))) });
  }
  return { challenge: digestOf(serialiseAgreementChallenge(challenge)), answers };
}

/** The texts whose digests the log has to have before the node answers, in the order of the questions. */
export function commitmentTexts(challenge: AgreementChallenge): string[] {
  return challenge.questions.map((question) => commitmentOf(challenge, question));
}

/** The texts whose digests the log has to have before the secrets are revealed. @throws HoldfastError `possession_invalid`. */
export function answerTexts(challenge: AgreementChallenge, answers: AgreementAnswers): string[] {
  requireOfChallenge(challenge, answers.challenge, answers.answers.length);
  return challenge.questions.map((question, i) =>
    agreementAnswerOf(commitmentOf(challenge, question), question.point, answers.answers[i]!.mac),
  );
}

/**
 * The proofs, once the secrets are revealed, each of them checked as an audit checks it.
 * @param keys the node's public keys, 65 bytes each.
 * @throws HoldfastError `possession_invalid`.
 */
export function agreementProofs(
  { challenge, answers, secrets }: RevealedAgreement,
  keys: Readonly<Record<AgreementKey | 'identity', Uint8Array>>,
): ReadonlyMap<AgreementKey, PossessionProof> {
  requireOfChallenge(challenge, secrets.challenge, secrets.secrets.length);
  const told = answerTexts(challenge, answers);
  const { description, node } = challenge;
  return new Map(
    challenge.questions.map(({ key, label, secret: hash }, i) => {
      const secret = secrets.secrets[i]!;
      if (bytesToHex(sha256(secret)) !== hash) throw wrong(`the secret for the key ${key} is not the challenge’s`);
      const texts = agreementTexts({ description, node, label }, secret, keys[key]);
      if (texts === undefined || texts.answer !== told[i])
        throw wrong(`the answer of ${node} for its key ${key} is false`);
      const { signature } = answers.answers[i]!;
      const both = ecdsaFromDer(signature);
      if (both === undefined || !verifyEcdsa(keys.identity, utf8(texts.answer), both)) {
        throw wrong(`the answer of ${node} for its key ${key} is not signed by its identity key`);
      }
      return [key, { kind: 'agreement', secret, signature }] as const;
    }),
  );
}

/**
 * A statement's predicate with the proofs in the place of those that say that there is none.
 * @param description digest of the fleet's description that the statement is about. Throws as `agreementProofs`.
 */
export function withAgreement(
  predicate: NodeKeysPredicate,
  description: Digest,
  agreement: RevealedAgreement,
): NodeKeysPredicate {
  const { challenge } = agreement;
  if (challenge.description !== description) throw wrong('the challenge is for another description of the fleet');
  if (predicate.node !== challenge.node) throw wrong(`the challenge is for ${challenge.node}, not ${predicate.node}`);
  const point = (name: AgreementKey | 'identity') => {
    const key = predicate.keys.find((each) => each.name === name);
    const asked = challenge.questions.find((question) => question.key === name);
    if (!key?.publicKey) throw wrong(`${predicate.node} has not told its key ${name}`);
    if (asked && asked.label !== key.label)
      throw wrong(`the challenge names the key ${name} ${asked.label}, not ${key.label}`);
    return key.publicKey;
  };
  const keys = { identity: point('identity'), session: point('session'), oprf: point('oprf') };
  const proofs: ReadonlyMap<string, PossessionProof> = agreementProofs(agreement, keys);
  return { ...predicate, keys: predicate.keys.map((key) => ({ ...key, proof: proofs.get(key.name) ?? key.proof })) };
}

function requireOfChallenge(challenge: AgreementChallenge, digest: Digest, count: number): void {
  const right = digest === digestOf(serialiseAgreementChallenge(challenge)) && count === challenge.questions.length;
  if (!right) throw wrong('the answers or secrets are of another challenge');
}

function commitmentOf({ description, node }: AgreementChallenge, { label, secret }: AgreementQuestion): string {
  return agreementCommitmentOf({ description, node, label }, secret);
}
