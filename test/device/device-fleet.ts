/** A fleet of real processes of which some nodes have the named slots as their tokens; the others have SoftHSM. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { toBase64Url } from '../../src/core/index.ts';
import { FleetFolder, waitForFleet } from '../../src/fleet/index.ts';
import { createTokenKeys } from '../../src/token/index.ts';
import { holdfast } from '../fleet/launcher.ts';
import { accessTo, clean, type Devices, devices, throwawayName } from './devices.ts';

type Json = Record<string, unknown>;

/** Seconds: as long as a slow device takes. */
export const PATIENCE = '240';

async function run(...words: string[]): Promise<void> {
  const { code, stdout, stderr } = await holdfast(words);
  if (code !== 0) throw new Error(`holdfast ${words.join(' ')}: ${stdout}${stderr}`);
}

function edit(path: string, change: (content: Json) => void): void {
  const content = JSON.parse(readFileSync(path, 'utf8')) as Json;
  change(content);
  writeFileSync(path, JSON.stringify(content));
}

export class DeviceFleet implements AsyncDisposable {
  readonly folder: FleetFolder;
  readonly #name: string;
  readonly #environment: Record<string, string>;

  private constructor(folder: FleetFolder, name: string) {
    this.folder = folder;
    this.#name = name;
    this.#environment = { HOLDFAST_TRUST: folder.trust, HOLDFAST_USER: join(dirname(folder.path), 'user.json') };
  }

  /** Node i has slot i, as long as there are slots. Made as docs/hsm.md says for separate operators. */
  static async launch(nodes: number): Promise<DeviceFleet> {
    const name = throwawayName();
    const fleet = new DeviceFleet(new FleetFolder(join(mkdtempSync(join(tmpdir(), 'device-')), 'f')), name);
    const { path } = fleet.folder;
    const quick = ['--no-log', '--waits', '0', '--argon2-memory-kib', '256', '--argon2-passes', '1'];
    await run('fleet', 'create', path, '--name', name, '--nodes', String(nodes), '--coordinators', '1', ...quick);
    try {
      const slots = devices.slots.slice(0, nodes);
      for (const [index, slot] of slots.entries()) await fleet.#move(index + 1, slot);
      // A store begins in one membership and stays there, so all keys are in the trust file first; the tokens of the other
      // nodes have begun with the fleet as it was made, and are made anew.
      for (let number = slots.length + 1; number <= nodes; number++) await fleet.#makeToken(number);
      for (let number = 1; number <= nodes; number++) await fleet.#initialise(number);
      // An enrolment waits for all nodes nearly as long as a client waits for a coordinator (10 s): on a slow device it
      // would go without one.
      edit(fleet.folder.configuration('coordinator-1'), (configuration) => {
        configuration.timeouts = { enrolmentGrace: 9000 };
      });
      await run('fleet', 'up', path, '--detach');
      // A majority serves by now. What is enrolled without one of the others has no share there, and misses it when two are down.
      await waitForFleet(fleet.folder, ({ nodesServing }) => nodesServing === nodes, { timeout: 300_000 });
      await run('user-token', '--fleet', path, '--subject', 'alice', '--out', fleet.#environment.HOLDFAST_USER!);
    } catch (error) {
      await fleet[Symbol.asyncDispose]();
      throw error;
    }
    return fleet;
  }

  /** Makes a node's keys on a slot, and puts them into the trust file. */
  async #move(number: number, slot: Devices['slots'][number]): Promise<void> {
    const node = `node-${number}`;
    const { publicKeys } = await createTokenKeys({ ...accessTo(slot), fleet: this.#name, node });
    const { identity, session, oprf } = publicKeys;
    this.#pin(number, {
      identity: toBase64Url(identity),
      session: toBase64Url(session),
      oprf: toBase64Url(oprf),
    });
    const { module, moduleParameters } = devices;
    const softhsmConfiguration = process.env.SOFTHSM2_CONF;
    edit(this.folder.configuration(node), (configuration) => {
      configuration.token = {
        ...{ module, slot: slot.slot, pinFile: slot.pinFile },
        ...(moduleParameters !== undefined && { moduleParameters }),
        ...(softhsmConfiguration !== undefined && { softhsmConfiguration }),
      };
    });
  }

  /** A new SoftHSM token for a node that has no slot. */
  async #makeToken(number: number): Promise<void> {
    const node = `node-${number}`;
    const own = this.folder.of(node);
    rmSync(join(own, 'token'), { recursive: true });
    const { token } = JSON.parse(readFileSync(this.folder.configuration(node), 'utf8')) as {
      token: { module: string };
    };
    const words = ['node', 'keys', '--module', token.module, '--label', node, '--fleet', this.#name, '--name', node];
    const pins = ['--pin-file', join(own, 'pin'), '--so-pin-file', join(own, 'so-pin')];
    const environment = { SOFTHSM2_CONF: this.folder.softHsm(node) };
    const { code, stdout, stderr } = await holdfast([...words, ...pins, '--json'], { environment });
    if (code !== 0) throw new Error(`holdfast ${words.join(' ')}: ${stdout}${stderr}`);
    this.#pin(number, JSON.parse(stdout.toString('utf8')) as Record<'identity' | 'session' | 'oprf', string>);
  }

  /** Puts a node's public keys into the trust file. */
  #pin(number: number, { identity, session, oprf }: Record<'identity' | 'session' | 'oprf', string>): void {
    edit(this.folder.trust, (trust) => {
      Object.assign((trust.nodes as Json[])[number - 1]!, { identity, session, oprf });
    });
  }

  /** Begins a node's store anew. */
  async #initialise(number: number): Promise<void> {
    const node = `node-${number}`;
    rmSync(join(this.folder.of(node), 'store'), { recursive: true, force: true });
    await run('node', 'init', '--config', this.folder.configuration(node));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await run('fleet', 'down', this.folder.path).catch(() => {});
    rmSync(dirname(this.folder.path), { recursive: true, force: true });
    await clean(this.#name);
  }

  fleet(...words: readonly string[]): Promise<void> {
    const [command, ...names] = words;
    return run('fleet', command!, this.folder.path, ...names);
  }

  /** Exit code of a command of a user, and what it printed. */
  async user(words: readonly string[], input = ''): Promise<{ code: number | null; output: string }> {
    const { code, stdout, stderr } = await holdfast(words, { environment: this.#environment, input });
    return { code, output: code === 0 ? stdout.toString('utf8') : stderr };
  }

  async put(pin: string, secret: string): Promise<void> {
    const file = join(dirname(this.folder.path), 'secret');
    writeFileSync(file, secret, { mode: 0o600 });
    const words = ['secret', 'put', '--pin-stdin', '--secret-file', file, '--patience', PATIENCE, '--json'];
    const { code, output } = await this.user(words, `${pin}\n`);
    if (code !== 0) throw new Error(output);
    // Else it shows later, as a node that is missed when others are down.
    if (JSON.parse(output).degraded !== false) throw new Error(`not all nodes took part in the enrolment: ${output}`);
  }

  /** @param patience in seconds; less for who expects that it does not come. */
  get(pin: string, patience = PATIENCE): Promise<{ code: number | null; output: string }> {
    return this.user(['secret', 'get', '--pin-stdin', '--show', '--patience', patience], `${pin}\n`);
  }
}
