/** An exchange with a node's keys for key agreement: what comes of an honest one is what audits check, and nothing else passes. */

import { p256 } from '@noble/curves/nist.js';
import { describe, expect, it } from 'vitest';
import { HoldfastError, type Random, sha256, utf8 } from '../../src/core/index.ts';
import {
  type AgreementAnswers,
  type AgreementChallenge,
  answerAgreement,
  answerTexts,
  checkNodeKeys,
  commitmentTexts,
  descriptionDigest,
  descriptionSubject,
  makeAgreementChallenge,
  parseAgreementAnswers,
  parseAgreementChallenge,
  parseAgreementSecrets,
  type RevealedAgreement,
  requireChallengeOf,
  serialiseAgreementAnswers,
  serialiseAgreementChallenge,
  serialiseAgreementSecrets,
  withAgreement,
} from '../../src/evidence/index.ts';
import { digestOf } from '../../src/trust/index.ts';
import { deployment } from '../trust/manifests.ts';
import { answeringToken, nodeKeysOf } from './scene.ts';

const manifest = deployment();
const description = descriptionDigest(manifest);
const labels = { session: 'holdfast/session', oprf: 'holdfast/oprf' };

/** 32 bytes after another, from a name. */
function drawing(name: string): Random {
  let count = 0;
  return () => sha256(utf8(`${name} ${++count}`));
}

const secretOf = (name: string) => sha256(utf8(name));
const tokenOf = answeringToken;

async function exchange(node = 'node-1', token = tokenOf(node)): Promise<RevealedAgreement> {
  const { challenge, secrets } = makeAgreementChallenge({ description, node, labels }, drawing(node));
  return { challenge, secrets, answers: await answerAgreement(challenge, token) };
}

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'no error';
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
};

describe('an exchange', () => {
  it('ends in proofs that an audit accepts, with the very texts that the log has', async () => {
    const made = await exchange();
    const predicate = withAgreement(nodeKeysOf(manifest, 'node-1'), description, made);
    const subject = descriptionSubject(manifest.fleet, description);
    const { agreed, unproven } = checkNodeKeys({ kind: 'node-keys', subject, predicate }, manifest);
    const answers = answerTexts(made.challenge, made.answers);
    expect(agreed).toEqual(
      commitmentTexts(made.challenge).map((commitment, i) => ({
        key: ['session', 'oprf'][i],
        commitment,
        answer: answers[i],
      })),
    );
    expect(unproven).toEqual(['anchor']);
  });

  it('tells nobody a secret before it is revealed', async () => {
    const { challenge, answers, secrets } = await exchange();
    const told = serialiseAgreementChallenge(challenge) + serialiseAgreementAnswers(answers);
    for (const secret of secrets.secrets) {
      const shared = p256.getSharedSecret(secret, p256.getPublicKey(secretOf('node-1 oprf'), false), true).slice(1);
      for (const hidden of [secret, shared]) {
        expect(told).not.toContain(Buffer.from(hidden).toString('base64'));
        expect(told).not.toContain(Buffer.from(hidden).toString('hex'));
      }
    }
  });

  it('draws again what is no scalar, and not for ever', () => {
    const values = [new Uint8Array(32), new Uint8Array(32).fill(255), secretOf('a'), secretOf('b')];
    const { secrets } = makeAgreementChallenge({ description, node: 'node-1', labels }, () => values.shift()!);
    expect(secrets.secrets).toEqual([secretOf('a'), secretOf('b')]);
    const never = () => makeAgreementChallenge({ description, node: 'node-1', labels }, () => new Uint8Array(32));
    expect(codeOf(never)).toBe('unexpected');
  });

  const other = (made: RevealedAgreement, changes: Partial<RevealedAgreement>) => ({ ...made, ...changes });
  it.each<[string, (made: RevealedAgreement) => Promise<RevealedAgreement>]>([
    ['answers by another token', async () => exchange('node-1', tokenOf('node-2'))],
    [
      'answers with another key of the same token',
      async () =>
        exchange('node-1', { ...tokenOf('node-1'), agree: (_key, point) => tokenOf('node-1').agree('session', point) }),
    ],
    [
      'answers that another node has signed',
      async () => exchange('node-1', { ...tokenOf('node-1'), sign: tokenOf('node-2').sign }),
    ],
    ['a challenge for another node', async () => exchange('node-2')],
    [
      'a challenge that names other keys',
      async () => {
        const { challenge, secrets } = makeAgreementChallenge(
          { description, node: 'node-1', labels: { session: 'elsewhere', oprf: 'elsewhere' } },
          drawing('node-1'),
        );
        return { challenge, secrets, answers: await answerAgreement(challenge, tokenOf('node-1')) };
      },
    ],
    [
      'a challenge for another description',
      async (made) => {
        const { challenge, secrets } = makeAgreementChallenge(
          { description: 'f'.repeat(64), node: 'node-1', labels },
          drawing('node-1'),
        );
        return other(made, { challenge, secrets, answers: await answerAgreement(challenge, tokenOf('node-1')) });
      },
    ],
    [
      'answers to another challenge',
      async (made) => {
        const { challenge } = makeAgreementChallenge({ description, node: 'node-1', labels }, drawing('later'));
        return other(made, { answers: await answerAgreement(challenge, tokenOf('node-1')) });
      },
    ],
    [
      'secrets of another challenge',
      async (made) => {
        const drawn = makeAgreementChallenge({ description, node: 'node-1', labels }, drawing('later')).secrets;
        return other(made, { secrets: { ...drawn, challenge: made.secrets.challenge } });
      },
    ],
  ])('proves nothing with %s', async (_what, change) => {
    const made = await change(await exchange());
    const predicate = nodeKeysOf(manifest, 'node-1');
    expect(codeOf(() => withAgreement(predicate, description, made))).toBe('possession_invalid');
  });

  it('is for a node’s own keys: nothing else is answered', async () => {
    const { challenge } = await exchange();
    const keys = [
      { name: 'session', label: labels.session },
      { name: 'oprf', label: labels.oprf },
    ];
    expect(codeOf(() => requireChallengeOf(challenge, 'first', 'node-1', keys))).toBe('no error');
    expect(codeOf(() => requireChallengeOf(challenge, 'first', 'node-2', keys))).toBe('evidence_mismatch');
    const swapped = keys.map(({ name }, i) => ({ name, label: keys[1 - i]!.label }));
    expect(codeOf(() => requireChallengeOf(challenge, 'first', 'node-1', swapped))).toBe('evidence_mismatch');
  });
});

