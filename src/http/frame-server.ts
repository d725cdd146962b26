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
  /** Milliseconds that requests get to finish when it is closed. */
  readonly closeDeadline: number;
  /** The answer to one request. Where it rejects, the connection is cut: whoever sends such a thing is no coordinator of ours. */
  readonly answer: (body: Uint8Array) => Promise<Uint8Array>;
  /** Told why a connection was cut. */
  readonly onFault: (error: HoldfastError) => void;
}

/** Requests of one connection under way beyond which no more are read from it. */
const MAXIMUM_OPEN = 4;

/** ALPN names for the TLS options of a server that `serveFrames` is used on. */
export const FRAME_SERVER_PROTOCOLS = [FRAMES_PROTOCOL, 'http/1.1'];

/**
 * Takes connections that agreed on frames from `server`; all others stay with the listeners that it has now. Listeners that
 * look at a connection first, such as `requirePeer`, are added after this, and those that they destroy are not served.
 */
export function serveFrames(server: Server, options: FrameServerOptions): { close(): Promise<void> } {
  const others = server.listeners('secureConnection');
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
    const connection = new Connection(socket, options, () => connections.delete(connection));
    connections.add(connection);
  });
  return {
    async close() {
      closing = true;
      await Promise.all([...connections].map((connection) => connection.close()));
    },
  };
}

class Connection {
  readonly #socket: TLSSocket;
  readonly #options: FrameServerOptions;
  readonly #reader: FrameReader;
  readonly #gone: Promise<void>;
  #open = 0;
  #closing = false;
  /** Runs while a request has begun and not ended; which one it is for. */
  #overdue: NodeJS.Timeout | undefined;
  #overdueFor = -1;

  constructor(socket: TLSSocket, options: FrameServerOptions, onGone: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#reader = new FrameReader(options.maximumBytes, (number, body) => void this.#take(number, body));
    socket.setNoDelay(true);
    socket.setTimeout(options.idleTimeout, () => {
      if (this.#open === 0) socket.destroy();
    });
    socket.on('data', (piece: Buffer) => this.#read(piece));
    socket.on('drain', () => this.#flow());
    // What it was is of no use here: whoever asked on it asks again.
    socket.on('error', () => {});
    this.#gone = new Promise((resolve) => {
      socket.once('close', () => {
        clearTimeout(this.#overdue);
        onGone();
        resolve();
      });
    });
  }

  /** Reads nothing more, answers what was asked, and ends. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#flow();
    if (this.#open === 0) this.#socket.destroySoon();
    const timer = setTimeout(() => this.#socket.destroy(), this.#options.closeDeadline);
    await this.#gone;
    clearTimeout(timer);
  }

  #read(piece: Buffer): void {
    try {
      this.#reader.push(piece);
      this.#watch();
    } catch (error) {
      this.#cut(asHoldfastError(error));
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
      if (!this.#socket.isPaused())
        return this.#cut(new HoldfastError('malformed', 'a request did not arrive in time'));
      this.#overdueFor = -1;
      this.#watch();
    }, this.#options.requestTimeout);
  }

  async #take(number: number, body: Uint8Array): Promise<void> {
    if (this.#socket.destroyed) return;
    this.#open++;
    this.#flow();
    try {
      const answer = await this.#options.answer(body);
      if (!this.#socket.destroyed) this.#socket.write(encodeFrame(number, answer));
    } catch (error) {
      this.#cut(asHoldfastError(error));
    }
    this.#open--;
    this.#flow();
    if (this.#closing && this.#open === 0) this.#socket.destroySoon();
  }

  /** Reads only while there are few requests under way, and the other side takes its answers. */
  #flow(): void {
    const socket = this.#socket;
    if (this.#closing || this.#open >= MAXIMUM_OPEN || socket.writableNeedDrain) socket.pause();
    else if (socket.isPaused()) socket.resume();
  }

  #cut(error: HoldfastError): void {
    if (this.#socket.destroyed) return;
    this.#options.onFault(error);
    this.#socket.destroy();
  }
}
