/** One run: a fleet made from a seed, trouble for a while, then peace, and the check that nothing was lost. */

import { Coordinator, type CoordinatorOptions, Maintenance } from '../../src/coordinator/index.ts';
import { equalBytes, type HoldfastError } from '../../src/core/index.ts';
import {
  type ClientAnswer,
  type ClientRequest,
  DEFAULT_POLICY,
  decodeClientAnswer,
  decodeClientRequest,
  decodeNodeAnswer,
  encodeClientAnswer,
  encodeClientRequest,
  encodeNodeRequest,
  type Fleet,
  type NodeAnswer,
  type NodeRequest,
  type Transitions,
} from '../../src/protocol/index.ts';
import { Adversary } from './adversary.ts';
import { Checker } from './checker.ts';
import { checks, Oracle, signWith } from './cryptography.ts';
import { EpochChange } from './epoch-change.ts';
import { EvilNode, short } from './evil-node.ts';
import { type FaultRates, Host, type Snapshot } from './host.ts';
import { CALM, Network } from './network.ts';
import { Person } from './people.ts';
import { TokenState } from './token.ts';
import { Violation, World } from './world.ts';

export interface RunOptions {
  readonly seed: number;
  /** 3 or 5; by default the seed decides. */
  readonly nodes?: number;
  readonly transitions?: Transitions;
  /** Whether nodes are replaced while there is trouble. */
  readonly epochs?: boolean;
  readonly verbose?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly hash: string;
  readonly events: number;
  readonly counts: ReadonlyMap<string, number>;
  readonly violation: string | undefined;
  readonly recent: readonly string[];
}

/** How often people try at the end, when the network is whole again. */
const LAST_TRIES = 6;
const MAXIMUM_EVENTS = 60_000;
/** Milliseconds that trouble lasts at most. */
const TROUBLE = 15_000;

/** Runs one seed to its end or to its first violation. */
export async function run(options: RunOptions): Promise<RunResult> {
  const world = new World(options.seed, options.verbose ? { verbose: options.verbose } : {});
  const scenario = new Scenario(world, options);
  let violation: string | undefined;
  try {
    await world.run(scenario.play(), MAXIMUM_EVENTS);
  } catch (error) {
    violation =
      error instanceof Violation ? error.message : `crashed: ${error instanceof Error ? error.stack : String(error)}`;
  }
  const { hash, events, recent } = world;
  return { seed: options.seed, hash, events, counts: scenario.checker.counts, violation, recent };
}

class Scenario {
  readonly checker: Checker;
  readonly #world: World;
  #fleet: Fleet;
  readonly #hosts: Host[] = [];
  /** Machines of nodes that were replaced and run on, by number. */
  readonly #zombies = new Map<number, Host>();
  readonly #host: (number: number, token: TokenState, evil: boolean) => Host;
  readonly #change: EpochChange | undefined;
  readonly #evil = new Map<number, EvilNode>();
  readonly #people: Person[] = [];
  readonly #network: Network;
  readonly #faults: FaultRates = { crash: 0, diskFull: 0, anchor: 0 };
  readonly #adversary: Adversary | undefined;
  readonly #maintenances: Maintenance[] = [];
  readonly #coordinators: { readonly name: string; readonly coordinator: Coordinator }[] = [];
  readonly #issued = new Set<string>();
  readonly #rollbacks: boolean;
  /** The key that last proved the right PIN, by record. */
  readonly #confirmKeys = new Map<string, Uint8Array>();
  #trouble = false;

