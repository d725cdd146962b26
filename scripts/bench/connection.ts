/** One client's connection to a coordinator: HTTP/1.1 (RFC 9112) over TLS that stays, as little work as carries the load. */

import { type ConnectionOptions, type TLSSocket, connect as tlsConnect } from 'node:tls';

const HEAD_END = Buffer.from('\r\n\r\n');
/** Bytes of an answer beyond which something is wrong. */
const MAXIMUM = 1024 * 1024;

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** A whole request as it travels: made ahead where its body is known ahead. */
export function encodePost(url: URL, path: string, body: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: ${url.host}`,
    'content-type: application/json',
    'accept: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
}

export class HttpConnection {
  readonly #socket: TLSSocket;
  #received: Buffer[] = [];
  #length = 0;
  /** Bytes of the answer, once its head has come. */
  #wanted = 0;
  #waiting: { resolve: (answer: HttpAnswer) => void; reject: (error: Error) => void } | undefined;
  #failure: Error | undefined;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (piece: Buffer) => this.#take(piece));
    socket.on('error', (error) => this.#fail(error));
    socket.on('close', () => this.#fail(new Error('the coordinator closed the connection')));
  }

  static async open(url: URL, tls: ConnectionOptions): Promise<HttpConnection> {
    const socket = tlsConnect({
      ...tls,
      host: url.hostname,
      port: Number(url.port || 443),
      ALPNProtocols: ['http/1.1'],
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve).once('error', reject);
    });
    return new HttpConnection(socket);
  }

  /** One at a time. */
  send(request: Buffer): Promise<HttpAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#failure) return reject(this.#failure);
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(piece: Buffer): void {
    this.#received.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#wanted) return;
    const all = this.#received.length === 1 ? piece : Buffer.concat(this.#received, this.#length);
    this.#received = [all];
    const end = all.indexOf(HEAD_END);
    if (end < 0) {
      if (this.#length > MAXIMUM) this.#socket.destroy(new Error('an answer without an end of its head'));
      return;
    }
    const head = all.toString('latin1', 0, end);
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1];
    const length = /\r\ncontent-length: (\d+)(?:\r\n|$)/i.exec(head)?.[1];
    if (status === undefined || length === undefined || Number(length) > MAXIMUM) {
      this.#socket.destroy(new Error(`an answer that cannot be read: ${head.slice(0, 200)}`));
      return;
    }
    const begin = end + HEAD_END.length;
    this.#wanted = begin + Number(length);
    if (all.length < this.#wanted) return;
    const waiting = this.#waiting;
    if (!waiting || all.length > this.#wanted) {
      this.#socket.destroy(new Error('an answer to nothing that was asked'));
      return;
    }
    const body = all.toString('utf8', begin, this.#wanted);
    this.#received = [];
    this.#length = 0;
    this.#wanted = 0;
    this.#waiting = undefined;
    waiting.resolve({ status: Number(status), body });
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(this.#failure);
    this.#waiting = undefined;
  }
}
