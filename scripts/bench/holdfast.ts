/** A real fleet for the bench: made, started and stopped by the command line, with settings that only a bench may have. */

import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { FleetFolder, processNames, readPlan, readState } from '../../src/fleet/index.ts';
import { type PinnedTrust, parseTrustFile } from '../../src/trust/index.ts';

/** The command of this checkout, bundled as it is shipped (scripts/build.ts). */
export const OWN_ENTRY = resolve(import.meta.dirname, '../../dist/cli/main.js');

/** Whatever this machine's user has set is not part of what is measured. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('HOLDFAST_')));

export interface BenchFleetOptions {
  readonly directory: string;
  readonly nodes: number;
  readonly coordinators: number;
  /** Passed to Node in every process of the fleet, for profiles. */
  readonly nodeOptions?: string | undefined;
  /** The command that is measured; default `OWN_ENTRY`. */
  readonly entry?: string | undefined;
}

/** One process of a fleet that is up. */
export interface FleetProcess {
  readonly name: string;
  readonly pid: number;
  /** http://host:port */
  readonly monitoring: string;
}

export class BenchFleet {
  readonly folder: FleetFolder;
  readonly #options: BenchFleetOptions;

  private constructor(options: BenchFleetOptions) {
    this.#options = options;
    this.folder = new FleetFolder(options.directory);
  }

  /**
   * Smallest key stretching (the client's work is not counted), no waiting times, and no rate limits, which would
   * otherwise be all that is measured: the load comes from one address and uses few records often.
   */
  static async create(options: BenchFleetOptions): Promise<BenchFleet> {
    const { directory, nodes, coordinators } = options;
    const fleet = new BenchFleet(options);
    await fleet.#command([
      ...['fleet', 'create', directory, '--name', 'bench', '--environment', 'bench', '--no-log'],
      ...['--nodes', String(nodes), '--coordinators', String(coordinators)],
      ...['--limit', '10', '--lifetime-limit', '10000', '--waits', '0'],
      ...['--argon2-memory-kib', '8', '--argon2-passes', '1', '--json'],
    ]);
    for (const name of fleet.#names('node')) fleet.configure(name, { requestsPerRecord: 100_000 });
    for (const name of fleet.#names('coordinator')) fleet.configure(name, { rateLimit: { requests: 0 } });
    return fleet;
  }

  /** The same fleet in a copy of its folder. The two must not be up at the same time: they have the same ports. */
  copyOf(directory: string): BenchFleet {
    return new BenchFleet({ ...this.#options, directory });
  }

  configure(name: string, settings: Readonly<Record<string, unknown>>): void {
    const path = this.folder.configuration(name);
    const before = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, `${JSON.stringify({ ...before, ...settings }, undefined, 2)}\n`);
  }

  /** From now on a user token may name any record: the copies in a large store have ids that nobody's name gives. */
  allowAnyRecord(): void {
    const { tenants } = JSON.parse(readFileSync(this.folder.tenants, 'utf8')) as { tenants: object[] };
    const without = tenants.map((tenant) => ({ ...tenant, recordIdKey: undefined }));
    writeFileSync(this.folder.tenants, JSON.stringify({ tenants: without }));
  }

  trust(): PinnedTrust {
    return parseTrustFile(readFileSync(this.folder.trust, 'utf8'), { now: Date.now() });
  }

  /** @returns seconds until a majority served. */
  async up(): Promise<number> {
    const { coordinators, nodeOptions } = this.#options;
    const begun = performance.now();
    await this.#command(
      ['fleet', 'up', this.folder.path, '--detach', '--coordinators', String(coordinators), '--json'],
      nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions },
    );
    return (performance.now() - begun) / 1000;
  }

  async down(): Promise<void> {
    await this.#command(['fleet', 'down', this.folder.path, '--json']);
  }

  /** The nodes, then the coordinators, as they run now. */
  processes(): FleetProcess[] {
    const plan = readPlan(this.folder);
    return (readState(this.folder)?.processes ?? []).map(({ name, process: identity }) => {
      if (!identity) throw new Error(`${name} does not run; see ${this.folder.log(name)}`);
      const { metrics } = JSON.parse(readFileSync(this.folder.configuration(name), 'utf8')) as {
        metrics: { host: string; port: number };
      };
      if (!processNames(plan).includes(name)) throw new Error(`${name} is not of this fleet`);
      return { name, pid: identity.pid, monitoring: `http://${metrics.host}:${metrics.port}` };
    });
  }

  /** Runs a command and gives what it printed. */
  #command(words: readonly string[], extra: Record<string, string> = {}): Promise<string> {
    return run([this.#options.entry ?? OWN_ENTRY, ...words], extra);
  }

  #names(role: 'node' | 'coordinator'): string[] {
    return processNames(readPlan(this.folder)).filter((name) => name.startsWith(role));
  }
}

/** Runs another script of the bench in a process of its own: a PKCS#11 module belongs to a process. */
export async function benchScript(name: string, words: readonly string[], extra: Record<string, string> = {}) {
  return JSON.parse(await run([join(import.meta.dirname, name), ...words], extra)) as unknown;
}

async function run(words: readonly string[], extra: Record<string, string>): Promise<string> {
  const child = spawn(process.execPath, words, {
    env: { ...environment, ...extra },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
  const code = await new Promise<number | null>((done, fail) => child.once('error', fail).once('close', done));
  if (code === 0) return Buffer.concat(out).toString('utf8');
  const said = `${Buffer.concat(out).toString('utf8')}${Buffer.concat(err).toString('utf8')}`;
  throw new Error(`${words.slice(1, 3).join(' ')} ended with code ${code}: ${said.slice(-2000)}`);
}
