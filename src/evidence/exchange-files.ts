/** The three files of an exchange with a node's keys for key agreement: a type line and one line of RFC 8785 JSON each. */

import { bytesToHex, hexToBytes, type JsonValue } from '../core/index.ts';
import { isPublicPoint, publicPointOf } from '../crypto/index.ts';
import {
  type Digest,
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

/** The three files of an exchange, once its secrets are revealed. */
export interface RevealedAgreement {
  readonly challenge: AgreementChallenge;
  readonly answers: AgreementAnswers;
  readonly secrets: AgreementSecrets;
}

const CHALLENGE = 'holdfast/agreement-challenge/v1';
const ANSWERS = 'holdfast/agreement-answers/v1';
const SECRETS = 'holdfast/agreement-secrets/v1';
/** Bytes of each of the three files. */
export const MAXIMUM_AGREEMENT_FILE = 8192;
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
