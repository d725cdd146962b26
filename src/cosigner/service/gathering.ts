/** Gathering as a background task: after every batch, again while there is no quorum, and on a timer while the log is idle. */

import { asHoldfastError, type Clock, HoldfastError } from '../../core/index.ts';
import type { Logger } from '../../http/index.ts';
import { Gatherer, type WitnessTransport } from '../gather/index.ts';
import type { CosignedCheckpoint, LogStore, TransparencyLog } from '../log/index.ts';
import type { Ledger } from './ledger.ts';
import type { CosignerMetrics } from './metrics.ts';

export interface GatheringOptions {
  readonly log: Pick<TransparencyLog, 'head' | 'proveConsistency' | 'rootAt'>;
  readonly ledger: Ledger;
  readonly store: LogStore;
  readonly transport: WitnessTransport;
  readonly clock: Clock;
  /** Milliseconds for one request to one witness. */
  readonly timeout: number;
  /** Milliseconds between rounds of an idle log. */
  readonly refresh: number;
  readonly metrics: CosignerMetrics;
  readonly logger: Logger;
  /** Publishes what follows from a checkpoint with a quorum. */
  readonly onQuorum: (checkpoint: CosignedCheckpoint) => Promise<unknown>;
  /** Called after each round. */
  readonly onRound: () => Promise<unknown>;
}

/** Milliseconds before another try while there is no quorum: doubled up to the second. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 300_000;

export class Gathering {
  readonly #options: GatheringOptions;
  readonly #stop = new AbortController();
  #gatherer: { readonly digest: string; readonly gatherer: Gatherer } | undefined;
  #alarm: HoldfastError | undefined;
  #wake: (() => void) | undefined;
  #wanted = false;
  #running: Promise<void> | undefined;
  /** A checkpoint with a quorum from which nothing has been published yet. */
  #unpublished: CosignedCheckpoint | undefined;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** A batch has been published: a round at once. */
  poke(): void {
    this.#wanted = true;
    this.#wake?.();
  }

  /** @throws HoldfastError `not_ready` or `store_refused` where nothing may be appended now. */
  requireSound(): void {
    const alarm = this.#alarm ?? this.#current().alarm;
    if (alarm) {
      throw new HoldfastError(
        'store_refused',
        `${alarm.message}. Nothing is signed until a person has looked: see docs/cosigner.md`,
        { cause: alarm },
      );
    }
    if (!this.#current().confirmed) {
      throw new HoldfastError(
        'not_ready',
        'too few witnesses have confirmed yet that this is the whole log; try again when a quorum of them can be reached',
      );
    }
  }

  /** Why nothing can be appended now; empty where it can. */
  get fault(): string {
    try {
      this.requireSound();
      return '';
    } catch (error) {
      return asHoldfastError(error).message;
    }
  }

  async close(): Promise<void> {
    this.#stop.abort(new HoldfastError('cancelled', 'the cosigner is stopping'));
    this.#wake?.();
    await this.#running;
  }

  /** For the policy in force: a later one may have other witnesses. */
  #current(): Gatherer {
    const { ledger, log, store, transport, clock, timeout, metrics, logger } = this.#options;
    const { size, policy: newest } = ledger.state;
    // A policy counts for checkpoints that have it. While its leaf's files are being written, the newest one has not.
    if (this.#gatherer && size !== log.head.size) return this.#gatherer.gatherer;
    const { digest, policy, tlog } = newest;
    if (this.#gatherer?.digest === digest) return this.#gatherer.gatherer;
    this.#alarm ??= this.#gatherer?.gatherer.alarm;
    const gatherer = new Gatherer({
      ...{ policy: tlog, log, store, transport, clock, timeout, maximumAge: policy.maxAge },
      before: this.#gatherer?.gatherer,
      onEvent: (event) => {
        if (event.kind === 'cosigned') metrics.witnesses.inc({ witness: event.witness, code: 'ok' });
        if (event.kind === 'refused') {
          const { code, message } = event.error;
          metrics.witnesses.inc({ witness: event.witness, code });
          const grave = code === 'rolled_back' || code === 'split_view';
          if (grave) metrics.alarm.set(1);
          logger[grave ? 'fatal' : 'warn']({ event: 'witness refused', witness: event.witness, code, reason: message });
        }
        if (event.kind === 'quorum') {
          metrics.quorumSize.set(event.checkpoint.size);
          metrics.quorumTime.set(clock.now() / 1000);
          this.#unpublished = event.checkpoint;
        }
      },
    });
    this.#gatherer = { digest, gatherer };
    return gatherer;
  }

  async #run(): Promise<void> {
    const { logger, refresh, onRound } = this.#options;
    const { signal } = this.#stop;
    let pause = FIRST_PAUSE;
    while (!signal.aborted) {
      this.#wanted = false;
      let met = false;
      try {
        met = await this.#current().gather(signal);
        await this.#publish();
        await onRound();
      } catch (error) {
        met = false;
        const { code, message } = asHoldfastError(error);
        if (!signal.aborted) logger.error({ event: 'round failed', code, reason: message });
      }
      pause = met ? FIRST_PAUSE : Math.min(pause * 2, LONGEST_PAUSE);
      if (!this.#wanted && !signal.aborted) await this.#sleep(met ? refresh : Math.min(pause, refresh));
    }
  }

  async #publish(): Promise<void> {
    const checkpoint = this.#unpublished;
    if (!checkpoint) return;
    await this.#options.onQuorum(checkpoint);
    if (this.#unpublished === checkpoint) this.#unpublished = undefined;
  }

  /** Until `poke`, the time is over, or the end. */
  #sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
