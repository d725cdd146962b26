/** The SDK's face: one record of one user in one fleet. */

import { asHoldfastError, type Clock, HoldfastError, type Secret, systemClock } from '../core/index.ts';
import { normalisePin, normaliseRecoveryCode, type SeedKeys } from '../crypto/index.ts';
import { checkFleet, encodeOwnerAction, type Fleet } from '../protocol/index.ts';
import { attempt, stretchInput, wipeKeys } from './attempt.ts';
import { requireActive } from './counting.ts';
import { type Enrolled, enrol } from './enrol.ts';
import type { ClientStep, ClientWait, CoordinatorTransport, Credential } from './ports.ts';
import { Session } from './session.ts';
import { readStatus } from './status.ts';
import { type ClientSuite, standardSuite } from './suite.ts';
import { UnansweredGuesses } from './unanswered.ts';

export interface VaultClientOptions {
  /** From a verified trust file: a client without a verified fleet cannot be made. */
  readonly fleet: Fleet;
  /** 32 bytes, as the user token names it. */
  readonly record: Uint8Array;
  readonly transport: CoordinatorTransport;
  readonly credential: () => Promise<Credential>;
  readonly clock?: Clock;
  readonly suite?: ClientSuite;
  /** Milliseconds during which what may pass is tried again; default 15,000. */
  readonly patience?: number;
  /** Told of each step, for progress displays. */
  readonly onStep?: (step: ClientStep) => void;
  /** Told whenever it waits before it tries again what may pass, and why: `rate_limited`, `no_majority` and the like. */
  readonly onWait?: (wait: ClientWait) => void;
  /**
   * Asked before anything that makes a record; throws where the fleet may only keep what it has, as bundle mode has it
   * for a retired fleet or without fresh witnesses. By default everything is allowed.
   */
  readonly requireEnrolment?: () => void;
  /** Guesses that were counted and not answered; for whoever makes a client anew for each call. */
  readonly unanswered?: UnansweredGuesses;
}

/**
 * What can be done with one user's record: in one fleet whose keys are given (`VaultClient`), or in whatever fleet a trust
 * anchor leads to (`TrustedVault`).
 */
export type Vault = Pick<VaultClient, 'status' | 'enrol' | 'recover' | 'changePin' | 'delete' | 'cancelTakeover'>;

/** How a person's input is read: a PIN or password, or a recovery code. */
export type PinKind = 'pin' | 'recovery-code';

export interface CallOptions {
  readonly signal?: AbortSignal;
  readonly kind?: PinKind;
}

export interface Status {
  /** The fleet that has the record, or would have it. */
  readonly fleet: string;
  /** 32 bytes: the record's id there. */
  readonly record: Uint8Array;
  /** `active`, `none` where nothing is enrolled, `spent` where no attempts are left, `destroyed`. */
  readonly state: 'active' | 'none' | 'spent' | 'destroyed';
  readonly generation: number;
  /** The least that may be left. While nodes differ it can be less than they will take: 0 in the state `active`, too. */
  readonly attemptsLeft: number;
  /** Attempts since the last time the right PIN was used, at most. */
  readonly attemptsSinceSuccess: number;
  /** Uses that the record has left in its life, right ones included. */
  readonly lifetimeLeft: number;
  /** Milliseconds since 1970 before which the next attempt is refused. */
  readonly nextAttemptAt: number;
  /** Nodes that hold a share, of the fleet's. */
  readonly shares: number;
  /** The epoch in which the record was enrolled; 0 where nothing is. One older than the fleet's is renewed at the next use. */
  readonly epoch: number;
  /** True where the record was enrolled over another without its owner's proof. */
  readonly takenOver: boolean;
  /** True where somebody is trying to take the record over; the owner may cancel. */
  readonly takeoverPending: boolean;
}

export interface Recovered {
  readonly secret: Secret;
  /** The fleet that has the record now, and its id there. */
  readonly fleet: string;
  readonly record: Uint8Array;
  readonly generation: number;
  /** Nodes that answered wrongly. */
  readonly faultyNodes: readonly number[];
  /** Attempts since the last success that this call did not make: if the person did not either, a new PIN is due. */
  readonly earlierAttempts: number;
  readonly lifetimeLeft: number;
  readonly takenOver: boolean;
  readonly degraded: boolean;
  /** The epoch in which the record is enrolled now. */
  readonly epoch: number;
  /**
   * Whether this call enrolled the same secret and PIN anew, as it does where nodes have been replaced since the record was
   * enrolled. Where that was due and failed this is false, `epoch` is older than the fleet's, and the next use tries again.
   */
  readonly reenrolled: boolean;
  /** What a person should know besides, in sentences; empty where all is as it should be. */
  readonly notices: readonly string[];
}

