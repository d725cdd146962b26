/** `holdfast ceremony`: a token and its keys made before people, step by step, with a transcript. */

import { createPublicKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import {
  CEREMONY_ROLES,
  CeremonyFolder,
  type CeremonyKeys,
  type CeremonyParticipant,
  type CeremonyPlan,
  checkPlan,
  conduct,
  type LocalSettings,
  type Machine,
  openCeremony,
  type Progress,
  publicKeys,
  readPlan,
  readTranscriptFile,
  scriptDigest,
  scriptLines,
  sealCeremony,
  type TokenState,
  TranscriptFile,
  tokenOf,
  verifyTranscript,
  workOf,
  writeOver,
} from '../../ceremony/index.ts';
import { HoldfastError, parseJson, systemClock, systemRandom } from '../../core/index.ts';
import { MAXIMUM_SIGSTORE_BUNDLE } from '../../evidence/index.ts';
import { findSoftHsm, findSoftHsmConfiguration, softHsmFolder } from '../../token/index.ts';
import { peopleAtTerminal, peopleOfFile } from '../ceremony-people.ts';
import { readSmallFile, readTextFile } from '../files.ts';
import { homeFolder } from '../home.ts';
import { say } from '../output.ts';
import type { CommandResult } from '../run.ts';
import { version } from '../version.ts';

export interface RunFlags {
  readonly dryRun?: boolean;
  readonly fleet?: string;
  readonly node?: string;
  readonly role?: string;
  readonly name?: string;
  readonly origin?: string;
  readonly module?: string;
  readonly moduleParameters?: string;
  readonly syncFolder?: string;
  readonly label?: string;
  readonly slot?: number;
  readonly serial?: string;
  readonly takePrepared?: boolean;
  readonly destroyExisting?: boolean;
  readonly pinFile?: string;
  readonly soPinFile?: string;
  readonly characters?: number;
  readonly person?: readonly string[];
  readonly seals?: boolean;
  readonly attestation?: readonly string[];
  readonly ceremonyName?: string;
  readonly answers?: string;
  readonly json?: boolean;
}

/** 120 bits. */
const PIN_LENGTH = 24;
const MAXIMUM_KEY_FILE = 4096;
const MAXIMUM_LOCAL = 65_536;
/** What may be said again when a ceremony goes on. */
const AT_ANY_TIME = new Set(['dryRun', 'answers', 'json']);

export async function run(path: string, flags: RunFlags, signal: AbortSignal): Promise<CommandResult> {
  const folder = new CeremonyFolder(resolve(path));
  // Of one that was stopped before its plan was written nothing is kept: nothing had been done.
  const isNew = !existsSync(folder.transcript) || (await readTranscriptFile(folder.transcript)).progress.isEmpty;
  if (isNew) return await begin(folder, flags, signal);
  const again = Object.keys(flags).filter((flag) => !AT_ANY_TIME.has(flag));
  if (again.length > 0) {
    throw new HoldfastError(
      'usage',
      `this folder holds a ceremony, which goes on as it was planned: leave out ${again.join(', ')}`,
    );
  }
  if (flags.dryRun) return await dryRunOf((await readTranscriptFile(folder.transcript)).progress);
  const transcript = await TranscriptFile.open(folder.transcript, systemClock);
  return await lead(folder, transcript, flags, signal);
}

async function begin(folder: CeremonyFolder, flags: RunFlags, signal: AbortSignal): Promise<CommandResult> {
  const local = localOf(folder, flags);
  const plan = await planOf(flags, local);
  if (flags.dryRun) {
    const lines = scriptLines(plan);
    return {
      value: { ceremony: plan.name, script: lines, digest: scriptDigest(plan) },
      lines: [...lines, '', `SHA-256 of this script: ${scriptDigest(plan)}`],
    };
  }
  const prepared = plan.token.state === 'prepared';
  if (existsSync(local.pinFile) !== prepared) {
    throw new HoldfastError(
      'usage',
      prepared
        ? `there is no PIN file ${JSON.stringify(local.pinFile)}; bring the PIN of the prepared token with --pin-file`
        : `there is a PIN file ${JSON.stringify(local.pinFile)} already; name another one with --pin-file`,
    );
  }
  await mkdir(folder.path, { recursive: true, mode: 0o700 });
  await writeOver(folder.local, `${JSON.stringify(local, null, 2)}\n`, 0o600);
  const transcript = await TranscriptFile.open(folder.transcript, systemClock);
  await openCeremony(transcript, plan, version());
  return await lead(folder, transcript, flags, signal);
}

async function lead(
  folder: CeremonyFolder,
  transcript: TranscriptFile,
  flags: RunFlags,
  signal: AbortSignal,
): Promise<CommandResult> {
  const { progress } = transcript;
  try {
    const people = flags.answers === undefined ? peopleAtTerminal(signal) : await peopleOfFile(flags.answers);
    const machine: Machine = { folder, local: await readLocal(folder), progress, people, random: systemRandom };
    if (progress.done.length > 0) say(`${progress.done.length} of ${progress.steps.length} steps are done already.`);
    await conduct({
      transcript,
      people,
      work: (step) => workOf(machine, step),
      elapsed: () => performance.now(),
      onStep: ({ title, command }, number, of) => say(`[${number}/${of}] ${title}`, `      runs: ${command}`),
      onEnd: (_step, finding) => say(`      ${finding}`),
      signal,
    });
    if (!existsSync(folder.transcriptBundle) || !existsSync(folder.keys)) await sealCeremony(machine);
  } finally {
    await transcript.close();
  }
  const shown = await show(folder.path);
  const token = tokenOf(progress);
  return {
    value: { ...shown.value, token, pinFile: (await readLocal(folder)).pinFile, keys: publicKeys(progress) },
    lines: [
      ...shown.lines,
      '',
      `Public keys: ${folder.keys}`,
      `PIN of the user: ${(await readLocal(folder)).pinFile}. Give it to whoever runs the service, and to nobody else.`,
      ...(existsSync(folder.certificates) ? [`Certificates: ${folder.certificates}`] : []),
    ],
  };
}

/** What a transcript says, after all of it that can be verified was. */
export async function show(path: string): Promise<CommandResult> {
  const folder = new CeremonyFolder(resolve(path));
  const { bytes, progress, torn } = await readTranscriptFile(folder.transcript);
  if (progress.isEmpty) throw new HoldfastError('ceremony_damaged', 'the transcript has no records');
  const bundle = existsSync(folder.transcriptBundle)
    ? await readSmallFile(folder.transcriptBundle, 'the token’s signature', MAXIMUM_SIGSTORE_BUNDLE)
    : undefined;
  const found = verifyTranscript(bytes, progress, bundle);
  const steps = progress.done.map(({ step, began, ended, finding }) => ({
    ...{ step: step.name, title: step.title, finding },
    began: new Date(began).toISOString(),
    ended: new Date(ended).toISOString(),
  }));
  return {
    value: {
      ceremony: progress.plan.name,
      status: progress.closed ? 'done' : 'unfinished',
      ...found,
      ...{ records: progress.records.length, head: progress.head, torn, steps },
      next: progress.next?.name ?? null,
    },
    lines: [
      `Ceremony ${progress.plan.name}: ${progress.done.length} of ${progress.steps.length} steps, ${progress.records.length} records`,
      ...steps
        .map(({ title, ended, finding }) => `  ${ended.slice(0, 19)}Z  ${title}\n${' '.repeat(24)}${finding}`)
        .flatMap((each) => each.split('\n')),
      ...(progress.next ? [`Next: ${progress.next.title}`] : []),
      '',
      `Signed by the people’s own keys: ${found.signed.join(', ') || 'nobody'}`,
      `Reported by the ceremony machine, and by nothing else: ${[...found.reported, 'every command and result above'].join(', ')}`,
      `Signed by the token’s own key: ${found.signedByToken ? 'yes; that the key is in a device is proven by certificates only' : 'not yet'}`,
      `SHA-256 of the transcript: ${found.sha256}`,
    ],
  };
}

function dryRunOf(progress: Progress): CommandResult {
  const lines = [
    ...scriptLines(progress.plan),
    '',
    `${progress.done.length} of ${progress.steps.length} steps are done; next: ${progress.next?.title ?? 'nothing'}`,
  ];
  return { value: { ceremony: progress.plan.name, script: lines, digest: scriptDigest(progress.plan) }, lines };
}

function localOf(folder: CeremonyFolder, flags: RunFlags): LocalSettings {
  const module = flags.module ?? findSoftHsm();
  if (module === undefined)
    throw new HoldfastError('usage', 'name the PKCS#11 module, a shared library: --module PATH');
  return {
    module: resolve(module),
    ...(flags.moduleParameters !== undefined && { moduleParameters: flags.moduleParameters }),
    pinFile: flags.pinFile === undefined ? folder.pin : resolve(flags.pinFile),
    ...(flags.soPinFile !== undefined && { soPinFile: resolve(flags.soPinFile) }),
    ...syncFolderOf(module, flags),
    attestations: (flags.attestation ?? []).map((path) => resolve(path)),
  };
}

/** SoftHSM never syncs what it writes; where another token's files are is for its owner to say. */
function syncFolderOf(module: string, { syncFolder }: RunFlags): { readonly syncFolder?: string } {
  if (syncFolder !== undefined) return { syncFolder: resolve(syncFolder) };
  const configuration = process.env.SOFTHSM2_CONF ?? findSoftHsmConfiguration(homeFolder() ?? '/');
  if (configuration === undefined || !basename(module).startsWith('libsofthsm')) return {};
  return { syncFolder: softHsmFolder(configuration) };
}

export async function readLocal(folder: CeremonyFolder): Promise<LocalSettings> {
  const text = await readTextFile(folder.local, 'the settings of the ceremony', MAXIMUM_LOCAL);
  const file = parseJson(text, 'bad_input').object([
    'module',
    'moduleParameters',
    'pinFile',
    'soPinFile',
    'syncFolder',
    'attestations',
  ]);
  const optional = (name: 'moduleParameters' | 'soPinFile' | 'syncFolder') => file.optional(name)?.text(4096);
  const [moduleParameters, soPinFile] = [optional('moduleParameters'), optional('soPinFile')];
  const syncFolder = optional('syncFolder');
  return {
    module: file.required('module').text(4096),
    pinFile: file.required('pinFile').text(4096),
    attestations: file
      .required('attestations')
      .array(0, 64)
      .map((each) => each.text(4096)),
    ...(moduleParameters !== undefined && { moduleParameters }),
    ...(soPinFile !== undefined && { soPinFile }),
    ...(syncFolder !== undefined && { syncFolder }),
  };
}

async function planOf(flags: RunFlags, local: LocalSettings): Promise<CeremonyPlan> {
  if (flags.label === undefined) throw new HoldfastError('usage', 'say how the token is called: --label LABEL');
  if (flags.takePrepared && flags.destroyExisting) {
    throw new HoldfastError('usage', 'use one of --take-prepared and --destroy-existing');
  }
  const state: TokenState = flags.takePrepared ? 'prepared' : flags.destroyExisting ? 'occupied' : 'empty';
  if ((state === 'occupied') !== (flags.soPinFile !== undefined)) {
    throw new HoldfastError('usage', '--destroy-existing and --so-pin-file belong together');
  }
  const people: CeremonyParticipant[] = [];
  for (const text of flags.person ?? []) people.push(await participantOf(text));
  if (people.length === 0) throw new HoldfastError('usage', 'say who is present: --person NAME=PART[=KEY.pem]');
  const keys = people.flatMap(({ key }) => (key === null ? [] : [Buffer.from(key).toString('hex')]));
  if (new Set(keys).size !== keys.length)
    throw new HoldfastError('usage', 'two people have the same key; each brings their own');
  const plan: CeremonyPlan = {
    name:
      flags.ceremonyName ??
      flags.label
        .toLowerCase()
        .replace(/[^a-z0-9._-]+/g, '-')
        .replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, ''),
    keys: keysOf(flags),
    token: {
      state,
      module: basename(local.module),
      label: flags.label,
      slot: flags.slot ?? null,
      serial: flags.serial ?? null,
    },
    pinLength: flags.characters ?? PIN_LENGTH,
    seals: flags.seals ?? false,
    people,
  };
  return checkPlan(plan, (text) => readPlan(parseJson(text, 'bad_input')));
}

