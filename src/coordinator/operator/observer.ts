/**
 * Looks at all nodes now and then, for the operator: over the connections that the coordinator has, each with a deadline and
 * at most one look at a node at a time, so that neither a client nor another node ever waits for a dead one.
 */

import { asHoldfastError, type Clock, fromUtf8, HoldfastError, parseJson } from '../../core/index.ts';
import {
  alarmsOf,
  CLIENT_OPERATIONS,
  type Condition,
  coordinatorFigures,
  type Expiry,
  type Figures,
  History,
  type HistoryView,
  type Latency,
  type LogView,
  type Look,
  MAXIMUM_EXPOSITION,
  type NodeView,
  nodeFigures,
  OVERVIEW_FORMAT,
  type Overview,
  type Range,
  Recent,
  TOKEN_OPERATIONS,
} from '../../dashboard/index.ts';
import type { Logger } from '../../http/index.ts';
import type { NodeInfo } from '../maintenance.ts';
import { Lag } from './lag.ts';

/** As `HttpNodeTransport.read`. */
export type ReadMonitoring = (
  node: number,
  path: string,
  maximumBytes: number,
  signal: AbortSignal,
) => Promise<{ readonly status: number; readonly bytes: Uint8Array }>;

export interface FleetObserverOptions {
  readonly fleet: string;
  readonly epoch: number;
  /** Name of node i at index i - 1. */
  readonly nodes: readonly string[];
  /** How many nodes have to serve. */
  readonly needed: number;
  /** Name of this coordinator. */
  readonly coordinator: string;
  /** How many the fleet has. */
  readonly coordinators: number;
  /** Milliseconds between the beginnings of two rounds. */
  readonly interval: number;
  readonly read: ReadMonitoring;
  /** What the nodes said of themselves in the coordinator's last round of maintenance. */
  readonly infos: () => ReadonlyMap<number, NodeInfo>;
  /** Whether there was one. */
  readonly looked: () => boolean;
  /** The coordinator's own metrics, as Prometheus reads them. */
  readonly ownMetrics: () => Promise<string>;
  /** Null where there is no source of trust sets. */
  readonly log: () => LogView | null;
  readonly expiries: readonly Expiry[];
  readonly logger: Pick<Logger, 'error'>;
  readonly clock: Clock;
}

/** Milliseconds for one node's answers, at most. */
const DEADLINE = 4000;
/** Milliseconds between looks at whether there is anything to see yet. */
const FIRST = 50;
const MAXIMUM_READINESS = 4096;
/** UTF-16 units of a node's own words. */
const MAXIMUM_REASON = 200;

interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
  /** The incarnation that was known to serve when the node was asked; undefined where none was. */
  readonly serving: number | undefined;
}

/** What is remembered of one node. */
interface Known {
  condition: Condition;
  since: number;
  readiness: Readiness | undefined;
  figuresAt: number | undefined;
  readonly recent: Recent;
  readonly lag: Lag;
}

export class FleetObserver {
  readonly #options: FleetObserverOptions;
  readonly #history: History;
  readonly #known: readonly Known[];
  readonly #own = new Recent();
  readonly #began: number;
  readonly #closing = new AbortController();
  #lookedAt: number | null = null;
  #running: Promise<void> | undefined;

