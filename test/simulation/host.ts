/** One node's machine: a token and a disk that last, a process that crashes, restarts and is rolled back. */

import { bytesToHex, codec, HoldfastError } from '../../src/core/index.ts';
import { initialiseNode, openVaultNode, type StartOptions, VaultNode } from '../../src/node/index.ts';
import {
  decodeBody,
  decodeCertificate,
  decodeNodeAnswer,
  decodeNodeRequest,
  decodeNodeState,
  decodePortableRecord,
  decodeRecordState,
  encodeNodeAnswer,
  encodeNodeRequest,
  type Fleet,
  fleetToEnter,
  NODE_STATE_KEY,
  type NodeAnswer,
  type NodeRequest,
  type NodeState,
} from '../../src/protocol/index.ts';
import type { Checker, Committed } from './checker.ts';
import { authentication, checks, type Oracle, requestSealing } from './cryptography.ts';
import { Disk, type DiskImage, emptyImage, SimulatedDictionary } from './store.ts';
import { type Step, simulatedToken, type TokenProcess, TokenState } from './token.ts';
import { never, type World } from './world.ts';

/** Bugs that a mutation plants in every host. */
export const planted = { leaversVoteOn: false };

/** How often, per step, each thing goes wrong. */
export interface FaultRates {
  crash: number;
  diskFull: number;
  anchor: number;
}

export interface HostEnvironment {
  readonly world: World;
  readonly fleet: Fleet;
  readonly oracle: Oracle;
  readonly checker: Checker;
  readonly issued: ReadonlySet<string>;
  readonly faults: FaultRates;
  readonly records: readonly Uint8Array[];
  readonly transitions?: StartOptions['transitions'];
  /** A malicious one: nothing that it says is held against it. */
  readonly evil: boolean;
  /** Every exchange with a node, for the adversary. */
  readonly overhear: (node: number, request: NodeRequest, answer: NodeAnswer) => void;
}

/** Everything of a machine that a snapshot keeps. */
export interface Snapshot {
  readonly image: DiskImage;
  readonly anchors: TokenState['anchors'];
  readonly anchored: DiskImage;
}

const anchorValue = codec.message('holdfast/anchor-value/v1', {
  sequence: codec.uint,
  parent: codec.fixed(32),
  root: codec.fixed(32),
  mac: codec.fixed(32),
});

/** Of anchor values, which nobody changes: asked for with each answer. */
const sequences = new WeakMap<Uint8Array, number>();

/** 0 for one that is torn. */
function sequenceIn(value: Uint8Array): number {
  let sequence = sequences.get(value);
  if (sequence === undefined) {
    try {
      ({ sequence } = anchorValue.decode(value));
    } catch {
      sequence = 0;
    }
    sequences.set(value, sequence);
  }
  return sequence;
}

class Process {
  alive = true;
  node: VaultNode | undefined;
  phase = 'starting';
  /** What was committed on each record when the process began: it must know that when it serves. */
  readonly committed: readonly Committed[];

  constructor(committed: readonly Committed[] = []) {
    this.committed = committed;
  }
}

export class Host {
  readonly number: number;
  readonly token: TokenState;
  readonly disk = new Disk();
  readonly #env: HostEnvironment;
  #process: Process | undefined;
  /** The disk as it was when the token's newest anchor was written. */
  #anchored: DiskImage = emptyImage;
  /** Set by an injected rollback, until the node serves again. */
  rolledBack = false;
  /** Whether the store may be refused at the next start. */
  #mayRefuse = false;
  clockOffset = 0;
  #restarting = false;
  resistant = false;
  /** The trust file that is installed here, and the one that the operator has laid beside it. */
  fleet: Fleet;
  next: Fleet | undefined;
  #retired = false;
  #calm = false;
  #ghost: { readonly epoch: number; readonly node: VaultNode } | undefined;

  constructor(number: number, token: TokenState, env: HostEnvironment) {
    this.number = number;
    this.token = token;
    this.#env = env;
    this.fleet = env.fleet;
  }