function keysOf({ fleet, node, role, name, origin }: RunFlags): CeremonyKeys {
  if (role === undefined && fleet !== undefined && node !== undefined && name === undefined && origin === undefined) {
    return { kind: 'node', fleet, node };
  }
  const known = CEREMONY_ROLES.find((each) => each === role);
  if (
    known &&
    name !== undefined &&
    fleet === undefined &&
    node === undefined &&
    (known === 'cosigner') === (origin !== undefined)
  ) {
    return { kind: 'signing', role: known, name, origin: origin ?? null };
  }
  throw new HoldfastError(
    'usage',
    `say which keys: --fleet and --node, or --role (${CEREMONY_ROLES.join(', ')}) and --name, with --origin for a cosigner`,
  );
}

/** `NAME=PART` or `NAME=PART=KEY.pem`. */
async function participantOf(text: string): Promise<CeremonyParticipant> {
  const [name = '', role = '', ...rest] = text.split('=');
  if (name === '' || role === '') throw new HoldfastError('usage', '--person is NAME=PART or NAME=PART=KEY.pem');
  if (rest.length === 0) return { name, role, key: null };
  const path = rest.join('=');
  const pem = await readTextFile(path, 'the public key', MAXIMUM_KEY_FILE);
  const wrong = (cause?: unknown) =>
    new HoldfastError(
      'bad_input',
      `${JSON.stringify(path)} is no public key of Ed25519 or P-256 in PEM; make one with openssl pkey -pubout`,
      { cause },
    );
  if (!/^-----BEGIN PUBLIC KEY-----/.test(pem)) throw wrong();
  try {
    const key = Uint8Array.from(createPublicKey(pem).export({ type: 'spki', format: 'der' }));
    if (key.length !== 44 && key.length !== 91) throw wrong();
    return { name, role, key };
  } catch (cause) {
    throw cause instanceof HoldfastError ? cause : wrong(cause);
  }
}