  constructor(options: FleetObserverOptions) {
    this.#options = options;
    this.#began = options.clock.now();
    this.#history = new History(options.nodes.length, options.interval);
    this.#known = options.nodes.map(() => ({
      condition: 'unreachable',
      since: this.#began,
      readiness: undefined,
      figuresAt: undefined,
      recent: new Recent(),
      lag: new Lag(),
    }));
  }

  /** Looks from now on, until it is closed. */
  start(): void {
    this.#running ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort(new HoldfastError('cancelled', 'the coordinator is stopping'));
    await this.#running;
  }

  history(range: Range): HistoryView {
    return this.#history.view(range, this.#options.clock.now());
  }

  /** As it is now: conditions are those of the coordinator's last look at the nodes, figures those of the last round. */
  overview(): Overview {
    const { fleet, epoch, clock, nodes, needed, coordinator, coordinators, interval, expiries } = this.#options;
    const time = clock.now();
    const infos = this.#options.infos();
    const views = nodes.map((name, i) => this.#view(i + 1, name, infos, time));
    const serving = views.filter(({ condition }) => condition === 'serving').length;
    const facts = {
      fleet,
      epoch,
      time,
      view: {
        coordinator,
        coordinators,
        since: this.#began,
        lookedAt: this.#lookedAt,
        latency: latencies(CLIENT_OPERATIONS, this.#own),
      },
      quorum: { nodes: nodes.length, needed, serving, mayFail: serving - needed },
      nodes: views,
      lastHour: this.#lastHour(time),
      log: this.#options.log(),
      expiries,
    };
    const recent = new Map(
      this.#known.map(({ recent: one }, i) => [
        i + 1,
        { overloaded: one.grown('overloaded'), overrides: one.counter('overrides') ?? 0 },
      ]),
    );
    return {
      format: OVERVIEW_FORMAT,
      ...facts,
      alarms: alarmsOf({ ...facts, recent }),
      history: { intervalMilliseconds: interval, bytes: this.#history.bytes },
    };
  }

  async #run(): Promise<void> {
    const { clock, interval, logger, looked } = this.#options;
    const { signal } = this.#closing;
    while (!looked() && !signal.aborted) await clock.sleep(FIRST, signal).catch(() => {});
    while (!signal.aborted) {
      try {
        await this.#round();
      } catch (thrown) {
        logger.error({ event: 'look at the fleet failed', reason: asHoldfastError(thrown).message });
      }
      // At multiples of the interval, so that each step of the history has its look.
      const wait = interval - (Math.max(0, clock.now()) % interval);
      await clock.sleep(wait, signal).catch(() => {});
    }
  }

  async #round(): Promise<void> {
    const { nodes, clock, infos, ownMetrics } = this.#options;
    const [own, ...looked] = await Promise.all([
      ownMetrics().then(coordinatorFigures),
      ...nodes.map((_, i) => this.#look(i + 1)),
    ]);
    if (this.#closing.signal.aborted) return;
    const now = clock.now();
    const seen = infos();
    const fullest = Math.max(0, ...[...seen.values()].map(({ records }) => records));
    const looks = looked.map((figures, i): Look => {
      const known = this.#known[i]!;
      const info = seen.get(i + 1);
      if (figures) {
        known.recent.record(now, figures);
        known.figuresAt = now;
      }
      known.lag.note(now, info?.phase === 'serving' ? fullest - info.records : undefined);
      return { condition: this.#condition(i + 1, seen, now), figures };
    });
    this.#own.record(now, own);
    this.#history.record(now, { nodes: looks, coordinator: own });
    this.#lookedAt = now;
  }

  /** Never rejects: a node that does not answer, or answers nonsense, has no figures. */
  async #look(node: number): Promise<Figures | undefined> {
    const { read, interval } = this.#options;
    const overdue = new AbortController();
    const timer = setTimeout(() => overdue.abort(), Math.min(DEADLINE, interval));
    const signal = AbortSignal.any([overdue.signal, this.#closing.signal]);
    const known = this.#known[node - 1]!;
    const info = this.#options.infos().get(node);
    const serving = info?.phase === 'serving' ? info.incarnation : undefined;
    try {
      const readiness = await read(node, '/readyz', MAXIMUM_READINESS, signal);
      known.readiness = readReadiness(readiness, serving);
      const { status, bytes } = await read(node, '/metrics', MAXIMUM_EXPOSITION, signal);
      return status === 200 ? nodeFigures(fromUtf8(bytes)) : undefined;
    } catch {
      known.readiness = undefined;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #condition(node: number, infos: ReadonlyMap<number, NodeInfo>, now: number): Condition {
    const known = this.#known[node - 1]!;
    const info = infos.get(node);
    const phase = info?.phase ?? 'unreachable';
    // A node that repaired was not ready, and said so: of what it does now that says nothing.
    const { ready, serving } = known.readiness ?? { ready: true, serving: undefined };
    const condition = phase === 'serving' && !ready && serving === info?.incarnation ? 'failing' : phase;
    if (condition !== known.condition) {
      known.condition = condition;
      known.since = now;
    }
    return condition;
  }

  #view(node: number, name: string, infos: ReadonlyMap<number, NodeInfo>, now: number): NodeView {
    const known = this.#known[node - 1]!;
    const info = infos.get(node);
    const condition = this.#condition(node, infos, now);
    const { recent, readiness, lag } = known;
    const said = info?.reason || (readiness?.ready === false ? readiness.reason : '');
    const startedAt = recent.gauge('startedAt');
    // Of a node that is down nothing is shown as if it were so now.
    const figure = (gauge: string) => (info ? recent.gauge(gauge) : null);
    return {
      node,
      name,
      condition,
      since: known.since,
      reason: condition === 'serving' || condition === 'unreachable' ? '' : printable(said),
      figuresAt: known.figuresAt ?? null,
      startedAt: info && startedAt !== null ? Math.round(startedAt * 1000) : null,
      epoch: figure('epoch'),
      queueDepth: figure('queueDepth'),
      inFlight: figure('inFlight'),
      records: info?.records ?? null,
      sequence: info?.sequence ?? null,
      repair: info ? repairOf(info, infos, this.#known.length, lag.least) : null,
      latency: latencies(TOKEN_OPERATIONS, recent),
    };
  }

  /** Nodes count the same events, each for itself, and one may have been down: what the one that saw most has seen. */
  #lastHour(now: number): Overview['lastHour'] {
    const { nodes } = this.#history.view('1h', now);
    const most = (name: string) =>
      Math.max(0, ...nodes.map(({ series }) => (series[name] ?? []).reduce<number>((sum, one) => sum + (one ?? 0), 0)));
    const [attempts, confirmations] = [most('attempts'), most('confirmations')];
    const [activations, destructions] = [most('activations'), most('destructions')];
    return { attempts, confirmations, activations, destructions, anchorWrites: most('anchorWrites') };
  }
}

function repairOf(
  info: NodeInfo,
  infos: ReadonlyMap<number, NodeInfo>,
  nodes: number,
  lagging: number,
): NonNullable<NodeView['repair']> {
  const { node, incarnation, headsKnown, headsNeeded, phase } = info;
  const acceptedBy = [...infos.values()].filter((one) => one.node !== node && one.fences[node - 1] === incarnation);
  return {
    incarnation,
    acceptedBy: acceptedBy.length,
    headsKnown,
    headsNeeded,
    bars: phase === 'serving' && headsNeeded > 0 && headsKnown < nodes - 1,
    lagging,
  };
}

function readReadiness(
  { status, bytes }: Awaited<ReturnType<ReadMonitoring>>,
  serving: number | undefined,
): Readiness | undefined {
  // A node of an earlier version has no such route.
  if (status !== 200 && status !== 503) return undefined;
  const body = parseJson(fromUtf8(bytes), 'malformed').object(['status', 'reason']);
  const ready = status === 200 && body.required('status').word(['ready', 'not_ready']) === 'ready';
  return { ready, reason: body.optional('reason')?.text(MAXIMUM_READINESS) ?? '', serving };
}

/** A node's own words may be anything: one line of them, without what could change how the rest is shown. */
function printable(text: string): string {
  const line = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').trim();
  return line.length > MAXIMUM_REASON ? `${line.slice(0, MAXIMUM_REASON)}…` : line;
}

function latencies<O extends string>(operations: readonly O[], recent: Recent): Record<O, Latency | null> {
  const entries = operations.map((operation) => [operation, rounded(recent.latency(operation))] as const);
  return Object.fromEntries(entries) as Record<O, Latency | null>;
}

const rounded = (latency: Latency | null): Latency | null =>
  latency && { ...latency, p50: Number(latency.p50.toPrecision(4)), p95: Number(latency.p95.toPrecision(4)) };
