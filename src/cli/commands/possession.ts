/** `holdfast evidence possession`: what a node's token says of its keys, not yet signed by anybody but the node's own key. */

import { loadNodeConfiguration, type NodeConfiguration } from '../../configuration/index.ts';
import { HoldfastError, type Secret } from '../../core/index.ts';
import { type NodeKeysPredicate, withAgreement, writeNodeKeysPredicate } from '../../evidence/index.ts';
import { answerNodeChallenge, readNodeKeys } from '../../service/index.ts';
import { readPin } from '../../token/index.ts';
import { canonicalJson } from '../../trust/index.ts';
import { writeWholeFile } from '../files.ts';
import { warn } from '../output.ts';
import { askHidden } from '../prompt.ts';
import type { CommandResult } from '../run.ts';
import { type RevealedFlags, readChallenge, readRevealed, written } from './agreement-files.ts';

export interface PossessionFlags extends RevealedFlags {
  readonly config?: string;
  readonly description: string;
  readonly out?: string;
}

/** The node's configuration, with SoftHSM told where its own is: that must be known before the module is opened. */
export function loadConfiguration({ config }: { readonly config?: string }): NodeConfiguration {
  const configuration = loadNodeConfiguration({ file: config, environment: process.env });
  const { softhsmConfiguration } = configuration.token;
  if (softhsmConfiguration !== undefined) process.env.SOFTHSM2_CONF = softhsmConfiguration;
  return configuration;
}

/** The token's PIN, from wherever the configuration says. */
export async function tokenPin({ token }: NodeConfiguration): Promise<Secret> {
  const source = token.pin;
  if (!source) return askHidden('PIN of the token: ');
  const { pin, warnings } = await readPin(source, process.env);
  warn(warnings);
  return pin;
}

export async function possession(flags: PossessionFlags): Promise<CommandResult> {
  const description = digestOf(flags.description);
  const agreement = await readRevealed(flags);
  const configuration = loadConfiguration(flags);
  const read = await readNodeKeys(configuration, description, () => tokenPin(configuration));
  const predicate = agreement === undefined ? read : withAgreement(read, description, agreement);
  const text = await writePredicate(predicate, flags.out);
  return {
    value: { node: predicate.node, description, predicate: JSON.parse(text) as unknown },
    lines: [
      `${predicate.node}: token ${predicate.token.label}, serial ${predicate.token.serial}, ${predicate.keys.length} keys read back.`,
      ...(flags.out === undefined ? [text.trimEnd()] : [`Have it signed: holdfast evidence node-keys ${flags.out}`]),
    ],
  };
}

export interface AnswerFlags {
  readonly config?: string;
  readonly out: string;
}

/** The node's part of an exchange with its keys for key agreement. */
export async function answer(path: string, flags: AnswerFlags): Promise<CommandResult> {
  const asked = await readChallenge(path);
  const configuration = loadConfiguration(flags);
  const answers = await answerNodeChallenge(configuration, asked, () => tokenPin(configuration));
  return await written(flags.out, asked, answers);
}

/** @returns the text that is in the file `out`, or would be in one. */
export async function writePredicate(predicate: NodeKeysPredicate, out: string | undefined): Promise<string> {
  const text = `${canonicalJson(writeNodeKeysPredicate(predicate))}\n`;
  if (out !== undefined) await writeWholeFile(out, text, { mode: 0o644, overwrite: true });
  return text;
}

/** @throws HoldfastError `usage`. */
export function digestOf(text: string): string {
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new HoldfastError(
    'usage',
    '--description must be 64 hexadecimal digits: holdfast evidence describe prints them',
  );
}
