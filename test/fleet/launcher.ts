/**
 * Fleets of real processes on real tokens for tests: made once per run and kind, then copied, each copy with free ports.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { FleetFolder, type FleetStatus, fleetStatus, readPlan } from '../../src/fleet/index.ts';
import { builtCommand, makeOnce, shared } from '../built-command.ts';
import { reservePorts } from '../ports.ts';

export const entry = await builtCommand();

export interface Outcome {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  /** Another entry than that of the command as it is. */
  readonly entry?: string;
  /** Told of the process as soon as it runs. */
  readonly onStart?: (child: ChildProcess) => void;
}

/** An environment in which nothing of the person who runs the tests counts. */
export function cleanEnvironment(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const kept = Object.entries(process.env).filter(
    ([name, value]) => value !== undefined && !/^(HOLDFAST|SOFTHSM|XDG)/.test(name),
  );
  return {
    ...(Object.fromEntries(kept) as Record<string, string>),
    XDG_CONFIG_HOME: join(tmpdir(), 'config'),
    XDG_CACHE_HOME: join(shared, 'cache'),
    ...more,
  };
}

/** Runs `holdfast` to its end. */
export function holdfast(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [options.entry ?? entry, ...words], {
      env: cleanEnvironment(options.environment),
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.stdin.on('error', () => {});
    child.stdin.end(options.input ?? '');
    child.once('error', fail);
    child.once('close', (code) =>
      done({ code, stdout: Buffer.concat(out), stderr: Buffer.concat(err).toString('utf8') }),
    );
    options.onStart?.(child);
  });
}

export interface FleetKind {
  readonly nodes?: number;
  readonly coordinators?: number;
  /** More options of `fleet create`. */
  readonly options?: readonly string[];
  /** With cosigner, witnesses and a log, of its own: their ports are in a signed policy, so that it is never a copy. */
  readonly log?: boolean;
  /** Told of the folder before the fleet is up, to change its configurations. */
  readonly prepare?: (folder: FleetFolder) => void;
}

/** PINs are stretched little, and nothing waits. */
const QUICK = ['--waits', '0', '--argon2-memory-kib', '256', '--argon2-passes', '1'];

/** Changes a JSON file of a fleet: a configuration or the trust file. */
export function editJson(path: string, change: (content: Record<string, unknown>) => void): void {
  const content = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  change(content);
  writeFileSync(path, JSON.stringify(content));
}

/**
 * Milliseconds for which coordinators wait for each of the nodes where all are wanted. What a test expects of a fleet that is
 * whole must not depend on how slow it is; a client waits for a coordinator for 10 s.
 */
const PATIENT = { node: 9000, enrolmentGrace: 9000 };

/** A folder with a fleet that is down, a copy of the run's template of that kind. */
export async function copyFleet(kind: FleetKind = {}): Promise<FleetFolder> {
  const folder = await newFolder(kind);
  for (let coordinator = 1; coordinator <= (kind.coordinators ?? 2); coordinator++) {
    editJson(folder.configuration(`coordinator-${coordinator}`), (content) => {
      content.timeouts = PATIENT;
    });
  }
  return folder;
}

async function newFolder(kind: FleetKind): Promise<FleetFolder> {
  const { nodes = 3, coordinators = 2, options = [] } = kind;
  const words = ['--nodes', String(nodes), '--coordinators', String(coordinators), ...QUICK, ...options];
  if (kind.log) {
    words.push('--base-port', String(await reservePorts()));
    return await makeFleet(join(mkdtempSync(join(tmpdir(), 'fleet-')), 'f'), words);
  }
  words.push('--no-log');
  const template = join(shared, `fleet-${words.join('_').replace(/[^a-z0-9]+/gi, '-')}`);
  await makeOnce(template, 'fleet.json', async (path) => {
    await makeFleet(path, words);
  });
  const folder = new FleetFolder(join(mkdtempSync(join(tmpdir(), 'fleet-')), 'f'));
  cpSync(template, folder.path, { recursive: true });
  movePorts(folder, readPlan(folder).basePort, await reservePorts());
  return folder;
}

async function makeFleet(path: string, words: readonly string[]): Promise<FleetFolder> {
  const made = await holdfast(['fleet', 'create', path, ...words, '--json']);
  if (made.code !== 0) throw new Error(`fleet create failed: ${made.stdout}${made.stderr}`);
  return new FleetFolder(path);
}

