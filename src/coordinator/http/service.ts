/** A coordinator with its listeners and background work: what `startCoordinator` makes of a configuration. */

import { type Clock, systemClock } from '../../core/index.ts';
import {
  closeGracefully,
  closeInTurn,
  createMonitoring,
  type ListenAddress,
  type Logger,
  listenAt,
  type RateLimit,
} from '../../http/index.ts';
import type { TlsIdentity } from '../../pki/index.ts';
import { type Fleet, type SignatureChecks, threshold } from '../../protocol/index.ts';
import { Coordinator } from '../coordinator.ts';
import { Maintenance } from '../maintenance.ts';
import { type DashboardOptions, type RunningDashboard, startDashboard } from '../operator/index.ts';
import { Background, type MaintenanceIntervals } from './background.ts';
import { CoordinatorMetrics } from './metrics.ts';
import { createCoordinatorServer } from './server.ts';
import { ServiceRecordSource } from './service-records.ts';
import { HttpNodeTransport, type NodeEndpoint } from './transport.ts';
import { TrustSource, type TrustSourceSettings } from './trust-source.ts';

export interface CoordinatorServiceOptions {
  readonly fleet: Fleet;
  readonly checks: SignatureChecks;
  readonly nodes: readonly NodeEndpoint[];
  /** The certificate of role coordinator, shown to the nodes. */
  readonly nodeTls: TlsIdentity;
  /** The certificate shown to clients; undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  readonly listen: ListenAddress;
  readonly metrics: ListenAddress;
  readonly timeouts: {
    readonly node: number;
    readonly grace: number;
    readonly enrolmentGrace: number;
    readonly hedge?: number;
  };
  readonly maintenance: MaintenanceIntervals;
  readonly rateLimit: RateLimit | undefined;
  readonly allowedOrigins: readonly string[];
  readonly trustedProxies: readonly string[];
  readonly maximumInFlight: number;
  /** Where trust sets for clients come from; undefined: the coordinator has none. */
  readonly trustSource?: TrustSourceSettings | undefined;
  /** The operator's dashboard; undefined: there is none. */
  readonly dashboard?: DashboardOptions | undefined;
  readonly log: Logger;
  readonly clock?: Clock;
}

export interface RunningCoordinator {
  /** http(s)://host:port for clients. */
  readonly url: string;
  /** http://host:port for monitoring. */
  readonly monitoringUrl: string;
  /** http(s)://host:port of the operator's dashboard, where there is one. */
  readonly dashboardUrl: string | undefined;
  /** Finishes requests and background work in flight. The same promise for every call. */
  close(): Promise<void>;
}

const CLOSE_DEADLINE = 10_000;

/** @throws HoldfastError `usage` where an address cannot be listened on. */
export async function startCoordinatorService(options: CoordinatorServiceOptions): Promise<RunningCoordinator> {
  const { fleet, checks, log, timeouts, clock = systemClock } = options;
  const metrics = new CoordinatorMetrics(log);
  const transport = new HttpNodeTransport({
    fleet: fleet.fleet,
    tls: options.nodeTls,
    nodes: options.nodes,
    timeout: timeouts.node,
    clock,
  });
  const { observer } = metrics;
  const { node: timeout, grace, enrolmentGrace, hedge } = timeouts;
  const parts = {
    fleet,
    transport,
    checks,
    clock,
    observer,
    timeout,
    grace,
    enrolmentGrace,
    ...(hedge !== undefined && { hedge }),
  };
  const coordinator = new Coordinator(parts);
  const maintenance = new Maintenance(parts);
  const background = new Background({
    maintenance,
    nodes: fleet.nodes.length,
    intervals: options.maintenance,
    metrics,
  });
  const trustSource = options.trustSource && new TrustSource(fleet.fleet, options.trustSource, log, clock);
  const records =
    trustSource &&
    new ServiceRecordSource({ fleet, transport, checks, clock, observer, bundle: () => trustSource.known?.digest });
  let closing = false;
  const readiness = () => {
    if (closing) return { ready: false, reason: 'the coordinator is stopping' };
    const serving = [...background.infos.values()].filter(({ phase }) => phase === 'serving').length;
    const needed = threshold(fleet);
    return serving >= needed
      ? { ready: true, reason: '' }
      : { ready: false, reason: `${serving} of ${fleet.nodes.length} nodes serve, ${needed} are needed` };
  };
  const server = await createCoordinatorServer({
    ...options,
    handle: (request) => coordinator.handle(request),
    readiness,
    infos: () => background.infos,
    metrics,
    trust: () => trustSource?.known,
    serviceRecords: records && (() => records.get()),
  });
  const monitoring = createMonitoring({ registry: metrics.registry, readiness });
  let dashboard: RunningDashboard | undefined;
  const startOperatorsDashboard = async (own: DashboardOptions) => {
    dashboard = await startDashboard(own, {
      fleet,
      nodes: options.nodes,
      nodeTls: options.nodeTls,
      publicTls: options.tls,
      trustedProxies: options.trustedProxies,
      read: (node, path, maximumBytes, signal) => transport.read(node, path, maximumBytes, signal),
      infos: () => background.infos,
      looked: () => background.looked,
      ownMetrics: () => metrics.registry.metrics(),
      trust: trustSource && (() => trustSource.known),
      log,
      clock,
    });
  };
  const stop = async () => {
    closing = true;
    await closeInTurn(log, [
      () => closeGracefully(server, CLOSE_DEADLINE),
      // Rounds under way end with their connections: each of their steps may be cut short and done again by others.
      async () =>
        void (await Promise.all([background.close(), transport.close(), trustSource?.close(), dashboard?.close()])),
      () => monitoring.close(),
      () => metrics.registry.clear(),
    ]);
  };
  try {
    const url = await listenAt(server, options.listen);
    const monitoringUrl = await listenAt(monitoring, options.metrics);
    if (options.dashboard) await startOperatorsDashboard(options.dashboard);
    background.start();
    trustSource?.start();
    log.info({ event: 'listening', url, monitoringUrl });
    let closed: Promise<void> | undefined;
    return {
      url,
      monitoringUrl,
      dashboardUrl: dashboard?.url,
      close: () => {
        closed ??= stop();
        return closed;
      },
    };
  } catch (error) {
    await Promise.allSettled([
      server.close(),
      monitoring.close(),
      transport.close(),
      trustSource?.close(),
      dashboard?.close(),
    ]);
    throw error;
  }
}
