/** Asking the processes of a fleet on this machine: plain HTTP on loopback, small answers, nobody who has to be believed. */

import { HOST } from './host.ts';

// As src/http/refusals.ts has it: an import would load what is not used here.
const { request } = process.getBuiltinModule('node:http');

export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** Milliseconds for a whole answer: nothing but a process that hangs takes so long on its own machine. And bytes of one. */
const TIMEOUT = 10_000;
const MAXIMUM = 4 * 1024 * 1024;

/** GET of a port of this machine. Throws whatever went wrong. */
export function ask(port: number, path: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  // A connection for each: one that is kept may be that of a process which has been killed since.
  const asked = request({ host: HOST, port, path, agent: false, signal: AbortSignal.timeout(TIMEOUT) });
  asked.on('error', reject);
  const closed = () => reject(new Error('closed without a whole answer'));
  asked.once('close', closed);
  asked.once('response', (incoming) => {
    const parts: Buffer[] = [];
    let length = 0;
    // The request may close before the last of its answer was read.
    asked.off('close', closed);
    incoming.on('error', reject).once('close', closed);
    incoming.on('data', (part: Buffer) => {
      length += part.length;
      if (length > MAXIMUM) asked.destroy(new Error('the answer is too long'));
      parts.push(part);
    });
    incoming.once('end', () => resolve({ status: incoming.statusCode ?? 0, body: Buffer.concat(parts) }));
  });
  asked.end();
  return promise;
}
