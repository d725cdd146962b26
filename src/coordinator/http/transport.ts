/**
 * The coordinator's way to the nodes: frames (src/http/frames.ts) over mutual TLS, or HTTP where a node knows no other,
 * requests gathered into batches by back-pressure. A node that hangs or refuses costs its own callers their timeout and nobody
 * else anything.
 */

import { Pool } from 'undici';
import { asHoldfastError, type Clock, collectBytes, HoldfastError, systemClock } from '../../core/index.ts';
import { ConnectionClosed, type FrameClientOptions, FrameConnection } from '../../http/index.ts';
import { type TlsIdentity, tlsClientOptions } from '../../pki/index.ts';
import {
  decodeNodeAnswer,
  decodeNodeBatchAnswer,
  encodeNodeBatch,
  encodeNodeRequest,
  MAXIMUM_BATCH,
  MAXIMUM_BATCH_ANSWER_BYTES,
  MAXIMUM_BATCH_BYTES,
  type NodeAnswer,
  type NodeRequest,
  type NodeRequestKind,
} from '../../protocol/index.ts';
import type { NodeTransport } from '../ports.ts';

export interface NodeEndpoint {
  /** 1 to n. */
  readonly node: number;
  /** https://host:port, without a path. */
  readonly url: string;
  /** The name in the node's certificate. */
  readonly name: string;
}

export interface HttpNodeTransportOptions {
  readonly fleet: string;
  readonly tls: TlsIdentity;
  readonly nodes: readonly NodeEndpoint[];
  /** Milliseconds from `send` to its answer; then `no_majority`. */
  readonly timeout: number;
  readonly clock?: Clock;
}

/** A node's answer at one of its monitoring routes. */
export interface MonitoringAnswer {
  readonly status: number;
  readonly bytes: Uint8Array;
}

/** Batches in flight to one node, in each lane. */
const IN_FLIGHT = 2;
/**
 * Milliseconds between two batches for each element of the first, and at most, where it had more than one: under load fewer,
 * larger batches cost both sides less. One request at a time never waits.
 */
const SPACING_PER_ELEMENT = 4;
const SPACING = 30;
/** Bytes beyond which a batch takes no further element; a larger element goes alone. */
const BATCH_BYTES = 4 * 1024 * 1024;
/** Bytes of requests waiting for one node in one lane, beyond which more are refused. */
const QUEUE_BYTES = 64 * 1024 * 1024;
/**
 * Milliseconds after a failure for which a node is not asked again, doubled with each failure in a row. The longest is half of what an
 * enrolment waits for nodes that are late (`timeouts.enrolmentGrace`), which it wants all of.
 */
const FIRST_PAUSE = 50;
const LONGEST_PAUSE = 1000;
/** Milliseconds for TCP and TLS. */
const CONNECT_TIMEOUT = 2000;
/** Shorter than the node's, so that this side closes idle connections. */
const KEEP_ALIVE = 60_000;

/** Kinds that no client waits for: they have a lane of their own, so that no client waits behind them either. */
const BACKGROUND: ReadonlySet<NodeRequestKind> = new Set([
  'repair',
  'sync',
  'compare',
  'due',
  'spend',
  'info',
  'service',
]);

export class HttpNodeTransport implements NodeTransport {
  readonly #peers = new Map<number, Peer>();

  constructor(options: HttpNodeTransportOptions) {
    for (const endpoint of options.nodes) this.#peers.set(endpoint.node, new Peer(options, endpoint));
  }

  async send(node: number, request: NodeRequest): Promise<NodeAnswer> {
    const peer = this.#peers.get(node);
    if (!peer) throw new HoldfastError('no_majority', `node ${node} is not in this coordinator’s configuration`);
    return peer.send(request);
  }

  /**
   * What a node says of itself at `path` of its monitoring routes (src/http/monitoring.ts), at most `maximumBytes` of it, on a
   * connection beside those of the requests. @throws HoldfastError `no_majority` where it does not come before `signal` ends.
   */
  async read(node: number, path: string, maximumBytes: number, signal: AbortSignal): Promise<MonitoringAnswer> {
    const peer = this.#peers.get(node);
    if (!peer) throw new HoldfastError('no_majority', `node ${node} is not in this coordinator’s configuration`);
    return peer.read(path, maximumBytes, signal);
  }

