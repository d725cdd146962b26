/** From a configuration to a monitor: opens policy, store, journal and secrets, and says where to look. */

import { stat } from 'node:fs/promises';
import type { MonitorConfiguration } from '../configuration/index.ts';
import { type Clock, HoldfastError, systemClock, utf8 } from '../core/index.ts';
import {
  evidenceCheck,
  keepProofFiles,
  MONITOR_TABLES,
  type MonitorOptions,
  MonitorStore,
  type RunningMonitor,
  startWatching,
  type Vantage,
  type WebhookOptions,
} from '../cosigner/monitor/index.ts';
import { checkUrl, Fetcher, LogReader, LogReplay, READER_LIMITS } from '../cosigner/replay/index.ts';
import { hashOf } from '../cosigner/witness/index.ts';
import { createLogger, type Logger, readNamedFile } from '../http/index.ts';
import { type JournalEntry, readJournal } from '../signer/index.ts';
import { openLmdbStore } from '../store/index.ts';
import { MAXIMUM_NOTE_BYTES, type SignedPolicy } from '../trust/index.ts';
import { openEvidenceFetcher } from './evidence-fetch.ts';
import { readPolicyFile } from './policy.ts';

/** Bytes of an answer of the Plexi view. */
const MAXIMUM_STATEMENT = 65_536;

export interface OpenMonitor extends AsyncDisposable {
  readonly options: MonitorOptions;
}

/** @throws HoldfastError `usage`, `policy_*`, `store_refused`, with nothing left open. */
export async function openMonitor(
  configuration: MonitorConfiguration,
  { clock = systemClock }: { readonly clock?: Clock } = {},
): Promise<OpenMonitor> {
  const { evidence, journal, evidenceDirectory, timeout } = configuration;
  const policy = await readPolicyFile(configuration.policy);
  const authority =
    configuration.authority && (await readNamedFile('the file of authorities', configuration.authority));
  const url = logUrl(configuration, policy);
  const webhook = await readWebhook(configuration);
  const files = openEvidenceFetcher({
    ...{ authority, timeout: 6 * timeout },
    origins: [url.origin, ...evidence.origins],
  });
  const disk = await openLmdbStore(configuration.store.directory, MONITOR_TABLES);
  const fetcher = new Fetcher({ authority });
  const close = async () => {
    await Promise.all([fetcher.close(), files.close()]);
    await disk.close();
  };
  try {
    const replay = new LogReplay(disk, policy);
    return {
      options: {
        replay,
        store: new MonitorStore(disk, replay.origin),
        reader: new LogReader(url, fetcher, { ...READER_LIMITS, timeout }),
        vantages: vantagesOf(configuration, policy, fetcher),
        keepFiles: (contradiction) => keepProofFiles(evidenceDirectory, contradiction),
        clock,
        withheldAfter: configuration.withheldAfter * 1000,
        unacceptedAfter: configuration.unacceptedAfter * 1000,
        evidence: {
          fetch: evidence.fetch ? files.fetch : undefined,
          maximumBytes: evidence.maximumBytes,
          interval: evidence.interval * 1000,
          verify: evidenceCheck(replay, files.fetch),
        },
        journal: journal === undefined ? undefined : { read: () => entriesOf(journal) },
        plexi: plexiOf(configuration, fetcher),
        webhook: webhook && { ...webhook, fetcher, clock },
      },
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** @throws HoldfastError as `openMonitor`. */
export async function startMonitor(
  configuration: MonitorConfiguration,
  given: { readonly log?: Logger; readonly clock?: Clock } = {},
): Promise<RunningMonitor> {
  const monitor = await openMonitor(configuration, given);
  const log = given.log ?? createLogger(configuration.logLevel, { service: 'monitor' });
  try {
    const { interval, metrics } = configuration;
    const running = await startWatching({ ...monitor.options, interval: interval * 1000, metrics, log });
    let closed: Promise<void> | undefined;
    return {
      ...running,
      close: () => {
        closed ??= running.close().finally(() => monitor[Symbol.asyncDispose]());
        return closed;
      },
    };
  } catch (error) {
    await monitor[Symbol.asyncDispose]();
    throw error;
  }
}

function logUrl({ url }: MonitorConfiguration, policy: SignedPolicy): URL {
  const found = url ?? policy.tlog.logs[0]?.url;
  if (found !== undefined) return checkUrl('the log’s address', found);
  throw new HoldfastError('usage', 'the policy does not say where the log is; set url');
}

/** The policy's witnesses, and what is configured besides. */
function vantagesOf(configuration: MonitorConfiguration, policy: SignedPolicy, fetcher: Fetcher): Vantage[] {
  const [log] = policy.tlog.logs;
  const witnesses = policy.tlog.witnesses.flatMap(({ name, url }) =>
    url === undefined ? [] : [{ name: `the witness ${name}`, kind: 'witness' as const, url }],
  );
  return [...witnesses, ...configuration.vantages].map(({ name, kind, url }) => {
    const prefix = checkUrl(`the address of ${name}`, url).href.replace(/\/$/, '');
    const path = kind === 'witness' ? `${hashOf(log!.key.name)}/checkpoint` : 'checkpoint';
    const where = new URL(`${prefix}/${path}`);
    const limits = { maximumBytes: MAXIMUM_NOTE_BYTES, timeout: configuration.timeout };
    return {
      name,
      checkpoint: async (signal) => {
        const { status, body } = await fetcher.get(where, { ...limits, signal });
        if (status === 200) return body;
        // A witness that never cosigned the log has nothing to say.
        if (status === 404 && kind === 'witness') return undefined;
        throw new HoldfastError('not_ready', `${where.href} answered with status ${status}`);
      },
    };
  });
}

function plexiOf({ plexi, timeout }: MonitorConfiguration, fetcher: Fetcher): MonitorOptions['plexi'] {
  if (plexi === undefined) return undefined;
  const prefix = checkUrl('plexi', plexi).href.replace(/\/$/, '');
  return {
    get: async (path, signal) => {
      const where = new URL(`${prefix}/${path}`);
      const { status, body } = await fetcher.get(where, { maximumBytes: MAXIMUM_STATEMENT, timeout, signal });
      if (status === 200) return body;
      if (status === 404) return undefined;
      throw new HoldfastError('not_ready', `${where.href} answered with status ${status}`);
    },
  };
}

async function entriesOf(path: string): Promise<JournalEntry[]> {
  const entries: JournalEntry[] = [];
  await readJournal(path, { onEntry: (entry) => void entries.push(entry) });
  return entries;
}

async function readWebhook({
  webhook,
}: MonitorConfiguration): Promise<Pick<WebhookOptions, 'url' | 'secret'> | undefined> {
  if (!webhook) return undefined;
  const url = checkUrl('webhook.url', webhook.url);
  const { secretFile } = webhook;
  if (secretFile === undefined) return { url, secret: undefined };
  const secret = utf8((await readNamedFile('the webhook’s secret', secretFile)).replace(/\r?\n$/, ''));
  if (((await stat(secretFile)).mode & 0o077) !== 0) {
    throw new HoldfastError('usage', `others can read the webhook’s secret, ${secretFile}; set its mode to 600`);
  }
  if (secret.length < 16) throw new HoldfastError('usage', 'the webhook’s secret needs at least 16 bytes');
  return { url, secret };
}
