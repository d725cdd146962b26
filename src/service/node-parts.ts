/** What a node consists of, each opened from its configuration: trust file, token and store. Nothing here serves. */

import { applyTokenEnvironment, type NodeConfiguration } from '../configuration/index.ts';
import { HoldfastError, type Secret } from '../core/index.ts';
import { readNamedFile } from '../http/index.ts';
import type { DictionarySource } from '../node/index.ts';
import { openDictionary, openLmdbStore, wipeStore } from '../store/index.ts';
import type { KeyValueStore } from '../store/port.ts';
import { openToken, openUnlessRefused, type TokenProfile } from '../token/index.ts';
import type { Token } from '../token/port.ts';
import { type PinnedTrust, parseTrustFile } from '../trust/index.ts';

/** The fleet as this node's trust file has it, expired or not: a node goes on serving records when clients must renew. */
export async function readNodeTrust(
  configuration: Pick<NodeConfiguration, 'trustFile' | 'node'>,
): Promise<PinnedTrust> {
  const text = await readNamedFile('the trust file', configuration.trustFile);
  const trust = parseTrustFile(text, { now: Number.NEGATIVE_INFINITY });
  if (configuration.node <= trust.fleet.nodes.length) return trust;
  throw new HoldfastError('usage', `the fleet has no node ${configuration.node}; check the setting node`);
}

/**
 * Opens this node’s part of its token. A PIN that it refuses is not tried again, whoever starts this process anew.
 * @param atLeast milliseconds for a call, where the configuration gives a service less.
 * @throws HoldfastError `token_*`, or what `readPin` throws.
 */
export async function openNodeToken(
  configuration: NodeConfiguration,
  trust: PinnedTrust,
  readPin: () => Promise<Secret>,
  atLeast = 0,
): Promise<Token & { readonly profile: TokenProfile }> {
  const { module, slot, label, serial, workers, rollbackResistant, syncFolder } = configuration.token;
  const { moduleParameters, timeoutMilliseconds: timeout } = configuration.token;
  applyTokenEnvironment(configuration);
  const place = {
    module,
    ...(slot !== undefined && { slot }),
    ...(label !== undefined && { label }),
    ...(serial !== undefined && { serial }),
  };
  using pin = await readPin();
  const memory = { folder: configuration.store.directory, token: place };
  return await openUnlessRefused(memory, pin, () =>
    openToken({
      ...place,
      pin,
      workers,
      rollbackResistant,
      timeout: Math.max(timeout, atLeast),
      ...(moduleParameters !== undefined && { moduleParameters }),
      fleet: trust.fleet.fleet,
      node: trust.names[configuration.node - 1]!,
      ...(syncFolder !== undefined && { syncFolder }),
    }),
  );
}

export function openNodeStore(configuration: NodeConfiguration): Promise<KeyValueStore> {
  return openLmdbStore(configuration.store.directory);
}

/** The authenticated dictionary over an open store, for `initialiseNode` and the node itself. */
export function dictionariesOf(store: KeyValueStore): DictionarySource {
  return { open: () => openDictionary(store), wipe: () => wipeStore(store) };
}