describe('the files of an exchange', () => {
  it('are read in their one form', async () => {
    const { challenge, answers, secrets } = await exchange();
    expect(parseAgreementChallenge(serialiseAgreementChallenge(challenge))).toEqual(challenge);
    expect(parseAgreementAnswers(serialiseAgreementAnswers(answers))).toEqual(answers);
    expect(parseAgreementSecrets(serialiseAgreementSecrets(secrets))).toEqual(secrets);
    expect(answers.challenge).toBe(digestOf(serialiseAgreementChallenge(challenge)));
  });

  it('are refused in any other', async () => {
    const { challenge, answers, secrets } = await exchange();
    const offCurve: AgreementChallenge = {
      ...challenge,
      questions: challenge.questions.map((question) => ({ ...question, point: new Uint8Array(65).fill(4) })),
    };
    const reversed: AgreementChallenge = { ...challenge, questions: challenge.questions.toReversed() };
    const short: AgreementAnswers = { ...answers, answers: answers.answers.slice(1) };
    const zero = { ...secrets, secrets: secrets.secrets.map(() => new Uint8Array(32)) };
    const text = serialiseAgreementChallenge(challenge);
    const refused: (() => unknown)[] = [
      () => parseAgreementChallenge(serialiseAgreementChallenge(offCurve)),
      () => parseAgreementChallenge(serialiseAgreementChallenge(reversed)),
      () => parseAgreementChallenge(`${text} `),
      () => parseAgreementChallenge(text.replace('{', '{ ')),
      () => parseAgreementChallenge(text.padEnd(9000, '\n')),
      () => parseAgreementChallenge(serialiseAgreementAnswers(answers)),
      () => parseAgreementAnswers(serialiseAgreementAnswers(short)),
      () => parseAgreementSecrets(serialiseAgreementSecrets(zero)),
    ];
    for (const read of refused) expect(codeOf(read)).toBe('evidence_malformed');
  });
});
