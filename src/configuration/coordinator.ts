/** Configuration of a coordinator: a JSON file, and environment variables HOLDFAST_COORDINATOR_*. */

import { HoldfastError, type JsonValue } from '../core/index.ts';
import {
  LOG_LEVEL_SETTING,
  LOOPBACK,
  maximumInFlightSetting,
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
import type { ListenConfiguration, LogLevel, TlsFiles } from './types.ts';

export interface CoordinatorConfiguration {
  readonly trustFile: string;
  readonly nodes: readonly { readonly node: number; readonly url: string; readonly name: string }[];
  readonly listen: ListenConfiguration;
  readonly metrics: ListenConfiguration;
  /** For clients; undefined serves plain HTTP on loopback. */
  readonly tls: Pick<TlsFiles, 'certificate' | 'key'> | undefined;
  /** For the nodes: the certificate of role coordinator. */
  readonly nodeTls: TlsFiles;
  /** Milliseconds, as are all below. */
  readonly timeouts: {
    readonly node: number;
    readonly grace: number;
    readonly enrolmentGrace: number;
    readonly hedge: number;
  };
  readonly maintenance: {
    readonly repairing: number;
    readonly idle: number;
    readonly antiEntropy: number;
    readonly destroySpent: number;
  };
  readonly rateLimit: RateLimitConfiguration | undefined;
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
  readonly maximumInFlight: number;
  /** Undefined where clients get no trust sets here. `authority` is a path of a PEM file. */
  readonly trustSource:
    | { readonly urls: readonly string[]; readonly authority: string | undefined; readonly interval: number }
    | undefined;
  /** The operator's dashboard; undefined where there is none. */
  readonly dashboard: DashboardConfiguration | undefined;
  readonly logLevel: LogLevel;
}

export interface DashboardConfiguration {
  readonly listen: ListenConfiguration;
  /** Undefined serves plain HTTP on loopback. */
  readonly tls: Pick<TlsFiles, 'certificate' | 'key'> | undefined;
  /** Path of the file with the operator's credential. */
  readonly credentialFile: string;
  /** Milliseconds between two looks at the nodes. */
  readonly interval: number;
  /** Folder of the page as it was built; undefined for that of the program's own build. */
  readonly page: string | undefined;
}

export const COORDINATOR_PREFIX = 'HOLDFAST_COORDINATOR';

const DAY = 86_400_000;

export const COORDINATOR_SETTINGS: readonly Setting[] = [
  { path: 'trustFile', kind: 'path', required: true, description: 'Trust file of the fleet: keys, policy, names.' },
  {
    path: 'nodes',
    kind: 'json',
    required: true,
    description:
      'List of `{"node": 1, "url": "https://host:port", "name": "node-1"}`, one per node; `name` as in its certificate.',
  },
  ...publicListenerSettings(8443, 'clients'),
  ...metricsSettings(9465),
  ...PUBLIC_TLS_SETTINGS,
  ...mutualTlsSettings('nodeTls', 'the fleet’s authority', 'coordinator'),
  {
    path: 'timeouts.node',
    kind: 'integer',
    minimum: 10,
    maximum: 60_000,
    default: 5000,
    description: 'Milliseconds after which a node counts as unreachable for a request.',
  },
  {
    path: 'timeouts.grace',
    kind: 'integer',
    maximum: 60_000,
    default: 100,
    description: 'Milliseconds to wait for the minority once a majority has answered.',
  },
  {
    path: 'timeouts.enrolmentGrace',
    kind: 'integer',
    maximum: 60_000,
    default: 2000,
    description:
      'The same for enrolment, which wants all nodes, and for a client that asks again because the answers that it got were wrong; milliseconds.',
  },
  {
    path: 'timeouts.hedge',
    kind: 'integer',
    maximum: 60_000,
    default: 50,
    description:
      'Milliseconds after which what went to a majority, or a majority and one spare, goes to the other nodes too.',
  },
  {
    path: 'maintenance.repairing',
    kind: 'integer',
    minimum: 10,
    maximum: DAY,
    default: 200,
    description:
      'Milliseconds between rounds of repair traffic while a node repairs, and for a minute after one has gone.',
  },
  {
    path: 'maintenance.idle',
    kind: 'integer',
    minimum: 10,
    maximum: DAY,
    default: 1000,
    description: 'Milliseconds between looks at the nodes otherwise.',
  },
  {
    path: 'maintenance.antiEntropy',
    kind: 'integer',
    minimum: 10,
    maximum: DAY,
    default: 5000,
    description: 'Milliseconds between comparisons of two nodes.',
  },
  {
    path: 'maintenance.destroySpent',
    kind: 'integer',
    minimum: 10,
    maximum: DAY,
    default: 2000,
    description: 'Milliseconds between searches for spent records that are due to be destroyed.',
  },
  ...rateLimitSettings(120),
  {
    path: 'allowedOrigins',
    kind: 'list',
    default: [],
    description: 'Origins whose pages may call the API (CORS), or `*`.',
  },
  TRUSTED_PROXIES_SETTING,
  maximumInFlightSetting(2000, '`overloaded`'),
  {
    path: 'trustSource.urls',
    kind: 'list',
    default: [],
    description:
      'Origins of the cosigner and its mirrors. Their newest trust set of this fleet is given to clients at `/v1/trust`, and believed by nobody unverified.',
  },
  {
    path: 'trustSource.authority',
    kind: 'path',
    description: 'PEM certificate of the authority of their HTTPS; by default the platform’s own authorities.',
  },
  {
    path: 'trustSource.intervalMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: DAY,
    default: 60_000,
    description: 'Milliseconds between two looks at them.',
  },
  {
    path: 'dashboard.credentialFile',
    kind: 'path',
    description:
      'File of mode 600 with the credential of the operator’s dashboard, 20 to 512 printable characters; without it there is no dashboard.',
  },
  {
    path: 'dashboard.host',
    kind: 'text',
    default: '127.0.0.1',
    description: 'Address of the dashboard. On another than loopback it needs a certificate.',
  },
  {
    path: 'dashboard.port',
    kind: 'integer',
    maximum: 65_535,
    default: 9470,
    description: 'Port of the dashboard; 0 takes any free one.',
  },
  {
    path: 'dashboard.certificate',
    kind: 'path',
    description: 'PEM certificate of the dashboard, with its chain; without it, plain HTTP on loopback.',
  },
  { path: 'dashboard.key', kind: 'path', description: 'PEM private key of that certificate, mode 600.' },
  {
    path: 'dashboard.intervalMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: 60_000,
    default: 5000,
    description: 'Milliseconds between looks at the nodes’ figures.',
  },
  {
    path: 'dashboard.pageDirectory',
    kind: 'path',
    description: 'Folder of the dashboard’s page as it was built; none for the one that comes with the program.',
  },
  LOG_LEVEL_SETTING,
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadCoordinatorConfiguration(sources: Sources): CoordinatorConfiguration {
  const settings = new Settings(COORDINATOR_SETTINGS, COORDINATOR_PREFIX, sources);
  return Object.freeze({
    trustFile: settings.text('trustFile'),
    nodes: readNodes(settings.json('nodes')),
    listen: readAddress(settings, 'listen'),
    metrics: readAddress(settings, 'metrics'),
    tls: readPublicTls(settings),
    nodeTls: readMutualTls(settings, 'nodeTls'),
    timeouts: Object.freeze({
      node: settings.integer('timeouts.node'),
      grace: settings.integer('timeouts.grace'),
      enrolmentGrace: settings.integer('timeouts.enrolmentGrace'),
      hedge: settings.integer('timeouts.hedge'),
    }),
    maintenance: Object.freeze({
      repairing: settings.integer('maintenance.repairing'),
      idle: settings.integer('maintenance.idle'),
      antiEntropy: settings.integer('maintenance.antiEntropy'),
      destroySpent: settings.integer('maintenance.destroySpent'),
    }),
    rateLimit: readRateLimit(settings),
    allowedOrigins: checkOrigins(settings.list('allowedOrigins')),
    trustedProxies: settings.list('trustedProxies'),
    maximumInFlight: settings.integer('maximumInFlight'),
    trustSource: readTrustSource(settings),
    dashboard: readDashboard(settings),
    logLevel: settings.text('logLevel') as LogLevel,
  });
}

function readTrustSource(settings: Settings): CoordinatorConfiguration['trustSource'] {
  const urls = settings.list('trustSource.urls');
  if (urls.length === 0) return undefined;
  const wrong = urls.find((url) => !isServerOrigin(url));
  if (wrong !== undefined) {
    throw new HoldfastError(
      'usage',
      `trustSource.urls: ${JSON.stringify(wrong.slice(0, 60))} must be https://host[:port], nothing more (http for loopback only)`,
    );
  }
  return Object.freeze({
    urls,
    authority: settings.optionalText('trustSource.authority'),
    interval: settings.integer('trustSource.intervalMilliseconds'),
  });
}

function readDashboard(settings: Settings): CoordinatorConfiguration['dashboard'] {
  const credentialFile = settings.optionalText('dashboard.credentialFile');
  const certificate = settings.optionalText('dashboard.certificate');
  const key = settings.optionalText('dashboard.key');
  const host = settings.text('dashboard.host');
  if (credentialFile === undefined) {
    if (certificate === undefined && key === undefined) return undefined;
    throw new HoldfastError('usage', 'the dashboard has a certificate and no credential; set dashboard.credentialFile');
  }
  if ((certificate === undefined) !== (key === undefined)) {
    throw new HoldfastError('usage', 'set both dashboard.certificate and dashboard.key, or neither');
  }
  if (certificate === undefined && !LOOPBACK.includes(host)) {
    throw new HoldfastError(
      'usage',
      'the dashboard is for loopback: set dashboard.host to 127.0.0.1, or dashboard.certificate and dashboard.key',
    );
  }
  return Object.freeze({
    listen: Object.freeze({ host, port: settings.integer('dashboard.port') }),
    tls: certificate === undefined || key === undefined ? undefined : Object.freeze({ certificate, key }),
    credentialFile,
    interval: settings.integer('dashboard.intervalMilliseconds'),
    page: settings.optionalText('dashboard.pageDirectory'),
  });
}

function isServerOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol, hostname } = new URL(text);
  const loopback = [...LOOPBACK, '[::1]'].includes(hostname);
  return origin === text && (protocol === 'https:' || (protocol === 'http:' && loopback));
}

function readNodes(value: JsonValue): CoordinatorConfiguration['nodes'] {
  const nodes = value.array(1, 9).map((item) => {
    const node = item.object(['node', 'url', 'name']);
    const address = node.required('url');
    const url = address.text(1024);
    if (!URL.canParse(url) || new URL(url).origin !== url || !url.startsWith('https://')) {
      address.fail('must be https://host:port, nothing more');
    }
    const name = node.required('name').text(64);
    return Object.freeze({ node: node.required('node').integer(1, 9), url, name });
  });
  if (new Set(nodes.map(({ node }) => node)).size !== nodes.length) value.fail('names a node twice');
  return Object.freeze(nodes);
}

function checkOrigins(origins: readonly string[]): readonly string[] {
  const wrong = origins.find(
    (origin) => origin !== '*' && !(URL.canParse(origin) && new URL(origin).origin === origin),
  );
  if (wrong === undefined) return origins;
  throw new HoldfastError(
    'usage',
    `allowedOrigins: ${JSON.stringify(wrong.slice(0, 60))} must be scheme://host[:port] or *`,
  );
}
