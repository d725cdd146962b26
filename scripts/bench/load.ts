/** Carries prepared recoveries to a coordinator and checks every answer. */

import type { ConnectionOptions } from 'node:tls';
import { fromBase64Url } from '../../src/core/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { type ClientAnswerJson, threshold } from '../../src/protocol/index.ts';
import type { PinnedTrust } from '../../src/trust/index.ts';
import { HttpConnection } from './connection.ts';
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
  readonly #coordinators: readonly URL[];
  readonly #tls: ConnectionOptions;
  readonly #threshold: number;

  constructor(trust: PinnedTrust, coordinators: number) {
    const { fleet, authority } = trust;
    this.#tls = tlsClientOptions({ authorityPem: authority! }, { fleet: fleet.fleet, role: 'public' });
    this.#threshold = threshold(fleet);
    this.#coordinators = trust.coordinators.slice(0, coordinators).map((url) => new URL(url));
  }

  /**
   * Runs `concurrency` recoveries at a time until `seconds` are over or nothing prepared is left, each lane of them on a
   * connection of its own that is there before the window begins.
   */
  async run(prepared: readonly PreparedRecovery[], concurrency: number, seconds: number): Promise<LoadResult> {
    const connections: HttpConnection[] = [];
    try {
      for (let i = 0; i < concurrency; i++) {
        connections.push(await HttpConnection.open(this.#coordinators[i % this.#coordinators.length]!, this.#tls));
      }
      return await this.#run(prepared, connections, seconds);
    } finally {
      for (const connection of connections) connection.close();
    }
  }

  /** Whether all nodes can read a status that is signed for its context, which those of an older build cannot. */
  async takesContexts(request: Buffer): Promise<boolean> {
    const connection = await HttpConnection.open(this.#coordinators[0]!, this.#tls);
    try {
      const { nodes } = await this.#post(connection, 'status', request);
      return nodes.every(({ code }) => code !== 'malformed');
    } finally {
      connection.close();
    }
  }

  /** Sends status requests, `concurrency` at a time. @throws Error where a majority does not answer one. */
  async askStatuses(requests: readonly Buffer[], concurrency: number): Promise<void> {
    let taken = 0;
    const lane = async () => {
      const connection = await HttpConnection.open(this.#coordinators[0]!, this.#tls);
      try {
        while (taken < requests.length) {
          const status = await this.#post(connection, 'status', requests[taken++]!);
          this.#require(status, 'status', (node) => node.head !== undefined);
          if (status.portable === undefined) throw new Error('status: the answer has no record');
        }
      } finally {
        connection.close();
      }
    };
    await Promise.all(Array.from({ length: concurrency }, lane));
  }

  async #run(
    prepared: readonly PreparedRecovery[],
    connections: readonly HttpConnection[],
    seconds: number,
  ): Promise<LoadResult> {
    const times: RecoveryTimes[] = [];
    const samples: SampledAnswer[] = [];
    const failures: string[] = [];
    let failed = 0;
    let taken = 0;
    let completed = 0;
    const cpu = process.cpuUsage();
    const begun = performance.now();
    const end = begun + seconds * 1000;
    const lane = async (connection: HttpConnection) => {
      while (taken < prepared.length && performance.now() < end) {
        const recovery = prepared[taken++]!;
        if (!recovery.record.usable) continue;
        try {
          const { steps, ...answers } = await this.#recover(recovery, connection);
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
    await Promise.all(connections.map(lane));
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

  async #recover(recovery: PreparedRecovery, connection: HttpConnection) {
    const begun = performance.now();
    const status = await this.#post(connection, 'status', recovery.status);
    const afterStatus = performance.now();
    this.#require(status, 'status', (node) => node.head !== undefined);
    if (status.portable === undefined) throw new Error('status: the answer has no record');
    const answered = new Set(status.nodes.flatMap(({ node, code, head }) => (code === 'ok' && head ? [node] : [])));
    const attemptRequest = recovery.attemptRequest(answered);
    const beforeAttempt = performance.now();
    const attempt = await this.#post(connection, 'attempt', attemptRequest);
    const afterAttempt = performance.now();
    if (attempt.certificate === undefined) throw new Error(`attempt: no certificate; ${codes(attempt)}`);
    this.#require(attempt, 'attempt', (node) => node.sealed !== undefined);
    const request = recovery.confirm(fromBase64Url(attempt.certificate), answered);
    const beforeConfirm = performance.now();
    const confirm = await this.#post(connection, 'confirm', request);
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

  async #post(connection: HttpConnection, step: Step, request: Buffer): Promise<ClientAnswerJson> {
    const { status, body } = await connection.send(request);
    if (status !== 200) throw new Error(`${step}: status ${status} ${body.slice(0, 200)}`);
    return JSON.parse(body) as ClientAnswerJson;
  }
}

const codes = (answer: ClientAnswerJson) => answer.nodes.map(({ node, code }) => `${node}:${code}`).join(' ');