/** What became of a record that was to be withdrawn. */
export interface Withdrawn extends Recovered {
  readonly handedOver: boolean;
  readonly deleted: boolean;
  /** Why it was not handed over, or is not deleted. */
  readonly failure: HoldfastError | undefined;
}

export class VaultClient {
  readonly #options: VaultClientOptions;
  readonly #unanswered: UnansweredGuesses;
  /** What `prepare` has begun: for the next use of a PIN, which takes it if it is the same one. */
  #prepared:
    | { readonly pin: string; readonly kind: PinKind | undefined; readonly input: Promise<Uint8Array> }
    | undefined;

  /** @throws HoldfastError `bad_input` for a fleet whose numbers break the rules. */
  constructor(options: VaultClientOptions) {
    checkFleet(options.fleet);
    if (options.record.length !== 32) throw new HoldfastError('usage', 'a record id has 32 bytes');
    this.#options = options;
    this.#unanswered = options.unanswered ?? new UnansweredGuesses(options.clock ?? systemClock);
  }

  /**
   * Begins to stretch a PIN that is about to be used, so that it is done by the time that it is known where the record
   * stands. Does nothing where that would keep everything else waiting. Never throws: whoever uses the PIN hears what is wrong.
   */
  prepare(pin: string, call: Pick<CallOptions, 'kind'> = {}): void {
    const session = this.#session({});
    if (!session.options.suite.stretchesAside) return;
    try {
      const input = stretchInput(session, normalised(pin, call));
      input.catch(() => {});
      this.#prepared = { pin, kind: call.kind, input };
    } catch {
      // Not a PIN.
    }
  }

  /** Where the record stands, as a majority of nodes signs it. Costs no attempt. */
  async status(call: CallOptions = {}): Promise<Status> {
    const session = this.#session(call);
    const status = await readStatus(session);
    const { active } = status;
    const { policy } = this.#options.fleet;
    const attempts = active?.counted ?? 0;
    const state = active ? (active.spent ? 'spent' : 'active') : status.destroyed > 0 ? 'destroyed' : 'none';
    return {
      fleet: this.#options.fleet.fleet,
      record: this.#options.record,
      state,
      generation: active?.generation ?? 0,
      attemptsLeft: active?.attemptsLeft ?? 0,
      attemptsSinceSuccess: active ? attempts - active.confirmed : 0,
      lifetimeLeft: active ? Math.max(0, policy.lifetimeLimit - attempts) : 0,
      nextAttemptAt: active?.nextAttemptAt ?? 0,
      shares: active?.shares.length ?? 0,
      epoch: active?.document.epoch ?? 0,
      takenOver: active?.document.takeover ?? false,
      takeoverPending: status.pendingTakeover !== undefined,
    };
  }

  /**
   * Enrols a secret of up to 1 KiB where nothing is enrolled yet, or, with `takeover`, over what is.
   * Ends with a recovery, so that success means that it can be recovered.
   */
  async enrol(
    pin: string,
    secret: Uint8Array,
    call: CallOptions & { takeover?: boolean; acceptDegraded?: boolean } = {},
  ): Promise<Enrolled> {
    this.#options.requireEnrolment?.();
    requireSecret(secret);
    const session = this.#session(call);
    return enrol(session, {
      input: await this.#input(session, pin, call),
      secret,
      owner: undefined,
      takeover: call.takeover ?? false,
      acceptDegraded: call.acceptDegraded ?? false,
      step: this.#step,
    });
  }

