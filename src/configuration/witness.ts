/** Configuration of a witness: a JSON file, and environment variables HOLDFAST_WITNESS_*. */

import { HoldfastError, type JsonValue } from '../core/index.ts';
import {
  LOG_LEVEL_SETTING,
  maximumInFlightSetting,
  metricsSettings,
  PUBLIC_TLS_SETTINGS,
  publicListenerSettings,
  type RateLimitConfiguration,
  rateLimitSettings,
  readAddress,
  readPublicTls,
  readRateLimit,
  TRUSTED_PROXIES_SETTING,
} from './listeners.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { SIGNING_TOKEN_SETTINGS, type SigningTokenConfiguration, signingToken } from './token.ts';
import type { ListenConfiguration, LogLevel, TlsFiles } from './types.ts';

export interface WitnessConfiguration {
  /** Of the key in its cosignatures. */
  readonly name: string;
  readonly audit: boolean;
  /** Logs of any kind. */
  readonly logs: readonly { readonly origin: string; readonly keys: readonly string[] }[];
  /** Paths of trust policies: logs of Holdfast. */
  readonly policies: readonly string[];
  /** PEM file of authorities for the logs' HTTPS, besides the system's. */
  readonly authority: string | undefined;
  readonly token: SigningTokenConfiguration;
  readonly journal: string;
  readonly store: { readonly directory: string };
  readonly listen: ListenConfiguration;
  readonly metrics: ListenConfiguration;
  /** Undefined serves plain HTTP on loopback. */
  readonly tls: Pick<TlsFiles, 'certificate' | 'key'> | undefined;
  /** Seconds within which the same checkpoint gets the same cosignature again. */
  readonly refreshSeconds: number;
  readonly rateLimit: RateLimitConfiguration | undefined;
  readonly trustedProxies: readonly string[];
  readonly maximumInFlight: number;
  /** Whether the transparency page of the program's own build is served. */
  readonly servePage: boolean;
  readonly logLevel: LogLevel;
}

export const WITNESS_PREFIX = 'HOLDFAST_WITNESS';

export const WITNESS_SETTINGS: readonly Setting[] = [
  {
    path: 'name',
    kind: 'text',
    required: true,
    description: 'Name of the witness’s key: an address without its scheme, such as `witness.example/w1`.',
  },
  {
    path: 'audit',
    kind: 'boolean',
    default: false,
    description:
      'Be an auditing witness: read and check every leaf before cosigning. Its key must be another than a plain witness’s.',
  },
  {
    path: 'policies',
    kind: 'paths',
    default: [],
    description: 'Trust policies whose logs are witnessed; origin, keys and address of each log stand in them.',
  },
  {
    path: 'logs',
    kind: 'json',
    description:
      'Further logs, of any kind: list of `{"origin": "log.example", "keys": ["log.example+01234567+..."]}` (C2SP verifier keys). Not for auditing witnesses.',
  },
  {
    path: 'authority',
    kind: 'path',
    description: 'PEM file with authorities for the HTTPS of the logs that are audited, besides the system’s.',
  },
  ...SIGNING_TOKEN_SETTINGS,
  {
    path: 'journal',
    kind: 'path',
    required: true,
    description:
      'Signing journal of the key. It must survive what the store survives, on a disk of its own if possible.',
  },
  {
    path: 'store.directory',
    kind: 'path',
    required: true,
    description: 'Folder of the witness’s state. Never restore it from a backup: see docs/witness.md.',
  },
  ...publicListenerSettings(8446, 'logs and monitors'),
  ...metricsSettings(9466),
  ...PUBLIC_TLS_SETTINGS,
  {
    path: 'refreshSeconds',
    kind: 'integer',
    maximum: 3600,
    default: 60,
    description:
      'Seconds within which a checkpoint that was just cosigned gets the same cosignature again, so that nobody can wear out the token.',
  },
  ...rateLimitSettings(120),
  TRUSTED_PROXIES_SETTING,
  maximumInFlightSetting(200, '503'),
  {
    path: 'servePage',
    kind: 'boolean',
    default: false,
    description:
      'Serve the transparency page that comes with the program at `/page/?site=https://log.example`, for people who would not have it from the site that it checks.',
  },
  LOG_LEVEL_SETTING,
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadWitnessConfiguration(sources: Sources): WitnessConfiguration {
  const settings = new Settings(WITNESS_SETTINGS, WITNESS_PREFIX, sources);
  const logs = readLogs(settings.optionalJson('logs'));
  const policies = settings.list('policies');
  const audit = settings.boolean('audit');
  if (logs.length + policies.length === 0) {
    throw new HoldfastError('usage', 'say which logs are witnessed: set policies, or logs');
  }
  if (audit && logs.length > 0) {
    throw new HoldfastError('usage', 'an auditing witness needs the rules of its logs: set policies instead of logs');
  }
  return Object.freeze({
    name: settings.text('name'),
    audit,
    logs,
    policies,
    authority: settings.optionalText('authority'),
    token: signingToken(settings),
    journal: settings.text('journal'),
    store: Object.freeze({ directory: settings.text('store.directory') }),
    listen: readAddress(settings, 'listen'),
    metrics: readAddress(settings, 'metrics'),
    tls: readPublicTls(settings),
    refreshSeconds: settings.integer('refreshSeconds'),
    rateLimit: readRateLimit(settings),
    trustedProxies: settings.list('trustedProxies'),
    maximumInFlight: settings.integer('maximumInFlight'),
    servePage: settings.boolean('servePage'),
    logLevel: settings.text('logLevel') as LogLevel,
  });
}

function readLogs(value: JsonValue | undefined): WitnessConfiguration['logs'] {
  const logs = (value?.array(0, 1000) ?? []).map((item) => {
    const log = item.object(['origin', 'keys']);
    const keys = log.required('keys').array(1, 16);
    return Object.freeze({
      origin: log.required('origin').text(1024),
      keys: Object.freeze(keys.map((key) => key.text(4096))),
    });
  });
  if (new Set(logs.map(({ origin }) => origin)).size !== logs.length) value?.fail('names an origin twice');
  return Object.freeze(logs);
}
