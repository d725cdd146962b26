/** Honest people: an owner who enrols, recovers, changes the PIN and deletes, and other devices that try PINs. */

import type { ClientSuite } from '../../src/client/index.ts';
import { type CoordinatorTransport, type Credential, VaultClient } from '../../src/client/index.ts';
import { bytesToHex, equalBytes, HoldfastError, Secret, utf8 } from '../../src/core/index.ts';
import type { Fleet } from '../../src/protocol/index.ts';
import type { Checker } from './checker.ts';
import type { World } from './world.ts';

/** What a person may find under a record: a PIN and its secret, or nothing. */
export interface Belief {
  readonly pin: string;
  readonly secret: Uint8Array;
  /** Known once its enrolment has succeeded. */
  generation?: number;
}

export interface PersonEnvironment {
  readonly world: World;
  readonly fleet: Fleet;
  readonly checker: Checker;
  readonly suite: ClientSuite;
  readonly issued: Set<string>;
  readonly transport: CoordinatorTransport;
  /** No node and no coordinator lies in this run: then some errors are violations. */
  readonly allHonest: boolean;
}

export class Person {
  readonly record: Uint8Array;
  readonly #env: PersonEnvironment;
  /** What may be enrolled now: one entry once that is certain. `undefined` stands for nothing. */
  beliefs: (Belief | undefined)[] = [undefined];
  /** The PIN that a success was last reported for. */
  pin = '';
  /** Grows with every operation of the owner that changes the record, at its start and at its end. */
  #changes = 0;
  readonly #secrets = new Map<string, Uint8Array>();
  #next = 1;
  /** Somebody else with a user token has enrolled over this record, or tried to. */
  takenOver = false;

  constructor(record: Uint8Array, env: PersonEnvironment) {
    this.record = record;
    this.#env = env;
  }

  client(patience = 2500): VaultClient {
    const { world, fleet, suite, transport } = this.#env;
    const credential = this.credential();
    return new VaultClient({
      fleet,
      record: this.record,
      transport,
      credential: async () => credential,
      clock: world.clock(() => 0),
      suite,
      patience,
    });
  }

  /** A new client key, and the tenant's token for it. */
  credential(): Credential {
    const key = bytesToHex(this.#env.world.chance.bytes(8));
    const userToken = `${bytesToHex(this.record)}:${key}`;
    this.#env.issued.add(userToken);
    return { userToken, clientKey: { secretKey: new Secret(utf8(key)) } };
  }

  #fresh(): Belief {
    const { chance } = this.#env.world;
    const belief = { pin: `${this.#next++}${chance.between(1000, 9999)}`, secret: chance.bytes(8) };
    this.#secrets.set(belief.pin, belief.secret);
    return belief;
  }

  async owner(operations: number): Promise<void> {
    const { chance } = this.#env.world;
    for (let i = 0; i < operations; i++) {
      await this.#env.world.sleep(chance.between(5, 800));
      if (this.beliefs.includes(undefined)) await this.enrol();
      else if (chance.happens(0.45)) await this.recover('owner');
      else if (chance.happens(0.6)) await this.#changePin();
      else if (chance.happens(0.3)) await this.#delete();
      else await this.guess('owner');
    }
  }

  async device(name: string, operations: number): Promise<void> {
    const { chance } = this.#env.world;
    for (let i = 0; i < operations; i++) {
      await this.#env.world.sleep(chance.between(5, 1500));
      if (chance.happens(0.5)) await this.recover(name);
      else if (chance.happens(0.7)) await this.guess(name);
      else await this.#try(`${name} status`, async () => void (await this.client().status()));
    }
  }

