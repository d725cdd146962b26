/** Listening at the address of a configuration. */

import type { FastifyInstance } from 'fastify';
import { HoldfastError } from '../core/index.ts';

export interface ListenAddress {
  readonly host: string;
  /** 0 takes any free port. */
  readonly port: number;
}

/** @returns its URL, http(s)://host:port. @throws HoldfastError `usage` where the address cannot be listened on. */
export async function listenAt(
  app: Pick<FastifyInstance, 'listen'>,
  { host, port }: ListenAddress,
  what = 'cannot listen',
): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (cause) {
    throw new HoldfastError('usage', `${what} on ${host} port ${port}; is it in use?`, { cause });
  }
}
