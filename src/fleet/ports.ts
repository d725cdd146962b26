/** Free ports on loopback for a fleet. */

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { HoldfastError } from '../core/index.ts';
import { PORTS } from './folder.ts';

/** Below the ports that systems give to outgoing connections (Linux: from 32,768). */
const LOWEST = 10_000;
const HIGHEST = 32_000;
const TRIES = 50;

/** The first of `PORTS` ports that nobody listens at now. @throws HoldfastError `usage` if none can be found. */
export async function findFreePorts(): Promise<number> {
  for (let i = 0; i < TRIES; i++) {
    const first = LOWEST + PORTS * randomInt(Math.floor((HIGHEST - LOWEST) / PORTS));
    const free = await Promise.all(Array.from({ length: PORTS }, (_, offset) => isFree(first + offset)));
    if (free.every((one) => one)) return first;
  }
  throw new HoldfastError('usage', 'no free range of ports was found; name one with --base-port');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)));
  });
}