function movePorts(folder: FleetFolder, from: number, to: number): void {
  const files = readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).filter((name) =>
    /(^|\/)(fleet|trust|config)\.json$/.test(name),
  );
  for (const name of files) {
    const path = join(folder.path, name);
    const moved = readFileSync(path, 'utf8').replace(/(127\.0\.0\.1:|ort": )(\d+)\b/g, (_, before: string, port) =>
      Number(port) === 0 ? `${before}${port}` : `${before}${Number(port) - from + to}`,
    );
    writeFileSync(path, moved);
  }
}

/** A user's command with patience that ends only where nothing can come, unless it says how patient it is. */
export const patiently = (words: readonly string[]): readonly string[] =>
  words.includes('--user') && !words.includes('--patience') ? [...words, '--patience', '240'] : words;

/** A fleet that serves, and a user's way to it. */
export class TestFleet implements AsyncDisposable {
  readonly folder: FleetFolder;
  /** A folder for the test's own files. */
  readonly files: string;

  private constructor(folder: FleetFolder) {
    this.folder = folder;
    this.files = mkdtempSync(join(tmpdir(), 'files-'));
  }

  static async launch(kind: FleetKind = {}): Promise<TestFleet> {
    const fleet = new TestFleet(await copyFleet(kind));
    kind.prepare?.(fleet.folder);
    await fleet.up(kind.coordinators ?? 2);
    return fleet;
  }

  /** Brings it up and waits until all nodes serve. */
  async up(coordinators = 2): Promise<void> {
    await this.ok('fleet', 'up', this.folder.path, '--detach', '--coordinators', String(coordinators));
    await this.until(({ processes }) => processes.every(({ ready }) => ready));
  }

  async down(): Promise<void> {
    await this.ok('fleet', 'down', this.folder.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.down();
    rmSync(dirname(this.folder.path), { recursive: true, force: true });
  }

  async status(): Promise<FleetStatus> {
    return (await this.ok('fleet', 'status', this.folder.path)) as unknown as FleetStatus;
  }

  /** Waits until the fleet's status is so, without a process for each look; fails with the last one after five minutes, which only what hangs takes on any machine. */
  async until(holds: (status: FleetStatus) => boolean): Promise<FleetStatus> {
    const end = performance.now() + 300_000;
    for (;;) {
      const status = await fleetStatus(this.folder);
      if (holds(status)) return status;
      if (performance.now() > end) throw new Error(`not in time: ${JSON.stringify(status, undefined, 1)}`);
      await new Promise((done) => setTimeout(done, 100));
    }
  }

  /** A file of the test's own. */
  file(name: string, content: string | Uint8Array): string {
    const path = join(this.files, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  path(name: string): string {
    return join(this.files, name);
  }

  /** A credential of the development tenant. */
  async user(subject: string, ...more: readonly string[]): Promise<string> {
    const out = this.path(`${subject}.json`);
    await this.ok('user-token', '--fleet', this.folder.path, '--subject', subject, '--out', out, ...more);
    return out;
  }

  run(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    // In bundle mode where the fleet has a log, else pinned.
    const { log } = readPlan(this.folder);
    const environment = {
      HOLDFAST_TRUST: log.kind === 'none' ? this.folder.trust : this.folder.client,
      HOLDFAST_TRUST_STATE: this.path('trust-state.json'),
    };
    return holdfast(patiently(words), { ...options, environment: { ...environment, ...options.environment } });
  }

  /** Runs a command with `--json` that must end with `code`, and gives its one object. */
  async json(code: number, ...words: readonly string[]): Promise<Record<string, unknown>> {
    const { code: actual, stdout, stderr } = await this.run([...words, '--json']);
    if (actual !== code) throw new Error(`${words.join(' ')} ended with ${actual}: ${stdout}${stderr}`);
    const result = JSON.parse(stdout.toString('utf8')) as Record<string, unknown>;
    if (result.exitCode !== code) throw new Error(`the object says exit code ${result.exitCode}, not ${code}`);
    return result;
  }

  ok(...words: readonly string[]): Promise<Record<string, unknown>> {
    return this.json(0, ...words);
  }

  /** Everything that any process of the fleet has logged. */
  logs(): string {
    const { logs } = this.folder;
    return readdirSync(logs)
      .map((name) => readFileSync(join(logs, name), 'utf8'))
      .join('\n');
  }
}
