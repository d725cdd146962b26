/** Looking again and again, with metrics and health for those who watch the watcher. */

import { asHoldfastError, type Clock, HoldfastError, systemClock } from '../../core/index.ts';
import { closeInTurn, createMonitoring, type ListenAddress, type Logger, listenAt } from '../../http/index.ts';
import { type Looked, type LookOptions, look } from './look.ts';
import { MonitorMetrics } from './metrics.ts';
import { deliver, type WebhookOptions } from './webhook.ts';

export interface MonitorOptions extends LookOptions {
  readonly webhook?: WebhookOptions | undefined;
}

export interface LookedAndTold extends Looked {
  /** Why the webhook does not know yet; undefined where it does, or where there is none. */
  readonly undelivered: HoldfastError | undefined;
}

/** One look, and the webhook told of what changed. What it did not take it is told of after the next look. */
export async function lookAndTell(options: MonitorOptions, signal?: AbortSignal): Promise<LookedAndTold> {
  const looked = await look(options, signal);
  const { webhook, store } = options;
  const state = store.state();
  if (!webhook) {
    // Without anybody to tell, what has ended is over.
    await store.save({ ...state, alerts: state.alerts.filter(({ resolved }) => !resolved) });
    return { ...looked, undelivered: undefined };
  }
  try {
    const alerts = await deliver(webhook, looked.origin, state.alerts, signal);
    await store.save({ ...state, alerts });
    return { ...looked, undelivered: undefined };
  } catch (error) {
    if (signal?.aborted || !(error instanceof HoldfastError)) throw error;
    return { ...looked, undelivered: error };
  }
}

export interface WatchOptions extends MonitorOptions {
  /** Milliseconds between the end of one look and the beginning of the next. */
  readonly interval: number;
  readonly metrics: ListenAddress;
  readonly log: Logger;
}

export interface RunningMonitor {
  /** http://host:port for monitoring. */
  readonly monitoringUrl: string;
  /** Rejects where the monitor cannot go on. */
  readonly ended: Promise<void>;
  /** Ends the look under way. The same promise for every call. */
  close(): Promise<void>;
}

/** @throws HoldfastError `usage` where the address cannot be listened on. */
export async function startWatching(options: WatchOptions): Promise<RunningMonitor> {
  const { interval, log, clock = systemClock } = options;
  const metrics = new MonitorMetrics();
  const end = new AbortController();
  const trouble = { last: 'it has not looked yet' };
  const readiness = () => ({ ready: trouble.last === '', reason: trouble.last });
  const monitoring = createMonitoring({ registry: metrics.registry, readiness });
  const monitoringUrl = await listenAt(monitoring, options.metrics);
  log.info({ event: 'watching', origin: options.replay.origin, monitoringUrl });
  const ended = watch(options, metrics, trouble, clock, interval, end.signal);
  // Whoever closes it before anybody waits hears no more.
  ended.catch(() => undefined);
  let closed: Promise<void> | undefined;
  const stop = () => {
    end.abort(new HoldfastError('cancelled', 'cancelled'));
    return closeInTurn(log, [
      () => ended.catch(() => undefined),
      () => monitoring.close(),
      () => metrics.registry.clear(),
    ]);
  };
  return {
    monitoringUrl,
    ended,
    close: () => {
      closed ??= stop();
      return closed;
    },
  };
}

/** Codes after which looking again makes nothing better. */
const FATAL: readonly string[] = ['store_refused'];

async function watch(
  options: WatchOptions,
  metrics: MonitorMetrics,
  trouble: { last: string },
  clock: Clock,
  interval: number,
  signal: AbortSignal,
): Promise<void> {
  const { log } = options;
  while (!signal.aborted) {
    try {
      const looked = await lookAndTell(options, signal);
      report(log, looked);
      metrics.looked(looked, clock.now());
      if (options.webhook) metrics.webhook.inc({ outcome: looked.undelivered ? 'failed' : 'ok' });
      trouble.last = '';
    } catch (thrown) {
      if (signal.aborted) return;
      const error = asHoldfastError(thrown);
      metrics.looks.inc({ outcome: 'failed' });
      trouble.last = error.message;
      log.error({ event: 'look failed', code: error.code, reason: error.message });
      if (FATAL.includes(error.code)) throw error;
    }
    await clock.sleep(interval, signal).catch(() => undefined);
  }
}

function report(log: Logger, { raised, resolved, alerts, size, undelivered }: LookedAndTold): void {
  for (const { rule, severity, subject, message } of raised) {
    log[severity === 'alert' ? 'error' : 'warn']({ event: 'alert raised', rule, subject, reason: message });
  }
  for (const { rule, subject } of resolved) log.info({ event: 'alert resolved', rule, subject });
  if (undelivered) log.warn({ event: 'webhook not reached', reason: undelivered.message });
  log.debug({ event: 'looked', size, alerts: alerts.length });
}
