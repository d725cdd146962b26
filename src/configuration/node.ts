/** Configuration of a vault node: a JSON file, and environment variables HOLDFAST_NODE_*. */

import { HoldfastError } from '../core/index.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { type ListenConfiguration, LOG_LEVELS, type LogLevel, type TlsFiles } from './types.ts';

/** Where the token's PIN comes from. */
export type PinConfiguration =
  | { readonly file: string }
  /** Name of an environment variable. */
  | { readonly variable: string }
  /** Name of a systemd credential. */
  | { readonly credential: string };

export interface NodeConfiguration {
  readonly trustFile: string;
  /** 1 to n. */
  readonly node: number;
  readonly token: {
    readonly module: string;
    readonly slot: number | undefined;
    readonly label: string | undefined;
    readonly serial: string | undefined;
    /** Undefined: a person is asked. */
    readonly pin: PinConfiguration | undefined;
    readonly workers: number;
    readonly rollbackResistant: boolean;
    readonly moduleParameters: string | undefined;
    readonly timeoutMilliseconds: number;
    readonly softhsmConfiguration: string | undefined;
    readonly syncFolder: string | undefined;
  };
  readonly store: { readonly directory: string };
  readonly listen: ListenConfiguration;
  readonly metrics: ListenConfiguration;
  readonly tls: TlsFiles;
  readonly tenants: string;
  /** Undefined: no override. */
  readonly repairOverride: { readonly node: number; readonly epoch: number; readonly reason: string } | undefined;
  readonly batchIntervalMilliseconds: number;
  /** Per record and ten seconds. */
  readonly requestsPerRecord: number;
  readonly maximumInFlight: number;
  readonly logLevel: LogLevel;
}

export const NODE_PREFIX = 'HOLDFAST_NODE';

