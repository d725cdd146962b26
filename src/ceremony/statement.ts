/**
 * The statement on the ceremonies that made a fleet's keys: one for all its tokens, made of their transcripts alone, so that
 * everybody who was present signs the same, wherever they sign.
 */

import { bytesToHex, concatBytes, HoldfastError, sha256, utf8 } from '../core/index.ts';
import {
  type CeremonyPerson,
  type CeremonyPredicate,
  type CeremonyStep,
  descriptionSubject,
  fileEntry,
  IN_TOTO,
  presenceText,
  serialiseSigstoreBundle,
  serialiseStatement,
  verifyWithKey,
} from '../evidence/index.ts';
import { signDsse } from '../signer/index.ts';
import type { Digest } from '../trust/index.ts';
import { fact, listFact, type Machine } from './machine.ts';
import { linesOf } from './node-keys.ts';
import type { EvidenceParts } from './parts.ts';
import { ceremonyKey, verifyTranscript, withCeremonyKey } from './seal.ts';
import type { Progress } from './transcript/index.ts';
import { nodePoints } from './work-keys.ts';
import { keyOfPerson } from './work-people.ts';

/** A finished ceremony, as its folder holds it. */
export interface FinishedCeremony {
  /** The transcript's bytes. */
  readonly bytes: Uint8Array;
  readonly progress: Progress;
  /** The token's signature on it. */
  readonly bundle: Uint8Array;
}

type Unsigned = Omit<CeremonyPredicate, 'people'> & { readonly people: readonly Omit<CeremonyPerson, 'signature'>[] };

export interface CeremonyRecord {
  readonly fleet: string;
  readonly predicate: Unsigned;
  /** All transcripts, one after the other. */
  readonly transcript: Uint8Array;
  /** Present, and not named in the statement, because they brought no key. */
  readonly withoutKey: readonly string[];
}

const seconds = (time: number) => Math.floor(time / 1000) * 1000;

/**
 * What all ceremonies say together. @throws HoldfastError `usage` where they do not belong together, or nobody has a key;
 * `signature_invalid`, `ceremony_damaged`.
 */
export function ceremonyRecord(ceremonies: readonly FinishedCeremony[]): CeremonyRecord {
  for (const { bytes, progress, bundle } of ceremonies) {
    if (!progress.closed) throw new HoldfastError('usage', `the ceremony ${progress.plan.name} is not at its end yet`);
    verifyTranscript(bytes, progress, bundle);
  }
  // In one order, whatever the order of the folders.
  const all = [...ceremonies].sort((a, b) => startOf(a) - startOf(b) || (a.progress.head < b.progress.head ? -1 : 1));
  const progresses = all.map(({ progress }) => progress);
  const fleets = new Set(progresses.flatMap(({ plan }) => (plan.keys.kind === 'node' ? [plan.keys.fleet] : [])));
  const [fleet] = fleets;
  if (fleet === undefined || fleets.size > 1) {
    throw new HoldfastError('usage', 'a statement is about the nodes of one fleet; name the ceremonies of that fleet');
  }
  const transcript = concatBytes(...all.map(({ bytes }) => bytes));
  const { people, withoutKey } = peopleOf(progresses);
  const times = progresses.flatMap(({ records }) => records.map(({ time }) => time));
  return {
    fleet,
    transcript,
    withoutKey,
    predicate: {
      began: seconds(Math.min(...times)),
      ended: seconds(Math.max(...times)),
      version: progresses[0]!.version,
      people,
      tokens: progresses.map(tokenIn),
      keys: progresses.flatMap(keysIn),
      steps: progresses.flatMap(stepsIn),
      destroyed: progresses.flatMap(destroyedIn),
      transcript: bytesToHex(sha256(transcript)),
    },
  };
}

const startOf = ({ progress }: FinishedCeremony) => progress.records[0]!.time;

function peopleOf(progresses: readonly Progress[]) {
  const people = new Map<string, Omit<CeremonyPerson, 'signature'>>();
  const withoutKey = new Set<string>();
  for (const person of progresses.flatMap(({ plan }) => plan.people)) {
    const key = keyOfPerson(person);
    if (!key) {
      withoutKey.add(person.name);
      continue;
    }
    const { name, role } = person;
    const before = people.get(name);
    if (before && (before.role !== role || bytesToHex(before.key.spki) !== bytesToHex(key.spki))) {
      throw new HoldfastError(
        'usage',
        `${name} had another part or another key in one of the ceremonies; make two statements`,
      );
    }
    people.set(name, { name, role, key });
  }
  if (people.size === 0) {
    throw new HoldfastError('usage', 'nobody who was present has brought a key, so nobody can sign a statement');
  }
  return { people: [...people.values()], withoutKey: [...withoutKey].filter((name) => !people.has(name)) };
}

