/**
 * `holdfast evidence challenge` and `log-exchange`: a witness's part of the exchange that proves possession of a node's keys for key
 * agreement, between a witness and the node (docs/evidence.md).
 */

import { HoldfastError, systemRandom, utf8 } from '../../core/index.ts';
import {
  answerTexts,
  commitmentTexts,
  fileEntry,
  makeAgreementChallenge,
  serialiseAgreementChallenge,
  serialiseAgreementSecrets,
} from '../../evidence/index.ts';
import { nodeKeySpecs } from '../../token/index.ts';
import { writeWholeFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type CosignerFlags, requireSubmission } from '../trust-source.ts';
import { readAnswers, readChallenge } from './agreement-files.ts';
import { siteOf } from './evidence.ts';
import { digestOf } from './possession.ts';

export interface ChallengeFlags {
  readonly description: string;
  readonly fleetName: string;
  readonly node: string;
  readonly out: string;
  readonly secrets: string;
}

/** A witness's part: new secrets, which stay with the witness, and what is asked of the node. */
export async function challenge(flags: ChallengeFlags): Promise<CommandResult> {
  const { fleetName: fleet, node, out, secrets: file } = flags;
  const labels = nodeKeySpecs({ fleet, node });
  const label = (name: string) => labels.find((each) => each.name === name)!.label;
  const made = makeAgreementChallenge(
    { description: digestOf(flags.description), node, labels: { session: label('session'), oprf: label('oprf') } },
    systemRandom,
  );
  const text = serialiseAgreementChallenge(made.challenge);
  // The secrets first: a challenge that nobody can end would stand in the log for nothing.
  await writeWholeFile(file, serialiseAgreementSecrets(made.secrets), { mode: 0o600, overwrite: false });
  await writeWholeFile(out, text, { mode: 0o644, overwrite: false });
  return {
    value: { node, challenge: out, secrets: file, sha256: made.secrets.challenge },
    lines: [
      `A challenge for ${node} is in ${out}; its secrets are in ${file}.`,
      'Keep the secrets to yourself until the node’s answers are in the log.',
      `Next: holdfast evidence log-exchange ${out}`,
    ],
  };
}

export interface LogExchangeFlags extends CosignerFlags {
  readonly site: string;
}

/** Has the log note a challenge, and then, in another run, the answers to it. */
export async function logExchange(
  [path, answersPath, ...more]: readonly string[],
  flags: LogExchangeFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  if (path === undefined || more.length > 0) throw new HoldfastError('usage', 'name the challenge, and its answers');
  const asked = await readChallenge(path);
  const texts = answersPath === undefined ? commitmentTexts(asked) : answerTexts(asked, await readAnswers(answersPath));
  const site = siteOf(flags.site);
  await using submission = await requireSubmission(flags);
  const indices: number[] = [];
  for (const text of texts) {
    const content = utf8(text);
    const { sha256, size, address } = fileEntry(content, '.txt');
    await submission.evidenceFile('txt', content, signal);
    indices.push(await submission.evidence({ sha256, size, address: `${site}/evidence/${address}` }, signal));
  }
  const what = answersPath === undefined ? 'challenge' : 'answers';
  const next =
    answersPath === undefined
      ? `Next, at the node: holdfast evidence answer ${path}`
      : 'The secrets may be revealed now: holdfast evidence possession, with all three files';
  return {
    value: { node: asked.node, logged: what, indices },
    lines: [`The ${what} for ${asked.node} stand in the log at ${indices.join(' and ')}.`, next],
  };
}
