/** A vault node with its listeners: what `startNode` makes of a configuration, and tests of their own parts. */

import type { TenantConfiguration } from '../../access/index.ts';
import { type Clock, type HoldfastError, type Random, systemClock, systemRandom } from '../../core/index.ts';
import { verifyEcdsa, verifyEd25519 } from '../../crypto/index.ts';
import {
  closeGracefully,
  closeInTurn,
  createMonitoring,
  type ListenAddress,
  type Logger,
  listenAt,
} from '../../http/index.ts';
import type { TlsIdentity } from '../../pki/index.ts';
import { CONTENT, type Fleet, type ServiceSoftware } from '../../protocol/index.ts';
import type { Token } from '../../token/port.ts';
import { createClientAuthentication } from '../authentication.ts';
import type { DictionarySource } from '../ports.ts';
import { createRequestSealing } from '../sealing.ts';
import { ServiceStatements } from '../service-statements.ts';
import { openVaultNode, type RepairOverride } from '../start.ts';
import { TokenWatch } from '../token-watch.ts';
import type { Phase, VaultNode } from '../vault-node.ts';
import { NodeMetrics } from './metrics.ts';
import { createNodeServer } from './server.ts';

export interface NodeServiceOptions {
  readonly fleet: Fleet;
  readonly node: number;
  /** Belongs to the service from now on, as the store does: closed with it, and when starting fails. */
  readonly token: Token;
  readonly dictionaries: DictionarySource;
  readonly closeStore: () => Promise<void>;
  readonly tenants: readonly TenantConfiguration[];
  readonly tls: TlsIdentity;
  readonly listen: ListenAddress;
  readonly metrics: ListenAddress;
  readonly batchIntervalMilliseconds: number;
  readonly requestsPerRecord: number;
  readonly maximumInFlight: number;
  readonly repairOverride?: RepairOverride | undefined;
  /** What it says of its program. */
  readonly software: ServiceSoftware;
  readonly log: Logger;
  /** Called once where store and anchor can no longer be trusted to agree, or the token is gone: end the process. */
  readonly onFatal?: (error: HoldfastError) => void;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface RunningNode {
  readonly vault: VaultNode;
  readonly phase: Phase;
  /** https://host:port for coordinators. */
  readonly url: string;
  /** http://host:port for monitoring. */
  readonly monitoringUrl: string;
  /** Finishes what is in flight, then closes token and store. The same promise for every call. */
  close(): Promise<void>;
}

/** Milliseconds that requests in flight get to finish when the node is closed. */
const CLOSE_DEADLINE = 10_000;

/** @throws HoldfastError as `openVaultNode`, and `usage` where an address cannot be listened on. */
export async function startNodeService(options: NodeServiceOptions): Promise<RunningNode> {
  const { token, closeStore } = options;
  try {
    return await start(options);
  } catch (error) {
    await Promise.allSettled([token.close(), closeStore()]);
    throw error;
  }
}

async function start(options: NodeServiceOptions): Promise<RunningNode> {
  const { fleet, node, dictionaries, closeStore, log, clock = systemClock, random = systemRandom } = options;
  let fatal: HoldfastError | undefined;
  let closing = false;
  const onFatal = (error: HoldfastError): void => {
    if (fatal) return;
    fatal = error;
    log.fatal({ event: 'fatal', code: error.code, reason: error.message });
    options.onFatal?.(error);
  };
  const watch = new TokenWatch(options.token, {
    clock,
    onFailing: ({ code, message }) => log.error({ event: 'token fails', code, reason: message }),
    onWell: () => log.info({ event: 'token works again' }),
    onLost: onFatal,
  });
  const { token } = watch;
  const metrics = new NodeMetrics(token, log, () => clock.now());
  const vault = await openVaultNode({
    fleet,
    node,
    token,
    dictionaries,
    clock,
    random,
    sealing: createRequestSealing(token, random, clock),
    authentication: createClientAuthentication({ fleet: fleet.fleet, tenants: options.tenants, clock }),
    checks: { ecdsa: verifyEcdsa, ed25519: verifyEd25519 },
    observer: metrics.observer,
    batchInterval: options.batchIntervalMilliseconds,
    requestsPerRecord: options.requestsPerRecord,
    repairOverride: options.repairOverride,
    service: new ServiceStatements({ fleet, node, token, clock, software: options.software }),
    onFatal,
  });
  const info = async () => CONTENT.info.decode((await vault.handle({ kind: 'info' })).content!);
  metrics.epoch.set(fleet.epoch);
  metrics.observe(async () => ({ ...(await info()), queueDepth: vault.queueDepth }));
  const readiness = async () => {
    if (fatal) return { ready: false, reason: fatal.message };
    if (closing) return { ready: false, reason: 'the node is stopping' };
    if (watch.failing) return { ready: false, reason: watch.failing.message };
    if (vault.phase === 'serving') return { ready: true, reason: '' };
    const { phase, reason } = await info();
    return { ready: false, reason: `${phase}: ${reason}` };
  };
  const server = createNodeServer({
    fleet: fleet.fleet,
    tls: options.tls,
    handle: (request) => vault.handle(request),
    metrics,
    readiness,
    log,
    maximumInFlight: options.maximumInFlight,
  });
  const monitoring = createMonitoring({ registry: metrics.registry, readiness });
  const stop = async () => {
    closing = true;
    await closeInTurn(log, [
      () => closeGracefully(server, CLOSE_DEADLINE),
      () => vault.stop(),
      () => monitoring.close(),
      () => token.close(),
      () => closeStore(),
      () => metrics.registry.clear(),
    ]);
  };
  try {
    await vault.start();
    const url = await listenAt(server, options.listen);
    const monitoringUrl = await listenAt(monitoring, options.metrics);
    log.info({ event: 'listening', url, monitoringUrl });
    let closed: Promise<void> | undefined;
    return {
      vault,
      url,
      monitoringUrl,
      get phase() {
        return vault.phase;
      },
      close: () => {
        closed ??= stop();
        return closed;
      },
    };
  } catch (error) {
    await Promise.allSettled([server.close(), monitoring.close(), vault.stop()]);
    throw error;
  }
}
