/** A cosigner as a service on loopback: software keys, a store in memory, witnesses in memory, certificates of its own. */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Pool, request } from 'undici';
import { LOG_TABLES, type LogTable } from '../../src/cosigner/log/index.ts';
import { initialiseCosigner, type RunningCosigner, startCosignerService } from '../../src/cosigner/service/index.ts';
import type { CosignerServiceOptions } from '../../src/cosigner/service/service.ts';
import { createLogger } from '../../src/http/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { parseVerifierKey, type SignedPolicy, serialiseTlogPolicy, type TrustPolicy } from '../../src/trust/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { COSIGNER, key, LOG, ROSTER, signPolicy, trustPolicy } from '../trust/fixture.ts';
import { DAY } from '../trust/manifests.ts';
import { testWitnesses } from './witnesses.ts';

export const AUTHORITY = 'family';
export const LOOPBACK = { host: '127.0.0.1', port: 0 };
export const PLEXI = key('cosigner.example/plexi');

export class ServiceBench {
  readonly pki: TestFleet;
  readonly policy: SignedPolicy;
  readonly witnesses: ReturnType<typeof testWitnesses>;
  readonly folder = mkdtempSync(join(tmpdir(), 'service-'));
  disk = new MemoryKeyValueStore<LogTable>(undefined, LOG_TABLES);
  running!: RunningCosigner;
  #pools: Pool[] = [];

  private constructor(pki: TestFleet, policy: SignedPolicy, witnesses: ReturnType<typeof testWitnesses>) {
    this.pki = pki;
    this.policy = policy;
    this.witnesses = witnesses;
  }

  static async start(changes: Partial<CosignerServiceOptions> = {}): Promise<ServiceBench> {
    const witnesses = testWitnesses(LOG.verifierKey, () => Date.now());
    const vkeys = witnesses.witnesses.map(({ signer }) => parseVerifierKey(signer.verifierKey));
    const policy = await signPolicy(
      trustPolicy({
        tlog: serialiseTlogPolicy(witnesses.policy),
        auditors: vkeys,
        expires: Math.floor(Date.now() / 1000) * 1000 + 300 * DAY,
        organisations: new Map([
          ...trustPolicy().organisations,
          ...vkeys.map(({ name }) => [name, name] as const),
        ]) as TrustPolicy['organisations'],
      }),
    );
    const bench = new ServiceBench(await createFleet(AUTHORITY), changes.policy ?? policy, witnesses);
    await initialiseCosigner(bench.#logOptions());
    bench.disk = bench.disk.reopen();
    await bench.run(changes);
    return bench;
  }

  async run(changes: Partial<CosignerServiceOptions> = {}): Promise<void> {
    this.running = await startCosignerService({
      ...this.#logOptions(),
      transport: this.witnesses.transport,
      rules: { maximumValidity: 400 * DAY, maximumAhead: 30 * DAY, pendingFor: DAY, newFleets: 8 },
      evidence: { verify: async () => {}, checkLeaf: async () => {} },
      approvers: undefined,
      public: {
        listen: LOOPBACK,
        tls: await this.pki.issue('public', 'log-1'),
        rateLimit: undefined,
        trustedProxies: [],
      },
      submission: { listen: LOOPBACK, tls: await this.pki.issue('cosigner', 'cosigner-1'), authority: AUTHORITY },
      metrics: LOOPBACK,
      witnesses: { timeout: 60_000, refresh: 3_600_000 },
      plexiNotBefore: 1_700_000_000_000,
      log: createLogger('silent', {}),
      ...changes,
    });
  }

  get signers() {
    return { bundle: COSIGNER, roster: ROSTER, checkpoint: LOG, plexi: PLEXI };
  }

  #logOptions() {
    return { policy: this.policy, store: this.disk, signers: this.signers, folder: this.folder };
  }

  /** A connection of its own kind: to the public listener, or as an operator of that name. */
  async connect(who: 'public' | { role: 'operator' | 'coordinator'; name: string }): Promise<Pool> {
    const { authorityPem } = this.pki;
    const options =
      who === 'public'
        ? tlsClientOptions({ authorityPem }, { fleet: AUTHORITY, role: 'public' })
        : tlsClientOptions(await this.pki.issue(who.role, who.name), { fleet: AUTHORITY, role: 'cosigner' });
    const url = who === 'public' ? this.running.publicUrl : this.running.submissionUrl;
    const pool = new Pool(url, url.startsWith('https:') ? { connect: options as object } : {});
    this.#pools.push(pool);
    return pool;
  }

  async monitoring(path: string): Promise<{ status: number; text: string }> {
    const { statusCode, body } = await request(`${this.running.monitoringUrl}${path}`);
    return { status: statusCode, text: await body.text() };
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.splice(0).map((pool) => pool.destroy()));
    await this.running.close();
  }
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly bytes: Uint8Array;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: whatever the service answered, for tests to look into
  readonly json: () => any;
}

async function answered(response: Awaited<ReturnType<Pool['request']>>): Promise<Answered> {
  const bytes = new Uint8Array(await response.body.arrayBuffer());
  const text = new TextDecoder().decode(bytes);
  return { status: response.statusCode, headers: response.headers, bytes, text, json: () => JSON.parse(text) };
}

export const get = async (pool: Pool, path: string): Promise<Answered> =>
  answered(await pool.request({ method: 'GET', path }));

export const post = async (
  pool: Pool,
  path: string,
  body: string | Uint8Array,
  type = 'text/plain; charset=utf-8',
): Promise<Answered> => answered(await pool.request({ method: 'POST', path, body, headers: { 'content-type': type } }));

/** Until `look` gives something, at most as long as a test may take. */
export async function until<T>(look: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + 170_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > end) throw new Error('it did not happen');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
