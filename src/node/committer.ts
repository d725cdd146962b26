/**
 * Group commit: one durable store transaction, then one anchor write, then one token signature serve many requests.
 * Nothing is acknowledged before all three (docs/protocol.md, section 7).
 *
 * Decisions are taken at once, on the newest state including what is still being written, and answered only when the
 * batch that holds them is done. One batch is in flight at a time: batch k+2 is never stored before anchor k+1.
 */

import { bytesToHex, type Clock, equalBytes, HoldfastError } from '../core/index.ts';
import {
  type Body,
  batchToSign,
  type Decision,
  decodeNodeState,
  decodeRecordState,
  emptyNodeState,
  emptyRecord,
  encodeBody,
  encodeNodeState,
  encodeRecordState,
  type Fleet,
  headBody,
  merkleTree,
  NODE_STATE_KEY,
  NOT_COMPARED,
  type NodeState,
  type RecordState,
  recordSyncHash,
  type SignedStatement,
  type Signer,
  statementHash,
} from '../protocol/index.ts';
import type { AuthenticatedDictionary, BatchHead, DictionaryChange } from '../store/port.ts';
import type { Token } from '../token/port.ts';
import { anchorMac, encodeAnchor, readAnchor } from './anchor.ts';
import type { NodeObserver } from './ports.ts';

type State =
  | { readonly kind: 'record'; readonly value: RecordState }
  | { readonly kind: 'node'; readonly value: NodeState };

/** One caller waiting for a batch. `body` is made after the batch is anchored, so it speaks of durable state only. */
interface Waiter {
  readonly body: (() => Body) | undefined;
  /** The node's incarnation when this was decided: a vote must not be signed under a later one. */
  readonly incarnation: number;
  readonly resolve: (statement: SignedStatement | undefined) => void;
  readonly reject: (error: unknown) => void;
}

interface Batch {
  readonly changes: Map<string, { readonly key: Uint8Array; readonly state: State }>;
  readonly waiters: Waiter[];
}

const emptyBatch = (): Batch => ({ changes: new Map(), waiters: [] });

export interface CommitterOptions {
  readonly fleet: Fleet;
  readonly node: number;
  readonly token: Token;
  readonly dictionary: AuthenticatedDictionary;
  /** Batches are numbered above this, even where the store was found behind it. */
  readonly sequenceFloor: number;
  readonly clock: Clock;
  readonly observer: NodeObserver;
  /**
   * Least milliseconds between the beginnings of two batches. The first after a quiet time goes at once; under load each
   * batch serves more requests, and a token's flash is written less often.
   */
  readonly batchInterval: number;
  /** Called once, when store and anchor can no longer be trusted to agree. The process must end. */
  readonly onFatal: (error: HoldfastError) => void;
  /** Called with the root and signature of each batch that the token signed. */
  readonly onSigned: (node: number, root: Uint8Array, signature: Uint8Array) => void;
  /** Called with each record's state when it has become durable. */
  readonly onRecord: (state: RecordState) => void;
}

export class Committer {
  readonly #options: CommitterOptions;
  #gathering = emptyBatch();
  #flying: Batch | undefined;
  #running: Promise<void> | undefined;
  #fatal: HoldfastError | undefined;
  #batchBegan = 0;
  /** The durable state of the node itself, once read. */
  #nodeState: NodeState | undefined;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Requests waiting for a batch. */
  get depth(): number {
    return this.#gathering.waiters.length + (this.#flying?.waiters.length ?? 0);
  }

  /** The newest state of a record, durable or about to be. */
  record(record: Uint8Array): RecordState | undefined {
    const state = this.#overlaid(record);
    if (state) return state.value as RecordState;
    return this.durableRecord(record);
  }

  /** The state of a record that is stored and anchored: the only one that may be spoken of. */
  durableRecord(record: Uint8Array): RecordState | undefined {
    const stored = this.#options.dictionary.get(record);
    return stored && decodeRecordState(stored);
  }

  node(): NodeState {
    const state = this.#overlaid(NODE_STATE_KEY);
    return state ? (state.value as NodeState) : this.#durableNode();
  }

