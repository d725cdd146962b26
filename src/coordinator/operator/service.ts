/** The dashboard of a running coordinator: its looks at the nodes, and its listener. */

import { X509Certificate } from 'node:crypto';
import { type Clock, systemRandom } from '../../core/index.ts';
import type { Expiry, LogView } from '../../dashboard/index.ts';
import { closeGracefully, type ListenAddress, type Logger, listenAt, type Page } from '../../http/index.ts';
import { peerIdentityOf, type TlsIdentity } from '../../pki/index.ts';
import { type Fleet, threshold } from '../../protocol/index.ts';
import type { NodeInfo } from '../maintenance.ts';
import { logView } from './log-view.ts';
import { FleetObserver, type ReadMonitoring } from './observer.ts';
import { createOperatorServer } from './server.ts';

export interface DashboardOptions {
  readonly listen: ListenAddress;
  /** Undefined serves plain HTTP. */
  readonly tls: TlsIdentity | undefined;
  /** The operator's; see `Sessions`. */
  readonly credential: string;
  /** Milliseconds between two looks at the nodes. */
  readonly interval: number;
  /** How many coordinators the fleet has. */
  readonly coordinators: number;
  /** Milliseconds since 1970 at which the trust file ends. */
  readonly trustExpires: number;
  /** Undefined where it was not built: there is the API alone. */
  readonly page: Page | undefined;
}

export interface DashboardParts {
  readonly fleet: Fleet;
  readonly nodes: readonly { readonly node: number; readonly name: string }[];
  readonly nodeTls: TlsIdentity;
  readonly publicTls: TlsIdentity | undefined;
  readonly trustedProxies: readonly string[];
  readonly read: ReadMonitoring;
  readonly infos: () => ReadonlyMap<number, NodeInfo>;
  /** Whether there was such a round. */
  readonly looked: () => boolean;
  readonly ownMetrics: () => Promise<string>;
  /** Undefined without a source of trust sets; `set` undefined before one is known. */
  readonly trust: (() => { readonly set: Uint8Array; readonly fetchedAt: number } | undefined) | undefined;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface RunningDashboard {
  /** http(s)://host:port. */
  readonly url: string;
  close(): Promise<void>;
}

const CLOSE_DEADLINE = 2000;

/** @throws HoldfastError `usage` where the address cannot be listened on, or the credential is not fit. */
export async function startDashboard(options: DashboardOptions, parts: DashboardParts): Promise<RunningDashboard> {
  const { fleet, nodes, nodeTls, log, clock, trustedProxies } = parts;
  const observer = new FleetObserver({
    fleet: fleet.fleet,
    epoch: fleet.epoch,
    nodes: fleet.nodes.map((_, i) => nodes.find(({ node }) => node === i + 1)?.name ?? `node ${i + 1}`),
    needed: threshold(fleet),
    coordinator: peerIdentityOf(new X509Certificate(nodeTls.certificatePem))?.name ?? 'this coordinator',
    coordinators: options.coordinators,
    interval: options.interval,
    read: parts.read,
    infos: parts.infos,
    looked: parts.looked,
    ownMetrics: parts.ownMetrics,
    log: parts.trust === undefined ? () => null : remembered(parts.trust),
    expiries: expiriesOf(options, parts),
    logger: log,
    clock,
  });
  const { page } = options;
  if (!page) log.warn({ event: 'no dashboard page', reason: 'it was not built; npm run build makes it' });
  const server = await createOperatorServer({
    credential: options.credential,
    tls: options.tls,
    overview: () => observer.overview(),
    history: (range) => observer.history(range),
    page,
    trustedProxies,
    log,
    clock,
    random: systemRandom,
  });
  const url = await listenAt(server, options.listen, 'the dashboard cannot listen');
  observer.start();
  log.info({ event: 'dashboard', url });
  return {
    url,
    close: async () => {
      await Promise.all([closeGracefully(server, CLOSE_DEADLINE), observer.close()]);
    },
  };
}

/** A set is read once, however often it is looked at. */
function remembered(trust: NonNullable<DashboardParts['trust']>): () => LogView {
  let set: Uint8Array | undefined;
  let view: LogView = { fetchedAt: null, bundle: null, checkpoint: null };
  return () => {
    const known = trust();
    if (!known) return view;
    if (known.set !== set) view = logView(known.set, known.fetchedAt);
    set = known.set;
    return { ...view, fetchedAt: known.fetchedAt };
  };
}

function expiriesOf(options: DashboardOptions, { nodeTls, publicTls }: DashboardParts): Expiry[] {
  const expiries: Expiry[] = [{ what: 'The fleet’s trust file', at: options.trustExpires }];
  const certificate = (what: string, pem: string) => {
    const at = Date.parse(new X509Certificate(pem).validTo);
    if (!Number.isNaN(at)) expiries.push({ what, at });
  };
  certificate('This coordinator’s certificate for the nodes', nodeTls.certificatePem);
  if (publicTls) certificate('This coordinator’s certificate for clients', publicTls.certificatePem);
  if (options.tls && options.tls !== publicTls) certificate('The dashboard’s certificate', options.tls.certificatePem);
  certificate('The fleet’s authority', nodeTls.authorityPem);
  return expiries;
}
