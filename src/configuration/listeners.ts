/** Settings of listeners, their certificates and their limits, which all services have in common. */

import { HoldfastError } from '../core/index.ts';
import type { Setting, Settings } from './settings.ts';
import { type ListenConfiguration, LOG_LEVELS, type TlsFiles } from './types.ts';

export interface RateLimitConfiguration {
  readonly requests: number;
  readonly windowMilliseconds: number;
}

export const LOOPBACK: readonly string[] = ['127.0.0.1', '::1', 'localhost'];

const DAY = 86_400_000;

/** `GROUP.host` and `GROUP.port`; `audience` says who comes there. */
export function addressSettings(group: string, host: string, port: number, audience: string): readonly Setting[] {
  return [
    { path: `${group}.host`, kind: 'text', default: host, description: `Address for ${audience}.` },
    {
      path: `${group}.port`,
      kind: 'integer',
      maximum: 65_535,
      default: port,
      description: `Port for ${audience.replace(/ \(.*\)$/, '')}; 0 takes any free one.`,
    },
  ];
}

/** A listener for the public, over HTTPS or behind a reverse proxy. */
export function publicListenerSettings(port: number, audience: string): readonly Setting[] {
  return [
    ...addressSettings('listen', '0.0.0.0', port, audience),
    {
      path: 'listen.plainHttp',
      kind: 'boolean',
      default: false,
      description: 'Serve plain HTTP, on loopback only, for a reverse proxy that does HTTPS.',
    },
  ];
}

export const metricsSettings = (port: number): readonly Setting[] =>
  addressSettings('metrics', '127.0.0.1', port, 'monitoring (plain HTTP)');

export const PUBLIC_TLS_SETTINGS: readonly Setting[] = [
  {
    path: 'tls.certificate',
    kind: 'path',
    description: 'PEM certificate for the public, with its chain. Required unless `listen.plainHttp`.',
  },
  { path: 'tls.key', kind: 'path', description: 'PEM private key of that certificate, mode 600.' },
];

/** The same with the authority of the peers, `GROUP.authority`, `GROUP.certificate` and `GROUP.key`; `role` as in the certificate. */
export function mutualTlsSettings(group: string, authority: string, role: string): readonly Setting[] {
  return [
    { path: `${group}.authority`, kind: 'path', required: true, description: `PEM certificate of ${authority}.` },
    {
      path: `${group}.certificate`,
      kind: 'path',
      required: true,
      description: `PEM certificate of this ${role} (role ${role}).`,
    },
    {
      path: `${group}.key`,
      kind: 'path',
      required: true,
      description: 'PEM private key of that certificate, mode 600.',
    },
  ];
}

export function rateLimitSettings(requests: number): readonly Setting[] {
  return [
    {
      path: 'rateLimit.requests',
      kind: 'integer',
      maximum: 1_000_000,
      default: requests,
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
  ];
}

export const TRUSTED_PROXIES_SETTING: Setting = {
  path: 'trustedProxies',
  kind: 'list',
  default: [],
  description: 'Addresses or CIDR blocks of reverse proxies whose `X-Forwarded-For` is believed.',
};

/** Requests at a time; `answer` is what those beyond it get. */
export const maximumInFlightSetting = (requests: number, answer: string): Setting => ({
  path: 'maximumInFlight',
  kind: 'integer',
  minimum: 1,
  maximum: 100_000,
  default: requests,
  description: `Requests in flight beyond which ${answer} is answered.`,
});

export const LOG_LEVEL_SETTING: Setting = {
  path: 'logLevel',
  kind: 'text',
  words: LOG_LEVELS,
  default: 'info',
  description: 'Least severe level that is logged.',
};

export function readAddress(settings: Settings, group: string): ListenConfiguration {
  return Object.freeze({ host: settings.text(`${group}.host`), port: settings.integer(`${group}.port`) });
}

/** Undefined where there is no limit. */
export function readRateLimit(settings: Settings): RateLimitConfiguration | undefined {
  const requests = settings.integer('rateLimit.requests');
  if (requests === 0) return undefined;
  return Object.freeze({ requests, windowMilliseconds: settings.integer('rateLimit.windowMilliseconds') });
}

export function readMutualTls(settings: Settings, group: string): TlsFiles {
  return Object.freeze({
    authority: settings.text(`${group}.authority`),
    certificate: settings.text(`${group}.certificate`),
    key: settings.text(`${group}.key`),
  });
}

/** Of the settings `listen.plainHttp`, `tls.certificate` and `tls.key`: undefined for plain HTTP. @throws HoldfastError `usage`. */
export function readPublicTls(settings: Settings): Pick<TlsFiles, 'certificate' | 'key'> | undefined {
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
