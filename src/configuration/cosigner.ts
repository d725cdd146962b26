/** Configuration of a cosigner and its log: a JSON file, and environment variables HOLDFAST_COSIGNER_*. */

import { HoldfastError } from '../core/index.ts';
import {
  addressSettings,
  LOG_LEVEL_SETTING,
  metricsSettings,
  mutualTlsSettings,
  PUBLIC_TLS_SETTINGS,
  publicListenerSettings,
  type RateLimitConfiguration,
  rateLimitSettings,
  readAddress,
  readMutualTls,
  readPublicTls,
  readRateLimit,
  TRUSTED_PROXIES_SETTING,
} from './listeners.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { SIGNING_TOKEN_SETTINGS, type SigningTokenConfiguration, signingToken } from './token.ts';
import type { ListenConfiguration, LogLevel, TlsFiles } from './types.ts';

export interface CosignerConfiguration {
  /** Path of the signed trust policy that counts until the log has a newer one. */
  readonly policy: string;
  /** Of the keys on the token, for example `cosigner.example`. */
  readonly name: string;
  readonly token: SigningTokenConfiguration;
  readonly journal: string;
  readonly store: { readonly directory: string };
  /** Folder of the static files. */
  readonly files: { readonly directory: string };
  /** Folder of the transparency page as it was built; undefined for that of the program's own build. */
  readonly page: string | undefined;
  readonly listen: ListenConfiguration;
  /** Undefined serves plain HTTP on loopback. */
  readonly tls: Pick<TlsFiles, 'certificate' | 'key'> | undefined;
  readonly submission: {
    readonly listen: ListenConfiguration;
    readonly tls: TlsFiles;
    /** What the certificates have in the place of a fleet's name. */
    readonly authorityName: string;
  };
  readonly metrics: ListenConfiguration;
  /** Names of the operators' certificates that may approve; undefined asks nobody. */
  readonly approvers: readonly string[] | undefined;
  /** Milliseconds, and a number of fleets. */
  readonly rules: {
    readonly maximumValidity: number;
    readonly maximumAhead: number;
    readonly pendingFor: number;
    readonly newFleets: number;
  };
  /** Milliseconds, but for `authority`: a PEM file with authorities for the witnesses' HTTPS, besides the system's. */
  readonly witnesses: { readonly timeout: number; readonly refresh: number; readonly authority: string | undefined };
  /** Whether evidence that was not uploaded is fetched, from where inside the own network, and bytes that are kept. */
  readonly evidence: {
    readonly fetch: boolean;
    readonly origins: readonly string[];
    readonly maximumBytes: number;
    /** Folder with roots of vendors' attestations; undefined: none is believed. */
    readonly vendorRoots: string | undefined;
  };
  readonly rateLimit: RateLimitConfiguration | undefined;
  readonly trustedProxies: readonly string[];
  readonly logLevel: LogLevel;
}

export const COSIGNER_PREFIX = 'HOLDFAST_COSIGNER';

const DAY = 86_400_000;