  /**
   * Takes a decision on a record and waits until its effect is durable and anchored. With a refusal comes a signed head.
   * @throws what `decide` throws, and HoldfastError `unexpected` or `token_*` where the batch failed: nothing of it counts.
   */
  async update(
    record: Uint8Array,
    decide: (state: RecordState) => Decision,
  ): Promise<{ decision: Decision; statement: SignedStatement | undefined }> {
    const { fleet, clock } = this.#options;
    const state = this.record(record) ?? emptyRecord(record);
    const decision = decide(state);
    if (decision.state !== state) this.#change(record, { kind: 'record', value: decision.state });
    const { body, refusal } = decision;
    const make = body ? () => body : refusal ? () => headBody(fleet, decision.state, clock.now()) : undefined;
    if (!make && !this.#overlaid(record)) return { decision, statement: undefined };
    return { decision, statement: await this.#wait(make) };
  }

  async updateNode(change: (state: NodeState) => NodeState): Promise<void> {
    const before = this.node();
    const after = change(before);
    if (after !== before) this.#change(NODE_STATE_KEY, { kind: 'node', value: after });
    if (after !== before || this.#overlaid(NODE_STATE_KEY)) await this.#wait(undefined);
  }

  /** Signs what `body` says once everything decided before is durable and anchored. */
  async sign(body: () => Body): Promise<SignedStatement> {
    return (await this.#wait(body))!;
  }

  /** Resolves when no batch is in flight; later calls are refused. */
  async drain(): Promise<void> {
    await this.#running;
    this.#fatal ??= new HoldfastError('not_ready', 'the node is shutting down');
  }

  #overlaid(key: Uint8Array): State | undefined {
    const name = bytesToHex(key);
    return (this.#gathering.changes.get(name) ?? this.#flying?.changes.get(name))?.state;
  }

  #durableNode(): NodeState {
    const stored = this.#nodeState ? undefined : this.#options.dictionary.get(NODE_STATE_KEY);
    this.#nodeState ??= stored ? decodeNodeState(stored) : emptyNodeState(this.#options.fleet.nodes.length);
    return this.#nodeState;
  }

  #change(key: Uint8Array, state: State): void {
    this.#gathering.changes.set(bytesToHex(key), { key, state });
  }

  #wait(body: (() => Body) | undefined): Promise<SignedStatement | undefined> {
    if (this.#fatal) return Promise.reject(this.#fatal);
    return new Promise((resolve, reject) => {
      this.#gathering.waiters.push({ body, incarnation: this.node().incarnation, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    const { batchInterval, clock } = this.#options;
    while (this.#gathering.waiters.length > 0) {
      const early = this.#batchBegan + batchInterval - clock.now();
      // A clock that stepped back must not hold batches up.
      if (early > 0) await clock.sleep(Math.min(early, batchInterval));
      this.#batchBegan = clock.now();
      const batch = this.#gathering;
      this.#flying = batch;
      this.#gathering = emptyBatch();
      try {
        await this.#store(batch);
      } catch (error) {
        // What was decided meanwhile may rest on this batch: it goes too, and nothing of either counts.
        const { waiters } = this.#gathering;
        this.#gathering = emptyBatch();
        this.#flying = undefined;
        for (const waiter of [...batch.waiters, ...waiters]) waiter.reject(error);
        continue;
      }
      this.#flying = undefined;
      await this.#answer(batch);
    }
    // In the same turn as the loop's last look: a waiter that comes now starts the loop anew.
    this.#running = undefined;
  }

  async #store(batch: Batch): Promise<void> {
    if (this.#fatal) throw this.#fatal;
    if (batch.changes.size === 0) return;
    const { dictionary, token, fleet, node, observer, clock, sequenceFloor } = this.#options;
    const owner = { fleet: fleet.fleet, node };
    const prepared = dictionary.prepare([...batch.changes.values()].map(encodeChange), sequenceFloor);
    const mac = await anchorMac(token, owner, prepared.head);
    const begun = clock.now();
    await dictionary.commit(prepared, mac);
    const stored = clock.now();
    observer.batch('store', (stored - begun) / 1000, batch.waiters.length);
    await this.#anchor(encodeAnchor(prepared.head, mac), prepared.head);
    observer.batch('anchor', (clock.now() - stored) / 1000, batch.waiters.length);
    for (const { state } of batch.changes.values()) if (state.kind === 'node') this.#nodeState = state.value;
    for (const { state } of batch.changes.values()) if (state.kind === 'record') this.#options.onRecord(state.value);
  }

  /** Writes the anchor; where the result is unclear, reads both objects again before anything else happens. */
  async #anchor(value: Uint8Array, head: BatchHead): Promise<void> {
    const { token, fleet, node, observer } = this.#options;
    let cause: unknown;
    for (let round = 0; round < 3; round++) {
      try {
        await token.writeAnchor(value);
        observer.count('anchor_writes');
        return;
      } catch (error) {
        cause = error;
        observer.event('error', 'anchor write unclear', { round });
      }
      try {
        const anchor = await readAnchor(token, { fleet: fleet.fleet, node });
        // The sequence too: a batch that changes nothing has its predecessor's root.
        if (anchor && anchor.sequence === head.sequence && equalBytes(anchor.root, head.root)) return;
      } catch (error) {
        cause = error;
      }
    }
    this.#fatal = new HoldfastError('token_failed', 'the anchor could not be written; the node must restart', {
      cause,
    });
    this.#options.onFatal(this.#fatal);
    throw this.#fatal;
  }

  async #answer(batch: Batch): Promise<void> {
    const { fleet, node, token, clock, observer, dictionary } = this.#options;
    observer.count('batches');
    const state = this.#durableNode();
    const signer: Signer = {
      node,
      incarnation: state.incarnation,
      sequence: dictionary.head.sequence,
      time: clock.now(),
      fences: state.fences,
    };
    const toSign: { waiter: Waiter; body: Uint8Array }[] = [];
    for (const waiter of batch.waiters) {
      if (!waiter.body) {
        waiter.resolve(undefined);
        continue;
      }
      if (waiter.incarnation !== state.incarnation) {
        waiter.reject(new HoldfastError('not_ready', 'the node took a new incarnation meanwhile'));
        continue;
      }
      try {
        toSign.push({ waiter, body: encodeBody(waiter.body()) });
      } catch (error) {
        waiter.reject(error);
      }
    }
    if (toSign.length === 0) return;
    const { root, paths } = merkleTree(toSign.map(({ body }) => statementHash(body, signer)));
    try {
      const begun = clock.now();
      const signature = await token.sign(batchToSign(fleet, node, root));
      observer.batch('sign', (clock.now() - begun) / 1000, toSign.length);
      this.#options.onSigned(node, root, signature);
      toSign.forEach(({ waiter, body }, index) => {
        waiter.resolve({ body, signer, batch: { index, size: toSign.length, path: paths[index]!, signature } });
      });
    } catch (error) {
      // The votes are durable; the same request again gets them signed.
      for (const { waiter } of toSign) waiter.reject(error);
    }
  }
}

function encodeChange({ key, state }: { key: Uint8Array; state: State }): DictionaryChange {
  return state.kind === 'record'
    ? { key, value: encodeRecordState(state.value), syncHash: recordSyncHash(state.value) }
    : { key, value: encodeNodeState(state.value), syncHash: NOT_COMPARED };
}
