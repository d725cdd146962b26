/** Configuration of a coordinator: a JSON file, and environment variables HOLDFAST_COORDINATOR_*. */

import { HoldfastError, type JsonValue } from '../core/index.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { type ListenConfiguration, LOG_LEVELS, type LogLevel, type TlsFiles } from './types.ts';

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
  readonly rateLimit: { readonly requests: number; readonly windowMilliseconds: number } | undefined;
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
  { path: 'listen.host', kind: 'text', default: '0.0.0.0', description: 'Address for clients.' },
  {
    path: 'listen.port',
    kind: 'integer',
    maximum: 65_535,
    default: 8443,
    description: 'Port for clients; 0 takes any free one.',
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
    default: 9465,
    description: 'Port for monitoring; 0 takes any free one.',
  },
  {
    path: 'tls.certificate',
    kind: 'path',
    description: 'PEM certificate for clients, with its chain. Required unless `listen.plainHttp`.',
  },
  { path: 'tls.key', kind: 'path', description: 'PEM private key of that certificate, mode 600.' },
  { path: 'nodeTls.authority', kind: 'path', required: true, description: 'PEM certificate of the fleet’s authority.' },
  {
    path: 'nodeTls.certificate',
    kind: 'path',
    required: true,
    description: 'PEM certificate of this coordinator (role coordinator).',
  },
  { path: 'nodeTls.key', kind: 'path', required: true, description: 'PEM private key of that certificate, mode 600.' },
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
    description: 'The same for enrolment, which wants all nodes; milliseconds.',
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
    description: 'Milliseconds between rounds of repair traffic while a node repairs.',
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
    maximum: DAY,
    default: 60_000,
    description: 'Length of that window in milliseconds.',
  },
  {
    path: 'allowedOrigins',
    kind: 'list',
    default: [],
    description: 'Origins whose pages may call the API (CORS), or `*`.',
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
    default: 2000,
    description: 'Requests in flight beyond which `overloaded` is answered.',
  },
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
  {
    path: 'logLevel',
    kind: 'text',
    words: LOG_LEVELS,
    default: 'info',
    description: 'Least severe level that is logged.',
  },
];

const LOOPBACK = ['127.0.0.1', '::1', 'localhost'];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadCoordinatorConfiguration(sources: Sources): CoordinatorConfiguration {
  const settings = new Settings(COORDINATOR_SETTINGS, COORDINATOR_PREFIX, sources);
  const requests = settings.integer('rateLimit.requests');
  return Object.freeze({
    trustFile: settings.text('trustFile'),
    nodes: readNodes(settings.json('nodes')),
    listen: Object.freeze({ host: settings.text('listen.host'), port: settings.integer('listen.port') }),
    metrics: Object.freeze({ host: settings.text('metrics.host'), port: settings.integer('metrics.port') }),
    tls: publicTls(settings),
    nodeTls: Object.freeze({
      authority: settings.text('nodeTls.authority'),
      certificate: settings.text('nodeTls.certificate'),
      key: settings.text('nodeTls.key'),
    }),
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
    rateLimit:
      requests === 0
        ? undefined
        : Object.freeze({ requests, windowMilliseconds: settings.integer('rateLimit.windowMilliseconds') }),
    allowedOrigins: checkOrigins(settings.list('allowedOrigins')),
    trustedProxies: settings.list('trustedProxies'),
    maximumInFlight: settings.integer('maximumInFlight'),
    trustSource: readTrustSource(settings),
    dashboard: readDashboard(settings),
    logLevel: settings.text('logLevel') as LogLevel,
  });
}

/** Of the settings `listen.plainHttp`, `tls.certificate` and `tls.key`: undefined for plain HTTP. @throws HoldfastError `usage`. */
export function publicTls(settings: Settings): Pick<TlsFiles, 'certificate' | 'key'> | undefined {
  const certificate = settings.optionalText('tls.certificate');
  const key = settings.optionalText('tls.key');
  if (settings.boolean('listen.plainHttp')) {
    if (LOOPBACK.includes(settings.text('listen.host')) && certificate === undefined && key === undefined)
      return undefined;
    throw new HoldfastError(
      'usage',
      'listen.plainHttp is for loopback: set listen.host to 127.0.0.1 and leave tls out, or use HTTPS',
    );
  }
  if (certificate === undefined || key === undefined) {
    throw new HoldfastError('usage', 'set tls.certificate and tls.key, or listen.plainHttp behind a reverse proxy');
  }
  return Object.freeze({ certificate, key });
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
