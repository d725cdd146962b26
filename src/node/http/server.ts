/** The node's service for coordinators: mutual TLS, and batches of requests as frames (src/http/frames.ts) or in one POST. */

import type { Readable } from 'node:stream';
import type { Server } from 'node:tls';
import { type FastifyInstance, fastify } from 'fastify';
import { asHoldfastError, concatBytes, HoldfastError } from '../../core/index.ts';
import {
  addMonitoringRoutes,
  addProblems,
  FRAME_SERVER_PROTOCOLS,
  type Logger,
  problemOf,
  type Readiness,
  refusals,
  serveFrames,
} from '../../http/index.ts';
import { requirePeer, type TlsIdentity, tlsServerOptions } from '../../pki/index.ts';
import {
  decodeNodeBatch,
  decodeNodeRequest,
  encodeNodeAnswer,
  encodeNodeBatchAnswer,
  MAXIMUM_BATCH_BYTES,
  type NodeAnswer,
  type NodeRequest,
  nodeAnswerWith,
} from '../../protocol/index.ts';
import type { NodeMetrics } from './metrics.ts';

export interface NodeServerOptions {
  readonly fleet: string;
  readonly tls: TlsIdentity;
  /** Answers one request; never rejects (`VaultNode.handle`). */
  readonly handle: (request: NodeRequest) => Promise<NodeAnswer>;
  readonly metrics: Pick<NodeMetrics, 'requests' | 'inFlight' | 'registry'>;
  /** Also for coordinators, who show them to the operator. */
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly log: Logger;
  /** Requests (not batches) in flight beyond which `overloaded` is answered. */
  readonly maximumInFlight: number;
  /** Bytes of half-sent batches and untaken answers that connections may make this node hold, in frames and again by HTTP. */
  readonly maximumHeldBytes?: number;
}

export const NODE_CONTENT_TYPE = 'application/octet-stream';

/** Milliseconds: for a request's head, for a whole request, and for a connection without one. */
const HEAD_TIMEOUT = 10_000;
const REQUEST_TIMEOUT = 30_000;
/** Longer than coordinators keep a connection, so that they close first and no request meets a closed one. */
const KEEP_ALIVE = 75_000;
/** Milliseconds that batches in flight get to finish when the server is closed. */
const CLOSE_DEADLINE = 10_000;
const HELD_BYTES = 256 * 1024 * 1024;

/**
 * A batch of node requests in a frame, or in `POST /v1/node`; answers a batch in the same order. The monitoring listener's routes are here too,
 * behind the same certificates, so that coordinators need no other way to them. Not yet listening.
 */
export function createNodeServer(options: NodeServerOptions): FastifyInstance {
  const { fleet, tls, log, maximumHeldBytes = HELD_BYTES } = options;
  const app = fastify({
    ...refusals(),
    https: {
      ...tlsServerOptions(tls),
      ALPNProtocols: FRAME_SERVER_PROTOCOLS,
      headersTimeout: HEAD_TIMEOUT,
      handshakeTimeout: HEAD_TIMEOUT,
    },
    logger: false,
    bodyLimit: MAXIMUM_BATCH_BYTES,
    requestTimeout: REQUEST_TIMEOUT,
    keepAliveTimeout: KEEP_ALIVE,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
  });
  const server = app.server as unknown as Server;
  const batches = new NodeBatches(options);
  const answer = async (body: Uint8Array) =>
    encodeNodeBatchAnswer(await Promise.all(decodeNodeBatch(body).map((element) => batches.answer(element))));
  const frames = serveFrames(server, {
    ...{ maximumBytes: MAXIMUM_BATCH_BYTES, maximumHeldBytes, answer },
    ...{ requestTimeout: REQUEST_TIMEOUT, idleTimeout: KEEP_ALIVE, closeDeadline: CLOSE_DEADLINE },
    onFault: ({ code, message }) => log.warn({ event: 'connection cut', code, reason: message }),
  });
  app.addHook('preClose', () => frames.close());
  requirePeer(server, { fleet, role: 'coordinator' });
  server.on('tlsClientError', (error) => log.warn({ event: 'connection refused', reason: error.message }));

  app.removeAllContentTypeParsers();
  const bodies = new HeldBodies(maximumHeldBytes);
  app.addContentTypeParser(NODE_CONTENT_TYPE, async (_request: unknown, body: Readable) => bodies.read(body));
  app.post('/v1/node', async (request, reply) => {
    if (!(request.body instanceof Uint8Array)) throw new HoldfastError('malformed', 'the request has no body');
    const { buffer, byteOffset, length } = await answer(request.body);
    return reply.header('content-type', NODE_CONTENT_TYPE).send(Buffer.from(buffer, byteOffset, length));
  });
  addMonitoringRoutes(app as unknown as FastifyInstance, {
    registry: options.metrics.registry,
    readiness: options.readiness,
  });
  addProblems(app as unknown as FastifyInstance, { log, notFound: 'there is nothing here; use POST /v1/node' });
  return app as unknown as FastifyInstance;
}

/** Reads the bodies of HTTP requests, so that all that are not whole yet have no more than so many bytes together. */
class HeldBodies {
  readonly #maximum: number;
  #held = 0;

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /** @throws HoldfastError `too_large`, `overloaded`. */
  async read(body: Readable): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    let length = 0;
    try {
      // Not destroyed, so that whoever sent too much is told.
      for await (const part of body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
        length += part.length;
        this.#held += part.length;
        if (length > MAXIMUM_BATCH_BYTES) throw new HoldfastError('too_large', 'the batch is larger than a node reads');
        if (this.#held > this.#maximum) throw new HoldfastError('overloaded', 'too many requests are on their way');
        parts.push(part);
      }
      return concatBytes(...parts);
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('malformed', 'the request did not arrive whole', { cause });
    } finally {
      this.#held -= length;
    }
  }
}

/** Takes the elements of batches one by one. */
class NodeBatches {
  readonly #options: NodeServerOptions;
  #inFlight = 0;

  constructor(options: NodeServerOptions) {
    this.#options = options;
  }

  /** Never rejects: what goes wrong with one element is its own answer. */
  async answer(element: Uint8Array): Promise<Uint8Array> {
    const { handle, maximumInFlight, metrics, log } = this.#options;
    let kind = 'unknown';
    let answer: NodeAnswer;
    this.#count(1);
    try {
      if (this.#inFlight > maximumInFlight) throw new HoldfastError('overloaded', 'too many requests in flight');
      const request = decodeNodeRequest(element);
      kind = request.kind;
      answer = await handle(request);
    } catch (thrown) {
      answer = refusal(thrown);
    } finally {
      this.#count(-1);
    }
    metrics.requests.inc({ kind, code: answer.code });
    try {
      return encodeNodeAnswer(answer);
    } catch (thrown) {
      log.error({ event: 'answer cannot be encoded', kind, reason: asHoldfastError(thrown).message });
      return encodeNodeAnswer(refusal(thrown));
    }
  }

  #count(change: 1 | -1): void {
    this.#inFlight += change;
    this.#options.metrics.inFlight.set(this.#inFlight);
  }
}

/** What a coordinator is told. Messages of unforeseen errors stay in the log. */
function refusal(thrown: unknown): NodeAnswer {
  const error = asHoldfastError(thrown);
  return nodeAnswerWith({ code: error.code, reason: problemOf(error).detail.slice(0, 160) });
}
