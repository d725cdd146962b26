/** From a configuration to a running node: opens trust file, token, store and certificates. */

import { applyTokenEnvironment, type NodeConfiguration } from '../configuration/index.ts';
import { type Clock, HoldfastError, type Secret, systemClock } from '../core/index.ts';
import { createLogger, type Logger, readNamedFile } from '../http/index.ts';
import { parseTenants, type RunningNode, startNodeService } from '../node/http/index.ts';
import type { DictionarySource } from '../node/index.ts';
import type { TlsIdentity } from '../pki/index.ts';
import { openDictionary, openLmdbStore, wipeStore } from '../store/index.ts';
import type { KeyValueStore } from '../store/port.ts';
import { openToken } from '../token/index.ts';
import type { Token } from '../token/port.ts';
import { type PinnedTrust, parseTrustFile } from '../trust/index.ts';

export interface StartNodeOptions {
  /** The token's PIN, from wherever `configuration.token.pin` says (`readPin` of src/token). Wiped after use. */
  readonly readPin: () => Promise<Secret>;
  readonly log?: Logger;
  /** Called once where the node cannot go on: close it and end the process. */
  readonly onFatal?: (error: HoldfastError) => void;
  readonly clock?: Clock;
}

/** The fleet as this node's trust file has it, expired or not: a node goes on serving records when clients must renew. */
export async function readNodeTrust(
  configuration: Pick<NodeConfiguration, 'trustFile' | 'node'>,
): Promise<PinnedTrust> {
  const text = await readNamedFile('the trust file', configuration.trustFile);
  const trust = parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  if (configuration.node <= trust.fleet.nodes.length) return trust;
  throw new HoldfastError('usage', `the fleet has no node ${configuration.node}; check the setting node`);
}

/** Opens this node’s part of its token. @throws HoldfastError `token_*`, or what `readPin` throws. */
export async function openNodeToken(
  configuration: NodeConfiguration,
  trust: PinnedTrust,
  readPin: () => Promise<Secret>,
): Promise<Token> {
  const { module, slot, label, serial, workers, rollbackResistant, syncFolder } = configuration.token;
  const { moduleParameters, timeoutMilliseconds: timeout } = configuration.token;
  applyTokenEnvironment(configuration);
  using pin = await readPin();
  return await openToken({
    module,
    pin,
    workers,
    rollbackResistant,
    timeout,
    ...(moduleParameters !== undefined && { moduleParameters }),
    fleet: trust.fleet.fleet,
    node: trust.names[configuration.node - 1]!,
    ...(syncFolder !== undefined && { syncFolder }),
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  });
}

export function openNodeStore(configuration: NodeConfiguration): Promise<KeyValueStore> {
  return openLmdbStore(configuration.store.directory);
}

/** The authenticated dictionary over an open store, for `initialiseNode` and the node itself. */
export function dictionariesOf(store: KeyValueStore): DictionarySource {
  return { open: () => openDictionary(store), wipe: () => wipeStore(store) };
}

/** @throws HoldfastError `usage`, `bad_input`, `untrusted`, `store_refused` or `token_*`, with nothing left open. */
export async function startNode(configuration: NodeConfiguration, options: StartNodeOptions): Promise<RunningNode> {
  const log = options.log ?? createLogger(configuration.logLevel, { service: 'node', node: configuration.node });
  const trust = await readNodeTrust(configuration);
  const { expires } = trust;
  if ((options.clock ?? systemClock).now() >= expires) {
    log.warn({ event: 'trust file expired', expires: new Date(expires).toISOString() });
  }
  const tls: TlsIdentity = {
    authorityPem: await readNamedFile('the authority’s certificate', configuration.tls.authority),
    certificatePem: await readNamedFile('the node’s certificate', configuration.tls.certificate),
    privateKeyPem: await readNamedFile('the node’s private key', configuration.tls.key),
  };
  const tenants = parseTenants(await readNamedFile('the file of tenants', configuration.tenants));
  const token = await openNodeToken(configuration, trust, options.readPin);
  const store = await openNodeStore(configuration).catch(async (error: unknown) => {
    await token.close();
    throw error;
  });
  const { node, listen, metrics, batchIntervalMilliseconds, requestsPerRecord, maximumInFlight } = configuration;
  const dictionaries = dictionariesOf(store);
  const closeStore = () => store.close();
  const service = { fleet: trust.fleet, node, token, dictionaries, closeStore, tenants, tls, listen, metrics, log };
  return startNodeService({
    ...service,
    batchIntervalMilliseconds,
    requestsPerRecord,
    maximumInFlight,
    repairOverride: configuration.repairOverride,
    ...(options.onFatal && { onFatal: options.onFatal }),
    ...(options.clock && { clock: options.clock }),
  });
}
