/**
 * Work that no client waits for: repair traffic of restarted nodes, anti-entropy, and destroying what is spent
 * (docs/protocol.md, sections 6 and 7). Any number of coordinators may do it at once; every step is idempotent.
 */

import { asHoldfastError, bytesToHex, equalBytes, HoldfastError, type Infer } from '../core/index.ts';
import {
  assembleCertificate,
  type Body,
  budgetLeft,
  CONTENT,
  decodeNodeRequest,
  decodeSignedStatement,
  encodeCertificate,
  encodeNodeAnswer,
  encodePortableRecord,
  isDigests,
  type NodeAnswer,
  type NodeRequest,
  type SignedStatement,
  StatementVerifier,
  threshold,
  votesFor,
} from '../protocol/index.ts';
import { newestActivation, newestConfirmation, readable } from './choose.ts';
import type { CoordinatorOptions } from './coordinator.ts';
import { RecordRepair } from './record-repair.ts';

export type NodeInfo = Infer<(typeof CONTENT)['info']>;
type RepairAnswers = NodeRequest<'repair'>['answers'];

/** Records carried between two nodes in one round of anti-entropy. */
const CARRIED_PER_ROUND = 64;
/** How long one call goes on with one node's repair. */
const REPAIR_MILLISECONDS = 30_000;

/** Rounds after which the repair of one node waits for the next call, so that no lying peer holds the others up. */
const REPAIR_ROUNDS = 200;
/** Prefixes compared between two nodes in one round of anti-entropy. */
const COMPARED_PER_ROUND = 1024;
/** Records that one node may call due in one round. */
const DUE_PER_NODE = 16;
const EMPTY = new Uint8Array(0);

interface Spent {
  readonly generation: number;
  readonly attempt: number;
  readonly confirmed: number;
  /** Signed, of at least `t + 1` nodes. */
  readonly heads: Uint8Array[];
}

