/** SoftHSM 2, the software token for development and tests: where its module is, and its configuration file. */

import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Debian and Ubuntu, RHEL and Fedora, Alpine, Homebrew. */
const PLACES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm.so',
  '/usr/lib/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
];

/** Path of SoftHSM's module, or undefined if none is installed in a usual place. */
export function findSoftHsm(): string | undefined {
  return PLACES.find((path) => existsSync(path));
}

/**
 * Writes `softhsm2.conf` and an empty `tokens` folder into `directory`, both for the owner only.
 * @returns the file's path, which SOFTHSM2_CONF must name in the process's environment before the module is opened.
 */
export function writeSoftHsmConfiguration(directory: string): string {
  const tokens = resolve(directory, 'tokens');
  mkdirSync(tokens, { recursive: true, mode: 0o700 });
  chmodSync(tokens, 0o700);
  const path = join(resolve(directory), 'softhsm2.conf');
  const lines = [
    `directories.tokendir = ${tokens}`,
    'objectstore.backend = file',
    'log.level = ERROR',
    'slots.removable = false',
  ];
  writeFileSync(path, `${lines.join('\n')}\n`, { mode: 0o600 });
  chmodSync(path, 0o600);
  return path;
}