  /** What is stored of the node itself. */
  get state(): NodeState | undefined {
    const entry = this.disk.image.entries.get(bytesToHex(NODE_STATE_KEY));
    return entry && decodeNodeState(entry.value);
  }

  /** Leaves for the next epoch if it serves; the process then ends, and starts again there. */
  async leave(next: Fleet): Promise<void> {
    const process = this.#process;
    if (process?.node?.phase !== 'serving') return;
    const before = this.snapshot();
    const left = this.state?.epoch ?? 0;
    await process.node.leave(next);
    this.#env.checker.count('leaves');
    if (planted.leaversVoteOn) await this.#goOn(before, left);
    this.look();
  }

  /** A planted bug: beside the node that has left runs one that serves where it has left. */
  async #goOn(before: Snapshot, epoch: number): Promise<void> {
    const { oracle, world } = this.#env;
    const process = new Process();
    const state = Object.assign(Object.create(TokenState.prototype) as TokenState, this.token, {
      anchors: before.anchors,
    });
    const inertia: TokenProcess = {
      step: async () => {},
      anchorFault: () => 'none',
      onAnchor: () => {},
      onEvaluate: (input, element) => void this.#env.checker.evaluation(this.number, input, element),
    };
    const options = { ...this.#options(process), fleet: this.fleet };
    const ghost = new VaultNode({
      ...options,
      token: simulatedToken(state, inertia, oracle, false),
      dictionary: new SimulatedDictionary(before.image, async () => {}),
      intact: true,
      anchorSequence: before.image.head.sequence,
      headsNeeded: 0,
      onFatal: () => {},
    });
    await ghost.start();
    world.note(`node ${this.number} goes on in epoch ${epoch}`);
    this.#ghost = { epoch, node: ghost };
  }

  /** Ends for ever, its token with it. */
  retire(): void {
    this.#retired = true;
    this.crash('its token is lost');
  }

  get phase(): string {
    return this.#process?.phase ?? 'down';
  }

  get up(): boolean {
    return this.#process !== undefined;
  }

