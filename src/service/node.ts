/** From a configuration to a running node: opens trust file, token, store and certificates. */

import type { NodeConfiguration } from '../configuration/index.ts';
import { asHoldfastError, type Clock, HoldfastError, type Secret, systemClock } from '../core/index.ts';
import { createLogger, type Logger, readNamedFile } from '../http/index.ts';
import { parseTenants, type RunningNode, startNodeService } from '../node/http/index.ts';
import type { DictionarySource } from '../node/index.ts';
import type { TlsIdentity } from '../pki/index.ts';
import { decodeNodeState, type Fleet, fleetToEnter, NODE_STATE_KEY, type ServiceSoftware } from '../protocol/index.ts';
import { readNextTrust, watchForNextEpoch } from './next-epoch.ts';
import { dictionariesOf, openNodeStore, openNodeToken, readNodeTrust } from './node-parts.ts';

export interface StartNodeOptions {
  /** The token's PIN, from wherever `configuration.token.pin` says (`readPin` of src/token). Wiped after use. */
  readonly readPin: () => Promise<Secret>;
  /** What the node says of its program in the deployment's evidence; default: nothing but the runtime. */
  readonly software?: Pick<ServiceSoftware, 'version' | 'commit'>;
  readonly log?: Logger;
  /** Called once where the node cannot go on: close it and end the process. */
  readonly onFatal?: (error: HoldfastError) => void;
  readonly clock?: Clock;
}

/** @throws HoldfastError `usage`, `bad_input`, `untrusted`, `store_refused` or `token_*`, with nothing left open. */
export async function startNode(configuration: NodeConfiguration, options: StartNodeOptions): Promise<RunningNode> {
  const log = options.log ?? createLogger(configuration.logLevel, { service: 'node', node: configuration.node });
  const current = await readNodeTrust(configuration);
  const { expires } = current;
  if ((options.clock ?? systemClock).now() >= expires) {
    log.warn({ event: 'trust file expired', expires: new Date(expires).toISOString() });
  }
  const tls: TlsIdentity = {
    authorityPem: await readNamedFile('the authority’s certificate', configuration.tls.authority),
    certificatePem: await readNamedFile('the node’s certificate', configuration.tls.certificate),
    privateKeyPem: await readNamedFile('the node’s private key', configuration.tls.key),
  };
  const tenants = parseTenants(await readNamedFile('the file of tenants', configuration.tenants));
  const token = await openNodeToken(configuration, current, options.readPin);
  const store = await openNodeStore(configuration).catch(async (error: unknown) => {
    await token.close();
    throw error;
  });
  const { node, listen, metrics, batchIntervalMilliseconds, requestsPerRecord, maximumInFlight } = configuration;
  const dictionaries = dictionariesOf(store);
  const read = () => readNextTrust(configuration.trustFile, current, node);
  const next = await read().catch((thrown: unknown) => {
    log.error({ event: 'next epoch refused', reason: asHoldfastError(thrown).message });
    return undefined;
  });
  const fleet = await entered(dictionaries, current.fleet, next?.fleet).catch(async (error: unknown) => {
    await Promise.allSettled([token.close(), store.close()]);
    throw error;
  });
  const onFatal = (error: HoldfastError) => options.onFatal?.(error);
  const closeStore = () => store.close();
  const service = { fleet, node, token, dictionaries, closeStore, tenants, tls, listen, metrics, log };
  const running = await startNodeService({
    ...service,
    batchIntervalMilliseconds,
    requestsPerRecord,
    maximumInFlight,
    repairOverride: configuration.repairOverride,
    software: { version: '', commit: '', ...options.software, runtime: `node ${process.versions.node}` },
    onFatal,
    ...(options.clock && { clock: options.clock }),
  });
  log.info({ event: 'epoch', epoch: fleet.epoch });
  if (fleet !== current.fleet) return running;
  const onLeft = (reason: HoldfastError) => {
    log.warn({ event: 'left the epoch', reason: reason.message });
    onFatal(reason);
  };
  const stopWatching = watchForNextEpoch({ running, read, log, onLeft });
  return {
    ...running,
    get phase() {
      return running.phase;
    },
    close: () => {
      stopWatching();
      return running.close();
    },
  };
}

/** The fleet whose epoch this node is in: that of the next trust file from when it left for it. */
async function entered(dictionaries: DictionarySource, current: Fleet, next: Fleet | undefined): Promise<Fleet> {
  if (!next) return current;
  try {
    const stored = (await dictionaries.open()).get(NODE_STATE_KEY);
    return fleetToEnter(stored && decodeNodeState(stored), current, next);
  } catch (error) {
    // A store that is refused says nothing; whoever opens it says why.
    if (error instanceof HoldfastError && error.code === 'store_refused') return current;
    throw error;
  }
}
