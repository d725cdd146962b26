/** A witness with its listeners: what `startWitness` makes of a configuration. */

import { asHoldfastError, type HoldfastError } from '../../../core/index.ts';
import {
  closeGracefully,
  closeInTurn,
  createMonitoring,
  type ListenAddress,
  type Logger,
  listenAt,
} from '../../../http/index.ts';
import { EvidenceShelf } from '../evidence.ts';
import { openWitnessStore, type WitnessDisk } from '../store.ts';
import { Witness, type WitnessObserver, type WitnessOptions } from '../witness.ts';
import { WitnessMetrics } from './metrics.ts';
import { createWitnessServer, type WitnessServerOptions } from './server.ts';

export interface WitnessServiceOptions
  extends Pick<WitnessOptions, 'signer' | 'logs' | 'auditor' | 'refreshSeconds' | 'clock'>,
    Pick<WitnessServerOptions, 'tls' | 'rateLimit' | 'trustedProxies' | 'maximumInFlight' | 'page'> {
  /** Closed with the service. */
  readonly disk: WitnessDisk;
  readonly listen: ListenAddress;
  readonly metrics: ListenAddress;
  readonly log: Logger;
  /** Tests stop a request here. */
  readonly step?: WitnessObserver['step'];
  /** Called once where the witness cannot go on: close it and end the process. */
  readonly onFatal?: ((error: HoldfastError) => void) | undefined;
  /** Called last when the service closes, for the token and the like. */
  readonly onClose?: () => Promise<void>;
}

export interface RunningWitness {
  /** http(s)://host:port: both prefixes of C2SP tlog-witness. */
  readonly url: string;
  /** http://host:port for monitoring. */
  readonly monitoringUrl: string;
  /** Finishes requests in flight. The same promise for every call. */
  close(): Promise<void>;
}

/** Nothing can be signed any more; a process that is started anew may find the token again. */
const FATAL: readonly string[] = ['token_removed', 'journal_damaged'];
/** An audit in flight may take as long. */
const CLOSE_DEADLINE = 20_000;

/** @throws HoldfastError `usage` where an address cannot be listened on, `store_refused` for a state never initialised. */
export async function startWitnessService(options: WitnessServiceOptions): Promise<RunningWitness> {
  const { disk, log, logs } = options;
  const metrics = new WitnessMetrics();
  const observer: WitnessObserver = {
    ...(options.step && { step: options.step }),
    cosigned: (origin, size, time) => {
      metrics.observer.cosigned?.(origin, size, time);
      log.info({ event: 'cosigned', origin, size, time });
    },
    misconduct: (origin, reason) => {
      metrics.observer.misconduct?.(origin, reason);
      log.error({ event: 'misconduct of a log', origin, reason });
    },
  };
  const witness = new Witness({
    ...options,
    store: openWitnessStore(disk),
    evidence: new EvidenceShelf(disk),
    observer,
  });
  // Damaged states are said at the start, not at the first request.
  log.info({ event: 'state read', logs: witness.description.logs });
  let closing = false;
  /** Why the last cosignature failed where this side is to blame; empty after one that did not. */
  let trouble = '';
  const readiness = () => {
    const reason = closing ? 'the witness is stopping' : trouble;
    return { ready: reason === '', reason };
  };
  const addCheckpoint = async (body: Uint8Array) => {
    try {
      const answer = await witness.addCheckpoint(body);
      if (answer.status === 200) trouble = '';
      return answer;
    } catch (thrown) {
      const error = asHoldfastError(thrown);
      if (error.code !== 'overloaded' && error.code !== 'not_ready') {
        log.error({ event: 'cosigning failed', code: error.code, reason: error.message });
        trouble = `the last cosignature failed (${error.code})`;
      }
      if (FATAL.includes(error.code) || error.details.hung === true) options.onFatal?.(error);
      throw error;
    }
  };
  const shown = {
    addCheckpoint,
    newestCheckpoint: (hash: string) => witness.newestCheckpoint(hash),
    misconduct: (hash: string) => witness.misconduct(hash),
    get description() {
      return witness.description;
    },
  };
  const server = await createWitnessServer({ ...options, witness: shown, readiness, metrics });
  const monitoring = createMonitoring({ registry: metrics.registry, readiness });
  const stop = async () => {
    closing = true;
    await closeInTurn(log, [
      () => closeGracefully(server, CLOSE_DEADLINE),
      () => monitoring.close(),
      () => disk.close(),
      async () => options.onClose?.(),
      () => metrics.registry.clear(),
    ]);
  };
  try {
    const url = await listenAt(server, options.listen);
    const monitoringUrl = await listenAt(monitoring, options.metrics);
    log.info({ event: 'listening', url, monitoringUrl, logs: logs.length });
    let closed: Promise<void> | undefined;
    return {
      url,
      monitoringUrl,
      close: () => {
        closed ??= stop();
        return closed;
      },
    };
  } catch (error) {
    await Promise.allSettled([server.close(), monitoring.close()]);
    throw error;
  }
}
