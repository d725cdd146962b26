/** A Docker engine for the tests: the one that runs, or one started here as root and stopped afterwards. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { openSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');
/** Kept between runs: base images and the engine's cache of built steps. */
export const kept = join(root, 'work/containers');

export interface Engine extends AsyncDisposable {
  /** For DOCKER_HOST; undefined leaves it to the environment. */
  readonly host: string | undefined;
}

const answers = (host?: string) =>
  spawnSync('docker', ['version'], {
    stdio: 'ignore',
    env: { ...process.env, ...(host && { DOCKER_HOST: host }) },
    timeout: 20_000,
  }).status === 0;

/** @throws Error with the end of the engine's log where it does not start. */
export async function startEngine(): Promise<Engine> {
  if (answers()) return { host: undefined, [Symbol.asyncDispose]: async () => {} };
  await mkdir(kept, { recursive: true });
  // An engine whose file system cannot be layered on this one copies whole trees instead, and needs no kernel's help.
  for (const driver of ['overlay2', 'vfs']) {
    const engine = await start(driver);
    if (engine) return engine;
  }
  throw new Error(`the Docker engine does not start: ${readFileSync(join(kept, 'dockerd.log'), 'utf8').slice(-2000)}`);
}

async function start(driver: string): Promise<Engine | undefined> {
  const run = `/run/holdfast-${process.pid}`;
  const host = `unix://${run}/docker.sock`;
  const log = openSync(join(kept, 'dockerd.log'), 'w', 0o600);
  await mkdir(run, { recursive: true, mode: 0o700 });
  const words = ['--storage-driver', driver, '--data-root', join(kept, 'engine'), '--exec-root', join(run, 'exec')];
  const child = spawn('dockerd', [...words, '--pidfile', join(run, 'pid'), '--host', host], {
    stdio: ['ignore', log, log],
  });
  const ended = new Promise<void>((done) => child.once('error', () => done()).once('exit', () => done()));
  const stop = async () => {
    await stopEngine(child, ended);
    // An engine that had to be killed leaves the network namespaces of its containers mounted there.
    const mounted = readFileSync('/proc/mounts', 'utf8').matchAll(/^\S+ (\S+)/gm);
    for (const [, path] of mounted) if (path?.startsWith(`${run}/`)) spawnSync('umount', ['--lazy', path]);
    rmSync(run, { recursive: true, force: true });
  };
  let gone = false;
  void ended.then(() => {
    gone = true;
  });
  for (const end = performance.now() + 60_000; performance.now() < end && !gone; ) {
    if (answers(host)) return { host, [Symbol.asyncDispose]: stop };
    await new Promise((done) => setTimeout(done, 250));
  }
  await stop();
  return undefined;
}

async function stopEngine(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  await ended;
  clearTimeout(timer);
}
