/** Programs of this source tree in Linux namespaces of their own (unshare(1)): what they mount, and who they are, ends with them. */

import { spawnSync } from 'node:child_process';

/** A folder that is a disk of its own of so many bytes, in the program's own mount namespace only. */
export const SMALL_DISK = ['--user', '--map-root-user', '--mount'] as const;
/** Somebody whom the system's list of users does not have, and who may still read what the caller may. */
export const UNKNOWN_USER = ['--user', '--map-user=54321'] as const;

type Namespace = typeof SMALL_DISK | typeof UNKNOWN_USER;

/** Why there can be no such namespace here, or undefined. */
export function withoutNamespace(options: Namespace): string | undefined {
  if (spawnSync('unshare', [...options, 'true']).status === 0) return undefined;
  return `this system lets this user make no user namespace (unshare ${options.join(' ')})`;
}

export interface UnsharedProgram {
  /** An ES module in TypeScript's erasable syntax, which prints one JSON value. */
  readonly program: string;
  /** Its environment, and nothing else of this process's. */
  readonly environment?: Readonly<Record<string, string>>;
  /** With `SMALL_DISK`: the folder, and its bytes. */
  readonly disk?: { readonly folder: string; readonly bytes: number };
}

/** What the program printed. @throws where it failed, with what it wrote to standard error. */
export function runUnshared(options: Namespace, { program, environment = {}, disk }: UnsharedProgram): unknown {
  const node = [process.execPath, '--input-type=module-typescript', '--eval', program];
  const mounted = 'mount -t tmpfs -o "size=$0" tmpfs "$1" && shift && exec "$@"';
  const command = disk ? ['/bin/sh', '-c', mounted, String(disk.bytes), disk.folder, ...node] : node;
  const { status, stdout, stderr } = spawnSync('unshare', [...options, ...command], {
    env: { PATH: process.env.PATH, ...environment },
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(`the program ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}
