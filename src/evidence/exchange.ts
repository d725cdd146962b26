/**
 * An exchange with a node's keys for key agreement, as files that go between a witness and the node: the challenge with the
 * hashes of the witness's secrets, the node's signed answers, and the secrets, which are revealed last (docs/evidence.md).
 */

import { bytesToHex, HoldfastError, hexToBytes, type JsonValue, type Random, sha256, utf8 } from '../core/index.ts';
import { isPublicPoint, publicPointOf, verifyEcdsa } from '../crypto/index.ts';
import {
  type Digest,
  digestOf,
  ecdsaFromDer,
  ecdsaToDer,
  parseDocument,
  readDigest,
  readNodeName,
  requireCanonical,
  serialiseDocument,
  toBase64,
  withCode,
} from '../trust/index.ts';
import { readBase64 } from './keys.ts';
import { readLine } from './lines.ts';
import {
  agreementAnswerOf,
  agreementCommitmentOf,
  agreementMac,
  agreementTexts,
  type NodeKeysPredicate,
  type PossessionProof,
} from './node-keys.ts';

/** Keys for key agreement: they sign nothing. */
export const AGREEMENT_KEYS = ['session', 'oprf'] as const;
export type AgreementKey = (typeof AGREEMENT_KEYS)[number];

/** What a witness asks of one key. */
export interface AgreementQuestion {
  readonly key: AgreementKey;
  /** CKA_LABEL. */
  readonly label: string;
  /** SHA-256 of the ephemeral secret, in hexadecimal. */
  readonly secret: Digest;
  /** The ephemeral public key, 65 bytes uncompressed. */
  readonly point: Uint8Array;
}

/** Public. Its commitments stand in the log before the node answers. */
export interface AgreementChallenge {
  /** Digest of the fleet's description. */
  readonly description: Digest;
  /** The node's name. */
  readonly node: string;
  /** One for each of `AGREEMENT_KEYS`, in that order. */
  readonly questions: readonly AgreementQuestion[];
}

/** Public. They stand in the log before the witness reveals the secrets. */
export interface AgreementAnswers {
  /** SHA-256 of the challenge's text. */
  readonly challenge: Digest;
  /** In the order of the questions: `mac` 32 bytes, `signature` ECDSA in DER by the identity key. */
  readonly answers: readonly { readonly mac: Uint8Array; readonly signature: Uint8Array }[];
}

/** Nobody's but the witness's, until the answers are in the log. */
export interface AgreementSecrets {
  readonly challenge: Digest;
  /** In the order of the questions, 32 bytes each. */
  readonly secrets: readonly Uint8Array[];
}

const CHALLENGE = 'holdfast/agreement-challenge/v1';
const ANSWERS = 'holdfast/agreement-answers/v1';
const SECRETS = 'holdfast/agreement-secrets/v1';
/** Bytes of each of the three files. */
export const MAXIMUM_AGREEMENT_FILE = 8192;
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

/** The three files of an exchange, once its secrets are revealed. */
export interface RevealedAgreement {
  readonly challenge: AgreementChallenge;
  readonly answers: AgreementAnswers;
  readonly secrets: AgreementSecrets;
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

export function serialiseAgreementChallenge({ description, node, questions }: AgreementChallenge): string {
  return serialiseDocument(CHALLENGE, {
    description,
    node,
    questions: questions.map(({ key, label, secret, point }) => ({ key, label, secret, point: toBase64(point) })),
  });
}

/** @throws HoldfastError `evidence_malformed` for anything that `serialiseAgreementChallenge` would not have written. */
export function parseAgreementChallenge(text: string): AgreementChallenge {
  return parsed(CHALLENGE, text, serialiseAgreementChallenge, (json) => {
    const file = json.object(['description', 'node', 'questions']);
    const list = file.required('questions');
    const questions = list.array(AGREEMENT_KEYS.length, AGREEMENT_KEYS.length).map(readQuestion);
    if (questions.some(({ key }, i) => key !== AGREEMENT_KEYS[i])) list.fail(`must be of ${AGREEMENT_KEYS.join(', ')}`);
    return {
      description: readDigest(file.required('description')),
      node: readNodeName(file.required('node')),
      questions,
    };
  });
}

function readQuestion(value: JsonValue): AgreementQuestion {
  const question = value.object(['key', 'label', 'secret', 'point']);
  const point = readBase64(question.required('point'), 65);
  // Nothing but a point of the curve goes to a token.
  if (!isPublicPoint(point)) question.required('point').fail('must be a point on P-256, uncompressed');
  return {
    key: question.required('key').word(AGREEMENT_KEYS),
    label: readLine(question.required('label')),
    secret: readDigest(question.required('secret')),
    point,
  };
}

export function serialiseAgreementAnswers({ challenge, answers }: AgreementAnswers): string {
  return serialiseDocument(ANSWERS, {
    challenge,
    answers: answers.map(({ mac, signature }) => ({ mac: bytesToHex(mac), signature: toBase64(signature) })),
  });
}

/** @throws HoldfastError `evidence_malformed`. */
export function parseAgreementAnswers(text: string): AgreementAnswers {
  return parsed(ANSWERS, text, serialiseAgreementAnswers, (json) => {
    const file = json.object(['challenge', 'answers']);
    const list = file.required('answers').array(AGREEMENT_KEYS.length, AGREEMENT_KEYS.length);
    const answers = list.map((value) => {
      const answer = value.object(['mac', 'signature']);
      return {
        mac: hexToBytes(readDigest(answer.required('mac'))),
        signature: readBase64(answer.required('signature'), 72),
      };
    });
    return { challenge: readDigest(file.required('challenge')), answers };
  });
}

export function serialiseAgreementSecrets({ challenge, secrets }: AgreementSecrets): string {
  return serialiseDocument(SECRETS, { challenge, secrets: secrets.map((secret) => toBase64(secret)) });
}

/** @throws HoldfastError `evidence_malformed`. */
export function parseAgreementSecrets(text: string): AgreementSecrets {
  return parsed(SECRETS, text, serialiseAgreementSecrets, (json) => {
    const file = json.object(['challenge', 'secrets']);
    const list = file.required('secrets').array(AGREEMENT_KEYS.length, AGREEMENT_KEYS.length);
    const secrets = list.map((value) => {
      const secret = readBase64(value, 32);
      return publicPointOf(secret) === undefined ? value.fail('must be 32 bytes that are a scalar of P-256') : secret;
    });
    return { challenge: readDigest(file.required('challenge')), secrets };
  });
}

function parsed<T>(type: string, text: string, serialise: (value: T) => string, read: (json: JsonValue) => T): T {
  return withCode('evidence_malformed', () => {
    const value = read(parseDocument(type, text, MAXIMUM_AGREEMENT_FILE, 'evidence_malformed'));
    requireCanonical(text, serialise(value), 'evidence_malformed');
    return value;
  });
}

function requireOfChallenge(challenge: AgreementChallenge, digest: Digest, count: number): void {
  const right = digest === digestOf(serialiseAgreementChallenge(challenge)) && count === challenge.questions.length;
  if (!right) throw wrong('the answers or secrets are of another challenge');
}

function commitmentOf({ description, node }: AgreementChallenge, { label, secret }: AgreementQuestion): string {
  return agreementCommitmentOf({ description, node, label }, secret);
}