export const NODE_SETTINGS: readonly Setting[] = [
  { path: 'trustFile', kind: 'path', required: true, description: 'Trust file of the fleet: keys, policy, names.' },
  { path: 'node', kind: 'integer', minimum: 1, maximum: 9, required: true, description: 'This node’s number, 1 to n.' },
  { path: 'token.module', kind: 'path', required: true, description: 'PKCS#11 module, a shared library.' },
  { path: 'token.slot', kind: 'integer', description: 'Slot number. Prefer label or serial: slot numbers change.' },
  { path: 'token.label', kind: 'text', description: 'Label of the token.' },
  { path: 'token.serial', kind: 'text', description: 'Serial number of the token.' },
  {
    path: 'token.pinFile',
    kind: 'path',
    description:
      'File with the token’s PIN, mode 600. At most one of the three PIN settings; without any a person is asked.',
  },
  { path: 'token.pinEnvironment', kind: 'text', description: 'Name of the environment variable with the PIN.' },
  { path: 'token.pinCredential', kind: 'text', description: 'Name of the systemd credential with the PIN.' },
  {
    path: 'token.workers',
    kind: 'integer',
    minimum: 1,
    maximum: 8,
    default: 1,
    description: 'Threads that call the module.',
  },
  {
    path: 'token.rollbackResistant',
    kind: 'boolean',
    default: false,
    description: 'True only where nobody can put an older state of the token back (real hardware).',
  },
  {
    path: 'token.timeoutMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: 120_000,
    default: 10_000,
    description: 'After so long without an answer the token counts as hung, and the node’s process ends.',
  },
  {
    path: 'token.moduleParameters',
    kind: 'text',
    description: 'Text that the module wants when it is initialised (NSS softokn: configdir=...); most want none.',
  },
  {
    path: 'token.softhsmConfiguration',
    kind: 'path',
    description: 'SoftHSM’s own configuration file (SOFTHSM2_CONF), for development.',
  },
  {
    path: 'token.syncFolder',
    kind: 'path',
    description:
      'Folder whose files are synchronised to disk after each anchor write: SoftHSM itself never does, and a power cut could otherwise take anchors back.',
  },
  {
    path: 'store.directory',
    kind: 'path',
    required: true,
    description: 'Folder of the state store, on a disk of its own.',
  },
  { path: 'listen.host', kind: 'text', default: '0.0.0.0', description: 'Address for coordinators (mutual TLS).' },
  {
    path: 'listen.port',
    kind: 'integer',
    maximum: 65_535,
    default: 7443,
    description: 'Port for coordinators; 0 takes any free one.',
  },
  { path: 'metrics.host', kind: 'text', default: '127.0.0.1', description: 'Address for monitoring (plain HTTP).' },
  {
    path: 'metrics.port',
    kind: 'integer',
    maximum: 65_535,
    default: 9464,
    description: 'Port for monitoring; 0 takes any free one.',
  },
  { path: 'tls.authority', kind: 'path', required: true, description: 'PEM certificate of the fleet’s authority.' },
  { path: 'tls.certificate', kind: 'path', required: true, description: 'PEM certificate of this node (role node).' },
  { path: 'tls.key', kind: 'path', required: true, description: 'PEM private key of that certificate, mode 600.' },
  {
    path: 'tenants',
    kind: 'path',
    required: true,
    description: 'JSON file with the tenants whose user tokens are taken.',
  },
  {
    path: 'repairOverride.node',
    kind: 'integer',
    minimum: 1,
    maximum: 9,
    description:
      'Emergency only: number of this node, to let it serve although too few others can be reached to repair it. It counts as malicious from then on. Remove it afterwards.',
  },
  {
    path: 'repairOverride.epoch',
    kind: 'integer',
    minimum: 1,
    description: 'Epoch for which the override is meant.',
  },
  { path: 'repairOverride.reason', kind: 'text', description: 'Why, and who decided it; logged at every start.' },
  {
    path: 'batchIntervalMilliseconds',
    kind: 'integer',
    maximum: 1000,
    default: 8,
    description:
      'Least milliseconds between two group commits; under load several times that, up to 50. Longer serves more requests per commit and spares a token’s flash.',
  },
  {
    path: 'requestsPerRecord',
    kind: 'integer',
    minimum: 1,
    maximum: 100_000,
    default: 60,
    description: 'Requests of one record that are opened per 10 seconds.',
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
    path: 'logLevel',
    kind: 'text',
    words: LOG_LEVELS,
    default: 'info',
    description: 'Least severe level that is logged.',
  },
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadNodeConfiguration(sources: Sources): NodeConfiguration {
  const settings = new Settings(NODE_SETTINGS, NODE_PREFIX, sources);
  const configuration: NodeConfiguration = {
    trustFile: settings.text('trustFile'),
    node: settings.integer('node'),
    token: Object.freeze({
      module: settings.text('token.module'),
      slot: settings.optionalInteger('token.slot'),
      label: settings.optionalText('token.label'),
      serial: settings.optionalText('token.serial'),
      pin: pinSource(settings),
      workers: settings.integer('token.workers'),
      rollbackResistant: settings.boolean('token.rollbackResistant'),
      moduleParameters: settings.optionalText('token.moduleParameters'),
      timeoutMilliseconds: settings.integer('token.timeoutMilliseconds'),
      softhsmConfiguration: settings.optionalText('token.softhsmConfiguration'),
      syncFolder: settings.optionalText('token.syncFolder'),
    }),
    store: Object.freeze({ directory: settings.text('store.directory') }),
    listen: Object.freeze({ host: settings.text('listen.host'), port: settings.integer('listen.port') }),
    metrics: Object.freeze({ host: settings.text('metrics.host'), port: settings.integer('metrics.port') }),
    tls: Object.freeze({
      authority: settings.text('tls.authority'),
      certificate: settings.text('tls.certificate'),
      key: settings.text('tls.key'),
    }),
    tenants: settings.text('tenants'),
    repairOverride: repairOverride(settings),
    batchIntervalMilliseconds: settings.integer('batchIntervalMilliseconds'),
    requestsPerRecord: settings.integer('requestsPerRecord'),
    maximumInFlight: settings.integer('maximumInFlight'),
    logLevel: settings.text('logLevel') as LogLevel,
  };
  const { slot, label, serial } = configuration.token;
  if (slot === undefined && label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: set token.label, token.serial or token.slot');
  }
  return Object.freeze(configuration);
}

function repairOverride(settings: Settings): NodeConfiguration['repairOverride'] {
  const node = settings.optionalInteger('repairOverride.node');
  const epoch = settings.optionalInteger('repairOverride.epoch');
  const reason = settings.optionalText('repairOverride.reason');
  if (node === undefined && epoch === undefined && reason === undefined) return undefined;
  if (node === undefined || epoch === undefined || !reason) {
    throw new HoldfastError('usage', 'a repair override needs repairOverride.node, .epoch and .reason');
  }
  return Object.freeze({ node, epoch, reason });
}

/** Of the settings `token.pinFile`, `token.pinEnvironment` and `token.pinCredential`. @throws HoldfastError `usage` for two of them. */
export function pinSource(settings: Settings): PinConfiguration | undefined {
  const file = settings.optionalText('token.pinFile');
  const variable = settings.optionalText('token.pinEnvironment');
  const credential = settings.optionalText('token.pinCredential');
  const given = [file, variable, credential].filter((source) => source !== undefined);
  if (given.length > 1) {
    throw new HoldfastError('usage', 'set only one of token.pinFile, token.pinEnvironment and token.pinCredential');
  }
  if (file !== undefined) return Object.freeze({ file });
  if (variable !== undefined) return Object.freeze({ variable });
  return credential === undefined ? undefined : Object.freeze({ credential });
}

/** SoftHSM reads the path of its own configuration from the process's environment: to be set before it is opened. */
export function applyTokenEnvironment(
  { token }: { readonly token: Pick<NodeConfiguration['token'], 'softhsmConfiguration'> },
  environment: Record<string, string | undefined> = process.env,
): void {
  if (token.softhsmConfiguration !== undefined) environment.SOFTHSM2_CONF = token.softhsmConfiguration;
}
