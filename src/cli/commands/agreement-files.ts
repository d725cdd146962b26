/** The files of an exchange with a node's keys for key agreement, as commands of the node read and write them (docs/evidence.md). */

import { HoldfastError } from '../../core/index.ts';
import {
  type AgreementAnswers,
  type AgreementChallenge,
  MAXIMUM_AGREEMENT_FILE,
  parseAgreementAnswers,
  parseAgreementChallenge,
  parseAgreementSecrets,
  type RevealedAgreement,
  serialiseAgreementAnswers,
} from '../../evidence/index.ts';
import { readTextFile, writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';

/** Writes what the node has answered. */
export async function written(
  path: string,
  asked: AgreementChallenge,
  answers: AgreementAnswers,
): Promise<CommandResult> {
  await writeWholeFile(path, serialiseAgreementAnswers(answers), { mode: 0o644, overwrite: true });
  return {
    value: { node: asked.node, description: asked.description, answers: path, sha256: answers.challenge },
    lines: [
      `${asked.node} has answered, signed by its identity key: ${path}`,
      'Next, before the secrets are revealed: holdfast evidence log-exchange CHALLENGE ANSWERS',
    ],
  };
}

export interface RevealedFlags {
  readonly challenge?: string;
  readonly answers?: string;
  readonly secrets?: string;
}

/** The files of an exchange, if any were named. @throws HoldfastError `usage` for some of them only. */
export async function readRevealed({
  challenge: asked,
  answers,
  secrets,
}: RevealedFlags): Promise<RevealedAgreement | undefined> {
  if (asked === undefined && answers === undefined && secrets === undefined) return undefined;
  if (asked === undefined || answers === undefined || secrets === undefined) {
    throw new HoldfastError('usage', '--challenge, --answers and --secrets belong together');
  }
  return {
    challenge: await readChallenge(asked),
    answers: await readAnswers(answers),
    secrets: parseAgreementSecrets(await readTextFile(secrets, 'the secrets', MAXIMUM_AGREEMENT_FILE)),
  };
}

export async function readChallenge(path: string): Promise<AgreementChallenge> {
  return parseAgreementChallenge(await readTextFile(path, 'the challenge', MAXIMUM_AGREEMENT_FILE));
}

export async function readAnswers(path: string): Promise<AgreementAnswers> {
  return parseAgreementAnswers(await readTextFile(path, 'the answers', MAXIMUM_AGREEMENT_FILE));
}
