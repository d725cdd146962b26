/** Closing an HTTP service without dropping what it has begun, and without waiting for ever for a slow client. */

import type { FastifyInstance } from 'fastify';

/** Stops accepting, lets requests in flight finish, and cuts what is left after `deadline` milliseconds. */
export async function closeGracefully(app: FastifyInstance, deadline: number): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), deadline);
  try {
    await app.close();
  } finally {
    clearTimeout(timer);
  }
}