  constructor(world: World, options: RunOptions) {
    this.#world = world;
    const { chance } = world;
    const n = options.nodes ?? chance.pick([3, 3, 3, 5]);
    const t = Math.floor(n / 2) + 1;
    const liars = chance.happens(0.25) ? chance.between(1, t - 1) : 0;
    const tokens = Array.from({ length: n }, () => new TokenState(chance));
    this.#fleet = {
      fleet: 'simulated',
      epoch: 1,
      nodes: tokens.map(({ publicKeys }) => publicKeys),
      policy: {
        ...DEFAULT_POLICY,
        limit: chance.between(2, 4),
        lifetimeLimit: chance.pick([8, 30, 30]),
        waits: chance.pick([[0], [0], [0, 0, 1]]),
        destroyAfter: chance.pick([0, 2, 600]),
        takeover: chance.pick([
          { kind: 'off' },
          { kind: 'off' },
          { kind: 'immediate' },
          { kind: 'delayed', seconds: 2 },
        ]),
        minimumShares: n === 5 ? chance.between(t + 1, n) : n,
        keyStretching: { memoryKiB: 8, passes: 1, parallelism: 1 },
      },
    };
    const evil = new Set(chance.shuffled(tokens.map((_, i) => i + 1)).slice(0, liars));
    this.checker = new Checker(world, this.#fleet, evil);
    this.#rollbacks = liars === 0 && chance.happens(0.5);
    this.#network = new Network(world, CALM);
    const oracle = new Oracle(chance);
    oracle.onSign = (message, publicKey) => {
      const record = this.checker.signed(message);
      if (record) this.#confirmKeys.set(short(record), publicKey);
    };
    oracle.onRequest = (outer) => {
      if (outer.operation === 'attempt') this.checker.requested(outer.record, outer.generation, outer.attempt);
    };
    const records = Array.from({ length: chance.pick([1, 1, 2]) }, () => chance.bytes(32));
    const suite = oracle.suite();
    const hostile = chance.happens(0.65) || liars > 0;
    this.#host = (number, token, isEvil) =>
      new Host(number, token, {
        world,
        fleet: this.#fleet,
        oracle,
        checker: this.checker,
        issued: this.#issued,
        faults: this.#faults,
        records,
        evil: isEvil,
        overhear: (node, request, answer) => this.#adversary?.hear(node, request, answer),
        ...(options.transitions && { transitions: options.transitions }),
      });
    for (const [i, token] of tokens.entries()) {
      const host = this.#host(i + 1, token, evil.has(i + 1));
      host.clockOffset = chance.happens(0.3) ? chance.between(-5000, 5000) : 0;
      host.resistant = !this.#rollbacks && chance.happens(0.2);
      this.#hosts.push(host);
      if (evil.has(i + 1)) this.#evil.set(i + 1, new EvilNode(world, this.#fleet, i + 1, token));
    }
    for (let i = 0; i < chance.between(1, 3); i++) this.#addCoordinator(`c${i + 1}`);
    const fleet = () => this.#fleet;
    for (const record of records) {
      this.#people.push(
        new Person(record, {
          world,
          get fleet() {
            return fleet();
          },
          checker: this.checker,
          suite,
          issued: this.#issued,
          transport: { send: (request) => this.#toCoordinator(request) },
          allHonest: liars === 0,
        }),
      );
    }
    if (options.epochs) this.#change = this.#epochChange();
    if (!hostile) return;
    const first = this.#fleet;
    this.#adversary = new Adversary({
      world,
      // Of old and new epochs alike.
      get fleet() {
        return fleet() === first || chance.happens(0.6) ? fleet() : first;
      },
      oracle,
      suite,
      records,
      credential: (record) => this.#people.find((person) => equalBytes(person.record, record))!.credential(),
      send: (node, request) => this.#toNode('adversary', node, request),
      sign: new Map([...this.#evil].map(([node, one]) => [node, one.sign])),
    });
  }

