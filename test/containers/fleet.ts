/**
 * A fleet of containers, as compose.yaml has it: each node alone with the coordinators on a network of its own, its token and
 * store on volumes; cosigner and witnesses on another, by which clients on this machine verify the fleet.
 */

import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { extract } from 'tar-stream';
import {
  type ContainerRuntimeClient,
  GenericContainer,
  getContainerRuntimeClient,
  type StartedTestContainer,
  Wait,
} from 'testcontainers';
import { holdfast, type Outcome } from '../fleet/launcher.ts';
import { reservePorts } from '../ports.ts';

export const NODES = [1, 2, 3, 4, 5] as const;
export const COORDINATORS = [1, 2] as const;
const WITNESSES = [1, 2, 3] as const;
const OWN = '/var/lib/holdfast/own';
const STORE = '/var/lib/holdfast/store';
/** Milliseconds for a container to start, and for a node to serve: only what hangs takes so long, on any machine. */
const START = 600_000;
const SERVE = 300_000;

/** As compose.yaml has it: nothing to write to but volumes and /tmp, no capabilities. */
class Hardened extends GenericContainer {
  constructor(image: string) {
    super(image);
    this.hostConfig.ReadonlyRootfs = true;
    this.hostConfig.Init = true;
    this.withDroppedCapabilities('ALL').withSecurityOpt('no-new-privileges').withTmpFs({ '/tmp': 'rw,mode=1777' });
  }

  /** On that network and no other, found there by this name. */
  on(network: string, alias: string): this {
    this.withNetworkMode(network);
    this.createOpts.NetworkingConfig = { EndpointsConfig: { [network]: { Aliases: [alias] } } };
    return this;
  }
}

/**
 * An enrolment waits for all nodes nearly as long as a client waits for a coordinator (10 s): without one that is late it would be
 * said to be degraded.
 */
export const WHOLE = { HOLDFAST_COORDINATOR_TIMEOUTS_ENROLMENT_GRACE: '9000' };

/** For a coordinator's container: what its metrics say of the nodes, in which `SERVING` is found once for each that it has reached. */
export const ASK_PHASES = `const answer = await fetch('http://127.0.0.1:9465/metrics').catch(String);
console.log(answer.text ? (await answer.text()).match(/^holdfast_coordinator_node_phase.*$/gm)?.join('\\n') : answer);`;
export const SERVING = /phase="serving"\} 1$/gm;

export class ContainerFleet implements AsyncDisposable {
  readonly #prefix = `hf-${randomBytes(4).toString('hex')}`;
  readonly #running = new Map<string, StartedTestContainer>();
  readonly #volumes = new Set<string>();
  readonly #networks = new Set<string>();
  readonly #files = mkdtempSync(join(tmpdir(), 'containers-'));
  readonly #client: ContainerRuntimeClient;
  #basePort = 0;

  private constructor(client: ContainerRuntimeClient) {
    this.#client = client;
  }

