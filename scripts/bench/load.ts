/** Carries prepared recoveries to a coordinator and checks every answer. */

import { Pool } from 'undici';
import { fromBase64Url } from '../../src/core/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { type ClientAnswerJson, threshold } from '../../src/protocol/index.ts';
import type { PinnedTrust } from '../../src/trust/index.ts';
import type { PreparedRecovery } from './prepare.ts';

const STEPS = ['status', 'attempt', 'confirm'] as const;
type Step = (typeof STEPS)[number];

/** Milliseconds of one recovery, from the request's first byte to the answer's last, by step. */
export type RecoveryTimes = Readonly<Record<Step | 'recovery', number>>;

export interface SampledAnswer {
  readonly recovery: PreparedRecovery;
  readonly status: ClientAnswerJson;
  readonly attempt: ClientAnswerJson;
  readonly confirm: ClientAnswerJson;
}

export interface LoadResult {
  /** Seconds of the window. */
  readonly seconds: number;
  /** Recoveries that ended within the window. */
  readonly recoveries: number;
  /** Those and the ones that were under way when it ended: what the fleet's work is divided by. */
  readonly completed: number;
  /** Seconds until the last of them was done. */
  readonly workSeconds: number;
  readonly times: readonly RecoveryTimes[];
  readonly samples: readonly SampledAnswer[];
  /** The first few reasons, in words. */
  readonly failures: readonly string[];
  readonly failed: number;
  /** True where the prepared recoveries did not last for the window. */
  readonly ranOut: boolean;
  /** CPU seconds of this process, which makes the load, within the window. */
  readonly generatorSeconds: number;
}

export class LoadGenerator {
  readonly #pools: readonly Pool[];
  readonly #threshold: number;
  #turn = 0;

  constructor(trust: PinnedTrust, coordinators: number, concurrency: number) {
    const { fleet, authority } = trust;
    const connect = tlsClientOptions({ authorityPem: authority! }, { fleet: fleet.fleet, role: 'public' });
    this.#threshold = threshold(fleet);
    this.#pools = trust.coordinators.slice(0, coordinators).map(
      (url) =>
        new Pool(url, {
          connections: concurrency,
          pipelining: 1,
          connect: connect as NonNullable<Pool.Options['connect']>,
        }),
    );
  }

  /** Runs `concurrency` recoveries at a time until `seconds` are over or nothing prepared is left. */
  async run(prepared: readonly PreparedRecovery[], concurrency: number, seconds: number): Promise<LoadResult> {
    const times: RecoveryTimes[] = [];
    const samples: SampledAnswer[] = [];
    const failures: string[] = [];
    let failed = 0;
    let taken = 0;
    let completed = 0;
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const end = begun + seconds * 1000;
    const lane = async () => {
      while (taken < prepared.length && performance.now() < end) {
        const recovery = prepared[taken++]!;
        if (!recovery.record.usable) continue;
        try {
          const { steps, ...answers } = await this.#recover(recovery);
          recovery.record.next = recovery.attempt + 1;
          completed++;
          if (performance.now() <= end) times.push(steps);
          if (recovery.sample) samples.push({ recovery, ...answers });
        } catch (error) {
          recovery.record.usable = false;
          failed++;
          if (failures.length < 5) failures.push(error instanceof Error ? error.message : String(error));
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
    const stopped = performance.now();
    const spent = process.cpuUsage(cpu);
    const ranOut = taken >= prepared.length && stopped < end;
    return {
      seconds: (Math.min(stopped, end) - begun) / 1000,
      workSeconds: (stopped - begun) / 1000,
      recoveries: times.length,
      generatorSeconds: (spent.user + spent.system) / 1e6,
      ...{ completed, times, samples, failures, failed, ranOut },
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.close()));
  }

  async #recover(recovery: PreparedRecovery) {
    const pool = this.#pools[this.#turn++ % this.#pools.length]!;
    const begun = performance.now();
    const status = await this.#post(pool, 'status', recovery.status);
    const afterStatus = performance.now();
    this.#require(status, 'status', (node) => node.head !== undefined);
    if (status.portable === undefined) throw new Error('status: the answer has no record');
    const beforeAttempt = performance.now();
    const attempt = await this.#post(pool, 'attempt', recovery.attemptBody);
    const afterAttempt = performance.now();
    if (attempt.certificate === undefined) throw new Error(`attempt: no certificate; ${codes(attempt)}`);
    this.#require(attempt, 'attempt', (node) => node.sealed !== undefined);
    const body = recovery.confirm(fromBase64Url(attempt.certificate));
    const beforeConfirm = performance.now();
    const confirm = await this.#post(pool, 'confirm', body);
    const afterConfirm = performance.now();
    this.#require(confirm, 'confirm', (node) => node.statement !== undefined);
    const steps = {
      status: afterStatus - begun,
      attempt: afterAttempt - beforeAttempt,
      confirm: afterConfirm - beforeConfirm,
    };
    return { steps: { ...steps, recovery: steps.status + steps.attempt + steps.confirm }, status, attempt, confirm };
  }

  /** At least a majority answered "ok" with what this step is for. */
  #require(answer: ClientAnswerJson, step: Step, holds: (node: ClientAnswerJson['nodes'][number]) => boolean): void {
    const right = answer.nodes.filter((node) => node.code === 'ok' && holds(node)).length;
    if (right < this.#threshold) throw new Error(`${step}: ${right} right answers; ${codes(answer)}`);
  }

  async #post(pool: Pool, step: Step, body: Buffer): Promise<ClientAnswerJson> {
    const response = await pool.request({
      path: `/v1/${step}`,
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body,
    });
    const text = await response.body.text();
    if (response.statusCode !== 200) throw new Error(`${step}: status ${response.statusCode} ${text.slice(0, 200)}`);
    return JSON.parse(text) as ClientAnswerJson;
  }
}

const codes = (answer: ClientAnswerJson) => answer.nodes.map(({ node, code }) => `${node}:${code}`).join(' ');
