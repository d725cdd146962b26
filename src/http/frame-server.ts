/** The server's side of frames (frames.ts) on a TLS server that also speaks HTTP: each connection to whom it belongs. */

import type { Server, TLSSocket } from 'node:tls';
import { asHoldfastError, HoldfastError } from '../core/index.ts';
import { encodeFrame, FRAMES_PROTOCOL, FrameReader } from './frames.ts';

export interface FrameServerOptions {
  /** Bytes of a request; a connection that announces more is cut. */
  readonly maximumBytes: number;
  /** Milliseconds in which a request that has begun must have arrived, and after which an idle connection is closed. */
  readonly requestTimeout: number;
  readonly idleTimeout: number;
  /**
   * Bytes of requests that have begun and answers that are not taken, over all connections: where they are more, the connection
   * with the most of them is cut.
   */
  readonly maximumHeldBytes: number;
  /** Connections; for one more, the one is cut on which nothing was asked for the longest. Default 1024. */
  readonly maximumConnections?: number;
  /** Milliseconds that requests get to finish when it is closed. */
  readonly closeDeadline: number;
  /** The answer to one request. Where it rejects, the connection is cut: whoever sends such a thing is no coordinator of ours. */
  readonly answer: (body: Uint8Array) => Promise<Uint8Array>;
  /** Told why a connection was cut. */
  readonly onFault: (error: HoldfastError) => void;
}

/** Requests of one connection under way beyond which no more of it are begun, nor read. */
const MAXIMUM_OPEN = 4;

/** Some tens of KiB each. */
const MAXIMUM_CONNECTIONS = 1024;

/** ALPN names for the TLS options of a server that `serveFrames` is used on. */
export const FRAME_SERVER_PROTOCOLS = [FRAMES_PROTOCOL, 'http/1.1'];

/**
 * Takes connections that agreed on frames from `server`; all others stay with the listeners that it has now. Listeners that
 * look at a connection first, such as `requirePeer`, are added after this, and those that they destroy are not served.
 */
export function serveFrames(server: Server, options: FrameServerOptions): { close(): Promise<void> } {
  const { maximumHeldBytes, maximumConnections = MAXIMUM_CONNECTIONS } = options;
  const others = server.listeners('secureConnection');
  /** The one on which nothing was asked for the longest comes first. */
  const connections = new Set<Connection>();
  let closing = false;
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol !== FRAMES_PROTOCOL) {
      for (const listener of others) listener.call(server, socket);
      return;
    }
    if (closing) socket.destroy();
    if (socket.destroyed) return;
    const connection = new Connection(socket, options, {
      onAsked: () => {
        if (connections.delete(connection)) connections.add(connection);
      },
      onHolding: () => keepWithin(maximumHeldBytes, connections),
      onGone: () => connections.delete(connection),
    });
    connections.add(connection);
    if (connections.size <= maximumConnections) return;
    const [stalest] = connections;
    stalest?.cut(new HoldfastError('overloaded', 'more connections than this node keeps'));
  });
  return {
    async close() {
      closing = true;
      await Promise.all([...connections].map((connection) => connection.close()));
    },
  };
}

/** Whoever holds the most is who fills the memory: all others go on. */
function keepWithin(maximum: number, connections: ReadonlySet<Connection>): void {
  let sum = 0;
  let most: Connection | undefined;
  for (const connection of connections) {
    const { heldBytes } = connection;
    sum += heldBytes;
    if (heldBytes > (most?.heldBytes ?? 0)) most = connection;
  }
  if (sum > maximum)
    most?.cut(new HoldfastError('overloaded', 'requests that do not end, or answers that nobody takes'));
}

interface ConnectionEvents {
  /** A request has arrived. */
  readonly onAsked: () => void;
  /** It holds more than before. */
  readonly onHolding: () => void;
  readonly onGone: () => void;
}

