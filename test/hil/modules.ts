/** Where modules lie that these tests use besides SoftHSM; all but Kryoptic are Debian packages. */

import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';

const FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib64', '/usr/lib', '/usr/local/lib'];

export function findModule(...names: readonly string[]): string | undefined {
  return FOLDERS.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
}

export function findCommand(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/libexec/p11-kit'];
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** p11-kit's module that talks to a module in another process. */
export const findRemoting = () =>
  findCommand('p11-kit-remote') && findCommand('p11-kit')
    ? findModule('pkcs11/p11-kit-client.so', 'p11-kit/p11-kit-client.so')
    : undefined;

/** Kryoptic, a software token in Rust: named by the environment, as scripts/setup built it, or installed. */
export function findKryoptic(): string | undefined {
  const built = resolve(import.meta.dirname, '../../work/kryoptic/debug/libkryoptic_pkcs11.so');
  const own = process.env.KRYOPTIC_MODULE ?? (existsSync(built) ? built : undefined);
  return own ?? findModule('libkryoptic_pkcs11.so', 'pkcs11/libkryoptic_pkcs11.so');
}

/** For the title of a test that cannot run here. */
export const unless = (found: string | undefined, name: string) =>
  found === undefined ? ` (not run: ${name} is not installed here)` : '';
export const findTpm = () =>
  findCommand('swtpm') && findCommand('swtpm_setup') && findCommand('tpm2_flushcontext')
    ? findModule('pkcs11/libtpm2_pkcs11.so', 'libtpm2_pkcs11.so.1')
    : undefined;
