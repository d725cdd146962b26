/**
 * The SDK's face in bundle mode: one user's record, in whatever fleet the trust anchor leads to.
 *
 * A record in a retired fleet moves to its live successor at the next use of the PIN: recovered there, enrolled here,
 * which ends with a recovery, and only then deleted there. A crash at any point leaves the record in the old fleet, in
 * both, or in the new one, and each of these is recoverable with the same PIN. Where it is in both, the next use proves
 * the new one by a recovery, compares the secrets, and deletes the old one only if they are the same. So there is never a
 * moment without a recoverable secret, and never more than the budgets of the two records.
 */

import { asHoldfastError, equalBytes, HoldfastError, type Secret, systemClock } from '../../core/index.ts';
import type { Enrolled } from '../enrol.ts';
import { UnansweredGuesses } from '../unanswered.ts';
import type { CallOptions, PinKind, Recovered, Status, Vault } from '../vault-client.ts';
import { type Place, surveyPlaces, type TrustedVaultOptions } from './places.ts';
import { isCode, requirePurpose } from './standing.ts';

/** With so many failed attempts since the last success an older copy is left alone: its PIN may be another one. */
const MAXIMUM_STRAY_ATTEMPTS = 2;

interface ActivePlace extends Place {
  readonly status: Status;
}

export class TrustedVault implements Vault {
  readonly #options: TrustedVaultOptions;
  readonly #unanswered: UnansweredGuesses;

  constructor(options: TrustedVaultOptions) {
    this.#unanswered = options.unanswered ?? new UnansweredGuesses(options.clock ?? systemClock);
    this.#options = { ...options, unanswered: this.#unanswered };
  }

  /** Wipes the guesses that were counted and not answered, which else are kept for ten minutes. The vault can still be used. */
  [Symbol.dispose](): void {
    this.#unanswered.clear();
  }

