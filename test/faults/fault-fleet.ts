/** A fleet of five real nodes to which faults are done, and clients whose every request a test can watch. */

import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Agent, fetch } from 'undici';
import { userToken } from '../../src/cli/commands/user-token.ts';
import { readCredential } from '../../src/cli/credential.ts';
import { type Fetch, HttpTransport, VaultClient } from '../../src/client/index.ts';
import { claimedAttempt, claimedGeneration } from '../../src/coordinator/choose.ts';
import { HttpNodeTransport } from '../../src/coordinator/http/index.ts';
import { asHoldfastError, type ErrorCode, type HoldfastError } from '../../src/core/index.ts';
import {
  type FleetFolder,
  fleetStatus,
  killProcess,
  type ProcessStatus,
  readPlan,
  readState,
  startProcesses,
} from '../../src/fleet/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { type ClientAnswer, type ClientRequest, decodePortableRecord } from '../../src/protocol/index.ts';
import { parseTrustFile } from '../../src/trust/index.ts';
import { builtCommand } from '../built-command.ts';
import { copyFleet, editJson, holdfast, type Outcome } from '../fleet/launcher.ts';
import type { KillPoint } from './preload.ts';

/** The command with what kills its nodes. */
const entry = await builtCommand(join(import.meta.dirname, 'preload.ts'));

/** One kind for all files, so that its tokens are made once per run. */
const KIND = { nodes: 5, coordinators: 2, options: ['--destroy-after', '2', '--lifetime-limit', '10000'] };

export const PIN = '5512 9034';
export const WRONG = '1111 2222';
export const SECRET = new TextEncoder().encode('what the faults must not touch');

/** Milliseconds. Only a client that can get nowhere comes to the end of it. */
const PATIENCE = 120_000;

/** Polls until `holds`; fails after `seconds`, which only what hangs takes on any machine, with what `describe` says. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  describe: () => unknown = () => '',
  seconds = 300,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not in time: ${what} ${JSON.stringify(await describe())}`);
    await new Promise((done) => setTimeout(done, 100));
  }
}

export interface ClientOptions {
  /** Milliseconds; default two minutes. */
  readonly patience?: number;
  /** Only these coordinators, by number. */
  readonly coordinators?: readonly number[];
  /** Told of each request just before it is sent. */
  readonly onSend?: (request: ClientRequest) => void;
  readonly onAnswer?: (answer: ClientAnswer) => void;
}

export class FaultFleet implements AsyncDisposable {
  readonly folder: FleetFolder;
  readonly #files = mkdtempSync(join(tmpdir(), 'files-'));
  readonly #agents = new Map<string, Agent>();
  #nodeTransport: HttpNodeTransport | undefined;

  private constructor(folder: FleetFolder) {
    this.folder = folder;
  }

  /** `prepare` changes the fleet's files before it is brought up. */
  static async launch(prepare: (fleet: FaultFleet) => void = () => {}): Promise<FaultFleet> {
    const fleet = new FaultFleet(await copyFleet(KIND));
    for (const coordinator of [1, 2]) {
      fleet.edit(fleet.folder.configuration(`coordinator-${coordinator}`), (content) => {
        content.maintenance = { antiEntropy: 500 };
      });
    }
    prepare(fleet);
    await fleet.up();
    return fleet;
  }

  async up(): Promise<void> {
    const before = process.env.NODE_OPTIONS;
    // Inherited by the supervisor and all that it starts; no other process of the tests takes notice.
    process.env.NODE_OPTIONS = `--import=${join(dirname(entry), 'preload.js')}`;
    const words = ['fleet', 'up', this.folder.path, '--detach', '--coordinators', '2'];
    const started = await holdfast(words, { entry }).finally(() => {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    });
    if (started.code !== 0) throw new Error(`the fleet did not come up: ${started.stdout}${started.stderr}`);
    await this.untilServing(1, 2, 3, 4, 5);
  }