  get #docker() {
    return this.#client.container.dockerode;
  }

  /** Makes networks, volumes and a fleet in them; nothing runs yet. */
  static async create(image: string, options: readonly string[]): Promise<ContainerFleet> {
    const fleet = new ContainerFleet(await getContainerRuntimeClient());
    try {
      await fleet.#create(image, options);
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
    return fleet;
  }

  async #create(image: string, options: readonly string[]): Promise<void> {
    this.#basePort = await reservePorts();
    for (const node of NODES) await this.#network(`node-${node}`, true);
    for (const name of ['public', 'log']) await this.#network(name, false);
    const names = ['fleet', ...NODES.flatMap((n) => [`node-${n}`, `node-${n}-store`]), 'cosigner', 'monitor'];
    names.push(...COORDINATORS.map((n) => `coordinator-${n}`), ...WITNESSES.map((n) => `witness-${n}`));
    for (const name of names) await this.#volume(name);
    const made = await new GenericContainer(image)
      .withUser('0:0')
      .withNetworkMode('none')
      .withEntrypoint(['node', '/app/container/initialise-fleet.mjs', '/volumes'])
      .withCommand(['--nodes', '5', '--coordinators', '2', '--base-port', String(this.#basePort), ...options])
      .withBindMounts(names.map((name) => ({ source: this.#of(name), target: `/volumes/${name}`, mode: 'rw' })))
      .withWaitStrategy(Wait.forOneShotStartup())
      .withStartupTimeout(START)
      .start();
    await this.#copyOut(made, '/volumes/fleet/.');
    await made.stop({ remove: true, removeVolumes: false });
  }

  #of(name: string): string {
    return `${this.#prefix}-${name}`;
  }

  async #network(name: string, isolated: boolean): Promise<void> {
    await this.#docker.createNetwork({ Name: this.#of(name), Driver: 'bridge', Internal: isolated });
    this.#networks.add(this.#of(name));
  }

  async #volume(name: string): Promise<void> {
    await this.#docker.createVolume({ Name: this.#of(name) });
    this.#volumes.add(this.#of(name));
  }

  async #copyOut(container: StartedTestContainer, path: string): Promise<void> {
    const archive = extract();
    (await container.copyArchiveFromContainer(path)).pipe(archive as unknown as NodeJS.WritableStream);
    for await (const entry of archive) {
      const target = join(this.#files, 'fleet', entry.header.name);
      const chunks: Uint8Array[] = [];
      for await (const chunk of entry) chunks.push(chunk as Uint8Array);
      if (entry.header.type !== 'file') continue;
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, Buffer.concat(chunks), { mode: 0o600 });
    }
  }

  /** Starts a node and waits until it listens, which does not say that it serves. */
  async startNode(node: number, image: string): Promise<void> {
    const name = `node-${node}`;
    const container = new Hardened(image)
      .withName(this.#of(name))
      .on(this.#of(name), name)
      .withBindMounts([
        { source: this.#of(name), target: OWN, mode: 'rw' },
        { source: this.#of(`${name}-store`), target: STORE, mode: 'rw' },
      ])
      .withCommand(['node', 'run', '--config', `${OWN}/config.json`]);
    this.#running.set(name, await this.#start(container));
  }

  async startCoordinator(coordinator: number, image: string): Promise<void> {
    const name = `coordinator-${coordinator}`;
    const container = new Hardened(image)
      .withName(this.#of(name))
      .on(this.#of('public'), name)
      .withEnvironment(WHOLE)
      .withExposedPorts({ container: 8443, host: this.#basePort + coordinator })
      .withBindMounts([{ source: this.#of(name), target: OWN, mode: 'ro' }])
      .withCommand(['coordinator', 'run', '--config', `${OWN}/config.json`]);
    this.#running.set(name, await this.#start(container));
    const Container = this.#running.get(name)!.getId();
    await this.#docker.getNetwork(this.#of('log')).connect({ Container });
    for (const node of NODES) await this.join(coordinator, node);
  }

  /** Cosigner and witnesses, at the addresses of the signed policy, which are good in containers and on this machine. */
  async #startParties(image: string): Promise<void> {
    const start = async (name: string, port: number, ...command: string[]) => {
      const container = new Hardened(image)
        .withName(this.#of(name))
        .on(this.#of('log'), name)
        .withExposedPorts({ container: port, host: port })
        .withBindMounts([{ source: this.#of(name), target: OWN, mode: 'rw' }])
        .withCommand([...command, '--config', `${OWN}/config.json`]);
      this.#running.set(name, await this.#start(container));
    };
    await Promise.all([
      start('cosigner', this.#basePort + 40, 'cosigner', 'serve'),
      ...WITNESSES.map((n) => start(`witness-${n}`, this.#basePort + 41 + n, 'witness', 'serve')),
    ]);
  }

  /** The operator has the fleet as it is logged, witnessed and accepted. */
  async announce(image: string): Promise<void> {
    const announced = await new Hardened(image)
      .on(this.#of('log'), 'announce')
      .withBindMounts([{ source: this.#of('fleet'), target: OWN, mode: 'rw' }])
      .withCommand(['fleet', 'announce', OWN])
      .withWaitStrategy(Wait.forOneShotStartup())
      .withStartupTimeout(START)
      .start();
    await announced.stop({ remove: true, removeVolumes: false });
  }

  /** The image's own health check is asked first after ten seconds, and more often is a process each time. */
  #start(container: GenericContainer): Promise<StartedTestContainer> {
    const listening = Wait.forLogMessage('"event":"listening"');
    return container.withWaitStrategy(listening).withStartupTimeout(START).start();
  }

  /** What the engine says of each container's health. */
  async health(): Promise<readonly string[]> {
    const found = [...this.#running.values()].map((one) => this.#docker.getContainer(one.getId()).inspect());
    return (await Promise.all(found)).map(({ State }) => State.Health?.Status ?? 'none');
  }

  /** Starts everything and waits until all nodes serve. @returns milliseconds that it took. */
  async up(image: string): Promise<number> {
    const began = performance.now();
    await Promise.all([
      ...NODES.map((node) => this.startNode(node, image)),
      ...COORDINATORS.map((coordinator) => this.startCoordinator(coordinator, image)),
      this.#startParties(image).then(() => this.announce(image)),
    ]);
    for (const node of NODES) await this.untilServing(node);
    for (const coordinator of COORDINATORS) await this.untilReached(coordinator);
    return performance.now() - began;
  }

  /** Ends a container at once, as a power cut does, or in good order; its volumes stay. */
  async stop(name: string, how: 'kill' | 'stop'): Promise<void> {
    const container = this.#docker.getContainer(this.#running.get(name)!.getId());
    if (how === 'kill') await container.kill();
    else await container.stop({ t: 20 });
    await container.remove();
    this.#running.delete(name);
  }

  /** Takes a stopped node's store away and gives it an empty volume. */
  async loseStore(node: number): Promise<void> {
    const name = `node-${node}-store`;
    await this.#docker.getVolume(this.#of(name)).remove();
    await this.#volume(name);
  }

  /** Cuts the way between a coordinator and a node. */
  async cut(coordinator: number, node: number): Promise<void> {
    const Container = this.#running.get(`coordinator-${coordinator}`)!.getId();
    await this.#docker.getNetwork(this.#of(`node-${node}`)).disconnect({ Container, Force: true });
  }

  async join(coordinator: number, node: number): Promise<void> {
    const Container = this.#running.get(`coordinator-${coordinator}`)!.getId();
    await this.#docker.getNetwork(this.#of(`node-${node}`)).connect({ Container });
  }

  /** What the node's own monitoring says. */
  async isServing(node: number): Promise<boolean> {
    const container = this.#running.get(`node-${node}`);
    const asked = await container?.exec(['node', '/app/container/health.mjs'], {
      env: { HOLDFAST_HEALTH_PATH: '/readyz' },
    });
    return asked?.exitCode === 0;
  }

  async untilServing(node: number): Promise<void> {
    const end = performance.now() + SERVE;
    while (!(await this.isServing(node))) {
      if (performance.now() > end) throw new Error(`node ${node} does not serve:\n${await this.log(`node-${node}`)}`);
      await new Promise((done) => setTimeout(done, 250));
    }
  }

  /**
   * Waits until a coordinator has heard from all nodes that they serve. It starts before it is on their networks, so that it may be
   * long until it finds them: one that serves was found by the other.
   */
  async untilReached(coordinator: number): Promise<void> {
    const end = performance.now() + SERVE;
    const name = `coordinator-${coordinator}`;
    for (;;) {
      const { output } = await this.exec(name, 'node', '--input-type=module', '--eval', ASK_PHASES);
      if (output.match(SERVING)?.length === NODES.length) return;
      if (performance.now() > end)
        throw new Error(`${name} does not reach all nodes: ${output}\n${await this.log(name)}`);
      await new Promise((done) => setTimeout(done, 250));
    }
  }

  async log(name: string): Promise<string> {
    const lines: string[] = [];
    const stream = await this.#running.get(name)!.logs({ tail: 30 });
    stream.on('data', (line: Buffer | string) => lines.push(String(line)));
    await new Promise((done) => setTimeout(done, 500));
    stream.destroy();
    return lines.join('');
  }

  async exec(name: string, ...command: string[]): Promise<{ readonly output: string; readonly exitCode: number }> {
    return await this.#running.get(name)!.exec(command);
  }

  file(name: string, content: string): string {
    const path = join(this.#files, name);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  path(name: string): string {
    return join(this.#files, name);
  }

  /** A credential of the development tenant. */
  async user(subject: string): Promise<string> {
    const out = this.path(`${subject}.json`);
    await this.json(0, [], 'user-token', '--fleet', join(this.#files, 'fleet'), '--subject', subject, '--out', out);
    return out;
  }

  /** `holdfast` on this machine, at these coordinators alone (none named: all), in bundle mode. */
  async run(coordinators: readonly number[], ...words: readonly string[]): Promise<Outcome> {
    const environment: Record<string, string> = {
      HOLDFAST_TRUST: join(this.#files, 'fleet/client.json'),
      HOLDFAST_TRUST_STATE: join(this.#files, 'trust-state.json'),
    };
    const urls = coordinators.map((n) => `https://127.0.0.1:${this.#basePort + n}`);
    if (urls.length > 0) environment.HOLDFAST_URL = urls.join(' ');
    return await holdfast(words, { environment });
  }

  async json(code: number, coordinators: readonly number[], ...words: readonly string[]) {
    const { code: actual, stdout, stderr } = await this.run(coordinators, ...words, '--json');
    if (actual !== code) throw new Error(`${words.join(' ')} ended with ${actual}, not ${code}: ${stdout}${stderr}`);
    return JSON.parse(stdout.toString('utf8')) as Record<string, unknown>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const quietly = (work: Promise<unknown>) => work.catch(() => {});
    const left = await this.#docker.listContainers({ all: true, filters: { name: [this.#prefix] } });
    await Promise.all(left.map(({ Id }) => quietly(this.#docker.getContainer(Id).remove({ force: true }))));
    await Promise.all([...this.#volumes].map((name) => quietly(this.#docker.getVolume(name).remove())));
    await Promise.all([...this.#networks].map((name) => quietly(this.#docker.getNetwork(name).remove())));
  }
}
