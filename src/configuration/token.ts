/** Settings that say which token is meant and where its PIN comes from, and those of tokens with signing keys. */

import { HoldfastError } from '../core/index.ts';
import type { Setting, Settings } from './settings.ts';

/** Where the token's PIN comes from. */
export type PinConfiguration =
  | { readonly file: string }
  /** Name of an environment variable. */
  | { readonly variable: string }
  /** Name of a systemd credential. */
  | { readonly credential: string };

/** Which token, by one of slot, label and serial at least. */
export interface TokenLocation {
  readonly module: string;
  readonly slot: number | undefined;
  readonly label: string | undefined;
  readonly serial: string | undefined;
  /** Undefined: a person is asked. */
  readonly pin: PinConfiguration | undefined;
}

export interface SigningTokenConfiguration extends TokenLocation {
  readonly timeout: number;
  readonly moduleParameters: string | undefined;
  readonly softhsmConfiguration: string | undefined;
  readonly syncFolder: string | undefined;
}

export const TOKEN_LOCATION_SETTINGS: readonly Setting[] = [
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
];

export const SOFTHSM_SETTING: Setting = {
  path: 'token.softhsmConfiguration',
  kind: 'path',
  description: 'SoftHSM’s own configuration file (SOFTHSM2_CONF), for development.',
};

export const SIGNING_TOKEN_SETTINGS: readonly Setting[] = [
  ...TOKEN_LOCATION_SETTINGS,
  {
    path: 'token.timeoutMilliseconds',
    kind: 'integer',
    minimum: 100,
    maximum: 600_000,
    default: 10_000,
    description: 'Milliseconds for one call of the module; then the token counts as hung until the process restarts.',
  },
  {
    path: 'token.moduleParameters',
    kind: 'text',
    description: 'Text for the module’s initialisation, where it wants some.',
  },
  SOFTHSM_SETTING,
  {
    path: 'token.syncFolder',
    kind: 'path',
    description: 'Folder whose files are synchronised to disk after a key is made: SoftHSM itself never does.',
  },
];

/** @throws HoldfastError `usage` where no token is named, or two sources of its PIN. */
export function readTokenLocation(settings: Settings): TokenLocation {
  const slot = settings.optionalInteger('token.slot');
  const label = settings.optionalText('token.label');
  const serial = settings.optionalText('token.serial');
  if (slot === undefined && label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: set token.label, token.serial or token.slot');
  }
  return { module: settings.text('token.module'), slot, label, serial, pin: pinSource(settings) };
}

/** @throws HoldfastError as `readTokenLocation`. */
export function signingToken(settings: Settings): SigningTokenConfiguration {
  return Object.freeze({
    ...readTokenLocation(settings),
    timeout: settings.integer('token.timeoutMilliseconds'),
    moduleParameters: settings.optionalText('token.moduleParameters'),
    softhsmConfiguration: settings.optionalText('token.softhsmConfiguration'),
    syncFolder: settings.optionalText('token.syncFolder'),
  });
}

function pinSource(settings: Settings): PinConfiguration | undefined {
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
  { token }: { readonly token: Pick<SigningTokenConfiguration, 'softhsmConfiguration'> },
  environment: Record<string, string | undefined> = process.env,
): void {
  if (token.softhsmConfiguration !== undefined) environment.SOFTHSM2_CONF = token.softhsmConfiguration;
}
