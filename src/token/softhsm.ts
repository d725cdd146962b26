/** SoftHSM 2, the software token for development and tests: where its module is, and its configuration file. */

import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { HoldfastError } from '../core/index.ts';

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

/** The configuration that SoftHSM takes where SOFTHSM2_CONF names none: the user's own, then the machine's. */
export function findSoftHsmConfiguration(home: string): string | undefined {
  const places = [join(home, '.config/softhsm2/softhsm2.conf'), '/etc/softhsm/softhsm2.conf', '/etc/softhsm2.conf'];
  return places.find((path) => existsSync(path));
}

/**
 * The folder in which a configuration of SoftHSM has its tokens: `directories.tokendir`.
 * @param path what SOFTHSM2_CONF names. @throws HoldfastError `usage` where it names none.
 */
export function softHsmFolder(path: string): string {
  const text = readConfiguration(path);
  const folder = /^[ \t]*directories\.tokendir[ \t]*=[ \t]*(\S.*?)[ \t]*$/m.exec(text)?.[1];
  if (folder !== undefined) return resolve(folder);
  throw new HoldfastError('usage', `${path} does not say where tokens are: it has no line directories.tokendir`);
}

function readConfiguration(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new HoldfastError('usage', `the configuration of SoftHSM, ${path}, cannot be read; check SOFTHSM2_CONF`, {
      cause,
    });
  }
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
  // In one step: another process may be opening its module by this file right now.
  const temporary = `${path}.${process.pid}.new`;
  writeFileSync(temporary, `${lines.join('\n')}\n`, { mode: 0o600 });
  chmodSync(temporary, 0o600);
  renameSync(temporary, path);
  return path;
}