  async initialise(): Promise<void> {
    const process = new Process();
    // Whoever sets a machine up begins anew where something fails; only what succeeds is of interest.
    this.#calm = true;
    await initialiseNode({ ...this.#options(process) });
    this.#calm = false;
  }

  /** Starts the process; a crash on the way is followed by another start. */
  start(): void {
    if (this.#process || this.#restarting || this.#retired) return;
    const process = new Process(this.#env.records.map((record) => this.#env.checker.committed(record)));
    this.#process = process;
    const { world } = this.#env;
    world.note(`node ${this.number} starts`);
    const begin = async () => {
      const node = await openVaultNode(this.#options(process));
      if (!process.alive) return;
      process.node = node;
      process.phase = 'repairing';
      await node.start();
    };
    begin().catch((error: unknown) => {
      world.note(`node ${this.number} could not start: ${String(error)}`);
      const { code } = error as HoldfastError;
      if (code === 'store_refused' || code === undefined) world.violate(`2: node ${this.number}: ${String(error)}`);
      this.#die(process, 'start failed');
    });
  }

  crash(why: string): void {
    if (this.#process) this.#die(this.#process, why);
  }

  #die(process: Process, why: string): void {
    if (!process.alive) return;
    process.alive = false;
    if (this.#process === process) this.#process = undefined;
    const { world, checker } = this.#env;
    checker.count('crashes');
    world.note(`node ${this.number} dies: ${why}`);
    this.#restarting = true;
    world.after(world.chance.between(5, world.chance.pick([50, 300, 1500])), () => {
      this.#restarting = false;
      this.start();
    });
  }

  snapshot(): Snapshot {
    return { image: this.disk.image, anchors: this.token.anchors, anchored: this.#anchored };
  }

  /** Brings an older disk back, and with `wholeMachine` the token's anchors of the same moment. */
  rollBack(snapshot: Snapshot, wholeMachine: boolean): void {
    this.crash('rolled back');
    const { world, checker } = this.#env;
    checker.count(wholeMachine ? 'machines rolled back' : 'disks rolled back');
    world.note(
      `node ${this.number} rolled back to ${snapshot.image.head.sequence} of ${this.disk.image.head.sequence}`,
    );
    this.disk.image = snapshot.image;
    if (wholeMachine) {
      this.token.anchors = snapshot.anchors;
      this.#anchored = snapshot.anchored;
    }
    this.rolledBack = true;
    this.#mayRefuse = true;
  }

  /** Handles one encoded request. Rejects where no process runs; never returns where it dies on the way. */
  async handle(encoded: Uint8Array): Promise<Uint8Array> {
    const process = this.#process;
    const request = decodeNodeRequest(encoded);
    if (this.#ghost && 'request' in request && request.request.epoch === this.#ghost.epoch) {
      const answer = await this.#ghost.node.handle(request);
      this.#env.checker.answered(this.number, answer, Number.POSITIVE_INFINITY);
      this.#env.overhear(this.number, request, answer);
      return encodeNodeAnswer(answer);
    }
    if (!process?.node) throw new HoldfastError('no_majority', 'nothing listens there');
    const answer = await process.node.handle(request);
    this.look();
    await this.#step(process, 'answer');
    if (!this.#env.evil) this.#env.checker.answered(this.number, answer, this.anchoredSequence);
    this.#env.overhear(this.number, request, answer);
    return encodeNodeAnswer(answer);
  }

  /** Asks the node directly, unseen by anybody, and changes nothing. */
  async peek(request: NodeRequest): Promise<NodeAnswer | undefined> {
    const node = this.#process?.node;
    if (!node) return undefined;
    return decodeNodeAnswer(encodeNodeAnswer(await node.handle(decodeNodeRequest(encodeNodeRequest(request)))));
  }

  get anchoredSequence(): number {
    let newest = 0;
    for (const value of this.token.anchors.values) {
      if (value) newest = Math.max(newest, sequenceIn(value));
    }
    return newest;
  }

  /** Notices when the node begins to serve, and checks that it then knows all that is committed. */
  look(): void {
    const process = this.#process;
    const phase = process?.node?.phase;
    if (!process || !phase || phase === process.phase) return;
    process.phase = phase;
    this.#env.world.note(`node ${this.number} is ${phase}`);
    if (phase === 'stopped') this.#die(process, 'stopped itself');
    if (phase !== 'serving') return;
    this.#env.checker.count(this.rolledBack ? 'served after a rollback' : 'served after a start');
    this.rolledBack = false;
    this.#mayRefuse = false;
    if (this.#env.evil || this.resistant) return;
    for (const [i, record] of this.#env.records.entries()) {
      this.#checkKnows(process, record, process.committed[i]!).catch((error: unknown) =>
        this.#env.world.violate(`4: ${String(error)}`),
      );
    }
  }

  async #checkKnows(process: Process, record: Uint8Array, committed: Committed): Promise<void> {
    const { active, confirmed, gone } = committed;
    if (gone < 0 && active < 0) return;
    const answer = await process.node!.handle({ kind: 'export', record });
    if (!process.alive) return;
    const known = answer.content ? decodePortableRecord(answer.content) : undefined;
    const stage = known?.activation && decodeBody(decodeCertificate(known.activation.stageCertificate).body);
    const generation = stage?.kind === 'stage' ? stage.generation : 0;
    const tombstone = known?.tombstone?.generation ?? 0;
    const confirmation = known?.confirmation && decodeBody(decodeCertificate(known.confirmation.certificate).body);
    const number = confirmation?.kind === 'attempt' ? confirmation.attempt : 0;
    const entry = this.disk.image.entries.get(bytesToHex(record));
    // Whoever voted "spent" holds confirmations off on purpose.
    const spent = entry !== undefined && decodeRecordState(entry.value).active?.spent !== undefined;
    const behind =
      Math.max(generation - 1, tombstone) < gone ||
      Math.max(generation, tombstone) < active ||
      (generation === active && number < confirmed && tombstone < active && !spent);
    if (behind) {
      this.#env.world.violate(
        `4: node ${this.number} serves ${bytesToHex(record).slice(0, 4)} at ${[generation, number, tombstone]}, committed is ${[active, confirmed, gone]}`,
      );
    }
  }

  async #step(process: Process, name: Step): Promise<void> {
    const { world, faults } = this.#env;
    if (!process.alive) return never;
    if (faults.crash > 0 && !this.#calm && world.chance.happens(faults.crash)) {
      this.#die(process, `at ${name}`);
      return never;
    }
    if (world.chance.happens(0.35)) await world.sleep(world.chance.between(1, 12));
    if (!process.alive) return never;
  }

  #options(process: Process): StartOptions {
    const { world, oracle, issued, faults } = this.#env;
    const fleet = fleetToEnter(this.state, this.fleet, this.next);
    const tokenProcess: TokenProcess = {
      step: (name) => this.#step(process, name),
      anchorFault: () => {
        if (this.#calm) return 'none';
        if (faults.anchor === 0 || !world.chance.happens(faults.anchor)) return 'none';
        const fault = world.chance.pick(['lost', 'unclear', 'torn'] as const);
        world.note(`node ${this.number} anchor write ${fault}`);
        return fault;
      },
      onAnchor: () => {
        if (this.anchoredSequence === this.disk.image.head.sequence) this.#anchored = this.disk.image;
      },
      onEvaluate: (input, element) => this.#evaluating(input, element),
    };
    const write = async (image: DiskImage) => {
      await this.#step(process, 'store');
      if (faults.diskFull > 0 && !this.#calm && world.chance.happens(faults.diskFull)) {
        world.note(`node ${this.number} disk full`);
        throw new HoldfastError('unexpected', 'the disk is full');
      }
      this.disk.image = image;
      await this.#step(process, 'stored');
    };
    return {
      fleet,
      node: this.number,
      token: simulatedToken(this.token, tokenProcess, oracle, this.resistant),
      dictionaries: {
        open: async () => new SimulatedDictionary(this.disk.image, write),
        wipe: async () => {
          this.disk.image = emptyImage;
        },
      },
      sealing: requestSealing(this.token.publicKeys.session),
      authentication: authentication(issued),
      checks,
      clock: world.clock(() => this.clockOffset),
      random: (length) => world.chance.bytes(length),
      observer: {
        count() {},
        batch() {},
        signed() {},
        event: (level, event, fields) => {
          if (level === 'info') return;
          world.note(`node ${this.number} says: ${event} ${fields ? JSON.stringify(fields) : ''}`);
          if (event.startsWith('store') && !this.#mayRefuse) {
            world.violate(`2: node ${this.number} refuses its own store: ${event}`);
          }
        },
      },
      batchInterval: 0,
      requestsPerRecord: 1_000_000,
      onFatal: () => this.#die(process, 'fatal'),
      ...(this.#env.transitions && { transitions: this.#env.transitions }),
    };
  }

  /** Counted, durable and anchored before any evaluation. */
  #evaluating(input: Uint8Array, element: Uint8Array): void {
    if (this.#env.evil) return;
    const { world, checker } = this.#env;
    const { record, generation, numbers } = checker.evaluation(this.number, input, element);
    world.note(`node ${this.number} evaluates g${generation} [${[...numbers]}] ${bytesToHex(element).slice(2, 10)}`);
    if (numbers.size === 0) return;
    const entry = this.#anchored.entries.get(bytesToHex(record));
    const state = entry && decodeRecordState(entry.value);
    const counted = [...numbers].some((number) =>
      number === 0
        ? (state?.highest ?? 0) >= generation
        : state?.active?.generation === generation && state.active.attempt >= number,
    );
    if (!counted) world.violate(`4: node ${this.number} evaluates what its anchored state does not count`);
  }
}
