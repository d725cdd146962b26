/** Maintenance on timers: a round of one task never overlaps another round of it, and all end when it is closed. */

import { asHoldfastError } from '../../core/index.ts';
import type { Maintenance, NodeInfo } from '../maintenance.ts';
import type { CoordinatorMetrics } from './metrics.ts';

/** Milliseconds between the end of one round and the beginning of the next. */
export interface MaintenanceIntervals {
  /** Looking at the nodes while at least one repairs, or has not been out of reach for long; and else. */
  readonly repairing: number;
  readonly idle: number;
  readonly antiEntropy: number;
  readonly destroySpent: number;
}

export interface BackgroundOptions {
  readonly maintenance: Pick<Maintenance, 'infos' | 'repairAll' | 'antiEntropy' | 'destroySpent'>;
  readonly nodes: number;
  readonly intervals: MaintenanceIntervals;
  readonly metrics: Pick<CoordinatorMetrics, 'seen' | 'rounds' | 'observer'>;
}

/** Milliseconds for which a node that has just gone is looked for as often as if it repaired: it may be starting again. */
const EXPECTED_BACK = 60_000;

type Task = 'repair' | 'anti_entropy' | 'destroy_spent';

export class Background {
  readonly #options: BackgroundOptions;
  readonly #timers = new Map<Task, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #infos: ReadonlyMap<number, NodeInfo> = new Map();
  #looking: Promise<ReadonlyMap<number, NodeInfo>> | undefined;
  #looked = false;
  #closed = false;
  /** Since when as many nodes answer as do now, by `performance.now`. */
  #answering = { nodes: 0, since: performance.now() };

  constructor(options: BackgroundOptions) {
    this.#options = options;
  }

  /** What the nodes said of themselves in the last round. */
  get infos(): ReadonlyMap<number, NodeInfo> {
    return this.#infos;
  }

  /** Whether there was a round. */
  get looked(): boolean {
    return this.#looked;
  }

  start(): void {
    const { maintenance, intervals } = this.#options;
    this.#every('repair', async () => {
      const infos = await this.look();
      const repairing = [...infos.values()].some((info) => info.phase === 'repairing');
      if (repairing) await maintenance.repairAll(infos);
      return repairing || this.#expectsNode(infos.size) ? intervals.repairing : intervals.idle;
    });
    this.#every('anti_entropy', async () => {
      await maintenance.antiEntropy(this.#infos);
      return intervals.antiEntropy;
    });
    this.#every('destroy_spent', async () => {
      await maintenance.destroySpent();
      return intervals.destroySpent;
    });
  }

  /** Asks all nodes now, for whoever cannot wait for the next round; several callers share one question. */
  look(): Promise<ReadonlyMap<number, NodeInfo>> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Starts no further round, and waits for those under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await Promise.all(this.#running);
  }

  async #look(): Promise<ReadonlyMap<number, NodeInfo>> {
    const { maintenance, metrics, nodes } = this.#options;
    this.#infos = await maintenance.infos();
    this.#looked = true;
    for (let node = 1; node <= nodes; node++) metrics.seen(node, this.#infos.get(node));
    return this.#infos;
  }

  /** Whether a node does not answer, and that is new. */
  #expectsNode(answering: number): boolean {
    const now = performance.now();
    if (answering !== this.#answering.nodes) this.#answering = { nodes: answering, since: now };
    return answering < this.#options.nodes && now - this.#answering.since < EXPECTED_BACK;
  }

  /** `round` tells how many milliseconds to wait before the next one. The first begins at once. */
  #every(task: Task, round: () => Promise<number>): void {
    let wait = this.#options.intervals.idle;
    const run = async () => {
      const stop = this.#options.metrics.rounds.startTimer({ task });
      try {
        wait = await round();
      } catch (error) {
        const { code, message } = asHoldfastError(error);
        this.#options.metrics.observer.event('error', 'maintenance failed', { task, code, reason: message });
      } finally {
        stop();
      }
    };
    const begin = () => {
      if (this.#closed) return;
      const running = run().then(() => {
        this.#running.delete(running);
        if (!this.#closed) this.#timers.set(task, setTimeout(begin, wait));
      });
      this.#running.add(running);
    };
    begin();
  }
}
