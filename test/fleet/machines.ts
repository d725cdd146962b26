/** The machines of docs/production.md on one: a folder and a store of SoftHSM for each, and the document's commands as they stand. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { findSoftHsm, initialiseToken, writeSoftHsmConfiguration } from '../../src/token/index.ts';
import { reservePorts } from '../ports.ts';
import { secret } from '../token/fixture.ts';
import { cleanEnvironment, entry } from './launcher.ts';
import type { SystemdMachine } from './systemd-machine.ts';

const documentOf = (path: string) => readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8');

interface Block {
  readonly language: string;
  /** On whose machine, and whether it goes on for as long as the service runs. */
  readonly role: string;
  readonly text: string;
}

const blocksOf = (document: string): Block[] =>
  [...document.matchAll(/^```(sh|json) ([a-z ]+)\n([\s\S]*?)^```$/gm)].map(([, language, role, text]) => ({
    language: language!,
    role: role!,
    text: text!,
  }));

export const blocks: readonly Block[] = blocksOf(documentOf('production.md'));

/** How docs/deploy has systemd run it. */
const unitOf = (role: 'node' | 'coordinator'): string =>
  blocksOf(documentOf('deploy/README.md')).find((block) => block.role === `${role} unit`)!.text;

/** The node that is a unit of systemd where there is a machine with it. */
export const NODE_OF_UNIT = 5;

/** The texts of a role's blocks, in their order. */
export const textsOf = (language: string, role: string): string[] =>
  blocks.filter((block) => block.language === language && block.role === role).map(({ text }) => text);

export const NODES = [1, 2, 3, 4, 5];
export const nodeFolder = (node: number): string => `machine-of-node-${node}`;
/** The nodes' operators, each at their own machine. */
export async function atOnce(work: (node: number) => Promise<void>): Promise<void> {
  await Promise.all(NODES.map(work));
}

/** What a person at the terminal would do: approve the request that its maker has told of, enter a PIN, and wait. */
const PEOPLE = `
person() {
  case "$1 $2" in
    'certificate issue') set -- "$@" --approve "$(sha256sum < "$3" | cut -d' ' -f1)" ;;
    'secret put' | 'secret get') set -- "$@" --pin-file "$PIN_OF_A_PERSON" --patience 120 ;;
    'secret status') set -- "$@" --patience 120 ;;
  esac
  "$TEST_NODE_BINARY" "$TEST_ENTRY" "$@"
}
holdfast() { person "$@"; }
`;

export interface MachinesOptions {
  /** What is another thing here than in the document, beside addresses. */
  readonly here?: (text: string) => string;
  /** More of what people do, as functions of bash after `person` and `holdfast`. */
  readonly people?: string;
}

export class Machines implements AsyncDisposable {
  readonly work = mkdtempSync(join(tmpdir(), 'production-'));
  readonly base: number;
  readonly module: string;
  readonly #options: MachinesOptions;
  readonly #environment: Record<string, string>;
  readonly #services: { readonly folder: string; readonly child: ChildProcess }[] = [];

  private constructor(module: string, base: number, options: MachinesOptions) {
    this.module = module;
    this.base = base;
    this.#options = options;
    this.#environment = cleanEnvironment({ PIN_OF_A_PERSON: this.path('pin') });
  }

  /** Empty machines, with slots as a vendor's tool leaves them. */
  static async prepare(folders: readonly string[], options: MachinesOptions = {}): Promise<Machines> {
    const module = findSoftHsm();
    if (!module) throw new Error('these tests need SoftHSM 2: install the package softhsm2');
    const machines = new Machines(module, await reservePorts(), options);
    writeFileSync(machines.path('pin'), '493027\n', { mode: 0o600 });
    const others = ['coordinator', 'assembler', 'client', ...folders];
    for (const name of [...NODES.map(nodeFolder), ...others]) mkdirSync(machines.path(name));
    for (const node of NODES) await machines.#slot(`vault-${node}`, nodeFolder(node), 'pin');
    await machines.#slot('ca', 'assembler', 'ca-pin');
    return machines;
  }

  path(...names: string[]): string {
    return join(this.work, ...names);
  }