class Connection {
  readonly #socket: TLSSocket;
  readonly #options: FrameServerOptions;
  readonly #reader: FrameReader;
  readonly #gone: Promise<void>;
  readonly #events: ConnectionEvents;
  /** Requests that came in one piece with others, and whose turn it is not yet. */
  readonly #waiting: { readonly number: number; readonly body: Uint8Array }[] = [];
  #open = 0;
  #closing = false;
  /** Runs while a request has begun and not ended; which one it is for. */
  #overdue: NodeJS.Timeout | undefined;
  #overdueFor = -1;

  constructor(socket: TLSSocket, options: FrameServerOptions, events: ConnectionEvents) {
    this.#socket = socket;
    this.#options = options;
    this.#events = events;
    this.#reader = new FrameReader(options.maximumBytes, (number, body) => {
      this.#waiting.push({ number, body });
      events.onAsked();
    });
    socket.setNoDelay(true);
    socket.setTimeout(options.idleTimeout, () => {
      if (this.#open === 0) socket.destroy();
    });
    socket.on('data', (piece: Buffer) => this.#read(piece));
    socket.on('drain', () => this.#proceed());
    // What it was is of no use here: whoever asked on it asks again.
    socket.on('error', () => {});
    this.#gone = new Promise((resolve) => {
      socket.once('close', () => {
        clearTimeout(this.#overdue);
        events.onGone();
        resolve();
      });
    });
  }

  /** Of requests that are not whole, and of answers that the other side has not taken. */
  get heldBytes(): number {
    return this.#socket.destroyed ? 0 : this.#reader.heldBytes + this.#socket.writableLength;
  }

  /** Reads nothing more, answers what was asked, and ends. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#proceed();
    const timer = setTimeout(() => this.#socket.destroy(), this.#options.closeDeadline);
    await this.#gone;
    clearTimeout(timer);
  }

  #read(piece: Buffer): void {
    try {
      this.#reader.push(piece);
      this.#watch();
      this.#proceed();
      if (this.#reader.isPartial) this.#events.onHolding();
    } catch (error) {
      this.cut(asHoldfastError(error));
    }
  }

  /** A request that dribbles in holds up nobody but its connection, and that not for long. */
  #watch(): void {
    const { isPartial, frames } = this.#reader;
    if (isPartial && this.#overdueFor === frames) return;
    clearTimeout(this.#overdue);
    this.#overdueFor = isPartial ? frames : -1;
    if (!isPartial) return;
    this.#overdue = setTimeout(() => {
      // Where this side does not read, the other is not to blame.
      if (!this.#socket.isPaused()) return this.cut(new HoldfastError('malformed', 'a request did not arrive in time'));
      this.#overdueFor = -1;
      this.#watch();
    }, this.#options.requestTimeout);
  }

  /** Begins and reads only while there are few requests under way, and the other side takes its answers. */
  #proceed(): void {
    const socket = this.#socket;
    const isBusy = () => this.#open >= MAXIMUM_OPEN || socket.writableNeedDrain;
    while (this.#waiting.length > 0 && !isBusy() && !socket.destroyed) void this.#take(this.#waiting.shift()!);
    if (this.#closing || isBusy()) socket.pause();
    else if (socket.isPaused()) socket.resume();
    if (this.#closing && this.#open + this.#waiting.length === 0) socket.destroySoon();
  }

  async #take({ number, body }: { readonly number: number; readonly body: Uint8Array }): Promise<void> {
    this.#open++;
    try {
      const answer = await this.#options.answer(body);
      if (!this.#socket.destroyed) this.#socket.write(encodeFrame(number, answer));
    } catch (error) {
      this.cut(asHoldfastError(error));
    }
    this.#open--;
    this.#proceed();
    if (this.#socket.writableNeedDrain) this.#events.onHolding();
  }

  /** Ends it at once. */
  cut(error: HoldfastError): void {
    if (this.#socket.destroyed) return;
    this.#options.onFault(error);
    this.#socket.destroy();
  }
}
