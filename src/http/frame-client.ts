/** The client's side of frames (frames.ts): one connection, any number of requests at a time. */

import { isIP } from 'node:net';
import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';
import { HoldfastError } from '../core/index.ts';
import { encodeFrame, FRAMES_PROTOCOL, FrameReader, numberAfter } from './frames.ts';

export interface FrameClientOptions {
  /** https://host:port, without a path. */
  readonly url: string;
  readonly tls: ConnectionOptions;
  /** Milliseconds for TCP and TLS. */
  readonly connectTimeout: number;
  /** Milliseconds after which an idle connection is closed; less than the server's. */
  readonly idleTimeout: number;
  /** Bytes of an answer. */
  readonly maximumBytes: number;
}

interface Waiting {
  readonly resolve: (body: Uint8Array) => void;
  readonly reject: (error: Error) => void;
}

/** The connection ended before the answer came: the server may not have seen the request. */
export class ConnectionClosed extends Error {}

export class FrameConnection {
  readonly #socket: TLSSocket;
  readonly #waiting = new Map<number, Waiting>();
  /** Requests whose callers gave up: their answers may still come. */
  readonly #abandoned = new Set<number>();
  #next = 0;
  #failure: Error | undefined;
  #isUsable = true;

  private constructor(socket: TLSSocket, { maximumBytes, idleTimeout }: FrameClientOptions) {
    this.#socket = socket;
    const reader = new FrameReader(maximumBytes, (number, body) => this.#take(number, body));
    socket.setNoDelay(true);
    socket.setTimeout(idleTimeout, () => {
      if (this.#waiting.size === 0) this.close();
    });
    socket.on('data', (piece: Buffer) => {
      try {
        reader.push(piece);
      } catch (error) {
        socket.destroy(error as Error);
      }
    });
    socket.on('end', () => socket.destroy());
    socket.on('error', (error) => {
      this.#failure = error;
    });
    socket.once('close', () => this.#closed());
  }

  /**
   * @returns undefined where the server speaks HTTP only.
   * @throws Error of the system, of TLS or of `tls.checkServerIdentity`, and HoldfastError `no_majority` where it took too long, with
   *   the detail `connecting`.
   */
  static async open(options: FrameClientOptions, signal: AbortSignal): Promise<FrameConnection | undefined> {
    const { hostname, port } = new URL(options.url);
    const host = hostname.replace(/^\[|\]$/g, '');
    signal.throwIfAborted();
    const socket = tlsConnect({
      ...options.tls,
      // A name for the server to choose its certificate by; addresses are none (RFC 6066 section 3).
      ...(isIP(host) === 0 && { servername: host }),
      ...{ host, port: Number(port || 443) },
      ALPNProtocols: [FRAMES_PROTOCOL, 'http/1.1'],
    });
    const late = () =>
      socket.destroy(new HoldfastError('no_majority', 'no connection in time', { details: { connecting: true } }));
    const timer = setTimeout(late, options.connectTimeout);
    signal.addEventListener('abort', late, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once('secureConnect', resolve).once('error', reject);
        socket.once('close', () => reject(new HoldfastError('no_majority', 'the connection was closed')));
      });
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', late);
    }
    if (socket.alpnProtocol === FRAMES_PROTOCOL) return new FrameConnection(socket, options);
    socket.on('error', () => {});
    socket.destroy();
    return undefined;
  }

  /** Whether it takes further requests. */
  get isUsable(): boolean {
    return this.#isUsable;
  }

  /**
   * Sends a request and waits for its answer. Given up on by `signal`, this connection takes no further ones: it may be dead.
   * @throws ConnectionClosed, and what `signal` was aborted with.
   */
  request(body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason as Error);
      if (!this.#isUsable) return reject(new ConnectionClosed('the connection is closed'));
      const number = this.#next;
      this.#next = numberAfter(number);
      const giveUp = () => {
        this.#waiting.delete(number);
        this.#abandoned.add(number);
        this.#isUsable = false;
        this.#closeIfDone();
        reject(signal.reason as Error);
      };
      const settle = () => signal.removeEventListener('abort', giveUp);
      signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.set(number, {
        resolve: (answer) => {
          settle();
          resolve(answer);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      this.#socket.write(encodeFrame(number, body));
    });
  }

  close(): void {
    this.#isUsable = false;
    this.#socket.destroy();
  }

  #take(number: number, body: Uint8Array): void {
    const waiting = this.#waiting.get(number);
    if (waiting) {
      this.#waiting.delete(number);
      // A view into what has arrived, which the next piece leaves alone.
      waiting.resolve(body);
    } else if (!this.#abandoned.delete(number)) {
      this.#socket.destroy(new HoldfastError('untrusted', 'an answer to nothing that was asked'));
    }
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (!this.#isUsable && this.#waiting.size === 0) this.#socket.destroy();
  }

  #closed(): void {
    this.#isUsable = false;
    const { message } = this.#failure ?? { message: 'the connection was closed' };
    const error = new ConnectionClosed(message, { cause: this.#failure });
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