  /** Somebody with a user token but without the PIN enrols anew. */
  async steal(): Promise<void> {
    this.takenOver = true;
    const { world } = this.#env;
    await this.#try('thief takes over', () =>
      this.client().enrol(`thief${this.#next++}`, world.chance.bytes(8), { takeover: true, acceptDegraded: true }),
    );
  }

  async enrol(): Promise<void> {
    const belief = this.#fresh();
    const acceptDegraded = this.#env.world.chance.happens(0.5);
    await this.#changing('owner enrols', belief, () =>
      this.client().enrol(belief.pin, belief.secret, { acceptDegraded }),
    );
  }

  async #changePin(): Promise<void> {
    const belief = this.#fresh();
    await this.#changing('owner changes the PIN', belief, () =>
      this.client().changePin(this.pin, belief.pin, { secret: belief.secret, acceptDegraded: true }),
    );
  }

  async #delete(): Promise<void> {
    await this.#changing('owner deletes', undefined, async () => {
      await this.client().delete(this.pin);
      return undefined;
    });
  }

  /** An operation that leaves the record as it was, or as `after` says, and only after success certainly so. */
  async #changing(
    name: string,
    after: Belief | undefined,
    run: () => Promise<{ readonly generation: number } | undefined>,
  ): Promise<void> {
    this.#changes++;
    const before = this.beliefs;
    this.beliefs = [...before, after];
    const failure = await this.#try(name, async () => {
      const enrolled = await run();
      if (after && enrolled) after.generation = enrolled.generation;
    });
    if (!failure) {
      this.beliefs = [after];
      if (after) this.pin = after.pin;
    } else if (failure.code === 'owner_required' && after && before.includes(undefined)) {
      // An earlier attempt of which nothing was heard took effect after all.
      this.beliefs = before.filter((belief) => belief !== undefined);
      this.pin = this.beliefs.at(-1)?.pin ?? '';
      if (this.beliefs.length === 0) this.beliefs = [undefined];
    } else if (failure.code === 'wrong_pin') {
      this.beliefs = before;
    }
    this.#changes++;
  }

  /** Recovers with the PIN that should be right. */
  async recover(name: string): Promise<HoldfastError | undefined> {
    const belief = this.beliefs.at(0);
    const { pin } = this;
    if (!belief || pin === '') return undefined;
    const changes = this.#changes;
    const failure = await this.#try(`${name} recovers`, () => this.recoverWith(pin));
    const steady = changes === this.#changes && this.beliefs.length === 1 && changes % 2 === 0 && !this.takenOver;
    if (failure?.code === 'wrong_pin' && steady && this.#env.allHonest) {
      this.#env.world.violate(`2: the right PIN was refused: ${failure.message}`);
    }
    return failure;
  }

  async recoverWith(pin: string): Promise<void> {
    const recovered = await this.client().recover(pin);
    const belief = this.beliefs.find((one) => one?.pin === pin);
    if (belief && recovered.reenrolled) belief.generation = recovered.generation;
    if (recovered.reenrolled) this.#env.checker.count('enrolled anew');
    const expected = this.#secrets.get(pin);
    if (!expected || !equalBytes(recovered.secret.reveal(), expected)) {
      this.#env.world.violate('2: a recovery gave another secret than was enrolled under this PIN');
    }
    this.#env.checker.count('recoveries');
  }

  async guess(name: string): Promise<void> {
    const failure = await this.#try(`${name} guesses`, () => this.client().recover(`guess${this.#next++}`));
    if (!failure) this.#env.world.violate('1: a wrong PIN recovered something');
    if (failure?.code === 'wrong_pin') this.#env.checker.count('wrong guesses');
  }

  async #try(name: string, run: () => Promise<unknown>): Promise<HoldfastError | undefined> {
    const { world, allHonest, checker } = this.#env;
    const who = bytesToHex(this.record).slice(0, 4);
    world.note(`${who} ${name}`);
    try {
      await run();
      world.note(`${who} ${name}: done`);
      checker.count(`${name.split(' ').slice(1).join(' ')} done`);
      return undefined;
    } catch (error) {
      if (!(error instanceof HoldfastError)) {
        world.violate(`2: ${name} threw ${error instanceof Error ? error.stack : String(error)}`);
        return new HoldfastError('unexpected', String(error));
      }
      world.note(`${who} ${name}: ${error.code} ${error.message.slice(0, 60)}`);
      const impossible = ['untrusted', 'faulty_node', 'malformed', 'unexpected', 'forbidden', 'too_large', 'bad_input'];
      if (allHonest && impossible.includes(error.code)) world.violate(`2: ${name} met ${error.code}: ${error.message}`);
      return error;
    }
  }
}
