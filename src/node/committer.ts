/**
 * Group commit: one durable store transaction, then one anchor write, then one token signature serve many requests.
 * Nothing is acknowledged before all three (docs/protocol.md, section 7).
 *
 * Decisions are taken at once, on the newest state including what is still being written, and answered only when the
 * batch that holds them is done. One batch is in flight at a time: batch k+2 is never stored before anchor k+1.
 */

import { asHoldfastError, bytesToHex, type Clock, equalBytes, HoldfastError } from '../core/index.ts';
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

/**
 * One caller waiting for a batch. `body` is made once the batch is stored, so it speaks of durable state, and is signed and
 * shown to others once that is anchored.
 */
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

/** Milliseconds to which load may lengthen the interval between two batches. */
const LOADED_PAUSE = 50;
/** States kept decoded; about 8 KB each. */
const KEEP_STATES = 512;

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
   * Least milliseconds between the beginnings of two batches, times the requests that the first of them served as long as
   * that is no more than `LOADED_PAUSE`. The first after a quiet time goes at once; under load each batch serves more
   * requests, for whose work that pause is, and a token's flash is written less often.
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
  /** How many requests the last batch served. */
  #lastSize = 1;
  /** Records' durable states that this process has read, and so checked against the root, or stored: the last ones used. */
  readonly #durable = new Map<string, RecordState>();
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
    const name = bytesToHex(record);
    const known = this.#durable.get(name);
    if (known) return known;
    const stored = this.#options.dictionary.get(record);
    if (!stored) return undefined;
    const state = decodeRecordState(stored);
    this.#keep(name, state);
    return state;
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

  /** Resolves when no batch is in flight. */
  async quiet(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  /** Resolves when no batch is in flight; later calls are refused. */
  async drain(): Promise<void> {
    // Who was answered by one batch may have begun the next in the same turn. Between the last look and the refusal is nothing.
    while (this.#running !== undefined) await this.#running;
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

  #keep(name: string, state: RecordState): void {
    this.#durable.delete(name);
    if (this.#durable.size >= KEEP_STATES) this.#durable.delete(this.#durable.keys().next().value!);
    this.#durable.set(name, state);
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
      const pause = Math.min(batchInterval * this.#lastSize, Math.max(batchInterval, LOADED_PAUSE));
      const early = this.#batchBegan + pause - clock.now();
      // A clock that stepped back must not hold batches up.
      if (early > 0) await clock.sleep(Math.min(early, pause));
      this.#batchBegan = clock.now();
      const batch = this.#gathering;
      this.#lastSize = batch.waiters.length;
      this.#flying = batch;
      this.#gathering = emptyBatch();
      try {
        await this.#commit(batch);
      } catch (error) {
        // What was decided meanwhile may rest on this batch: it goes too, and nothing of either counts.
        const { waiters } = this.#gathering;
        this.#gathering = emptyBatch();
        for (const waiter of [...batch.waiters, ...waiters]) waiter.reject(error);
      } finally {
        this.#flying = undefined;
      }
    }
    // In the same turn as the loop's last look: a waiter that comes now starts the loop anew.
    this.#running = undefined;
  }

  /** Stores, anchors, signs and answers. Rejects where the batch is not anchored: then nothing of it counts. */
  async #commit(batch: Batch): Promise<void> {
    if (this.#fatal) throw this.#fatal;
    const { node, clock, observer, onRecord, onSigned, token } = this.#options;
    const anchor = batch.changes.size > 0 ? await this.#store(batch) : undefined;
    const states = [...batch.changes.values()].map(({ state }) => state);
    const newNodeState = states.find((state) => state.kind === 'node')?.value ?? this.#durableNode();
    const signing = this.#statements(batch, newNodeState);
    let signed: Uint8Array | HoldfastError | undefined;
    if (anchor) {
      const begun = clock.now();
      signed = await this.#anchor(anchor, signing?.message);
      observer.batch('anchor', (clock.now() - begun) / 1000);
      this.#nodeState = newNodeState;
      for (const state of states) if (state.kind === 'record') onRecord(state.value);
    }
    observer.count('batches');
    for (const { body, resolve } of batch.waiters) if (!body) resolve(undefined);
    if (!signing) return;
    if (!signed) {
      const begun = clock.now();
      signed = await token.sign(signing.message).catch(asHoldfastError);
      observer.batch('sign', (clock.now() - begun) / 1000);
    }
    observer.signed(signing.waiting.length);
    if (signed instanceof HoldfastError) {
      // The votes are durable; the same request again gets them signed.
      for (const { waiter } of signing.waiting) waiter.reject(signed);
      return;
    }
    onSigned(node, signing.root, signed);
    for (const [index, { waiter, body }] of signing.waiting.entries()) {
      const batch = { index, size: signing.waiting.length, path: signing.paths[index]!, signature: signed };
      waiter.resolve({ body, signer: signing.signer, batch });
    }
  }

  /** Into the dictionary, durably. @returns what is to be anchored. */
  async #store(batch: Batch): Promise<{ readonly head: BatchHead; readonly value: Uint8Array }> {
    const { dictionary, token, fleet, node, observer, clock, sequenceFloor } = this.#options;
    const owner = { fleet: fleet.fleet, node };
    const prepared = dictionary.prepare([...batch.changes.values()].map(encodeChange), sequenceFloor);
    const mac = await anchorMac(token, owner, prepared.head);
    const begun = clock.now();
    try {
      await dictionary.commit(prepared, mac);
    } catch (error) {
      this.#durable.clear();
      throw error;
    }
    for (const [name, { state }] of batch.changes) if (state.kind === 'record') this.#keep(name, state.value);
    observer.batch('store', (clock.now() - begun) / 1000);
    return { head: prepared.head, value: encodeAnchor(prepared.head, mac) };
  }

  /**
   * Writes the anchor, and has `message` signed in the same turn of the token: what is signed speaks of state that is
   * stored, and the token signs it only once the anchor is written. Where the result is unclear, both objects are read
   * again before anything else happens. @returns the signature where the token was asked for one and the write was clear.
   */
  async #anchor(
    { head, value }: { readonly head: BatchHead; readonly value: Uint8Array },
    message: Uint8Array | undefined,
  ): Promise<Uint8Array | HoldfastError | undefined> {
    const { token, fleet, node, observer } = this.#options;
    let cause: unknown;
    for (let round = 0; round < 3; round++) {
      try {
        const signed = message ? await token.anchorThenSign(value, message) : void (await token.writeAnchor(value));
        observer.count('anchor_writes');
        return signed;
      } catch (error) {
        cause = error;
        observer.event('error', 'anchor write unclear', { round });
      }
      try {
        const anchor = await readAnchor(token, { fleet: fleet.fleet, node });
        // The sequence too: a batch that changes nothing has its predecessor's root.
        if (anchor && anchor.sequence === head.sequence && equalBytes(anchor.root, head.root)) return undefined;
      } catch (error) {
        cause = error;
      }
    }
    // With its details: a process in which a call has not returned cannot end like any other.
    const last = asHoldfastError(cause);
    this.#fatal = new HoldfastError(
      last.code === 'token_removed' ? last.code : 'token_failed',
      `the anchor could not be written (${last.message}); the node must restart`,
      { cause, details: last.details },
    );
    this.#options.onFatal(this.#fatal);
    throw this.#fatal;
  }

  /** The batch's statements and what the token signs for them; undefined where nobody waits for any. */
  #statements(batch: Batch, { incarnation, fences }: NodeState): Statements | undefined {
    const { fleet, node, clock, dictionary } = this.#options;
    const signer: Signer = { node, incarnation, sequence: dictionary.head.sequence, time: clock.now(), fences };
    const waiting: { waiter: Waiter; body: Uint8Array }[] = [];
    for (const waiter of batch.waiters) {
      if (!waiter.body) continue;
      if (waiter.incarnation !== incarnation) {
        waiter.reject(new HoldfastError('not_ready', 'the node took a new incarnation meanwhile'));
        continue;
      }
      try {
        waiting.push({ waiter, body: encodeBody(waiter.body()) });
      } catch (error) {
        waiter.reject(error);
      }
    }
    if (waiting.length === 0) return undefined;
    const { root, paths } = merkleTree(waiting.map(({ body }) => statementHash(body, signer)));
    return { waiting, signer, root, paths, message: batchToSign(fleet, node, root) };
  }
}

/** What one batch signs. */
interface Statements {
  readonly waiting: readonly { readonly waiter: Waiter; readonly body: Uint8Array }[];
  readonly signer: Signer;
  readonly root: Uint8Array;
  readonly paths: readonly Uint8Array[][];
  readonly message: Uint8Array;
}

function encodeChange({ key, state }: { key: Uint8Array; state: State }): DictionaryChange {
  return state.kind === 'record'
    ? { key, value: encodeRecordState(state.value), syncHash: recordSyncHash(state.value) }
    : { key, value: encodeNodeState(state.value), syncHash: NOT_COMPARED };
}