  /** Ends all connections; what waits is refused. */
  async close(): Promise<void> {
    await Promise.all([...this.#peers.values()].map((peer) => peer.close()));
  }
}

/** One caller of `send`. */
interface Waiting {
  readonly encoded: Uint8Array;
  settled: boolean;
  readonly resolve: (answer: NodeAnswer) => void;
  readonly reject: (error: HoldfastError) => void;
}

/** Requests of one urgency to one node. Each lane learns for itself: slow background work must not silence clients. */
interface Lane {
  queue: Waiting[];
  bytes: number;
  inFlight: number;
  /** In a row. */
  failures: number;
  lastFailure: string;
  /** Until then the node is not asked. */
  pausedUntil: number;
  /** When the last batch left, and with how many elements. */
  lastBegan: number;
  lastSize: number;
  spacing: NodeJS.Timeout | undefined;
  /** Its own connection, so that no client's answer waits behind a large one for nobody in particular. */
  connection: Promise<FrameConnection | undefined> | undefined;
}

const newLane = (): Lane => ({
  queue: [],
  ...{ bytes: 0, inFlight: 0, failures: 0, lastFailure: '', pausedUntil: 0, lastBegan: 0, lastSize: 0 },
  ...{ spacing: undefined, connection: undefined },
});

/** One node: its connections and its two lanes. */
class Peer {
  readonly #node: number;
  readonly #frames: FrameClientOptions;
  /** For nodes of the version before frames. */
  readonly #pool: Pool;
  #speaksHttp = false;
  readonly #timeout: number;
  readonly #clock: Clock;
  readonly #client = newLane();
  readonly #background = newLane();
  readonly #closing = new AbortController();
  #reading = false;

  constructor(options: HttpNodeTransportOptions, endpoint: NodeEndpoint) {
    const { fleet, tls, timeout } = options;
    this.#node = endpoint.node;
    this.#timeout = timeout;
    this.#clock = options.clock ?? systemClock;
    const connect = tlsClientOptions(tls, { fleet, role: 'node', name: endpoint.name });
    const connectTimeout = Math.min(CONNECT_TIMEOUT, timeout);
    this.#frames = {
      ...{ url: endpoint.url, tls: connect, connectTimeout },
      ...{ idleTimeout: KEEP_ALIVE, maximumBytes: MAXIMUM_BATCH_ANSWER_BYTES },
    };
    this.#pool = new Pool(endpoint.url, {
      // Of each lane, and one for `read`: whatever it waits for, no request waits behind it.
      connections: 2 * IN_FLIGHT + 1,
      pipelining: 1,
      connect: { ...connect, timeout: connectTimeout } as NonNullable<Pool.Options['connect']>,
      keepAliveTimeout: KEEP_ALIVE,
      keepAliveMaxTimeout: KEEP_ALIVE,
      headersTimeout: timeout,
      bodyTimeout: timeout,
      maxResponseSize: MAXIMUM_BATCH_ANSWER_BYTES,
    });
  }

  async send(request: NodeRequest): Promise<NodeAnswer> {
    const lane = BACKGROUND.has(request.kind) ? this.#background : this.#client;
    const { signal } = this.#closing;
    if (!isOpening(request)) return this.#enqueue(lane, request, false);
    for (let tries = Math.ceil(this.#timeout / CONNECT_TIMEOUT); ; tries--) {
      const pause = this.#pauseLeft(lane);
      if (pause > 0) await this.#clock.sleep(pause, signal).catch(() => {});
      try {
        return await this.#enqueue(lane, request, true);
      } catch (error) {
        // There is more time for the whole than for one connection, during which either side may not have run at all.
        const late = error instanceof HoldfastError && error.details.connecting === true;
        if (!late || tries <= 1 || signal.aborted) throw error;
      }
    }
  }

  /** @param waited for the end of the pause, of which a timer may leave a fraction of a millisecond. */
  #enqueue(lane: Lane, request: NodeRequest, waited: boolean): Promise<NodeAnswer> {
    const encoded = encodeNodeRequest(request);
    return new Promise((resolve, reject) => {
      if (this.#closing.signal.aborted) return reject(this.#unreachable('this coordinator is stopping'));
      if (!waited && this.#pauseLeft(lane) > 0) return reject(this.#unreachable(lane.lastFailure));
      if (lane.bytes + encoded.length > QUEUE_BYTES) return reject(this.#unreachable('too much is waiting for it'));
      if (encoded.length > MAXIMUM_BATCH_BYTES / 2) return reject(this.#unreachable('the request is too large'));
      const waiting: Waiting = {
        encoded,
        settled: false,
        resolve: (answer) => settle(() => resolve(answer)),
        reject: (error) => settle(() => reject(error)),
      };
      const timer = setTimeout(() => {
        waiting.reject(this.#unreachable(`no answer within ${this.#timeout} ms`));
        const at = lane.queue.indexOf(waiting);
        if (at >= 0) {
          lane.queue.splice(at, 1);
          lane.bytes -= encoded.length;
        }
      }, this.#timeout);
      const settle = (how: () => void) => {
        if (waiting.settled) return;
        waiting.settled = true;
        clearTimeout(timer);
        how();
      };
      lane.queue.push(waiting);
      lane.bytes += encoded.length;
      // After the callers of this moment have all had their say: what begins together travels together.
      queueMicrotask(() => this.#pump(lane));
    });
  }

  async read(path: string, maximumBytes: number, signal: AbortSignal): Promise<MonitoringAnswer> {
    if (this.#closing.signal.aborted) throw this.#unreachable('this coordinator is stopping');
    // One at a time: a second one would take a connection of the lanes.
    if (this.#reading) throw this.#unreachable('it is still being asked for its figures');
    this.#reading = true;
    const answer = this.#read(path, maximumBytes, signal).finally(() => {
      this.#reading = false;
    });
    // A request on a connection that is still being made cannot be called off: it is left to its own end.
    const overdue = Promise.withResolvers<never>();
    const onAbort = () => overdue.reject(new HoldfastError('no_majority', NOT_IN_TIME));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([answer, overdue.promise]);
    } catch (thrown) {
      throw this.#unreachable(reasonOf(thrown));
    } finally {
      signal.removeEventListener('abort', onAbort);
      answer.catch(() => {});
    }
  }

  async #read(path: string, maximumBytes: number, signal: AbortSignal): Promise<MonitoringAnswer> {
    const { statusCode, body } = await this.#pool.request({ path, method: 'GET', signal });
    const tooLarge = () => new HoldfastError('too_large', `it says more than ${maximumBytes} bytes`);
    return { status: statusCode, bytes: await collectBytes(body, maximumBytes, tooLarge) };
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const lane of [this.#client, this.#background]) {
      clearTimeout(lane.spacing);
      this.#refuseAll(lane, 'this coordinator is stopping');
      void lane.connection?.then(
        (connection) => connection?.close(),
        () => {},
      );
    }
    await this.#pool.destroy();
  }

  /** Milliseconds for which the node is not asked, 0 where it is. */
  #pauseLeft(lane: Lane): number {
    const left = lane.pausedUntil - this.#clock.now();
    // A clock that stepped back must not silence a node.
    return left > 0 && left <= 2 * LONGEST_PAUSE ? left : 0;
  }

  #pump(lane: Lane): void {
    // After failures one batch goes first, alone, to see whether the node is back.
    while (
      lane.queue.length > 0 &&
      lane.inFlight < (lane.failures === 0 ? IN_FLIGHT : 1) &&
      !this.#closing.signal.aborted
    ) {
      if (this.#tooSoon(lane)) return;
      const batch = takeBatch(lane);
      lane.lastBegan = this.#clock.now();
      lane.lastSize = batch.length;
      lane.inFlight++;
      void this.#carry(lane, batch).then(() => {
        lane.inFlight--;
        this.#pump(lane);
      });
    }
  }

  /** Whether the next batch still waits for company; it then goes by itself in a moment. */
  #tooSoon(lane: Lane): boolean {
    if (lane.lastSize < 2 || lane.queue.length >= MAXIMUM_BATCH) return false;
    if (lane.spacing) return true;
    const spacing = Math.min(SPACING, SPACING_PER_ELEMENT * lane.lastSize);
    const early = lane.lastBegan + spacing - this.#clock.now();
    // A clock that stepped back must not hold batches up.
    if (early <= 0 || early > spacing) return false;
    lane.spacing = setTimeout(() => {
      lane.spacing = undefined;
      lane.lastSize = 0;
      this.#pump(lane);
    }, early);
    return true;
  }

  async #carry(lane: Lane, batch: readonly Waiting[]): Promise<void> {
    try {
      const answers = await this.#post(lane, encodeNodeBatch(batch.map(({ encoded }) => encoded)), batch.length);
      lane.failures = 0;
      lane.pausedUntil = 0;
      batch.forEach((waiting, i) => {
        settleWith(waiting, answers[i]!, this.#node);
      });
    } catch (thrown) {
      const reason = reasonOf(thrown);
      noteFailure(lane, reason, this.#clock.now());
      // When it is back it may be a newer one.
      this.#speaksHttp = false;
      const connecting = thrown instanceof HoldfastError && thrown.details.connecting === true;
      for (const waiting of batch) waiting.reject(this.#unreachable(reason, connecting));
      // What waits would meet the same; whoever still wants it asks again.
      this.#refuseAll(lane, reason, connecting);
    }
  }

  async #post(lane: Lane, body: Uint8Array, elements: number, again = true): Promise<Uint8Array[]> {
    // Bounds the whole exchange: a node that was stopped half-way keeps its sockets open.
    const overdue = new AbortController();
    // Not AbortSignal.timeout, which goes off, with an error and its stack, also for what was answered long ago.
    const timer = setTimeout(() => overdue.abort(new HoldfastError('no_majority', NOT_IN_TIME)), this.#timeout);
    const { signal } = overdue;
    try {
      const connection = this.#speaksHttp ? undefined : await this.#connection(lane, signal);
      const bytes = connection ? await connection.request(body, signal) : await this.#postByHttp(body, signal);
      const answers = decodeNodeBatchAnswer(bytes);
      if (answers.length !== elements) throw new HoldfastError('untrusted', 'the batch has another number of answers');
      return answers;
    } catch (error) {
      // A kept connection that the node had closed meanwhile. Every node request may be sent twice.
      const closed =
        error instanceof ConnectionClosed || CLOSED_CONNECTION.has(String((error as { code?: unknown })?.code));
      if (!closed || !again || this.#closing.signal.aborted || signal.aborted) throw error;
      return this.#post(lane, body, elements, false);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The lane's connection, a new one where the last can take no more; undefined where the node speaks HTTP only. */
  async #connection(lane: Lane, signal: AbortSignal): Promise<FrameConnection | undefined> {
    const opening = lane.connection;
    const open = await opening?.catch(() => undefined);
    if (open?.isUsable) return open;
    // Another batch may have begun to open one meanwhile.
    if (lane.connection === opening) {
      lane.connection = FrameConnection.open(this.#frames, signal);
      const connection = await lane.connection;
      this.#speaksHttp = connection === undefined;
      if (this.#closing.signal.aborted) connection?.close();
      return connection;
    }
    return lane.connection;
  }

  async #postByHttp(body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const response = await this.#pool.request({
      path: '/v1/node',
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream' },
      body,
      signal,
    });
    const bytes = await response.body.bytes();
    if (response.statusCode !== 200) throw new HoldfastError('no_majority', `HTTP status ${response.statusCode}`);
    return bytes;
  }

  #refuseAll(lane: Lane, reason: string, connecting = false): void {
    const { queue } = lane;
    lane.queue = [];
    lane.bytes = 0;
    for (const waiting of queue) waiting.reject(this.#unreachable(reason, connecting));
  }

  #unreachable(reason: string, connecting = false): HoldfastError {
    return new HoldfastError('no_majority', `node ${this.#node} cannot be reached: ${reason}`, {
      details: { node: this.#node, ...(connecting && { connecting }) },
    });
  }
}

const NOT_IN_TIME = 'it did not answer in time';

/**
 * Whose evaluation is missing in the opening never has a share of that record, so that a node which has just come back is waited
 * for, and one to which no connection came about in time is tried again. Its vote can be missing: others may have voted, and
 * what is evaluated asked for, while it is still left alone.
 */
const isOpening = (request: NodeRequest): boolean =>
  (request.kind === 'submit' || request.kind === 'evaluate') && request.request.operation === 'open';

/** undici's and the system's names for "the connection was closed under the request". */
const CLOSED_CONNECTION = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function noteFailure(lane: Lane, reason: string, now: number): void {
  const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** Math.min(lane.failures, 10));
  lane.failures++;
  lane.lastFailure = reason;
  // Coordinators that lost a node at the same moment do not all come back at one.
  lane.pausedUntil = now + pause * (0.75 + Math.random() / 4);
}

function takeBatch(lane: Lane): Waiting[] {
  let count = 0;
  let bytes = 0;
  for (const { encoded } of lane.queue) {
    if (count === MAXIMUM_BATCH || (count > 0 && bytes + encoded.length > BATCH_BYTES)) break;
    bytes += encoded.length;
    count++;
  }
  lane.bytes -= bytes;
  return lane.queue.splice(0, count);
}

function settleWith(waiting: Waiting, encoded: Uint8Array, node: number): void {
  try {
    waiting.resolve(decodeNodeAnswer(encoded));
  } catch (thrown) {
    const { message } = asHoldfastError(thrown);
    waiting.reject(
      new HoldfastError('no_majority', `node ${node} answered wrongly: ${message}`, { details: { node } }),
    );
  }
}

/** In words for the log; the cause of a failed connection is often one level down. */
function reasonOf(thrown: unknown): string {
  if (thrown instanceof HoldfastError) return thrown.message;
  const { message, code } = thrown as { message?: unknown; code?: unknown };
  return `${typeof message === 'string' && message ? message : 'the connection failed'}${typeof code === 'string' ? ` (${code})` : ''}`;
}
