/** A Docker engine for the tests: the one that runs, or one started here as root and stopped afterwards. */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { RUNS, removeOldRuns, removeRun } from '../../scripts/left-behind.ts';

export const root = resolve(import.meta.dirname, '../..');
/** Kept between runs: base images and the engine's cache of built steps. */
export const kept = join(root, 'work/containers');

export interface Engine extends AsyncDisposable {
  /** For DOCKER_HOST; undefined leaves it to the environment. */
  readonly host: string | undefined;
}

/** Milliseconds for one answer, and for the engine to come up and to end: only what hangs takes so long. */
const ANSWER = 120_000;
const UP = 600_000;
const DOWN = 120_000;

const answers = (host?: string) =>
  spawnSync('docker', ['version'], {
    stdio: 'ignore',
    env: { ...process.env, ...(host && { DOCKER_HOST: host }) },
    timeout: ANSWER,
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
  removeOldRuns(RUNS);
  const run = join(RUNS, `holdfast-${process.pid}`);
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
    // An engine that had to be killed leaves its containers.
    removeRun(run);
  };
  let gone = false;
  void ended.then(() => {
    gone = true;
  });
  for (const end = performance.now() + UP; performance.now() < end && !gone; ) {
    if (answers(host)) {
      removeContainers(host);
      return { host, [Symbol.asyncDispose]: stop };
    }
    await new Promise((done) => setTimeout(done, 250));
  }
  await stop();
  return undefined;
}

/** Of a run that was killed: those of Compose would be started again, and keep their ports from this one's. */
function removeContainers(host: string): void {
  const env = { ...process.env, DOCKER_HOST: host };
  const docker = (...words: string[]) =>
    spawnSync('docker', words, { env, encoding: 'utf8', timeout: UP }).stdout ?? '';
  const all = (...words: string[]) =>
    docker(...words, '--quiet')
      .split('\n')
      .filter(Boolean);
  const containers = all('ps', '--all');
  if (containers.length > 0) docker('rm', '--force', '--volumes', ...containers);
  const volumes = all('volume', 'ls');
  if (volumes.length > 0) docker('volume', 'rm', ...volumes);
  docker('network', 'prune', '--force');
}

async function stopEngine(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), DOWN);
  await ended;
  clearTimeout(timer);
}