  async down(): Promise<void> {
    await this.#nodeTransport?.close();
    this.#nodeTransport = undefined;
    const { code, stderr } = await holdfast(['fleet', 'down', this.folder.path]);
    if (code !== 0) throw new Error(`fleet down: ${stderr}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
    await this.down();
    rmSync(dirname(this.folder.path), { recursive: true, force: true });
  }

  // --- files ----------------------------------------------------------------------------------------------------------

  of(node: number, ...names: string[]): string {
    return join(this.folder.of(`node-${node}`), ...names);
  }

  /** Changes a JSON file of the fleet: a configuration or the trust file. */
  edit(path: string, change: (content: Record<string, unknown>) => void): void {
    editJson(path, change);
  }

  log(name: string): string {
    return existsSync(this.folder.log(name)) ? readFileSync(this.folder.log(name), 'utf8') : '';
  }

  // --- processes ------------------------------------------------------------------------------------------------------

  async process(name: string): Promise<ProcessStatus> {
    const { processes } = await fleetStatus(this.folder);
    return processes.find((one) => one.name === name)!;
  }

  pid(name: string): number {
    return readState(this.folder)!.processes.find((one) => one.name === name)!.process!.pid;
  }

  /** A signal to a process that is started again if it ends. */
  signal(name: string, signal: NodeJS.Signals): number {
    const pid = this.pid(name);
    process.kill(pid, signal);
    return pid;
  }

  /** SIGKILL; it stays down until `start`. */
  async kill(...nodes: number[]): Promise<void> {
    for (const node of nodes) {
      // One that has just ended by itself stays down as well.
      await killProcess(this.folder, `node-${node}`).catch((error: unknown) => {
        if (asHoldfastError(error).code !== 'usage') throw error;
      });
    }
  }

  async start(...nodes: number[]): Promise<void> {
    const names = nodes.map((node) => `node-${node}`);
    await startProcesses(this.folder, names, { timeout: 240_000 });
    await this.untilServing(...nodes);
  }

  /** Waits until these nodes serve, each as another process than that of `before`. */
  async untilServing(...nodes: number[]): Promise<void> {
    await this.untilAnew(new Map(nodes.map((node) => [`node-${node}`, 0])));
  }

  /** Waits until each named process is ready and has another number than before. */
  async untilAnew(before: ReadonlyMap<string, number>): Promise<void> {
    const status = () => fleetStatus(this.folder);
    await until(
      `${[...before.keys()].join(', ')} serve`,
      async () => {
        const { processes } = await status();
        return processes.every(({ name, pid, ready }) => !before.has(name) || (ready && pid !== before.get(name)));
      },
      status,
    );
  }

  /** The node ends itself at that point of its next group commit, and is started again. */
  killAt(point: KillPoint, ...nodes: number[]): void {
    for (const node of nodes) {
      // Whole at once: the node looks at it at any time.
      writeFileSync(this.of(node, 'kill-at.new'), point);
      renameSync(this.of(node, 'kill-at.new'), this.of(node, 'kill-at'));
    }
  }

  /** Moves a node's clock by so many hours; 0 puts it right. */
  moveClock(node: number, hours: number): void {
    writeFileSync(this.of(node, 'clock-offset.new'), String(hours * 3_600_000));
    renameSync(this.of(node, 'clock-offset.new'), this.of(node, 'clock-offset'));
  }

  // --- what nodes say -------------------------------------------------------------------------------------------------

  async metrics(node: number): Promise<string> {
    const port = 20 + 10 + node + readPlan(this.folder).basePort;
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, { signal: AbortSignal.timeout(60_000) });
    return response.text();
  }

  /** A figure of a node, 0 where it has none. */
  async metric(node: number, name: string): Promise<number> {
    const line = (await this.metrics(node)).split('\n').find((each) => each.startsWith(`${name} `));
    return line === undefined ? 0 : Number(line.slice(name.length + 1));
  }

  evaluations(): Promise<number[]> {
    return Promise.all([1, 2, 3, 4, 5].map((node) => this.metric(node, 'holdfast_node_evaluations_total')));
  }

  get nodeTransport(): HttpNodeTransport {
    const own = this.folder.of('coordinator-1');
    const { basePort } = readPlan(this.folder);
    const { fleet } = this.trust().fleet;
    this.#nodeTransport ??= new HttpNodeTransport({
      fleet,
      tls: {
        authorityPem: readFileSync(join(this.folder.authority, 'authority.pem'), 'utf8'),
        certificatePem: readFileSync(join(own, 'certificate.pem'), 'utf8'),
        privateKeyPem: readFileSync(join(own, 'certificate.key'), 'utf8'),
      },
      nodes: [1, 2, 3, 4, 5].map((node) => ({
        node,
        url: `https://127.0.0.1:${basePort + 20 + node}`,
        name: `node-${node}`,
      })),
      timeout: 30_000,
    });
    return this.#nodeTransport;
  }

  /** What a node can prove of a user's record, '' where it does not answer. Its own votes may differ from others'. */
  async proven(node: number, subject: string): Promise<string> {
    try {
      const { record } = await readCredential(await this.user(subject));
      const { content } = await this.nodeTransport.send(node, { kind: 'export', record });
      const { activation, confirmation, tombstone } = decodePortableRecord(content!);
      const [generation, confirmed] = [claimedGeneration(activation), claimedAttempt(confirmation)];
      return JSON.stringify({ generation, confirmed, destroyed: tombstone?.generation ?? 0 });
    } catch {
      return '';
    }
  }

  /** Waits until all nodes can prove the same of a user's record. */
  async untilAgreed(subject: string): Promise<void> {
    const proofs = () => Promise.all([1, 2, 3, 4, 5].map((node) => this.proven(node, subject)));
    await until(
      `all nodes know the same of ${subject}`,
      async () => {
        const all = await proofs();
        return all[0] !== '' && new Set(all).size === 1;
      },
      proofs,
    );
  }

  // --- clients --------------------------------------------------------------------------------------------------------

  trust() {
    return parseTrustFile(readFileSync(this.folder.trust, 'utf8'), { now: Date.now() });
  }

  /** A credential file of the development tenant. */
  async user(subject: string): Promise<string> {
    const out = join(this.#files, `${subject}.json`);
    const operations = ['enrol', 'recover', 'delete', 'cancel'];
    if (!existsSync(out)) await userToken({ fleet: this.folder.path, subject, operations, lifetime: 86_400, out });
    return out;
  }

  async client(subject: string, options: ClientOptions = {}): Promise<VaultClient> {
    const file = await this.user(subject);
    const trust = this.trust();
    const { patience = PATIENCE, coordinators = [1, 2], onSend, onAnswer } = options;
    const urls = coordinators.map((coordinator) => trust.coordinators[coordinator - 1]!);
    const transport = new HttpTransport({ urls, fetch: this.fetch, timeout: 60_000 });
    return new VaultClient({
      fleet: trust.fleet,
      record: (await readCredential(file)).record,
      credential: () => readCredential(file),
      patience,
      transport: {
        send: async (request, signal) => {
          onSend?.(request);
          const answer = await transport.send(request, signal);
          onAnswer?.(answer);
          return answer;
        },
      },
    });
  }

  /** A user whose secret is kept under the PIN by all five nodes. */
  async enrolled(subject: string, options?: ClientOptions): Promise<VaultClient> {
    const { degraded } = await (await this.client(subject)).enrol(PIN, SECRET);
    if (degraded) throw new Error('not all nodes took part in the enrolment');
    return this.client(subject, options);
  }

  /** The command line, for its exit codes. */
  async run(subject: string, ...words: string[]): Promise<Outcome> {
    const environment = { HOLDFAST_TRUST: this.folder.trust, HOLDFAST_USER: await this.user(subject) };
    return holdfast(words, { environment });
  }

  readonly fetch: Fetch = (url, init) => {
    const { origin } = new URL(url);
    let agent = this.#agents.get(origin);
    if (!agent) {
      const authorityPem = readFileSync(join(this.folder.authority, 'authority.pem'), 'utf8');
      const tls = tlsClientOptions({ authorityPem }, { fleet: this.trust().fleet.fleet, role: 'public' });
      agent = new Agent({ connect: { ...tls, timeout: 60_000 } as NonNullable<Agent.Options['connect']> });
      this.#agents.set(origin, agent);
    }
    const own = fetch as unknown as (url: string, init: RequestInit & { dispatcher: Agent }) => Promise<Response>;
    return own(url, { ...init, dispatcher: agent });
  };
}

/** What an operation that must fail failed with. */
export async function failure(operation: Promise<unknown>): Promise<HoldfastError> {
  try {
    await operation;
  } catch (thrown) {
    return asHoldfastError(thrown);
  }
  throw new Error('it did not fail');
}

export const codeOf = async (operation: Promise<unknown>): Promise<ErrorCode | 'ok'> =>
  operation.then(
    () => 'ok' as const,
    (thrown: unknown) => asHoldfastError(thrown).code,
  );

/** The secret is what was kept. */
export async function recovers(client: VaultClient): Promise<boolean> {
  const { secret } = await client.recover(PIN);
  const same = Buffer.from(secret.reveal()).equals(Buffer.from(SECRET));
  secret.wipe();
  return same;
}
