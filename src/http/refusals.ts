/** Answers to requests that reach no route, because they are no HTTP or no URL, in the same form as all other errors. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { HoldfastError } from '../core/index.ts';
import { PROBLEM_TYPE, problemOf } from './problem.ts';

// An import of this module reads each of its exports, and one of them loads the runtime's whole WebSocket and fetch: 20 ms of
// every service's start.
const { STATUS_CODES } = process.getBuiltinModule('node:http');

export interface Refusal {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** What of a Fastify reply is needed here. */
interface BareReply {
  readonly raw: ServerResponse<IncomingMessage>;
}

const asProblem = (error: HoldfastError): Refusal => {
  const problem = problemOf(error);
  return { status: problem.status, type: PROBLEM_TYPE, body: JSON.stringify(problem) };
};

/** Options for `fastify()`: its own answers of this kind name no code of the closed list, and repeat what was sent. */
export function refusals(render: (error: HoldfastError) => Refusal = asProblem) {
  return {
    frameworkErrors: (_error: unknown, _request: unknown, reply: BareReply): void => {
      const { status, type, body } = render(new HoldfastError('malformed', 'the address is not a valid one'));
      reply.raw
        .writeHead(status, {
          'content-type': type,
          'content-length': Buffer.byteLength(body),
          'cache-control': 'no-store',
        })
        .end(body);
    },
    clientErrorHandler: (error: NodeJS.ErrnoException, socket: Socket): void => {
      if (error.code === 'ECONNRESET' || socket.destroyed) return;
      if (socket.writable) {
        const { status, type, body } = render(refusalOf(error.code));
        const head = [
          `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
          'connection: close',
          `content-type: ${type}`,
          `content-length: ${Buffer.byteLength(body)}`,
        ];
        socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
      }
      socket.destroy();
    },
  };
}

function refusalOf(code: string | undefined): HoldfastError {
  if (code === 'HPE_HEADER_OVERFLOW') {
    return new HoldfastError('too_large', 'the request’s headers are larger than this service reads');
  }
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new HoldfastError('malformed', 'the request did not arrive whole in time');
  }
  return new HoldfastError('malformed', 'the request is not HTTP as this service understands it');
}
