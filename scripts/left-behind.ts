/**
 * What is left of a test run that was killed: fleets in sessions of their own, containers, which outlive their engine, network
 * namespaces that stay mounted, and folders. Linux: proc(5).
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/** Where each run that starts an engine has a folder of its own, named after its process. */
export const RUNS = '/run';

/** Removes what runs left below `folder` whose process is no more. */
export function removeOldRuns(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = /^holdfast-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) removeRun(join(folder, name));
  }
}

/** Ends every process whose command line names something in this folder, with all that it has started, and removes it. */
export function removeRun(run: string): void {
  if (existsSync('/proc/mounts')) endProcesses(run);
  rmSync(run, { recursive: true, force: true, maxRetries: 5 });
}

function endProcesses(run: string): void {
  for (const pid of processes()) if (read(`/proc/${pid}/cmdline`).includes(`${run}/`)) killTree(pid);
  const mounted = readFileSync('/proc/mounts', 'utf8').matchAll(/^\S+ (\S+)/gm);
  for (const [, path] of mounted) if (path?.startsWith(`${run}/`)) spawnSync('umount', ['--lazy', path]);
}

function killTree(pid: number): void {
  // First it: it could start others.
  kill(pid, 'SIGSTOP');
  const children = processes().filter((one) => Number(/\) \S (\d+)/.exec(read(`/proc/${one}/stat`))?.[1]) === pid);
  for (const child of children) killTree(child);
  kill(pid, 'SIGKILL');
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}

const processes = (): number[] =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1 && pid !== process.pid);

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