  /** Recovers the secret with the PIN. Costs one attempt, given back by the right PIN. */
  async recover(pin: string, call: CallOptions = {}): Promise<Recovered> {
    const session = this.#session(call);
    const { keys, ...recovered } = await this.#open(session, pin, call);
    try {
      if (recovered.epoch >= this.#options.fleet.epoch) return recovered;
      return { ...recovered, ...(await this.#enrolAnew(session, pin, call, recovered.secret, keys)) };
    } finally {
      wipeKeys(keys);
    }
  }

  /**
   * Gives the record shares on the nodes of this epoch: the same secret under the same PIN, as a new generation that the
   * old one's owner hands over to. What fails here takes nothing away: the old generation stays until the new one is active.
   */
  async #enrolAnew(
    session: Session,
    pin: string,
    call: CallOptions,
    secret: Secret,
    keys: SeedKeys,
  ): Promise<Pick<Recovered, 'reenrolled'> & Partial<Recovered>> {
    const { fleet, requireEnrolment } = this.#options;
    try {
      requireEnrolment?.();
      const enrolled = await enrol(session, {
        input: await this.#input(session, pin, call),
        secret: secret.reveal(),
        owner: keys.ownerKey,
        takeover: false,
        acceptDegraded: false,
        step: this.#step,
      });
      enrolled.ownerKey.secretKey.wipe();
      const { generation, degraded } = enrolled;
      return {
        reenrolled: true,
        generation,
        degraded,
        epoch: fleet.epoch,
        lifetimeLeft: fleet.policy.lifetimeLimit - 1,
      };
    } catch (thrown) {
      const { code, details } = asHoldfastError(thrown);
      if (code === 'cancelled') {
        secret.wipe();
        throw thrown;
      }
      return details.enrolled === true ? { reenrolled: true, epoch: fleet.epoch } : { reenrolled: false };
    }
  }

  /**
   * Recovers with the old PIN, and enrols the same secret, or a new one, under the new PIN as a new generation. The old
   * one stays until the new one is active.
   */
  async changePin(
    oldPin: string,
    newPin: string,
    call: CallOptions & { secret?: Uint8Array; acceptDegraded?: boolean; newKind?: PinKind } = {},
  ): Promise<Enrolled> {
    this.#options.requireEnrolment?.();
    if (call.secret) requireSecret(call.secret);
    const session = this.#session(call);
    const { keys, secret } = await this.#open(session, oldPin, call);
    try {
      const kind = call.newKind ?? call.kind;
      return await enrol(session, {
        input: await this.#input(session, newPin, kind === undefined ? {} : { kind }),
        secret: call.secret ?? secret.reveal(),
        owner: keys.ownerKey,
        takeover: false,
        acceptDegraded: call.acceptDegraded ?? false,
        step: this.#step,
      });
    } finally {
      secret.wipe();
      wipeKeys(keys);
    }
  }

  /** Deletes the record for good. Needs the PIN. */
  async delete(pin: string, call: CallOptions = {}): Promise<void> {
    const session = this.#session(call);
    const { keys, secret, generation } = await this.#open(session, pin, call);
    secret.wipe();
    try {
      await this.#destroy(session, keys, generation);
    } finally {
      wipeKeys(keys);
    }
  }

  /**
   * Recovers with the PIN, gives the secret to `handOver`, and deletes the record for good if that succeeds: never before.
   * Costs one attempt, given back by the right PIN. What fails after the recovery is told, not thrown, because the secret
   * is there; being cancelled is thrown.
   * @throws HoldfastError as `recover`.
   */
  async withdraw(pin: string, handOver: (secret: Secret) => Promise<void>, call: CallOptions = {}): Promise<Withdrawn> {
    const session = this.#session(call);
    const { keys, ...recovered } = await this.#open(session, pin, call);
    let handedOver = false;
    try {
      await handOver(recovered.secret);
      handedOver = true;
      await this.#destroy(session, keys, recovered.generation);
      return { ...recovered, handedOver, deleted: true, failure: undefined };
    } catch (thrown) {
      const failure = asHoldfastError(thrown);
      if (failure.code !== 'cancelled') return { ...recovered, handedOver, deleted: false, failure };
      recovered.secret.wipe();
      throw failure;
    } finally {
      wipeKeys(keys);
    }
  }

  /** Until a majority has acknowledged it. */
  async #destroy(session: Session, keys: SeedKeys, generation: number): Promise<void> {
    const { activation, document } = requireActive(await readStatus(session));
    const { clock } = session.options;
    const end = clock.now() + session.options.patience;
    const signature = this.#ownerAction(session, keys, generation, 'delete');
    const { openCertificate } = activation;
    // Opened by a takeover, a record is deleted with the proof that its time to be cancelled has passed.
    const stageCertificate = document.takeover ? activation.stageCertificate : undefined;
    this.#step('delete');
    for (;;) {
      const reply = await session.perform({
        operation: 'delete',
        generation,
        attempt: 0,
        arguments: { signature, openCertificate, stageCertificate },
      });
      if (session.received(reply, 'destroyed', (body) => body.generation >= generation)) return;
      if (clock.now() >= end) {
        throw new HoldfastError(
          'no_majority',
          'no majority recorded the deletion; run it again when the nodes are back',
        );
      }
      await session.pause(250);
    }
  }

  /** Cancels a takeover that somebody has opened. Needs the PIN. Tells whether there was one. */
  async cancelTakeover(pin: string, call: CallOptions = {}): Promise<boolean> {
    const session = this.#session(call);
    const { keys, secret } = await this.#open(session, pin, call);
    secret.wipe();
    const { pendingTakeover: generation } = await readStatus(session);
    const signature = generation === undefined ? undefined : this.#ownerAction(session, keys, generation, 'cancel');
    wipeKeys(keys);
    if (generation === undefined || signature === undefined) return false;
    const reply = await session.perform({ operation: 'cancel', generation, attempt: 0, arguments: { signature } });
    if (session.received(reply, 'cancelled', (body) => body.generation === generation)) return true;
    throw new HoldfastError('no_majority', 'no majority recorded the cancellation; run it again');
  }

  async #open(session: Session, pin: string, call: CallOptions): Promise<Recovered & { keys: SeedKeys }> {
    this.#step('status');
    const status = await readStatus(session);
    const active = requireActive(status);
    const place = { fleet: this.#options.fleet.fleet, record: this.#options.record, generation: active.generation };
    // The last guess may be the one that was counted and not answered.
    if (active.spent && !this.#unanswered.has(place)) {
      throw new HoldfastError('spent', 'no attempts are left; the record will be destroyed after the policy’s delay');
    }
    const input = await this.#input(session, pin, call);
    const opened = await attempt(session, input, status, this.#step, 'enough', this.#unanswered);
    const { policy, nodes } = this.#options.fleet;
    return {
      fleet: this.#options.fleet.fleet,
      record: this.#options.record,
      secret: opened.secret,
      keys: opened.keys,
      generation: opened.status.generation,
      faultyNodes: opened.lying,
      earlierAttempts: opened.earlierAttempts,
      lifetimeLeft: Math.max(0, policy.lifetimeLimit - opened.attempt),
      takenOver: opened.status.document.takeover,
      degraded: opened.status.shares.length < nodes.length,
      epoch: opened.status.document.epoch,
      reenrolled: false,
      notices: [],
    };
  }

  #ownerAction(session: Session, keys: SeedKeys, generation: number, action: 'delete' | 'cancel'): Uint8Array {
    const { fleet, record, suite } = session.options;
    return suite.sign(keys.ownerKey, encodeOwnerAction({ fleet: fleet.fleet, record, generation, action }));
  }

  #input(session: Session, pin: string, call: Pick<CallOptions, 'kind'>): Promise<Uint8Array> {
    const bytes = normalised(pin, call);
    this.#step('stretch');
    const prepared = this.#prepared;
    this.#prepared = undefined;
    if (prepared?.pin === pin && prepared.kind === call.kind) return prepared.input;
    return stretchInput(session, bytes);
  }

  /**
   * Wipes what is kept from call to call: guesses that were counted and not answered, else for ten minutes, and what
   * `prepare` began. The client can still be used.
   */
  [Symbol.dispose](): void {
    this.#unanswered.clear();
    this.#prepared?.input.then(
      (input) => input.fill(0),
      () => {},
    );
    this.#prepared = undefined;
  }

  readonly #step = (step: ClientStep): void => this.#options.onStep?.(step);

  #session(call: CallOptions): Session {
    const { fleet, record, transport, credential, clock, suite, patience, onWait } = this.#options;
    return new Session({
      fleet,
      record,
      transport,
      credential,
      clock: clock ?? systemClock,
      suite: suite ?? standardSuite(),
      patience: patience ?? 15_000,
      signal: call.signal,
      onWait,
    });
  }
}

/** @throws HoldfastError for what is no PIN, or no recovery code. */
const normalised = (pin: string, { kind }: Pick<CallOptions, 'kind'>): Uint8Array =>
  kind === 'recovery-code' ? normaliseRecoveryCode(pin) : normalisePin(pin);

function requireSecret(secret: Uint8Array): void {
  if (secret.length > 1024) throw new HoldfastError('too_large', 'a secret has at most 1024 bytes');
}
