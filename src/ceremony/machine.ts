/** What all steps of a ceremony work with: the plan, the token by what earlier steps found, its keys, and the folder. */

import { basename, join } from 'node:path';
import { HoldfastError, type Random, type Secret } from '../core/index.ts';
import { keyLabel, keysOfRole } from '../signer/index.ts';
import { type KeySpec, type ModuleAccess, nodeKeySpecs, readPin, type TokenSelector } from '../token/index.ts';
import type { CanonicalValue } from '../trust/index.ts';
import type { People } from './conduct.ts';
import type { CeremonyKeys, Progress } from './transcript/index.ts';

/** What concerns this machine only, and stands in no transcript. */
export interface LocalSettings {
  /** Path of the PKCS#11 module. */
  readonly module: string;
  readonly moduleParameters?: string;
  /** Where the user's PIN is, or is to be written. */
  readonly pinFile: string;
  /** The present PIN of the security officer, of a token that is occupied. */
  readonly soPinFile?: string;
  /** Folder of a token that is made of files (SoftHSM's directories.tokendir): synced before a step counts as done. */
  readonly syncFolder?: string;
  /** Certificates of the vendor, PEM or DER, that were brought as files. */
  readonly attestations: readonly string[];
}

/** Names of what is in a ceremony's folder. */
export class CeremonyFolder {
  readonly path: string;
  readonly transcript: string;
  /** The transcript's signature by the token. */
  readonly transcriptBundle: string;
  /** Of this machine; not to be published. */
  readonly local: string;
  readonly setUpPin: string;
  readonly pin: string;
  readonly journal: string;
  /** Public halves, as `holdfast node keys` or `holdfast signer keys` prints them. */
  readonly keys: string;
  readonly certificates: string;
  /** Texts for people to sign, and where their signatures are looked for. */
  readonly toSign: string;
  readonly evidence: string;

  constructor(path: string) {
    this.path = path;
    this.transcript = join(path, 'transcript.jsonl');
    this.transcriptBundle = join(path, 'transcript.sigstore.json');
    this.local = join(path, 'private', 'local.json');
    this.setUpPin = join(path, 'private', 'set-up-pin');
    this.pin = join(path, 'private', 'pin');
    this.journal = join(path, 'private', 'signing.journal');
    this.keys = join(path, 'keys.json');
    this.certificates = join(path, 'certificates');
    this.toSign = join(path, 'to-sign');
    this.evidence = join(path, 'evidence');
  }
}

export interface Machine {
  readonly folder: CeremonyFolder;
  readonly local: LocalSettings;
  readonly progress: Progress;
  readonly people: People;
  readonly random: Random;
}

export const accessOf = ({ local }: Pick<Machine, 'local'>): ModuleAccess => ({
  module: local.module,
  ...(local.moduleParameters !== undefined && { moduleParameters: local.moduleParameters }),
});

/** The initialised token, by label and serial as the ceremony found or made it. */
export function tokenOf(progress: Progress): Required<Pick<TokenSelector, 'label' | 'serial'>> {
  const { state } = progress.plan.token;
  const { facts } = progress.outcome(state === 'prepared' ? 'inspect' : 'initialise');
  return {
    label: fact(fact(facts, 'token'), 'label', 'string'),
    serial: fact(fact(facts, 'token'), 'serial', 'string'),
  };
}

export function userPin({ local }: Pick<Machine, 'local'>): Promise<Secret> {
  return readPin({ file: local.pinFile }).then(({ pin }) => pin);
}

/** Name of the key that signs what is said of this token, made by the ceremony for that and nothing else. */
export function ceremonyKeyName(keys: CeremonyKeys): string {
  return keys.kind === 'node' ? `${keys.node}.${keys.fleet}/ceremony` : `${keys.name}/ceremony`;
}

/** All keys that the ceremony makes, the node's or role's first, the ceremony's own last. */
export function specsOf(keys: CeremonyKeys): KeySpec[] {
  const signing = (label: string): KeySpec => ({ name: label, label, use: 'sign' });
  const own = signing(keyLabel('evidence', ceremonyKeyName(keys)));
  if (keys.kind === 'node') return [...nodeKeySpecs(keys), own];
  const named = keysOfRole(keys.role, keys.name, keys.origin ?? undefined);
  return [...named.map(({ purpose, name }) => signing(keyLabel(purpose, name))), own];
}

type Kinds = { string: string; number: number; boolean: boolean };

/** One member of a step's facts. @throws HoldfastError `ceremony_damaged` where it is not there, or something else. */
export function fact(facts: CanonicalValue, name: string): CanonicalValue;
export function fact<K extends keyof Kinds>(facts: CanonicalValue, name: string, kind: K): Kinds[K];
export function fact(facts: CanonicalValue, name: string, kind?: keyof Kinds): CanonicalValue {
  const isObject = typeof facts === 'object' && facts !== null && !Array.isArray(facts) && Object.hasOwn(facts, name);
  const value = isObject ? (facts as Readonly<Record<string, CanonicalValue>>)[name] : undefined;
  if (value !== undefined && (kind === undefined || typeof value === kind)) return value;
  throw new HoldfastError(
    'ceremony_damaged',
    `the transcript does not say ${name} where it should; begin a new ceremony`,
  );
}

export function listFact(facts: CanonicalValue, name: string): readonly CanonicalValue[] {
  const value = fact(facts, name);
  if (Array.isArray(value)) return value;
  throw new HoldfastError('ceremony_damaged', `the transcript’s ${name} is no list; begin a new ceremony`);
}

/** CK_TOKEN_INFO for a transcript: the module by its file's name only. */
export function tokenFacts(
  token: {
    readonly [name in 'module' | 'label' | 'manufacturer' | 'model' | 'serial' | 'firmware']: string;
  },
): { readonly [name: string]: string } {
  const { label, manufacturer, model, serial, firmware } = token;
  return { module: basename(token.module), label, manufacturer, model, serial, firmware };
}
