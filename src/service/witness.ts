/** From a configuration to a running witness: opens policies, state, token, journal and certificates. */

import type { WitnessConfiguration } from '../configuration/index.ts';
import { type Clock, HoldfastError, type Secret, systemClock } from '../core/index.ts';
import { checkUrl, Fetcher, LogReader, LogReplay } from '../cosigner/replay/index.ts';
import {
  createAuditor,
  openWitnessStore,
  type RunningWitness,
  startWitnessService,
  WITNESS_TABLES,
  type WitnessDisk,
  type WitnessLog,
} from '../cosigner/witness/index.ts';
import { builtPage, createLogger, type Logger, readNamedFile } from '../http/index.ts';
import type { TlsIdentity } from '../pki/index.ts';
import { openPurposeKey, SigningJournal } from '../signer/index.ts';
import { openLmdbStore } from '../store/index.ts';
import { originOf, parseVerifierKey, type SignedPolicy } from '../trust/index.ts';
import { readPolicyFile } from './policy.ts';
import { openConfiguredToken } from './signing-token.ts';
import { type Signed, signedSizes } from './witness-state.ts';

export interface StartWitnessOptions {
  /** The token's PIN, from wherever `configuration.token.pin` says (`readPin` of src/token). Wiped after use. */
  readonly readPin: () => Promise<Secret>;
  readonly log?: Logger;
  /** Called once where the witness cannot go on: close it and end the process. */
  readonly onFatal?: (error: HoldfastError) => void;
  readonly clock?: Clock;
}

/** @throws HoldfastError `usage`, `policy_*`, `store_refused`, `journal_damaged` or `token_*`, with nothing left open. */
export async function startWitness(
  configuration: WitnessConfiguration,
  options: StartWitnessOptions,
): Promise<RunningWitness> {
  const { name, audit, authority } = configuration;
  const { clock = systemClock } = options;
  const role = audit ? 'auditing-witness' : 'witness';
  const log = options.log ?? createLogger(configuration.logLevel, { service: role, name });
  const policies: SignedPolicy[] = [];
  for (const path of configuration.policies) policies.push(await readPolicyFile(path));
  const logs: WitnessLog[] = [
    ...configuration.logs.map(({ origin, keys }) => ({ origin, keys: keys.map(parseVerifierKey) })),
    ...policies.map((policy) => ({ origin: originOf(policy), keys: policy.tlog.logs.map(({ key }) => key) })),
  ];
  const authorityPem = authority && (await readNamedFile('the file of authorities', authority));
  const tls = await readTls(configuration);
  const page = configuration.servePage ? await builtPage('transparency') : undefined;
  if (configuration.servePage && page === undefined) {
    throw new HoldfastError('usage', 'there is no page to serve: run npm run build, or leave out servePage');
  }
  const closing: (() => Promise<unknown>)[] = [];
  const closeAll = async () => {
    for (const close of closing.toReversed()) await close();
  };
  try {
    const disk = await openLmdbStore(configuration.store.directory, WITNESS_TABLES);
    // A service that has started closes its disk itself, before what it does not know of.
    const closeDisk = () => disk.close();
    closing.push(closeDisk);
    const journal = await SigningJournal.open(configuration.journal, { clock });
    closing.push(() => journal.close());
    refuseOldState(disk, signedSizes(journal.trees, name), logs);
    const token = await openConfiguredToken(configuration.token, options.readPin, configuration.store.directory);
    closing.push(() => token.close());
    const scope = {
      purpose: audit ? ('audit' as const) : ('witness' as const),
      origins: logs.map(({ origin }) => origin),
    };
    const key = await openPurposeKey({ token, name, scope, journal, clock });
    const fetcher = new Fetcher({ authority: authorityPem });
    closing.push(() => fetcher.close());
    const service = await startWitnessService({
      ...configuration,
      signer: key.note,
      logs,
      disk,
      tls,
      page,
      log,
      clock,
      auditor: audit ? createAuditor(policies.map((policy) => auditedLog(policy, disk, fetcher))) : undefined,
      onFatal: options.onFatal,
      onClose: async () => {
        closing.splice(closing.indexOf(closeDisk), 1);
        await closeAll();
      },
    });
    log.info({ event: 'cosigning', verifierKey: key.note.verifierKey });
    return service;
  } catch (error) {
    await closeAll();
    throw error;
  }
}

function auditedLog(policy: SignedPolicy, disk: WitnessDisk, fetcher: Fetcher) {
  const url = policy.tlog.logs[0]?.url;
  if (url === undefined) {
    throw new HoldfastError(
      'usage',
      `the policy does not say where the log ${originOf(policy)} is; it needs an address`,
    );
  }
  const reader = new LogReader(checkUrl('the log’s address in the policy', url), fetcher);
  return { replay: new LogReplay(disk, policy), reader };
}

/** A state restored from a backup has forgotten what was cosigned since: a fork from there on would look like growth. */
function refuseOldState(disk: WitnessDisk, signed: Signed, logs: readonly WitnessLog[]): void {
  const store = openWitnessStore(disk);
  for (const { origin } of logs) {
    const [size, before] = [store.load(origin)?.size ?? 0, signed.get(origin) ?? 0];
    if (before <= size) continue;
    throw new HoldfastError(
      'store_refused',
      `the state knows ${size} leaves of ${origin}, but this key has cosigned ${before}: restore the newest state`,
    );
  }
}

async function readTls({ tls }: WitnessConfiguration): Promise<TlsIdentity | undefined> {
  if (!tls) return undefined;
  const certificatePem = await readNamedFile('the certificate', tls.certificate);
  // No certificates are asked of clients, so that no authority judges any.
  return {
    authorityPem: certificatePem,
    certificatePem,
    privateKeyPem: await readNamedFile('the private key', tls.key),
  };
}
