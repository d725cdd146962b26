/** Closing an HTTP service without dropping what it has begun, and without waiting for ever for a slow client. */

import type { FastifyInstance } from 'fastify';
import { asHoldfastError } from '../core/index.ts';
import type { Logger } from './log.ts';

/** Stops accepting, lets requests in flight finish, and cuts what is left after `deadline` milliseconds. */
export async function closeGracefully(app: FastifyInstance, deadline: number): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), deadline);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Closes a service: one step after the other, each even where an earlier one failed. The log has when it begins and when all is
 * done.
 * @throws HoldfastError the first failure, after the last step.
 */
export async function closeInTurn(log: Pick<Logger, 'info'>, steps: readonly (() => unknown)[]): Promise<void> {
  log.info({ event: 'stopping' });
  const failures: unknown[] = [];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw asHoldfastError(failures[0]);
  log.info({ event: 'stopped' });
}
