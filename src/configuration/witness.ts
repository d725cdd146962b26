/** Configuration of a witness: a JSON file, and environment variables HOLDFAST_WITNESS_*. */

import { HoldfastError, type JsonValue } from '../core/index.ts';
import { publicTls } from './coordinator.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { SIGNING_TOKEN_SETTINGS, type SigningTokenConfiguration, signingToken } from './token.ts';
import { type ListenConfiguration, LOG_LEVELS, type LogLevel, type TlsFiles } from './types.ts';

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
  readonly rateLimit: { readonly requests: number; readonly windowMilliseconds: number } | undefined;
  readonly trustedProxies: readonly string[];
  readonly maximumInFlight: number;
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
  { path: 'listen.host', kind: 'text', default: '0.0.0.0', description: 'Address for logs and monitors.' },
  {
    path: 'listen.port',
    kind: 'integer',
    maximum: 65_535,
    default: 8446,
    description: 'Port for logs and monitors; 0 takes any free one.',
  },
  {
    path: 'listen.plainHttp',
    kind: 'boolean',
    default: false,
    description: 'Serve plain HTTP, on loopback only, for a reverse proxy that does HTTPS.',
  },
  { path: 'metrics.host', kind: 'text', default: '127.0.0.1', description: 'Address for monitoring (plain HTTP).' },
  {
    path: 'metrics.port',
    kind: 'integer',
    maximum: 65_535,
    default: 9466,
    description: 'Port for monitoring; 0 takes any free one.',
  },
  {
    path: 'tls.certificate',
    kind: 'path',
    description: 'PEM certificate with its chain. Required unless `listen.plainHttp`.',
  },
  { path: 'tls.key', kind: 'path', description: 'PEM private key of that certificate, mode 600.' },
  {
    path: 'refreshSeconds',
    kind: 'integer',
    maximum: 3600,
    default: 60,
    description:
      'Seconds within which a checkpoint that was just cosigned gets the same cosignature again, so that nobody can wear out the token.',
  },
  {
    path: 'rateLimit.requests',
    kind: 'integer',
    maximum: 1_000_000,
    default: 120,
    description: 'Requests per client address in a window; 0 for no limit.',
  },
  {
    path: 'rateLimit.windowMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: 86_400_000,
    default: 60_000,
    description: 'Length of that window in milliseconds.',
  },
  {
    path: 'trustedProxies',
    kind: 'list',
    default: [],
    description: 'Addresses or CIDR blocks of reverse proxies whose `X-Forwarded-For` is believed.',
  },
  {
    path: 'maximumInFlight',
    kind: 'integer',
    minimum: 1,
    maximum: 100_000,
    default: 200,
    description: 'Requests in flight beyond which 503 is answered.',
  },
  {
    path: 'logLevel',
    kind: 'text',
    words: LOG_LEVELS,
    default: 'info',
    description: 'Least severe level that is logged.',
  },
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadWitnessConfiguration(sources: Sources): WitnessConfiguration {
  const settings = new Settings(WITNESS_SETTINGS, WITNESS_PREFIX, sources);
  const requests = settings.integer('rateLimit.requests');
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
    listen: Object.freeze({ host: settings.text('listen.host'), port: settings.integer('listen.port') }),
    metrics: Object.freeze({ host: settings.text('metrics.host'), port: settings.integer('metrics.port') }),
    tls: publicTls(settings),
    refreshSeconds: settings.integer('refreshSeconds'),
    rateLimit:
      requests === 0
        ? undefined
        : Object.freeze({ requests, windowMilliseconds: settings.integer('rateLimit.windowMilliseconds') }),
    trustedProxies: settings.list('trustedProxies'),
    maximumInFlight: settings.integer('maximumInFlight'),
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