export class Maintenance {
  readonly #options: CoordinatorOptions;
  readonly #verifier: StatementVerifier;
  readonly #nodes: readonly number[];
  readonly #repairs: RecordRepair;
  #turn = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.#verifier = new StatementVerifier(options.fleet, options.checks);
    this.#nodes = options.fleet.nodes.map((_, i) => i + 1);
    this.#repairs = new RecordRepair({ ...options, verifier: this.#verifier });
  }

  /** What each reachable node says of itself. */
  async infos(): Promise<Map<number, NodeInfo>> {
    const infos = new Map<number, NodeInfo>();
    await Promise.all(
      this.#nodes.map(async (node) => {
        const content = await this.#content(node, { kind: 'info' });
        const info = content && this.#read(node, () => CONTENT.info.decode(content));
        if (info) infos.set(node, { ...info, node });
      }),
    );
    return infos;
  }

  /**
   * Carries the repair traffic of every node that asks for it, until nothing more can be had. A node that serves already
   * goes on listening to the peers that it has not heard: the more it hears, the fewer numbers it must bar.
   */
  async repairAll(infos: ReadonlyMap<number, NodeInfo>): Promise<void> {
    const others = this.#nodes.length - 1;
    const repairing = [...infos.values()].filter(
      ({ phase, headsKnown, headsNeeded }) =>
        phase === 'repairing' ||
        (phase === 'serving' && headsNeeded > 0 && headsKnown < Math.min(others, infos.size - 1)),
    );
    await Promise.all(repairing.map(({ node }) => this.#repair(node).catch((error) => this.#refused(node, error))));
  }

  async #repair(node: number): Promise<void> {
    let answers: RepairAnswers = [];
    let asked = '';
    // A peer that always has something new to say must not keep this coordinator for ever.
    const end = this.#options.clock.now() + REPAIR_MILLISECONDS;
    for (let fruitless = 0, round = 0; fruitless < 3 && this.#options.clock.now() < end; round++) {
      if (round >= REPAIR_ROUNDS) return;
      const content = await this.#content(node, { kind: 'repair', answers });
      if (!content) return;
      const { queries } = CONTENT.queries.decode(content);
      if (queries.length === 0) return;
      this.#options.observer.count('repair_rounds', String(node));
      const now = queries.map(({ peer, query }) => `${peer}:${bytesToHex(query)}`).join();
      fruitless = now === asked ? fruitless + 1 : 0;
      asked = now;
      answers = await this.#carryQueries(queries);
      if (answers.length === 0) return;
    }
  }

  async #carryQueries(queries: readonly { peer: number; query: Uint8Array }[]): Promise<RepairAnswers> {
    const answers: RepairAnswers = [];
    await Promise.all(
      queries.map(async ({ peer, query }) => {
        try {
          const request = decodeNodeRequest(query);
          if (request.kind !== 'sync' && request.kind !== 'export') return;
          const answer = await this.#options.transport.send(peer, request);
          if (answer.code === 'ok') answers.push({ peer, query, answer: encodeNodeAnswer(answer) });
        } catch {
          // An unreachable peer is asked again in the next round.
        }
      }),
    );
    return answers.sort((a, b) => a.peer - b.peer);
  }

  /** Compares two serving nodes and carries certified state both ways, a bounded number of records at a time. */
  async antiEntropy(infos: ReadonlyMap<number, NodeInfo>): Promise<void> {
    const serving = [...infos.values()].filter((info) => info.phase === 'serving').sort((a, b) => a.node - b.node);
    if (serving.length < 2) return;
    const first = serving[this.#turn % serving.length]!;
    const second =
      serving[(this.#turn + 1 + (Math.floor(this.#turn / serving.length) % (serving.length - 1))) % serving.length]!;
    this.#turn++;
    if (first === second || bytesToHex(first.syncRoot) === bytesToHex(second.syncRoot)) return;
    const pair = [first.node, second.node] as const;
    const differing = await this.#differing(pair).catch((error: unknown) => {
      this.#refused(first.node, error);
      return [];
    });
    for (const record of differing) {
      const [left, right] = await Promise.all(pair.map((node) => this.#content(node, { kind: 'export', record })));
      if (left) await this.#answer(pair[1], { kind: 'carry', portable: left, heads: [] });
      if (right) await this.#answer(pair[0], { kind: 'carry', portable: right, heads: [] });
      this.#options.observer.count('carried', 'anti-entropy');
    }
  }

  async #differing(pair: readonly [number, number]): Promise<Uint8Array[]> {
    const records = new Map<string, Uint8Array>();
    const prefixes: Uint8Array[] = [new Uint8Array(0)];
    let compared = 0;
    while (prefixes.length > 0 && records.size < CARRIED_PER_ROUND && compared++ < COMPARED_PER_ROUND) {
      const prefix = prefixes.pop()!;
      const [left, right] = await Promise.all(pair.map((node) => this.#content(node, { kind: 'compare', prefix })));
      if (!left || !right) break;
      if (isDigests(left) || isDigests(right)) {
        const below = differingBelow(left, right);
        // Begins elsewhere each time: records that differ only in votes must not hide the others for ever.
        const start = below.length === 0 ? 0 : this.#turn % below.length;
        for (const i of [...below.slice(start), ...below.slice(0, start)]) prefixes.push(Uint8Array.of(...prefix, i));
        continue;
      }
      const known = new Map(CONTENT.bucket.decode(left).entries.map((entry) => [bytesToHex(entry.record), entry]));
      for (const entry of CONTENT.bucket.decode(right).entries) {
        const name = bytesToHex(entry.record);
        const other = known.get(name);
        known.delete(name);
        if (!other || bytesToHex(other.syncHash) !== bytesToHex(entry.syncHash)) records.set(name, entry.record);
      }
      for (const [name, { record }] of known) records.set(name, record);
    }
    return [...records.values()].slice(0, CARRIED_PER_ROUND);
  }

  /** Destroys records whose budget is spent and whose delay has passed, with the votes of `t + 1` nodes. */
  async destroySpent(): Promise<void> {
    const due = new Map<string, Uint8Array>();
    for (const [node, { code, content }] of await this.#answers({ kind: 'due', maximum: DUE_PER_NODE })) {
      const records = code === 'ok' && content && this.#read(node, () => CONTENT.due.decode(content).records);
      for (const record of records ? records.slice(0, DUE_PER_NODE) : []) due.set(bytesToHex(record), record);
    }
    for (const record of due.values()) {
      await this.#destroy(record).catch((error: unknown) => {
        this.#options.observer.event('warn', 'record not destroyed', { reason: asHoldfastError(error).message });
      });
    }
  }

  async #destroy(record: Uint8Array): Promise<void> {
    const { observer } = this.#options;
    // A first look without any writing: one node may call every record due.
    if (!(await this.#spent(record))) return;
    await this.#repairs.bringUpToDate(record, this.#nodes);
    const shown = await this.#spent(record);
    if (!shown) return;
    const { generation, attempt, confirmed, heads } = shown;
    const request = { record, generation, attempt, confirmed, heads };
    const statements: SignedStatement[] = [];
    for (const [node, answer] of await this.#answers({ kind: 'spend', ...request })) {
      const encoded = answer.statement;
      const statement = encoded && this.#read(node, () => decodeSignedStatement(encoded));
      const body = statement && this.#read(node, () => this.#verifier.body(statement, 'spent'));
      if (body && equalBytes(body.record, record)) statements.push(statement);
    }
    const certificate = assembleCertificate(votesFor(this.#options.fleet, 'spent'), statements);
    if (!certificate) return;
    const tombstone = { generation, kind: 'spent' as const, proof: encodeCertificate(certificate) };
    const portable = encodePortableRecord({ record, activation: undefined, confirmation: undefined, tombstone });
    await this.#answers({ kind: 'carry', portable, heads: [] });
    observer.count('destroyed');
    observer.event('info', 'spent record destroyed', { generation });
  }

  /**
   * What the nodes show of a spent record, or undefined where attempts are left. No single head is believed: the attempt
   * is one that `t` nodes have reached, and a success counts where its proof verifies or `t` nodes show it.
   */
  async #spent(record: Uint8Array): Promise<Spent | undefined> {
    const { fleet } = this.#options;
    const t = threshold(fleet);
    const all: { encoded: Uint8Array; facts: Body<'head'>['facts'] }[] = [];
    for (const [node, { head }] of await this.#answers({ kind: 'head', record })) {
      const facts = head && this.#read(node, () => this.#head(node, record, head));
      if (facts) all.push({ encoded: head, facts });
    }
    const generations = all.map(({ facts }) => facts.active?.generation ?? 0);
    const generation = generations.find((one) => one > 0 && generations.filter((other) => other === one).length >= t);
    if (generation === undefined) return undefined;
    const active = all.flatMap(({ encoded, facts }) =>
      facts.active?.generation === generation ? [{ encoded, ...facts.active }] : [],
    );
    const attempt = ranked(
      active.map((head) => head.attempt),
      t,
    );
    const agreed = ranked(
      active.map((head) => head.confirmed),
      t,
    );
    if (budgetLeft(fleet.policy, attempt, agreed) > 0) return undefined;
    const claims = active.some((head) => head.confirmed > agreed);
    const confirmed = claims ? Math.max(agreed, await this.#confirmed(record, generation)) : agreed;
    // A success that nobody can prove is left out; the nodes that claim it vote by themselves.
    const heads = active.filter((head) => head.confirmed <= confirmed).map(({ encoded }) => encoded);
    const enough = heads.length >= votesFor(fleet, 'spent');
    if (!enough || budgetLeft(fleet.policy, attempt, confirmed) > 0) return undefined;
    return { generation, attempt, confirmed, heads };
  }

  #head(node: number, record: Uint8Array, encoded: Uint8Array): Body<'head'>['facts'] {
    const statement = decodeSignedStatement(encoded);
    const body = this.#verifier.body(statement, 'head');
    if (statement.signer.node !== node || !equalBytes(body.record, record)) {
      throw new HoldfastError('untrusted', 'a head of another node or record');
    }
    return body.facts;
  }

  /** The highest attempt of this generation whose success any node's export proves; 0 for none. */
  async #confirmed(record: Uint8Array, generation: number): Promise<number> {
    const answers = await this.#answers({ kind: 'export', record });
    const portables = [...answers.values()].flatMap(({ content }) => (content && readable(content)) ?? []);
    const activation = newestActivation(this.#verifier, record, portables);
    if (activation?.generation !== generation) return 0;
    return newestConfirmation(this.#verifier, activation, portables)?.attempt ?? 0;
  }

  async #answers(request: NodeRequest): Promise<Map<number, NodeAnswer>> {
    const answers = new Map<number, NodeAnswer>();
    await Promise.all(
      this.#nodes.map(async (node) => {
        const answer = await this.#answer(node, request);
        if (answer) answers.set(node, answer);
      }),
    );
    return answers;
  }

  /** What `read` makes of a node's answer, or undefined: one node's nonsense must not stop the work on the others. */
  #read<T>(node: number, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#refused(node, error);
      return undefined;
    }
  }

  #refused(node: number, error: unknown): void {
    this.#options.observer.event('warn', 'answer refused', { node, reason: asHoldfastError(error).message });
  }

  async #content(node: number, request: NodeRequest): Promise<Uint8Array | undefined> {
    const answer = await this.#answer(node, request);
    return answer?.code === 'ok' ? answer.content : undefined;
  }

  async #answer(node: number, request: NodeRequest): Promise<NodeAnswer | undefined> {
    try {
      return await this.#options.transport.send(node, request);
    } catch (error) {
      if (!(error instanceof HoldfastError)) {
        this.#options.observer.event('error', 'maintenance failed', { node, reason: asHoldfastError(error).message });
      }
      return undefined;
    }
  }
}

/** The `rank`-th largest of the numbers (1 is the largest), or 0 where there are fewer. */
function ranked(numbers: readonly number[], rank: number): number {
  return [...numbers].sort((a, b) => b - a)[rank - 1] ?? 0;
}

/** The children in which two nodes differ. All of them where a bucket is crowded on one side only, which lists no digests. */
function differingBelow(left: Uint8Array, right: Uint8Array): number[] {
  const all = Array.from({ length: 256 }, (_, child) => child);
  if (!isDigests(left) || !isDigests(right)) return all;
  const [a, b] = [left, right].map((content) => CONTENT.digests.decode(content).digests);
  return all.filter((child) => !equalBytes(a![child] ?? EMPTY, b![child] ?? EMPTY));
}
