/** Nodes are replaced while there is trouble: some leave, some never do, old machines run on, operators are slow. */

import { equalBytes } from '../../src/core/index.ts';
import { type Fleet, membershipDigest, successorOf, threshold } from '../../src/protocol/index.ts';
import type { Checker } from './checker.ts';
import type { EvilNode } from './evil-node.ts';
import type { Host } from './host.ts';
import { TokenState } from './token.ts';
import type { World } from './world.ts';

export interface EpochEnvironment {
  readonly world: World;
  readonly checker: Checker;
  /** Node i at index i - 1; replaced ones are put in their place. */
  readonly hosts: Host[];
  readonly evil: Map<number, EvilNode>;
  readonly zombies: Map<number, Host>;
  readonly fleet: () => Fleet;
  readonly newHost: (number: number, token: TokenState) => Host;
  /**
   * Has a number certified, for one element, by `t` nodes with all that will be replaced among them. What it resolves with
   * tries the same number for another element with the others, in the new epoch.
   */
  readonly attack: (replaced: readonly number[]) => Promise<() => Promise<void>>;
  /** Clients and coordinators have the new trust file from now on. */
  readonly adopt: (fleet: Fleet) => void;
}

export class EpochChange {
  readonly #env: EpochEnvironment;
  #next: Fleet | undefined;
  #replaced: readonly number[] = [];
  #givenUp = false;
  readonly #liars: ReadonlySet<number>;
  /** Whether clients and coordinators are in the new epoch. */
  adopted = false;
  /** Whether every node was told. */
  over = false;

  constructor(env: EpochEnvironment) {
    this.#env = env;
    this.#liars = new Set(env.evil.keys());
  }

  /** Ends a change for which too few nodes could leave; one that has begun is brought to its end. */
  giveUp(): void {
    this.#givenUp = true;
  }

  /**
   * Whether the fleet can do with `host` put back to an earlier time: with it the epoch needs `t` others that have left
   * the old one whole; fewer means a new fleet.
   */
  bears(host: Host): boolean {
    if (!this.#next || this.#env.hosts.every(({ state }) => state?.joined && state.epoch === this.#next?.epoch))
      return true;
    return this.#left().filter((other) => other !== host).length >= threshold(this.#next);
  }

  /** Whether `t` honest nodes left the old epoch whole: else those that begin anew may rightly wait for ever. */
  get wellBegun(): boolean {
    return this.#left().filter(({ number }) => !this.#liars.has(number)).length >= threshold(this.#next!);
  }

  async play(): Promise<void> {
    const { world, checker, hosts, evil, fleet, newHost, zombies, adopt } = this.#env;
    const { chance } = world;
    await world.sleep(chance.between(300, 7000));
    this.#replaced = this.#choose();
    const tokens = new Map(this.#replaced.map((node) => [node, new TokenState(chance)]));
    const next = successorOf(fleet(), new Map([...tokens].map(([node, token]) => [node, token.publicKeys])));
    this.#next = next;
    checker.count('epochs');
    world.note(`epoch ${next.epoch} shall replace ${this.#replaced}`);
    // Of three nodes none may fail before both others have left, so there it mostly goes as planned.
    const again = chance.happens(0.5) ? await this.#env.attack(this.#replaced) : undefined;
    const lost = chance.happens(hosts.length === 3 ? 0.3 : 0.6);
    if (lost) for (const node of this.#replaced) hosts[node - 1]!.retire();
    const kept = hosts.filter(({ number }) => !this.#replaced.includes(number));
    for (const host of kept) host.next = next;
    const t = threshold(next);
    // Some operators do not wait: then the nodes must.
    const patience = chance.happens(0.6) ? t : 1;
    await this.#leave(kept, () => this.#left().length >= patience);
    if (this.#left().length < patience) {
      this.over = true;
      return;
    }
    for (const [node, token] of tokens) {
      const old = hosts[node - 1]!;
      if (!lost) zombies.set(node, old);
      const host = newHost(node, token);
      // Replacing a malicious node makes an honest one of it.
      evil.delete(node);
      host.fleet = next;
      hosts[node - 1] = host;
      await host.initialise();
      host.start();
    }
    await world.sleep(chance.between(0, 1500));
    adopt(next);
    world.note(`epoch ${next.epoch} is everywhere`);
    const attacking = this.#goOn(again);
    if (patience < t) await world.sleep(chance.between(0, 3000));
    await this.#leave(kept, () => this.#left().length >= t);
    this.adopted = this.#left().length >= t;
    if (!this.adopted) {
      this.over = true;
      return;
    }
    // Some are late, and some never left: those are told by their operators to begin anew.
    if (chance.happens(0.5)) await this.#leave(kept, () => this.#left().length === kept.length, chance.between(0, 20));
    for (const host of chance.shuffled(kept)) {
      await world.sleep(chance.between(0, 1500));
      host.fleet = next;
      if (host.state?.epoch !== next.epoch) {
        checker.count('entered without having left');
        host.crash('restarted by its operator');
      }
      const working = evil.get(host.number);
      if (working) working.fleet = next;
    }
    await attacking;
    this.over = true;
  }

  async #goOn(attack: (() => Promise<void>) | undefined): Promise<void> {
    const { world } = this.#env;
    for (let i = 0; attack && i < 8 && !this.#givenUp; i++) {
      await attack();
      await world.sleep(world.chance.between(50, 900));
    }
  }

  /** So many that records stay recoverable: `t` honest nodes must keep their shares. */
  #choose(): readonly number[] {
    const { world, hosts, evil, fleet } = this.#env;
    const { chance } = world;
    const spare = fleet().policy.minimumShares - threshold(fleet());
    const honest = hosts.filter(({ number }) => !evil.has(number)).map(({ number }) => number);
    const most = spare - evil.size;
    if (most < 1 || (evil.size > 0 && chance.happens(0.3))) return chance.shuffled([...evil.keys()]).slice(0, spare);
    return chance.shuffled(honest).slice(0, chance.between(1, most));
  }

  async #leave(kept: readonly Host[], enough: () => boolean, rounds = Number.POSITIVE_INFINITY): Promise<void> {
    const { world } = this.#env;
    const { chance } = world;
    for (let i = 0; i < rounds && !enough() && !this.#givenUp; i++) {
      const host = chance.pick(kept);
      const left = host.leave(this.#next!).catch((error: unknown) => world.note(`node ${host.number} stays: ${error}`));
      // A process that dies meanwhile never answers.
      await Promise.race([left, world.sleep(1000)]);
      await world.sleep(chance.between(5, chance.pick([20, 400])));
    }
  }

  /** Nodes that have left for the next epoch, or are in it and came from there. */
  #left(): Host[] {
    const digest = membershipDigest(this.#next!);
    return this.#env.hosts.filter(({ number, state }) => {
      if (!state || this.#replaced.includes(number)) return false;
      if (state.left && equalBytes(state.left.next, digest)) return true;
      return equalBytes(state.membership, digest) && (state.leave.length > 0 || state.joined);
    });
  }
}
