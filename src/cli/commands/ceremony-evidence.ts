/** `holdfast ceremony possession` and `statement`: what ceremonies give to the evidence of a fleet's description. */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import {
  answerChallenge,
  CeremonyFolder,
  ceremonyParts,
  ceremonyRecord,
  type FinishedCeremony,
  type Machine,
  nodeKeysParts,
  presenceTexts,
  readSignature,
  readTranscriptFile,
  signingCommand,
  signingFiles,
  writeOver,
  writeParts,
} from '../../ceremony/index.ts';
import { HoldfastError, systemRandom } from '../../core/index.ts';
import { descriptionDigest, MAXIMUM_SIGSTORE_BUNDLE } from '../../evidence/index.ts';
import { type Digest, MAXIMUM_NOTE_BYTES, parseBundle } from '../../trust/index.ts';
import { readSmallFile, readTextFile } from '../files.ts';
import type { CommandResult } from '../run.ts';
import { type RevealedFlags, readChallenge, readRevealed, written as writtenAnswers } from './agreement-files.ts';
import { readLocal } from './ceremony.ts';

export interface EvidenceFlags {
  readonly description: string;
  readonly out: string;
}

/** A node's keys, signed for by the identity key: needs the token. */
export async function possession(path: string, flags: EvidenceFlags & RevealedFlags): Promise<CommandResult> {
  const description = await descriptionOf(flags.description);
  const agreement = await readRevealed(flags);
  const machine = await machineOf(path);
  const parts = await nodeKeysParts(machine, description, Date.now(), agreement);
  const files = await written(flags.out, () => writeParts(resolve(flags.out), parts));
  return {
    value: { description, node: parts.name, files },
    lines: [
      `The keys of ${parts.name} for description ${description}:`,
      ...files.map((name) => `  ${join(flags.out, name)}`),
    ],
  };
}

/** The node's part of an exchange with its keys for key agreement: needs the token. */
export async function answer(
  [path, challenge]: readonly string[],
  flags: { readonly out: string },
): Promise<CommandResult> {
  const asked = await readChallenge(challenge!);
  return await writtenAnswers(flags.out, asked, await answerChallenge(await machineOf(path!), asked));
}

/** One statement on the ceremonies of all folders, once everybody has signed; the first folder's token signs it. */
export async function statement(paths: readonly string[], flags: EvidenceFlags): Promise<CommandResult> {
  const description = await descriptionOf(flags.description);
  const record = ceremonyRecord(await Promise.all(paths.map(finishedOf)));
  const machine = await machineOf(paths[0]!);
  const folder = join(machine.folder.toSign, 'statement');
  const signatures = new Map<string, Uint8Array>();
  const waiting: { person: string; text: string; command: string }[] = [];
  for (const [i, { person, text }] of presenceTexts(record, description).entries()) {
    const files = signingFiles(folder, person.name, i + 1);
    await writeOver(files.text, text);
    if (existsSync(files.signature)) signatures.set(person.name, await readSignature(files.signature, person.key));
    else waiting.push({ person: person.name, text: files.text, command: signingCommand(person.key, files) });
  }
  if (waiting.length > 0) {
    return {
      value: { description, status: 'waiting', waiting },
      lines: [
        'These people have not signed yet, each with their own key, wherever it is:',
        ...waiting.flatMap(({ person, command }) => [`  ${person}:`, `    ${command}`]),
        'When the signatures are there, run the same command again.',
      ],
      code: 'not_approved',
    };
  }
  const parts = await ceremonyParts(machine, record, description, signatures);
  const files = await written(flags.out, () => writeParts(resolve(flags.out), parts));
  const { withoutKey } = record;
  return {
    value: { description, status: 'done', signed: [...signatures.keys()], withoutKey, files },
    lines: [
      `The ceremony for description ${description}, signed by ${[...signatures.keys()].join(', ')}:`,
      ...files.map((name) => `  ${join(flags.out, name)}`),
      ...(withoutKey.length > 0 ? [`Not named, because they brought no key: ${withoutKey.join(', ')}.`] : []),
    ],
  };
}

/** SHA-256 in hexadecimal, or the text of a bundle that is proposed. */
async function descriptionOf(given: string): Promise<Digest> {
  if (/^[0-9a-f]{64}$/.test(given)) return given;
  const { manifest } = parseBundle(await readTextFile(given, 'the bundle’s text', MAXIMUM_NOTE_BYTES));
  if (manifest.kind === 'revoke')
    throw new HoldfastError('usage', 'a revocation describes no fleet; name a proposal’s text');
  return descriptionDigest(manifest);
}

async function machineOf(path: string): Promise<Machine> {
  const folder = new CeremonyFolder(resolve(path));
  const { progress } = await readTranscriptFile(folder.transcript);
  return {
    ...{ folder, local: await readLocal(folder), progress, random: systemRandom },
    people: { ask: () => Promise.reject(new HoldfastError('usage', 'nobody is asked here')) },
  };
}

async function finishedOf(path: string): Promise<FinishedCeremony> {
  const folder = new CeremonyFolder(resolve(path));
  const { bytes, progress } = await readTranscriptFile(folder.transcript);
  const bundle = await readSmallFile(
    folder.transcriptBundle,
    'the token’s signature on the transcript',
    MAXIMUM_SIGSTORE_BUNDLE,
  );
  return { bytes, progress, bundle };
}

async function written(folder: string, write: () => Promise<string[]>): Promise<string[]> {
  await mkdir(folder, { recursive: true });
  return await write();
}
