/**
 * Runs in which everything goes as a malicious coordinator, one malicious node and somebody with a user token of the same
 * tenant have planned it, and nothing else goes wrong: attacks that chance alone would hardly ever put together.
 */

import { Coordinator, type CoordinatorOptions, Maintenance } from '../../src/coordinator/index.ts';
import { bytesToHex, HoldfastError } from '../../src/core/index.ts';
import {
  type Body,
  batchToSign,
  type ClientAnswer,
  type ClientRequest,
  DEFAULT_POLICY,
  decodeBody,
  decodeClientAnswer,
  decodeClientRequest,
  decodeNodeAnswer,
  decodeSignedStatement,
  encodeBody,
  encodeClientAnswer,
  encodeClientRequest,
  encodeNodeRequest,
  encodePortableRecord,
  encodeSignedStatement,
  type Fleet,
  merkleTree,
  type NodeAnswer,
  type NodeRequest,
  type SignedStatement,
  statementHash,
  type Transitions,
  threshold,
} from '../../src/protocol/index.ts';
import { Adversary } from './adversary.ts';
import { Checker } from './checker.ts';
import { checks, Oracle } from './cryptography.ts';
import { Host } from './host.ts';
import { CALM, Network } from './network.ts';
import { Person } from './people.ts';
import type { RunResult } from './scenario.ts';
import { Thief } from './thief.ts';
import { TokenState } from './token.ts';
import { Violation, World } from './world.ts';

/** `takeover`: without the owner's time to cancel. `spent`: with the owner's own right PINs. */
export const ATTACKS = ['takeover', 'spent'] as const;
export type Attack = (typeof ATTACKS)[number];

export interface SiegeOptions {
  readonly seed: number;
  readonly nodes: number;
  readonly attack: Attack;
  readonly transitions?: Transitions;
  readonly verbose?: (line: string) => void;
}

const MAXIMUM_EVENTS = 60_000;
/** Seconds in which a takeover can be cancelled. */
const DELAY = 60;
/** Seconds between two looks of the owner, so that there are always some within the delay. */
const LOOKS = 20;
/** How often the owner tries at the end. */
const LAST_TRIES = 6;

/** Runs one seed to its end or to its first violation. */
export async function siege(options: SiegeOptions): Promise<RunResult> {
  const world = new World(options.seed, options.verbose ? { verbose: options.verbose } : {});
  const run = new Siege(world, options);
  let violation: string | undefined;
  try {
    await world.run(run.play(), MAXIMUM_EVENTS);
  } catch (error) {
    violation =
      error instanceof Violation ? error.message : `crashed: ${error instanceof Error ? error.stack : String(error)}`;
  }
  const { hash, events, recent } = world;
  return { seed: options.seed, hash, events, counts: run.checker.counts, violation, recent };
}

class Siege {
  readonly checker: Checker;
  readonly #world: World;
  readonly #attack: Attack;
  readonly #fleet: Fleet;
  readonly #hosts: readonly Host[];
  /** The malicious node. */
  readonly #evil: number;
  /** Honest nodes from which the coordinator keeps what it chooses. */
  readonly #deprived: ReadonlySet<number>;
  readonly #network: Network;
  readonly #coordinator: Coordinator;
  readonly #maintenance: Maintenance;
  readonly #person: Person;
  readonly #adversary: Adversary;
  readonly #thief: Thief;
  /** Of each node, every head that it ever signed. */
  readonly #heads = new Map<number, { readonly encoded: Uint8Array; readonly body: Body<'head'> }[]>();
  #withholding = true;
  /** Whether the malicious node has gone for good. */
  #gone = false;

