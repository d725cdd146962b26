/** Configuration of a vault node: a JSON file, and environment variables HOLDFAST_NODE_*. */

import { HoldfastError } from '../core/index.ts';
import {
  addressSettings,
  LOG_LEVEL_SETTING,
  maximumInFlightSetting,
  metricsSettings,
  mutualTlsSettings,
  readAddress,
  readMutualTls,
} from './listeners.ts';
import { type Setting, Settings, type Sources } from './settings.ts';
import { readTokenLocation, SOFTHSM_SETTING, TOKEN_LOCATION_SETTINGS, type TokenLocation } from './token.ts';
import type { ListenConfiguration, LogLevel, TlsFiles } from './types.ts';

export interface NodeConfiguration {
  readonly trustFile: string;
  /** 1 to n. */
  readonly node: number;
  readonly token: TokenLocation & {
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
  ...TOKEN_LOCATION_SETTINGS,
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
  SOFTHSM_SETTING,
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
  ...addressSettings('listen', '0.0.0.0', 7443, 'coordinators (mutual TLS)'),
  ...metricsSettings(9464),
  ...mutualTlsSettings('tls', 'the fleet’s authority', 'node'),
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
    description:
      'Requests of one record, allowed by a user token for it, that are taken in 10 seconds; others do not count.',
  },
  maximumInFlightSetting(2000, '`overloaded`'),
  LOG_LEVEL_SETTING,
];

/** @throws HoldfastError `usage` naming the setting that is wrong and what to do. */
export function loadNodeConfiguration(sources: Sources): NodeConfiguration {
  const settings = new Settings(NODE_SETTINGS, NODE_PREFIX, sources);
  return Object.freeze({
    trustFile: settings.text('trustFile'),
    node: settings.integer('node'),
    token: Object.freeze({
      ...readTokenLocation(settings),
      workers: settings.integer('token.workers'),
      rollbackResistant: settings.boolean('token.rollbackResistant'),
      moduleParameters: settings.optionalText('token.moduleParameters'),
      timeoutMilliseconds: settings.integer('token.timeoutMilliseconds'),
      softhsmConfiguration: settings.optionalText('token.softhsmConfiguration'),
      syncFolder: settings.optionalText('token.syncFolder'),
    }),
    store: Object.freeze({ directory: settings.text('store.directory') }),
    listen: readAddress(settings, 'listen'),
    metrics: readAddress(settings, 'metrics'),
    tls: readMutualTls(settings, 'tls'),
    tenants: settings.text('tenants'),
    repairOverride: repairOverride(settings),
    batchIntervalMilliseconds: settings.integer('batchIntervalMilliseconds'),
    requestsPerRecord: settings.integer('requestsPerRecord'),
    maximumInFlight: settings.integer('maximumInFlight'),
    logLevel: settings.text('logLevel') as LogLevel,
  });
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
