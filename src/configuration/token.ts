/** Settings of a token with signing keys, which cosigner, operator and witnesses have in common. */

import { HoldfastError } from '../core/index.ts';
import { type PinConfiguration, pinSource } from './node.ts';
import type { Setting, Settings } from './settings.ts';

export interface SigningTokenConfiguration {
  readonly module: string;
  readonly slot: number | undefined;
  readonly label: string | undefined;
  readonly serial: string | undefined;
  /** Undefined: a person is asked. */
  readonly pin: PinConfiguration | undefined;
  readonly timeout: number;
  readonly moduleParameters: string | undefined;
  readonly softhsmConfiguration: string | undefined;
  readonly syncFolder: string | undefined;
}

export const SIGNING_TOKEN_SETTINGS: readonly Setting[] = [
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
  {
    path: 'token.softhsmConfiguration',
    kind: 'path',
    description: 'SoftHSM’s own configuration file (SOFTHSM2_CONF), for development.',
  },
  {
    path: 'token.syncFolder',
    kind: 'path',
    description: 'Folder whose files are synchronised to disk after a key is made: SoftHSM itself never does.',
  },
];

/** @throws HoldfastError `usage` where no token is named, or two sources of its PIN. */
export function signingToken(settings: Settings): SigningTokenConfiguration {
  const [slot, label, serial] = [
    settings.optionalInteger('token.slot'),
    settings.optionalText('token.label'),
    settings.optionalText('token.serial'),
  ];
  if (slot === undefined && label === undefined && serial === undefined) {
    throw new HoldfastError('usage', 'say which token: set token.label, token.serial or token.slot');
  }
  return Object.freeze({
    module: settings.text('token.module'),
    slot,
    label,
    serial,
    pin: pinSource(settings),
    timeout: settings.integer('token.timeoutMilliseconds'),
    moduleParameters: settings.optionalText('token.moduleParameters'),
    softhsmConfiguration: settings.optionalText('token.softhsmConfiguration'),
    syncFolder: settings.optionalText('token.syncFolder'),
  });
}