  #epochChange(): EpochChange {
    return new EpochChange({
      world: this.#world,
      checker: this.checker,
      hosts: this.#hosts,
      evil: this.#evil,
      zombies: this.#zombies,
      fleet: () => this.#fleet,
      newHost: (number, token) => this.#host(number, token, false),
      attack: (replaced) => this.#acrossEpochs(replaced),
      adopt: (fleet) => {
        this.#fleet = fleet;
        for (const { name } of this.#coordinators.splice(0)) {
          this.#maintenances.shift();
          this.#addCoordinator(name);
        }
      },
    });
  }

  #addCoordinator(name: string): void {
    const options: CoordinatorOptions = {
      fleet: this.#fleet,
      checks,
      clock: this.#world.clock(() => 0),
      observer: {
        count() {},
        event: (level, event) => level === 'error' && this.#world.note(`${name} says: ${event}`),
      },
      timeout: 400,
      grace: 40,
      enrolmentGrace: 100,
      transport: { send: (node, request) => this.#toNode(name, node, request) },
    };
    this.#coordinators.push({ name, coordinator: new Coordinator(options) });
    this.#maintenances.push(new Maintenance(options));
  }

  async #toNode(from: string, node: number, request: NodeRequest): Promise<NodeAnswer> {
    const zombie = this.#zombies.get(node);
    // An adversary finds whom it likes; and now and then an old address still leads to the old machine.
    const astray = zombie !== undefined && this.#world.chance.happens(from === 'adversary' ? 0.5 : 0.1);
    const host = astray ? zombie : this.#hosts[node - 1]!;
    const encoded = encodeNodeRequest(request);
    const what = request.kind === 'submit' ? request.request.operation : request.kind;
    const serve = async () => {
      this.#world.note(`${from} > ${node} ${what}${request.kind === 'submit' ? ` ${request.request.attempt}` : ''}`);
      const answer = await host.handle(encoded);
      const evil = this.#evil.get(node);
      if (!evil) return answer;
      const lie = evil.answer(encoded, answer);
      if (!lie) throw new Error('silent');
      return lie;
    };
    const answer = decodeNodeAnswer(await this.#network.call(from, String(node), serve, 600));
    this.#world.note(`${from} < ${node} ${what} ${answer.code} ${answer.code === 'ok' ? '' : answer.reason}`);
    return answer;
  }

  async #toCoordinator(request: ClientRequest): Promise<ClientAnswer> {
    const { name, coordinator } = this.#world.chance.pick(this.#coordinators);
    this.#adversary?.hearRequest(request);
    const encoded = encodeClientRequest(request);
    let failure: HoldfastError | undefined;
    const serve = async () => {
      try {
        return encodeClientAnswer(await coordinator.handle(decodeClientRequest(encoded)));
      } catch (error) {
        failure = error as HoldfastError;
        throw error;
      }
    };
    try {
      return decodeClientAnswer(await this.#network.call('client', name, serve, 2500));
    } catch (error) {
      throw failure ?? error;
    }
  }

  async play(): Promise<void> {
    const { chance } = this.#world;
    const { policy } = this.#fleet;
    this.#world.note(`n=${this.#fleet.nodes.length} liars=${[...this.#evil.keys()]} ${JSON.stringify(policy)}`);
    for (const host of this.#hosts) await host.initialise();
    for (const host of this.#hosts) host.start();
    await this.#maintain(6);
    this.#requireServing('at the beginning');
    for (const person of this.#people) if (chance.happens(0.85)) await person.enrol();
    const duel = this.#rollbacks && chance.happens(0.4) ? this.#adversary : undefined;
    this.#begin(duel && chance.happens(0.7));
    if (duel) {
      await this.#duel(duel);
      this.#end();
      return this.#peace();
    }
    const background = [this.#faultsHappen(), this.#maintenanceRuns(), this.#malice()];
    const change = this.#change?.play();
    const people = this.#people.flatMap((person) => [
      person.owner(chance.between(2, 6)),
      ...Array.from({ length: chance.between(0, 2) }, (_, i) => person.device(`device ${i + 1}`, chance.between(1, 4))),
    ]);
    await Promise.race([Promise.all(people), this.#world.sleep(TROUBLE)]);
    this.#end();
    await Promise.all([...background, ...people]);
    if (this.#change) {
      for (const host of this.#hosts) host.start();
      for (let i = 0; i < 12 && !this.#change.over; i++) await this.#maintain(2);
      this.#change.giveUp();
      await change;
      if (!this.#change.adopted) return this.checker.count('epochs that could not begin');
    }
    await this.#peace();
  }

  #begin(calm = false): void {
    const { chance } = this.#world;
    this.#trouble = true;
    if (calm) return;
    const rough = chance.happens(0.7);
    this.#network.rates = {
      loss: chance.pick([0, 0.01, 0.05]),
      duplicate: chance.pick([0, 0.02, 0.1]),
      slow: chance.pick([0, 0.01, 0.03]),
    };
    if (!rough) return;
    this.#faults.crash = chance.pick([0, 0.001, 0.004]);
    this.#faults.diskFull = chance.pick([0, 0, 0.01]);
    this.#faults.anchor = chance.pick([0, 0, 0.01]);
  }

  #end(): void {
    this.#trouble = false;
    this.#network.rates = CALM;
    this.#network.cut.clear();
    Object.assign(this.#faults, { crash: 0, diskFull: 0, anchor: 0 });
    this.#world.note('peace');
  }

  async #faultsHappen(): Promise<void> {
    const { chance } = this.#world;
    const names = [...this.#hosts.map(({ number }) => String(number)), ...this.#coordinators.map(({ name }) => name)];
    let snapshot: { host: Host; image: Snapshot } | undefined;
    while (this.#trouble) {
      await this.#world.sleep(chance.between(50, 600));
      if (!this.#trouble) return;
      const host = chance.pick(this.#hosts);
      switch (chance.between(0, 6)) {
        case 0: {
          const [a, b] = [chance.pick(names), chance.pick(names)];
          this.#network.setCut(a, b, true);
          this.#world.after(chance.between(100, 3000), () => this.#network.setCut(a, b, false));
          break;
        }
        case 1:
          for (const name of names) this.#network.setCut(String(host.number), name, true);
          this.#world.after(chance.between(100, 3000), () => {
            for (const name of names) this.#network.setCut(String(host.number), name, false);
          });
          break;
        case 2:
          if (this.#faults.crash > 0) host.crash('power');
          break;
        case 3:
          host.clockOffset += chance.between(-20_000, 20_000);
          break;
        case 4:
          if (!snapshot || chance.happens(0.3)) snapshot = { host, image: host.snapshot() };
          break;
        default:
          if (snapshot && this.#rollbacks && this.#mayRollBack(snapshot.host)) {
            snapshot.host.rollBack(snapshot.image, chance.happens(0.6));
            if (chance.happens(0.7)) snapshot = undefined;
          }
      }
    }
  }

  /** Section 7 bounds it: one node at a time, and it has repaired before another one is rolled back. */
  #mayRollBack(host: Host): boolean {
    return this.#hosts.every((other) => other === host || !other.rolledBack) && (this.#change?.bears(host) ?? true);
  }

  async #maintenanceRuns(): Promise<void> {
    const { chance } = this.#world;
    while (this.#trouble) {
      await this.#world.sleep(chance.between(50, 500));
      await this.#round(chance.pick(this.#maintenances));
    }
  }

  async #round(maintenance: Maintenance): Promise<void> {
    try {
      const infos = await maintenance.infos();
      await maintenance.repairAll(infos);
      await maintenance.antiEntropy(infos);
      await maintenance.destroySpent();
    } catch (error) {
      this.#world.note(`maintenance failed: ${String(error)}`);
      if (this.#evil.size === 0)
        this.#world.violate(`2: maintenance failed: ${error instanceof Error ? error.stack : ''}`);
    }
    for (const host of this.#hosts) host.look();
  }

  async #maintain(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      await this.#world.sleep(300);
      for (const maintenance of this.#maintenances) await this.#round(maintenance);
    }
  }

  async #malice(): Promise<void> {
    const { chance } = this.#world;
    const adversary = this.#adversary;
    if (!adversary) return;
    const insider = chance.happens(0.3);
    const thief = chance.happens(0.3);
    while (this.#trouble) {
      await this.#world.sleep(chance.between(10, 250));
      if (insider && chance.happens(0.1)) await this.#confirmUncounted(adversary);
      else if (thief && chance.happens(0.12)) await chance.pick(this.#people).steal();
      else if (this.#rollbacks && chance.happens(0.12)) await this.#splitVotes(adversary);
      else await adversary.act();
    }
  }

  /** Somebody who knows the PIN helps the adversary. */
  async #confirmUncounted(adversary: Adversary): Promise<void> {
    const { record } = this.#world.chance.pick(this.#people);
    const key = this.#confirmKeys.get(short(record));
    if (!key) return;
    const sign = (message: Uint8Array) => {
      this.checker.signed(message);
      return signWith(key, message);
    };
    await adversary.confirmUncounted(record, { sign }, this.#fleet);
  }

  /**
   * The attack that the repair is for: a node votes, is rolled back with its token, and votes again. Then all votes ever
   * cast are combined.
   */
  async #splitVotes(adversary: Adversary): Promise<void> {
    const { chance } = this.#world;
    const { record } = chance.pick(this.#people);
    const nodes = this.#hosts.map(({ number }) => number);
    await adversary.look(record);
    const { generation, attempts } = adversary.place(record);
    const host = chance.pick(this.#hosts);
    if (generation === 0 || !this.#mayRollBack(host) || host.phase !== 'serving') return;
    const number = Math.max(...attempts) + 1;
    const image = host.snapshot();
    const others = chance.shuffled(nodes.filter((node) => node !== host.number));
    const first = [host.number, ...others.slice(0, chance.between(0, others.length - 1))];
    const [one, two] = [adversary.newElement(), adversary.newElement()];
    this.#world.note(`node ${host.number} shall forget its vote on number ${number}`);
    await adversary.vote(record, generation, number, one, first);
    if (!this.#trouble || !this.#mayRollBack(host)) return;
    this.checker.count('votes split');
    host.rollBack(image, true);
    for (let i = 0; i < 8 && host.phase !== 'serving' && this.#trouble; i++) {
      await this.#world.sleep(200);
      await this.#round(chance.pick(this.#maintenances));
    }
    const rest = others.filter((node) => !first.includes(node));
    await adversary.vote(record, generation, number, two, [
      host.number,
      ...rest.slice(0, chance.between(1, rest.length)),
    ]);
    await adversary.vote(record, generation, number, one, nodes);
    await adversary.evaluateAll(true);
  }

  /** The attack that the joining is for: a number that only replaced nodes and a few others know to be taken. */
  async #acrossEpochs(replaced: readonly number[]): Promise<() => Promise<void>> {
    const { chance } = this.#world;
    const adversary = this.#adversary;
    const { record } = chance.pick(this.#people);
    if (!adversary) return async () => {};
    await adversary.look(record);
    const { generation, attempts } = adversary.place(record);
    if (generation === 0) return async () => {};
    const number = Math.max(...attempts) + 1;
    const others = chance.shuffled(this.#hosts.map((host) => host.number).filter((node) => !replaced.includes(node)));
    const t = Math.floor(this.#hosts.length / 2) + 1;
    const [one, two] = [adversary.newElement(), adversary.newElement()];
    this.#world.note(`number ${number} shall be used in both epochs`);
    const first = [...replaced, ...others].slice(0, t);
    await adversary.vote(record, generation, number, one, first);
    // The others must not learn of it by the certificate.
    await adversary.evaluateAll(true, first);
    this.checker.count('attacks across epochs');
    return async () => {
      await adversary.vote(record, generation, number, two, [...others.toReversed(), ...replaced]);
      await adversary.evaluateAll(true);
    };
  }

  /** Nothing but that attack, again and again, with uses of the right PIN between. */
  async #duel(adversary: Adversary): Promise<void> {
    const { chance } = this.#world;
    for (let i = 0; i < 4; i++) {
      await this.#splitVotes(adversary);
      if (chance.happens(0.4)) await chance.pick(this.#people).recover('owner');
    }
  }

  /** Everything is healed: all nodes must serve, agree, and give back what was enrolled. */
  async #peace(): Promise<void> {
    for (const zombie of this.#zombies.values()) zombie.retire();
    this.#zombies.clear();
    for (const host of this.#hosts) host.start();
    await this.#world.sleep(5000);
    for (let i = 0; i < 8 && !this.#allServe(); i++) await this.#maintain(2);
    this.#requireServing('at the end');
    await this.#maintain(4);
    const honest = this.#hosts.filter((host) => host.phase === 'serving' && !this.#evil.has(host.number)).length;
    if (honest < Math.floor(this.#hosts.length / 2) + 1) return this.checker.count('closed at the end');
    for (const person of this.#people) await this.#recoverable(person);
  }

  #allServe(): boolean {
    return this.#hosts.every((host) => host.phase === 'serving' || this.#evil.has(host.number));
  }

  #requireServing(when: string): void {
    if (this.#allServe()) return;
    // With fewer than t honest others a node that repairs stays closed: section 7 claims no more.
    if (this.#hosts.length - 1 - this.#evil.size < Math.floor(this.#hosts.length / 2) + 1) return;
    if (this.#change?.adopted && !this.#change.wellBegun) return;
    const phases = this.#hosts.map((host) => `${host.number} ${host.phase}`).join(', ');
    this.#world.violate(`liveness ${when}: ${phases}`);
  }

  async #recoverable(person: Person): Promise<void> {
    const world = this.#world;
    const failures: string[] = [];
    for (const belief of person.beliefs) {
      if (!belief) continue;
      for (let i = 0; i < LAST_TRIES; i++) {
        try {
          await person.recoverWith(belief.pin);
          this.checker.count('recovered at the end');
          return;
        } catch (error) {
          const { code, message, details } = error as HoldfastError;
          failures.push(`${belief.pin}: ${code} ${message}`);
          if (code === 'waiting')
            await world.sleep(Math.max(0, Number(details.nextAttemptAt ?? 0) - world.now) + 30_000);
          // With as many liars as there may be, the honest nodes go past a half-delivered number one try after the other.
          else if (code === 'conflict') await world.sleep(30_000);
          else if (code !== 'no_majority' && !(code === 'wrong_pin' && this.#evil.size > 0)) break;
        }
      }
    }
    if (person.beliefs.includes(undefined)) return this.checker.count('nothing at the end');
    const legitimate = await this.#legitimatelyGone(person);
    if (legitimate) return this.checker.count('gone at the end');
    world.violate(`2: ${short(person.record)} cannot be recovered: ${failures.join('; ')}`);
  }

  /** Spent by attempts that were really asked for, destroyed with proof, or taken over as the policy allows. */
  async #legitimatelyGone(person: Person): Promise<boolean> {
    const { policy } = this.#fleet;
    const facts = this.checker.record(person.record);
    const active = facts.seenActive;
    if (active <= facts.provenDestroyed) return true;
    if (person.beliefs.every((belief) => (belief?.generation ?? 0) <= facts.provenDestroyed)) return true;
    if (person.takenOver && policy.takeover.kind !== 'off') return true;
    const place = facts.generation(active);
    // A success that reached one node only is gone with that node's token; nobody was told of it.
    const committed = Math.max(0, place.confirmed.committed);
    const confirmed = this.#change ? committed : place.seenConfirmed;
    return place.requested >= Math.min(confirmed + policy.limit, policy.lifetimeLimit);
  }
}
