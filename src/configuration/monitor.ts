/** Configuration of a monitor: a JSON file, and environment variables HOLDFAST_MONITOR_*. */

import { HoldfastError, type JsonValue } from '../core/index.ts';
import { addressSettings, LOG_LEVEL_SETTING, readAddress } from './listeners.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import type { ListenConfiguration, LogLevel } from './types.ts';

/** Another place that serves checkpoints of the log. */
export interface VantageConfiguration {
  /** For people. */
  readonly name: string;
  readonly url: string;
  /** `log`: serves the log, at `checkpoint`. `witness`: serves what it cosigned, by the origin's hash. */
  readonly kind: 'log' | 'witness';
}

export interface MonitorConfiguration {
  /** Path of the trust policy. */
  readonly policy: string;
  /** Of the log; undefined: the one in the policy. */
  readonly url: string | undefined;
  readonly vantages: readonly VantageConfiguration[];
  readonly authority: string | undefined;
  readonly store: { readonly directory: string };
  /** Where signed checkpoints that contradict each other are put. */
  readonly evidenceDirectory: string;
  /** Path of the signing journal of a token whose signatures belong into the log. */
  readonly journal: string | undefined;
  /** Address of the log's Plexi view. */
  readonly plexi: string | undefined;
  /** Seconds, as are the next ones. */
  readonly interval: number;
  readonly unacceptedAfter: number;
  readonly withheldAfter: number;
  readonly evidence: {
    readonly fetch: boolean;
    readonly maximumBytes: number;
    /** Seconds between two looks at the same evidence. */
    readonly interval: number;
    /** HTTPS origins inside the own network from which evidence may be fetched. */
    readonly origins: readonly string[];
  };
  readonly webhook: { readonly url: string; readonly secretFile: string | undefined } | undefined;
  readonly metrics: ListenConfiguration;
  /** Milliseconds for one answer of a server. */
  readonly timeout: number;
  readonly logLevel: LogLevel;
}

export const MONITOR_PREFIX = 'HOLDFAST_MONITOR';

const DAY = 86_400;

export const MONITOR_SETTINGS: readonly Setting[] = [
  {
    path: 'policy',
    kind: 'path',
    required: true,
    description: 'Trust policy: the log with its address and keys, its witnesses, whose signatures count, ages.',
  },
  { path: 'url', kind: 'text', description: 'Address of the log, instead of the policy’s.' },
  {
    path: 'vantages',
    kind: 'json',
    description:
      'Other places that serve checkpoints of the log: list of `{"name": "mirror", "kind": "log", "url": "https://..."}`; `kind` is `log` or `witness`. The policy’s witnesses that have addresses are asked anyway.',
  },
  { path: 'authority', kind: 'path', description: 'PEM file with authorities for HTTPS, besides the system’s.' },
  {
    path: 'store.directory',
    kind: 'path',
    required: true,
    description: 'Folder of what the monitor has seen: without it, a log that went back cannot be noticed.',
  },
  {
    path: 'evidenceDirectory',
    kind: 'path',
    required: true,
    description: 'Folder for signed checkpoints that contradict each other. Copy what appears there to a safe place.',
  },
  {
    path: 'journal',
    kind: 'path',
    description: 'Signing journal of one’s own token: each of its signatures that belongs into the log must be there.',
  },
  {
    path: 'plexi',
    kind: 'text',
    description: 'Address of the Plexi view (`https://host`): its statements are held against the log.',
  },
  {
    path: 'interval',
    kind: 'integer',
    minimum: 1,
    maximum: DAY,
    default: 300,
    description: 'Seconds between two looks, with `--watch`.',
  },
  {
    path: 'unacceptedAfter',
    kind: 'integer',
    maximum: 30 * DAY,
    default: DAY,
    description: 'Seconds after which a proposal that the operator has not accepted is an alert.',
  },
  {
    path: 'withheldAfter',
    kind: 'integer',
    maximum: DAY,
    default: 900,
    description: 'Seconds for which the log may lag behind what a witness has cosigned, or a journal has.',
  },
  { path: 'evidence.fetch', kind: 'boolean', default: true, description: 'Fetch evidence and compare its SHA-256.' },
  {
    path: 'evidence.maximumBytes',
    kind: 'integer',
    minimum: 1024,
    maximum: 2 ** 30,
    default: 64 * 2 ** 20,
    description: 'Bytes of the largest piece of evidence that is fetched; a larger one is an alert.',
  },
  {
    path: 'evidence.interval',
    kind: 'integer',
    maximum: 30 * DAY,
    default: DAY,
    description: 'Seconds after which evidence that was right is fetched again.',
  },
  {
    path: 'evidence.origins',
    kind: 'list',
    default: [],
    description:
      'Origins (`https://host:port`) inside the own network from which evidence may be fetched. All others must be public: their addresses are chosen by the log.',
  },
  {
    path: 'webhook.url',
    kind: 'text',
    description: 'Where alerts are sent as JSON (POST): `https://`, or `http://` on loopback.',
  },
  {
    path: 'webhook.secretFile',
    kind: 'path',
    description: 'File with a secret of at least 16 bytes, mode 600: messages then carry their HMAC-SHA256.',
  },
  ...addressSettings('metrics', '127.0.0.1', 9467, 'monitoring, with `--watch` (plain HTTP)'),
  {
    path: 'timeoutMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: 600_000,
    default: 10_000,
    description: 'Milliseconds for one answer of a server.',
  },
  LOG_LEVEL_SETTING,
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadMonitorConfiguration(sources: Sources): MonitorConfiguration {
  const settings = new Settings(MONITOR_SETTINGS, MONITOR_PREFIX, sources);
  const url = settings.optionalText('webhook.url');
  const secretFile = settings.optionalText('webhook.secretFile');
  if (secretFile !== undefined && url === undefined) {
    throw new HoldfastError('usage', 'webhook.secretFile is for webhook.url; set that too');
  }
  return Object.freeze({
    policy: settings.text('policy'),
    url: settings.optionalText('url'),
    vantages: readVantages(settings.optionalJson('vantages')),
    authority: settings.optionalText('authority'),
    store: Object.freeze({ directory: settings.text('store.directory') }),
    evidenceDirectory: settings.text('evidenceDirectory'),
    journal: settings.optionalText('journal'),
    plexi: settings.optionalText('plexi'),
    interval: settings.integer('interval'),
    unacceptedAfter: settings.integer('unacceptedAfter'),
    withheldAfter: settings.integer('withheldAfter'),
    evidence: Object.freeze({
      fetch: settings.boolean('evidence.fetch'),
      maximumBytes: settings.integer('evidence.maximumBytes'),
      interval: settings.integer('evidence.interval'),
      origins: settings.list('evidence.origins'),
    }),
    webhook: url === undefined ? undefined : Object.freeze({ url, secretFile }),
    metrics: readAddress(settings, 'metrics'),
    timeout: settings.integer('timeoutMilliseconds'),
    logLevel: settings.text('logLevel') as LogLevel,
  });
}

function readVantages(value: JsonValue | undefined): readonly VantageConfiguration[] {
  const vantages = (value?.array(0, 64) ?? []).map((item) => {
    const vantage = item.object(['name', 'kind', 'url']);
    return Object.freeze({
      name: vantage.required('name').text(64),
      kind: vantage.required('kind').word(['log', 'witness']),
      url: vantage.required('url').text(1024),
    });
  });
  if (new Set(vantages.map(({ name }) => name)).size !== vantages.length) value?.fail('has a name twice');
  return Object.freeze(vantages);
}