function tokenIn(progress: Progress): CeremonyPredicate['tokens'][number] {
  const { plan, steps } = progress;
  const { facts } = progress.outcome(plan.token.state === 'prepared' ? 'inspect' : 'initialise');
  const token = fact(facts, 'token');
  const text = (name: string) => fact(token, name, 'string');
  const seals = steps.some(({ name }) => name === 'seals')
    ? listFact(progress.outcome('seals').facts, 'seals').map(String)
    : [];
  return {
    node: plan.keys.kind === 'node' ? plan.keys.node : null,
    ...linesOf({
      ...{ module: text('module'), label: text('label'), manufacturer: text('manufacturer') },
      ...{ model: text('model'), serial: text('serial'), firmware: text('firmware') },
    }),
    seals,
  };
}

function keysIn(progress: Progress): CeremonyPredicate['keys'] {
  const { keys } = progress.plan;
  if (keys.kind !== 'node') return [];
  return [{ node: keys.node, keys: nodePoints(progress) }];
}

/** Every attempt, those that failed too. */
function stepsIn({ records, plan, steps }: Progress): CeremonyStep[] {
  return records.flatMap(({ time, entry }) => {
    if (entry.kind !== 'ended') return [];
    const command = steps.find(({ name }) => name === entry.step)?.command ?? entry.step;
    return [{ at: seconds(time), command: `${plan.name}: ${command}`, result: entry.result, finding: entry.finding }];
  });
}

function destroyedIn(progress: Progress): CeremonyPredicate['destroyed'] {
  const { plan, done } = progress;
  const what: Readonly<Record<string, string>> = {
    initialise: plan.token.state === 'occupied' ? `all that was on the token ${plan.token.label}` : '',
    officer: `the PIN of the security officer of the token ${plan.token.label}`,
    'clean-up': `the file of the set-up PIN of the token ${plan.token.label}`,
  };
  return done.flatMap(({ step, finding, ended }) =>
    what[step.name] ? [{ what: what[step.name]!, how: finding.slice(0, 256), at: seconds(ended) }] : [],
  );
}

/** What each person signs for a description of the fleet, in the statement's order. */
export function presenceTexts({ predicate }: CeremonyRecord, description: Digest) {
  return predicate.people.map((person) => ({ person, text: presenceText(description, predicate, person) }));
}

/**
 * The statement, with everybody's signature, signed by a ceremony's key on its token.
 * @param signatures by name. @throws HoldfastError `signature_invalid`, `not_approved` where one is missing, `token_*`.
 */
export async function ceremonyParts(
  machine: Machine,
  record: CeremonyRecord,
  description: Digest,
  signatures: ReadonlyMap<string, Uint8Array>,
): Promise<EvidenceParts> {
  const people = presenceTexts(record, description).map(({ person, text }) => {
    const signature = signatures.get(person.name);
    if (!signature) throw new HoldfastError('not_approved', `${person.name} has not signed yet; nothing was written`);
    if (verifyWithKey(person.key, utf8(text), signature)) return { ...person, signature };
    throw new HoldfastError(
      'signature_invalid',
      `the signature of ${person.name} is not on the text of this description; sign that text`,
    );
  });
  const predicate = { ...record.predicate, people };
  const subject = descriptionSubject(record.fleet, description);
  const statement = serialiseStatement({ kind: 'ceremony', subject, predicate });
  const key = ceremonyKey(machine.progress);
  const bundle = await withCeremonyKey(machine, async (signer) =>
    serialiseSigstoreBundle(key.name, await signDsse(IN_TOTO, statement, signer)),
  );
  return {
    name: 'ceremony',
    manifest: {
      description,
      keys: [key],
      statements: [{ ...fileEntry(bundle), kind: 'ceremony', node: undefined, key: key.name }],
      files: [{ ...fileEntry(record.transcript, '.txt'), kind: 'transcript' }],
    },
    contents: [bundle, record.transcript],
  };
}