  /** What the document's machines are here: addresses of loopback, and ports of which each is somebody's. */
  here(text: string): string {
    const { here = (same: string) => same } = this.#options;
    return here(text)
      .replace(/node-(\d)\.example:7443/g, (_, node) => `127.0.0.1:${this.base + Number(node)}`)
      .replaceAll('vault.example:8443', `127.0.0.1:${this.base}`)
      .replaceAll('node-$NODE.example', '127.0.0.1')
      .replaceAll('vault.example', '127.0.0.1')
      .replaceAll('/usr/lib/vendor/libpkcs11.so', this.module);
  }

  /** Runs a block's commands. @returns what they print. */
  async run(folder: string, text: string, more: Record<string, string> = {}): Promise<string> {
    const everybody = this.here(textsOf('sh', 'everybody').join(''));
    const prelude = `set -euo pipefail\n${PEOPLE}\n${this.#options.people ?? ''}\n${everybody}\n`;
    const { stdout } = await promisify(execFile)('bash', ['-c', prelude + this.here(text)], {
      cwd: this.path(folder),
      env: this.#environmentOf(folder, { TEST_NODE_BINARY: process.execPath, TEST_ENTRY: entry, ...more }),
    });
    return stdout;
  }

  /** Starts the service of a block, and waits until it listens. @returns what ends when it has said `event` too. */
  async serve(folder: string, text: string, more: Record<string, string>, event = 'listening') {
    const [program, ...words] = text.trim().split(/\s+/);
    if (program !== 'holdfast') throw new Error(`not a command of ours: ${text}`);
    const service = spawn(process.execPath, [entry, ...words], {
      cwd: this.path(folder),
      env: this.#environmentOf(folder, more),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#services.push({ folder, child: service });
    const lines = createInterface({ input: service.stderr });
    const said = (what: string) =>
      new Promise<void>((done, fail) => {
        lines.on('line', (line) => line.includes(`"event":"${what}"`) && done());
        lines.once('close', () => fail(new Error(`${text.trim()} ended before it said "${what}"`)));
      });
    const later = said(event);
    later.catch(() => {});
    await said('listening');
    return { later };
  }

  /** Brings a file from one machine to another. */
  send(file: string, from: string, to: string, as: string = file): void {
    copyFileSync(this.path(from, file), this.path(to, as));
  }

  /** Sections 2 and 3, when what the nodes' operators have made has arrived. @returns what is printed. */
  async assemble(): Promise<string> {
    await this.run('coordinator', textsOf('sh', 'coordinator')[0]!);
    for (const file of ['coordinator.csr', 'public.csr']) this.send(file, 'coordinator', 'assembler');
    const printed = [];
    for (const text of textsOf('sh', 'assembler')) printed.push(await this.run('assembler', text));
    return printed.join('');
  }

  /** Ends what runs on a machine. */
  async stop(folder: string): Promise<void> {
    for (const service of this.#services) if (service.folder === folder) await ended(service.child);
  }

  /**
   * Sections 4 and 5. @param coordinator more settings of the coordinator. @param units a machine on which the last node and
   * the coordinator are units.
   */
  async serveFleet(
    coordinator: Readonly<Record<string, unknown>> = {},
    units?: SystemdMachine,
  ): Promise<readonly string[]> {
    const [configuration] = textsOf('json', 'node');
    const [, prepare] = textsOf('sh', 'node');
    const [service] = textsOf('sh', 'node service');
    const printed: string[] = [];
    const serving: Promise<void>[] = [];
    await atOnce(async (node) => {
      const folder = nodeFolder(node);
      for (const file of ['trust.json', 'authority.pem', 'tenants.json', `node-${node}.pem`])
        this.send(file, 'assembler', folder);
      const text = configuration!.replace('"node": 1,', `"node": ${node},`).replaceAll(/(vault|node)-1/g, `$1-${node}`);
      writeFileSync(this.path(folder, 'node.json'), this.here(text));
      if (units && node === NODE_OF_UNIT) {
        printed.push(await this.#nodeUnit(units, folder));
        return;
      }
      printed.push(await this.run(folder, prepare!));
      const own = {
        HOLDFAST_NODE_LISTEN_HOST: '127.0.0.1',
        HOLDFAST_NODE_LISTEN_PORT: String(this.base + node),
        HOLDFAST_NODE_METRICS_PORT: '0',
      };
      const { later } = await this.serve(folder, service!, own, 'serving');
      serving.push(later);
    });
    for (const file of ['trust.json', 'authority.pem', 'coordinator.pem', 'public.pem'])
      this.send(file, 'assembler', 'coordinator');
    const settings = JSON.parse(this.here(textsOf('json', 'coordinator')[0]!)) as object;
    const listen = { listen: { host: '127.0.0.1', port: this.base }, metrics: { host: '127.0.0.1', port: 0 } };
    // All nodes take part, however slow they are.
    const timeouts = { node: 9000, enrolmentGrace: 9000 };
    const whole = { ...settings, ...listen, timeouts, ...coordinator };
    writeFileSync(this.path('coordinator', 'coordinator.json'), JSON.stringify(whole));
    if (units) await this.#unit(units, 'coordinator', 'coordinator', '/etc/holdfast-coordinator');
    else await this.serve('coordinator', textsOf('sh', 'coordinator service')[0]!, {});
    // A majority is enough for a client, which then has fewer shares.
    await Promise.all([...serving, units?.untilSaid('holdfast-node', /"event":"serving"/)]);
    for (const file of ['trust.json', 'tenant.json']) this.send(file, 'assembler', 'client');
    return printed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#services.map(({ child }) => ended(child)));
  }

  /** What docs/deploy says of `node.json`, and a store of SoftHSM that the node's user can write. @returns as `node info`. */
  async #nodeUnit(units: SystemdMachine, folder: string): Promise<string> {
    const printed = await this.run(folder, 'holdfast node info --config node.json');
    const settings = JSON.parse(readFileSync(this.path(folder, 'node.json'), 'utf8')) as {
      token: { pinFile?: string };
    };
    const { pinFile: _, ...token } = settings.token;
    const home = '/var/lib/holdfast';
    const changed = {
      ...settings,
      token: { ...token, pinCredential: 'pin', softhsmConfiguration: `${home}/softhsm2.conf` },
      store: { directory: `${home}/store` },
      listen: { host: '127.0.0.1', port: this.base + NODE_OF_UNIT },
      metrics: { host: '127.0.0.1', port: 0 },
    };
    writeFileSync(this.path(folder, 'node.json'), JSON.stringify(changed));
    const from = this.path(folder);
    await units.run(
      `mkdir -m 700 ${home}; cp -r ${from}/tokens ${home}; sed 's#${from}#${home}#' ${from}/softhsm2.conf > ${home}/softhsm2.conf`,
    );
    await this.#unit(units, 'node', folder, '/etc/holdfast');
    return printed;
  }

  /** The files of a machine put where its unit has them, and the document's commands. */
  async #unit(units: SystemdMachine, role: 'node' | 'coordinator', folder: string, at: string): Promise<void> {
    await units.run(`mkdir ${at}; find ${this.path(folder)} -maxdepth 1 -type f -exec cp -t ${at} {} +`);
    await units.run(unitOf(role));
  }

  /** Initialised, labelled, with a PIN. No two machines share a store of SoftHSM. */
  async #slot(label: string, folder: string, pinFile: string): Promise<void> {
    const pin = `pin-of-${label}`;
    process.env.SOFTHSM2_CONF = writeSoftHsmConfiguration(this.path(folder));
    await initialiseToken({ module: this.module, label, soPin: secret('officer-1'), userPin: secret(pin) });
    writeFileSync(this.path(folder, pinFile), `${pin}\n`, { mode: 0o600 });
  }

  /** What a process on this machine finds in its environment. */
  #environmentOf(folder: string, more: Record<string, string>): Record<string, string> {
    return { ...this.#environment, SOFTHSM2_CONF: this.path(folder, 'softhsm2.conf'), ...more };
  }
}

/** Has a service end, and waits until it has. */
async function ended(service: ChildProcess): Promise<void> {
  const exit = service.exitCode === null && service.signalCode === null ? once(service, 'exit') : undefined;
  service.kill('SIGTERM');
  await exit;
}