  /** Where the record stands, in the newest fleet that has it. Costs no attempt. */
  async status(call: CallOptions = {}): Promise<Status> {
    const places = await this.#survey(call);
    return (activeOf(places)[0] ?? (await this.#withoutActive(places))).status;
  }

  /**
   * Enrols in the live fleet, where no fleet on the way to it has a record.
   * @throws HoldfastError as `VaultClient.enrol`; `log_stale` in grace; why the live fleet is not trusted;
   *   `owner_required` where a retired fleet has the record.
   */
  async enrol(
    pin: string,
    secret: Uint8Array,
    call: CallOptions & { takeover?: boolean; acceptDegraded?: boolean } = {},
  ): Promise<Enrolled> {
    const places = await this.#survey(call);
    const live = await this.#live(places);
    if (!call.takeover) {
      const older = activeOf(places).find((place) => place !== live);
      if (older) {
        const { fleet } = older.status;
        throw new HoldfastError('owner_required', `the fleet ${fleet} has a record, which moves when its PIN is used`);
      }
      await this.#withoutActive(
        places.filter((place) => place !== live),
        live,
      );
    }
    return await live.client.enrol(pin, secret, call);
  }

  /**
   * Recovers with the PIN, and moves the record where its fleet has retired. What fails after the recovery is told in
   * `notices`.
   */
  async recover(pin: string, call: CallOptions = {}): Promise<Recovered> {
    const places = await surveyPlaces(this.#options, call, (client) => client.prepare(pin, call));
    const active = activeOf(places);
    if (active.length === 0) return await (await this.#withoutActive(places)).client.recover(pin, call);
    let wrong: HoldfastError | undefined;
    for (const [i, place] of active.entries()) {
      try {
        const recovered = await this.#recoverAt(place, places, active.slice(i + 1), pin, call);
        if (!wrong) return recovered;
        const notice = `the fleet ${active[0]!.status.fleet} has another record, which this PIN does not open; tell your provider`;
        return { ...recovered, notices: [...recovered.notices, notice] };
      } catch (error) {
        // An older copy may have another PIN: somebody who has the user token alone could have enrolled the newer one.
        if (!isCode(error, 'wrong_pin', 'spent', 'waiting', 'destroyed')) throw wrong ?? error;
        wrong ??= asHoldfastError(error);
      }
    }
    throw wrong!;
  }

  /** As `VaultClient.changePin`, in the live fleet: the record moves there first. */
  async changePin(
    oldPin: string,
    newPin: string,
    call: CallOptions & { secret?: Uint8Array; acceptDegraded?: boolean; newKind?: PinKind } = {},
  ): Promise<Enrolled> {
    let places = await this.#survey(call);
    const live = await this.#live(places);
    let notices: readonly string[] = [];
    if (activeOf(places).some((place) => place !== live)) {
      const recovered = await this.recover(oldPin, call);
      recovered.secret.wipe();
      notices = recovered.notices;
      places = await this.#survey(call);
    }
    const [newest] = activeOf(places);
    if (newest && newest.status.fleet !== live.standing.fleet.fleet) {
      throw new HoldfastError(
        'no_majority',
        `the PIN stays as it is, since the record could not move: ${notices.join(' ')}`,
      );
    }
    return await (await this.#live(places)).client.changePin(oldPin, newPin, call);
  }

  /** Deletes the record for good, in every fleet that has it: the newest last, so that a failure leaves it to be found. */
  async delete(pin: string, call: CallOptions = {}): Promise<void> {
    const places = await this.#survey(call);
    const active = activeOf(places);
    if (active.length === 0) return await (await this.#withoutActive(places)).client.delete(pin, call);
    const left: string[] = [];
    let failure: HoldfastError | undefined;
    for (const { client, status } of active.toReversed()) {
      try {
        await client.delete(pin, call);
      } catch (thrown) {
        failure = asHoldfastError(thrown);
        if (failure.code === 'cancelled') throw failure;
        left.push(status.fleet);
      }
    }
    if (!failure) return;
    if (left.length === active.length) throw failure;
    const { code, message, details } = failure;
    throw new HoldfastError(code, `the record is still in the fleet ${left.join(', ')}: ${message}`, { details });
  }

  async cancelTakeover(pin: string, call: CallOptions = {}): Promise<boolean> {
    const places = await this.#survey(call);
    const [newest = await this.#withoutActive(places)] = activeOf(places);
    return await newest.client.cancelTakeover(pin, call);
  }

  #survey(call: CallOptions): Promise<readonly Place[]> {
    return surveyPlaces(this.#options, call);
  }

  async #recoverAt(
    place: ActivePlace,
    places: readonly Place[],
    older: readonly ActivePlace[],
    pin: string,
    call: CallOptions,
  ): Promise<Recovered> {
    const notice = place.standing.notice;
    const notices = notice === undefined ? [] : [notice];
    if (place.standing.standing.state === 'retired') return await this.#move(place, places, notices, pin, call);
    const recovered = await place.client.recover(pin, call);
    try {
      for (const copy of older) notices.push(...(await this.#remove(copy, recovered.secret, pin, call)));
    } catch (error) {
      recovered.secret.wipe();
      throw error;
    }
    return { ...recovered, notices: [...recovered.notices, ...notices] };
  }

  /** From a retired fleet to the live one, if that takes it; else the record stays, and the person hears why. */
  async #move(
    place: ActivePlace,
    places: readonly Place[],
    notices: readonly string[],
    pin: string,
    call: CallOptions,
  ): Promise<Recovered> {
    const { fleet } = place.status;
    const target = await this.#target(places).catch((error: unknown) => asHoldfastError(error));
    if (target instanceof HoldfastError) {
      const recovered = await place.client.recover(pin, call);
      return { ...recovered, notices: [...recovered.notices, ...notices, stays(fleet, target)] };
    }
    let enrolled: Enrolled | undefined;
    const withdrawn = await place.client.withdraw(
      pin,
      async (secret) => {
        enrolled = await target.client.enrol(pin, secret.reveal(), call);
        enrolled.ownerKey.secretKey.wipe();
      },
      call,
    );
    const { handedOver, failure, deleted: _, ...recovered } = withdrawn;
    if (!handedOver || !enrolled) return { ...recovered, notices: [...notices, stays(fleet, failure!)] };
    const moved = `Your record has moved from the fleet ${fleet} to ${enrolled.fleet}, which has followed it.`;
    const copy = failure && [
      `The copy in ${fleet} is still there and will be deleted at the next use (${failure.message}).`,
    ];
    return {
      ...recovered,
      ...{ fleet: enrolled.fleet, record: enrolled.record, generation: enrolled.generation },
      degraded: enrolled.degraded,
      epoch: target.standing.fleet.epoch,
      takenOver: false,
      lifetimeLeft: target.standing.fleet.policy.lifetimeLimit - 1,
      notices: [...notices, moved, ...(copy ?? [])],
    };
  }

  /** Where a record may move to. @throws HoldfastError why there is no such place. */
  async #target(places: readonly Place[]): Promise<Place> {
    const live = await this.#live(places);
    if (live.failure) throw live.failure;
    if (live.status?.state === 'spent') {
      throw new HoldfastError('owner_required', `the fleet ${live.status.fleet} has a record without attempts left`);
    }
    return live;
  }

  /** Deletes what a move that was cut short has left, if it is the same secret under the same PIN. */
  async #remove(copy: ActivePlace, secret: Secret, pin: string, call: CallOptions): Promise<string[]> {
    const { fleet, attemptsSinceSuccess, nextAttemptAt } = copy.status;
    const notice = (reason: string) => [`The fleet ${fleet}, which has retired, still has a record: ${reason}.`];
    if (attemptsSinceSuccess > MAXIMUM_STRAY_ATTEMPTS) return notice('it seems to have another PIN');
    if (nextAttemptAt > (this.#options.clock ?? systemClock).now()) return notice('it can be deleted later');
    const same = async (other: Secret) => {
      if (!equalBytes(other.reveal(), secret.reveal())) throw new HoldfastError('conflict', 'it is another secret');
    };
    try {
      const { secret: other, failure } = await copy.client.withdraw(pin, same, call);
      other.wipe();
      return failure ? notice(failure.message) : [];
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.code === 'cancelled') throw error;
      return notice(error.message);
    }
  }

  /** The live fleet, for what makes a record. @throws HoldfastError why it is not trusted, or that there is no credential. */
  async #live(places: readonly Place[]): Promise<Place> {
    const { trust } = this.#options;
    const view = await trust.view();
    if (view.failure) throw view.failure;
    const last = view.fleets.at(-1);
    if (!last) throw new HoldfastError('bundle_retired', 'no fleet is live');
    requirePurpose(last, 'enrol');
    const { fleet } = last.fleet;
    const live = places.find(({ standing }) => standing.fleet.fleet === fleet);
    if (live) return live;
    throw new HoldfastError('forbidden', `there is no credential for the fleet ${fleet}; get one from your provider`);
  }

  /**
   * The place that speaks for a user without an active record.
   * @throws HoldfastError of any place that could not be looked at: it may have the record.
   */
  async #withoutActive(places: readonly Place[], otherwise?: Place): Promise<ActivePlace> {
    const failed = places.find(({ failure }) => failure !== undefined);
    if (failed) throw failed.failure!;
    const view = await this.#options.trust.view();
    // The record may have moved to the newest fleet: that this one has none says nothing of it.
    if (view.failure) throw view.failure;
    for (const failure of view.failures.values()) {
      // What was revoked, or has passed its sunset, has no record that anybody could use.
      if (!isCode(failure, 'bundle_revoked', 'bundle_retired')) throw failure;
    }
    const known = places.filter((place): place is ActivePlace => place.status !== undefined);
    const left = ['spent', 'destroyed', 'none'] as const;
    for (const state of left) {
      const found = known.find(({ status }) => status.state === state);
      if (found) return found;
    }
    if (otherwise) return otherwise as ActivePlace;
    throw new HoldfastError('unexpected', 'a survey found no place');
  }
}

function activeOf(places: readonly Place[]): ActivePlace[] {
  return places.filter((place): place is ActivePlace => place.status?.state === 'active');
}

function stays(fleet: string, failure: HoldfastError): string {
  return `Your record stays in the fleet ${fleet}, which has retired, for now: ${failure.message}.`;
}