export const COSIGNER_SETTINGS: readonly Setting[] = [
  {
    path: 'policy',
    kind: 'path',
    required: true,
    description: 'Signed trust policy that counts until the log has a newer one. It names the log and its witnesses.',
  },
  {
    path: 'name',
    kind: 'text',
    required: true,
    description: 'Name of the keys on the token, as `holdfast signer keys --role cosigner --name` was given it.',
  },
  ...SIGNING_TOKEN_SETTINGS,
  {
    path: 'journal',
    kind: 'path',
    required: true,
    description:
      'Signing journal of the keys. It must survive what the store survives, on a disk of its own if possible.',
  },
  {
    path: 'store.directory',
    kind: 'path',
    required: true,
    description: 'Folder of the log’s store. Never go on with an older copy of it: see docs/cosigner.md.',
  },
  {
    path: 'files.directory',
    kind: 'path',
    required: true,
    description: 'Folder of the static files, made from the store. Any web server may serve it.',
  },
  {
    path: 'page.directory',
    kind: 'path',
    description: 'Folder of the transparency page as it was built; none for the one that comes with the program.',
  },
  ...publicListenerSettings(8444, 'everybody who reads'),
  ...PUBLIC_TLS_SETTINGS,
  ...addressSettings('submission', '127.0.0.1', 8445, 'operators (mutual TLS)'),
  {
    path: 'submission.authorityName',
    kind: 'text',
    required: true,
    description: 'Name of the authority, which stands in its certificates in the place of a fleet’s.',
  },
  ...mutualTlsSettings('submission', 'the authority of operators’ certificates', 'cosigner'),
  ...metricsSettings(9468),
  {
    path: 'approvers',
    kind: 'list',
    default: [],
    description: 'Names of the operators’ certificates that may approve proposals, or `none` to sign without a person.',
  },
  {
    path: 'rules.maximumValidity',
    kind: 'integer',
    minimum: 60_000,
    maximum: 3660 * DAY,
    default: 400 * DAY,
    description: 'Longest time in milliseconds from a bundle’s `notBefore` to its `notAfter`.',
  },
  {
    path: 'rules.maximumAhead',
    kind: 'integer',
    maximum: 366 * DAY,
    default: 30 * DAY,
    description: 'How far ahead a bundle’s `notBefore` may be, in milliseconds.',
  },
  {
    path: 'rules.pendingFor',
    kind: 'integer',
    maximum: 30 * DAY,
    default: DAY,
    description:
      'Milliseconds for which a proposal that is not accepted yet keeps other operators from proposing for its fleet, or with its keys.',
  },
  {
    path: 'rules.newFleets',
    kind: 'integer',
    minimum: 1,
    maximum: 100,
    default: 8,
    description: 'Fleets that one operator may have proposed of which no bundle was ever accepted.',
  },
  {
    path: 'witnesses.timeout',
    kind: 'integer',
    minimum: 100,
    maximum: 120_000,
    default: 15_000,
    description: 'Milliseconds for a witness to answer; one that audits reads the log meanwhile.',
  },
  {
    path: 'witnesses.refresh',
    kind: 'integer',
    minimum: 1000,
    maximum: DAY,
    default: 3_600_000,
    description: 'Milliseconds between rounds of cosigning while nothing is appended.',
  },
  {
    path: 'witnesses.authority',
    kind: 'path',
    description: 'PEM file with authorities for the witnesses’ HTTPS, besides the system’s.',
  },
  {
    path: 'evidence.fetch',
    kind: 'boolean',
    default: true,
    description: 'Fetch the evidence that a proposal names where no operator has uploaded it; without redirects.',
  },
  {
    path: 'evidence.origins',
    kind: 'list',
    default: [],
    description:
      'Origins such as `https://evidence.internal` that evidence may be fetched from although they are inside the own network.',
  },
  {
    path: 'evidence.maximumBytes',
    kind: 'integer',
    minimum: 1_048_576,
    default: 1_073_741_824,
    description: 'Bytes of all evidence that is kept and served.',
  },
  {
    path: 'evidence.vendorRoots',
    kind: 'path',
    description:
      'Folder with roots of vendors’ attestations that you have pinned, one certificate in PEM or DER in each file `<vendor>.pem` or `<vendor>.cer`. Without it no bundle that calls a token attested is signed.',
  },
  ...rateLimitSettings(600),
  TRUSTED_PROXIES_SETTING,
  LOG_LEVEL_SETTING,
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadCosignerConfiguration(sources: Sources): CosignerConfiguration {
  const settings = new Settings(COSIGNER_SETTINGS, COSIGNER_PREFIX, sources);
  return Object.freeze({
    policy: settings.text('policy'),
    name: settings.text('name'),
    token: signingToken(settings),
    journal: settings.text('journal'),
    store: Object.freeze({ directory: settings.text('store.directory') }),
    files: Object.freeze({ directory: settings.text('files.directory') }),
    page: settings.optionalText('page.directory'),
    listen: readAddress(settings, 'listen'),
    tls: readPublicTls(settings),
    submission: Object.freeze({
      listen: readAddress(settings, 'submission'),
      tls: readMutualTls(settings, 'submission'),
      authorityName: settings.text('submission.authorityName'),
    }),
    metrics: readAddress(settings, 'metrics'),
    approvers: approvers(settings.list('approvers')),
    rules: Object.freeze({
      maximumValidity: settings.integer('rules.maximumValidity'),
      maximumAhead: settings.integer('rules.maximumAhead'),
      pendingFor: settings.integer('rules.pendingFor'),
      newFleets: settings.integer('rules.newFleets'),
    }),
    witnesses: Object.freeze({
      timeout: settings.integer('witnesses.timeout'),
      refresh: settings.integer('witnesses.refresh'),
      authority: settings.optionalText('witnesses.authority'),
    }),
    evidence: Object.freeze({
      fetch: settings.boolean('evidence.fetch'),
      origins: settings.list('evidence.origins'),
      maximumBytes: settings.integer('evidence.maximumBytes'),
      vendorRoots: settings.optionalText('evidence.vendorRoots'),
    }),
    rateLimit: readRateLimit(settings),
    trustedProxies: settings.list('trustedProxies'),
    logLevel: settings.text('logLevel') as LogLevel,
  });
}

/** Signing without a person has to be asked for. */
function approvers(names: readonly string[]): readonly string[] | undefined {
  if (names.length === 1 && names[0] === 'none') return undefined;
  if (names.length > 0 && !names.includes('none')) return names;
  throw new HoldfastError(
    'usage',
    'set approvers to the names of those who approve, or to none to sign without a person',
  );
}
