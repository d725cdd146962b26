/** Proposals that wait for a person: stored, shown, approved by the digest that the person typed. */

import { type Clock, HoldfastError, parseJson } from '../../core/index.ts';
import { type Bundle, canonicalJson, type LiveManifest } from '../../trust/index.ts';
import type { LogStore } from '../log/index.ts';
import { viewRow } from './ledger.ts';

export interface WaitingProposal {
  readonly digest: string;
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly since: number;
  /** Name of the certificate of whoever sent it; empty where that was not kept. */
  readonly operator: string;
  /** Who approved, where that has happened and signing is not done yet. */
  readonly approver: string | null;
}

/** Proposals that wait at a time: who may submit could otherwise fill the store. */
const MAXIMUM_WAITING = 64;
/** Of one operator, so that nobody keeps the others out. */
const MAXIMUM_OF_ONE = 16;
const KEY = 'waiting';

export class Approvals {
  readonly #store: LogStore;
  readonly #read: (key: string) => string | undefined;
  readonly #clock: Clock;
  /** Changes run one after another: each writes the whole list. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(store: LogStore, read: (key: string) => string | undefined, clock: Clock) {
    this.#store = store;
    this.#read = read;
    this.#clock = clock;
  }

  get waiting(): readonly WaitingProposal[] {
    const row = this.#read(KEY);
    if (row === undefined) return [];
    return parseJson(row, 'bad_input')
      .array(0, MAXIMUM_WAITING)
      .map((value) => {
        const item = value.object(['digest', 'text', 'since', 'operator', 'approver']);
        const approver = item.required('approver');
        return {
          digest: item.required('digest').text(64),
          text: item.required('text').text(65_536),
          since: item.required('since').integer(0),
          // Those that waited before operators were kept have none.
          operator: item.optional('operator')?.text(256) ?? '',
          approver: approver.value === null ? null : approver.text(64),
        };
      });
  }

  find(digest: string): WaitingProposal | undefined {
    return this.waiting.find((each) => each.digest === digest);
  }

  isApproved(digest: string): boolean {
    return typeof this.find(digest)?.approver === 'string';
  }

  /** The same once all changes that have begun are on the disk. */
  async isStillApproved(digest: string): Promise<boolean> {
    await this.#last;
    return this.isApproved(digest);
  }

  /** Keeps a proposal; one that waits already stays as it is. @throws HoldfastError `overloaded`. */
  add({ digest, text }: Bundle<LiveManifest>, operator: string): Promise<void> {
    return this.#change((waiting) => {
      if (waiting.some((each) => each.digest === digest)) return waiting;
      const own = waiting.filter((each) => each.operator === operator);
      if (waiting.length >= MAXIMUM_WAITING || own.length >= MAXIMUM_OF_ONE) {
        throw new HoldfastError('overloaded', 'too many proposals wait for approval; have them approved or rejected');
      }
      return [...waiting, { digest, text, since: this.#clock.now(), operator, approver: null }];
    });
  }

  /** Notes who approved, durably. @returns what waited. @throws HoldfastError `not_found`. */
  async approve(digest: string, approver: string): Promise<WaitingProposal> {
    let found: WaitingProposal | undefined;
    await this.#change((waiting) => {
      found = waiting.find((each) => each.digest === digest);
      if (!found) throw notWaiting();
      return waiting.map((each) => (each.digest === digest ? { ...each, approver: each.approver ?? approver } : each));
    });
    return found!;
  }

  /** Forgets a proposal that is in the log, if it still waits. */
  forget(digest: string): Promise<void> {
    return this.#change((waiting) => waiting.filter((each) => each.digest !== digest));
  }

  /**
   * Forgets a proposal that is not to be signed.
   * @param isBeingSigned asked when its turn has come.
   * @throws HoldfastError `not_found`, `conflict`.
   */
  reject(digest: string, isBeingSigned: () => boolean): Promise<void> {
    return this.#change((waiting) => {
      if (!waiting.some((each) => each.digest === digest)) throw notWaiting();
      if (isBeingSigned()) {
        throw new HoldfastError(
          'conflict',
          'this proposal is being signed: look at the log, and revoke the bundle where it must not count',
        );
      }
      return waiting.filter((each) => each.digest !== digest);
    });
  }

  #change(change: (waiting: readonly WaitingProposal[]) => readonly WaitingProposal[]): Promise<void> {
    const result = this.#last.then(async () => {
      const next = change(this.waiting);
      await this.#store.commit([viewRow(KEY, canonicalJson(next.map((each) => ({ ...each }))))]);
    });
    this.#last = result.catch(() => undefined);
    return result;
  }
}

export const notWaiting = () =>
  new HoldfastError('not_found', 'no proposal with this digest waits for approval; it was rejected, or is in the log');