  constructor(world: World, { nodes: n, attack, transitions }: SiegeOptions) {
    this.#world = world;
    this.#attack = attack;
    const { chance } = world;
    const tokens = Array.from({ length: n }, () => new TokenState(chance));
    this.#fleet = {
      fleet: 'besieged',
      epoch: 1,
      nodes: tokens.map(({ publicKeys }) => publicKeys),
      policy: {
        ...DEFAULT_POLICY,
        limit: chance.between(2, 4),
        lifetimeLimit: 1000,
        waits: [0],
        // Longer than a confirmation takes: with none, a head from between the last vote and its confirmation is old enough.
        destroyAfter: chance.pick([10, 20, 600]),
        takeover: attack === 'takeover' ? { kind: 'delayed', seconds: DELAY } : { kind: 'off' },
        minimumShares: n,
        keyStretching: { memoryKiB: 8, passes: 1, parallelism: 1 },
      },
    };
    const t = threshold(this.#fleet);
    const [evil, ...honest] = chance.shuffled(tokens.map((_, i) => i + 1));
    this.#evil = evil!;
    this.#deprived = new Set(honest.slice(0, chance.happens(0.8) ? t - 1 : chance.between(0, t - 1)));
    this.checker = new Checker(world, this.#fleet, new Set([this.#evil]));
    this.#network = new Network(world, CALM);
    const oracle = new Oracle(chance);
    oracle.onSign = (message) => void this.checker.signed(message);
    oracle.onRequest = (outer) => {
      if (outer.operation === 'attempt') this.checker.requested(outer.record, outer.generation, outer.attempt);
    };
    const record = chance.bytes(32);
    const suite = oracle.suite();
    const issued = new Set<string>();
    const environment = { world, fleet: this.#fleet, oracle, checker: this.checker, issued, records: [record] };
    this.#hosts = tokens.map((token, i) => {
      const host = new Host(i + 1, token, {
        ...environment,
        faults: { crash: 0, diskFull: 0, anchor: 0 },
        evil: i + 1 === this.#evil,
        overhear: (node, request, answer) => this.#hear(node, request, answer),
        ...(transitions && { transitions }),
      });
      host.clockOffset = chance.between(-5000, 5000);
      return host;
    });
    const options: CoordinatorOptions = {
      fleet: this.#fleet,
      checks,
      clock: world.clock(() => 0),
      observer: { count() {}, event() {} },
      timeout: 400,
      grace: 40,
      enrolmentGrace: 100,
      transport: { send: (node, request) => this.#toNode('coordinator', node, request) },
    };
    this.#coordinator = new Coordinator(options);
    this.#maintenance = new Maintenance(options);
    this.#person = new Person(record, {
      world,
      fleet: this.#fleet,
      checker: this.checker,
      suite,
      issued,
      transport: { send: (request) => this.#toCoordinator(request) },
      allHonest: false,
    });
    const sign = new Map([[this.#evil, this.#sign]]);
    const send = (node: number, request: NodeRequest) => this.#toNode('adversary', node, request);
    const credential = () => this.#person.credential();
    const parts = { world, fleet: this.#fleet, oracle, suite, records: [record], credential, send, sign };
    this.#adversary = new Adversary(parts);
    this.#thief = new Thief({ ...parts, adversary: this.#adversary, checker: this.checker, record });
  }

  get #record(): Uint8Array {
    return this.#person.record;
  }

  async play(): Promise<void> {
    this.#world.note(`n=${this.#hosts.length} ${this.#attack} liar=${this.#evil} deprived=${[...this.#deprived]}`);
    for (const host of this.#hosts) await host.initialise();
    for (const host of this.#hosts) host.start();
    await this.#maintain(6);
    await this.#person.enrol();
    if (this.#person.pin === '') return this.#world.violate('liveness: nothing could be enrolled');
    if (this.#attack === 'takeover') await this.#takeOver();
    else await this.#spend();
    this.#withholding = false;
    // What t live honest nodes have, one that is lost takes nowhere.
    this.#gone = this.#world.chance.happens(0.5);
    await this.#maintain(6);
    await this.#recoverable();
  }

  /** The owner looks now and then; the thief tries all the time. */
  async #takeOver(): Promise<void> {
    const { chance } = this.#world;
    const end = this.#world.now + 3.2 * DELAY * 1000;
    const owner = async () => {
      await this.#world.sleep(chance.between(1000, LOOKS * 1000));
      while (this.#world.now < end) {
        await this.#cancel();
        await this.#world.sleep(LOOKS * 1000);
      }
    };
    const thief = async () => {
      while (this.#world.now < end - DELAY * 1000) {
        await this.#thief.takeOver(DELAY * 1000);
        await this.#world.sleep(chance.between(10, 5000));
      }
    };
    await Promise.all([owner(), thief()]);
    this.checker.count('sieges of a takeover');
  }

  /** Whatever the malicious node does, what it answers to an owner counts for nothing here: trying again is free. */
  async #cancel(): Promise<void> {
    for (let i = 0; i < 3; i++) {
      try {
        const cancelled = await this.#person.client().cancelTakeover(this.#person.pin);
        if (cancelled) this.checker.count('takeovers cancelled');
        return;
      } catch (error) {
        this.#world.note(`not cancelled: ${(error as HoldfastError).code} ${(error as HoldfastError).message}`);
      }
    }
  }

  /** The owner uses the right PIN until the budget of those that hear of no success is spent. */
  async #spend(): Promise<void> {
    const { policy } = this.#fleet;
    for (let i = 0; i < policy.limit; i++) {
      await this.#adversary.look(this.#record);
      for (let tries = 0; tries < LAST_TRIES && (await this.#person.recover('owner')); tries++);
    }
    await this.#world.sleep(policy.destroyAfter * 1000 + 15_000);
    for (let i = 0; i < 4; i++) {
      await this.#adversary.look(this.#record);
      await this.#destroy();
      await this.#maintain(1);
    }
    this.checker.count('sieges of a budget');
  }

  async #destroy(): Promise<void> {
    const { limit } = this.#fleet.policy;
    const record = this.#record;
    // Of each node the newest head of those that know of the fewest successes, and what the malicious one says.
    const heads = [...this.#heads].flatMap(([node, known]) => {
      const usable = known.filter(({ body }) => body.facts.active?.generation === 1);
      const fewest = Math.min(...usable.map(({ body }) => body.facts.active!.confirmed));
      const chosen = usable.findLast(({ body }) => body.facts.active!.confirmed === fewest);
      if (!chosen) return [];
      return [node === this.#evil ? encodeSignedStatement(this.#sign(chosen.body)) : chosen.encoded];
    });
    this.checker.count('destructions tried');
    const request = { kind: 'spend' as const, record, generation: 1, attempt: limit, confirmed: 0, heads };
    await Promise.all(
      this.#hosts.map(({ number }) => this.#toNode('adversary', number, request).catch(() => undefined)),
    );
    for (const { certificate, body } of this.#adversary.certificates('spent')) {
      if (body.kind !== 'spent' || body.attempt !== limit) continue;
      const tombstone = { generation: 1, kind: 'spent' as const, proof: certificate };
      const portable = encodePortableRecord({ record, activation: undefined, confirmation: undefined, tombstone });
      for (const { number } of this.#hosts) {
        await this.#toNode('adversary', number, { kind: 'carry', portable, heads: [] }).catch(() => undefined);
      }
    }
  }

  /** What the coordinator keeps from a node. */
  #withholds(from: string, node: number, request: NodeRequest): boolean {
    if (!this.#withholding || from === 'adversary' || !this.#deprived.has(node)) return false;
    if (request.kind === 'carry') return true;
    return (
      request.kind === 'submit' && request.request.operation === (this.#attack === 'takeover' ? 'activate' : 'confirm')
    );
  }

  async #toNode(from: string, node: number, request: NodeRequest): Promise<NodeAnswer> {
    const encoded = encodeNodeRequest(request);
    const what = request.kind === 'submit' ? request.request.operation : request.kind;
    const silent = this.#withholds(from, node, request) || (this.#gone && node === this.#evil);
    const serve = async () => {
      if (silent) throw new HoldfastError('no_majority', 'nothing listens there');
      this.#world.note(`${from} > ${node} ${what}`);
      return this.#hosts[node - 1]!.handle(encoded);
    };
    const answer = decodeNodeAnswer(await this.#network.call(from, String(node), serve, 600));
    this.#world.note(`${from} < ${node} ${what} ${answer.code} ${answer.code === 'ok' ? '' : answer.reason}`);
    return node === this.#evil ? this.#hiding(answer) : answer;
  }

  /**
   * A statement of the malicious node, whatever it says: as good as any, so that the working node behind it, without which
   * the owner could do nothing here, sees no reason to doubt itself.
   */
  readonly #sign = (body: Body): SignedStatement => {
    const host = this.#hosts[this.#evil - 1]!;
    const { incarnation, fences } = host.state!;
    const signer = { node: this.#evil, incarnation, sequence: 1, time: this.#world.now, fences: [...fences] };
    const encoded = encodeBody(body);
    const { root, paths } = merkleTree([statementHash(encoded, signer)]);
    const signature = host.token.sign(batchToSign(this.#fleet, this.#evil, root));
    return { body: encoded, signer, batch: { index: 0, size: 1, path: paths[0]!, signature } };
  };

  /** The malicious node shows no takeover. */
  #hiding(answer: NodeAnswer): NodeAnswer {
    if (!answer.head) return answer;
    const body = decodeBody(decodeSignedStatement(answer.head).body);
    if (body.kind !== 'head' || !body.facts.open) return answer;
    const { facts } = body;
    const hidden = { ...facts, open: undefined, highest: facts.active?.generation ?? facts.highest };
    return { ...answer, head: encodeSignedStatement(this.#sign({ ...body, facts: hidden })) };
  }

  #hear(node: number, request: NodeRequest, answer: NodeAnswer): void {
    this.#adversary.hear(node, request, answer);
    if (!answer.head) return;
    const body = decodeBody(decodeSignedStatement(answer.head).body);
    if (body.kind !== 'head') return;
    const known = this.#heads.get(node) ?? [];
    known.push({ encoded: answer.head, body });
    this.#heads.set(node, known);
  }

  async #toCoordinator(request: ClientRequest): Promise<ClientAnswer> {
    this.#adversary.hearRequest(request);
    const encoded = encodeClientRequest(request);
    let failure: HoldfastError | undefined;
    const serve = async () => {
      try {
        return encodeClientAnswer(await this.#coordinator.handle(decodeClientRequest(encoded)));
      } catch (error) {
        failure = error as HoldfastError;
        throw error;
      }
    };
    try {
      return decodeClientAnswer(await this.#network.call('client', 'coordinator', serve, 2500));
    } catch (error) {
      throw failure ?? error;
    }
  }

  async #maintain(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      await this.#world.sleep(300);
      const infos = await this.#maintenance.infos();
      await this.#maintenance.repairAll(infos);
      await this.#maintenance.antiEntropy(infos);
      await this.#maintenance.destroySpent();
      for (const host of this.#hosts) host.look();
    }
  }

  /** Nothing was asked for but what the owner knows the PIN of: so it must be there. */
  async #recoverable(): Promise<void> {
    const { pin } = this.#person;
    const failures: string[] = [];
    for (let i = 0; i < LAST_TRIES; i++) {
      try {
        await this.#person.recoverWith(pin);
        this.checker.count('recovered at the end');
        return;
      } catch (error) {
        if (!(error instanceof HoldfastError)) throw error;
        failures.push(`${error.code} ${error.message}`);
        await this.#world.sleep(5000);
      }
    }
    const name = bytesToHex(this.#record).slice(0, 4);
    this.#world.violate(`2: ${name} cannot be recovered: ${failures.join('; ')}`);
  }
}
