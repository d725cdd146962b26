/** Fetching by the browser, for the audit and the overview: limits on size and time, no cookies, no referrer, no redirects. */

import type { AuditSource } from '../../audit/index.ts';
import { readBounded } from '../../client/download.ts';
import { HoldfastError, systemClock } from '../../core/index.ts';

/** Milliseconds for one answer as a whole. */
const PATIENCE = 20_000;
/** Milliseconds before what had no answer is asked for again, once. */
const PAUSE = 300;

export class BrowserSource implements AuditSource {
  /** How many answers were asked for, and the bytes of those that came. */
  requests = 0;
  bytes = 0;

  async fetch(address: string, maximumBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { origin, protocol } = new URL(address);
    if (protocol !== 'https:' && origin !== location.origin) {
      // The page's policy would stop it, and what this address holds is proven by its hash from anywhere else.
      throw new HoldfastError('not_found', `${address} cannot be read by a page: it is not an address of https`);
    }
    const timeout = AbortSignal.timeout(PATIENCE);
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout;
    try {
      // A connection that breaks off, as where a device changes its network, says nothing of the site.
      const response = await this.#ask(address, either).catch(async () => {
        await systemClock.sleep(PAUSE, either);
        return await this.#ask(address, either);
      });
      if (response.status === 404 || response.status === 410) {
        throw new HoldfastError('not_found', `there is nothing at ${address}`);
      }
      if (response.status !== 200) {
        throw new HoldfastError('not_ready', `${address} answered with status ${response.status}; try again later`);
      }
      const body = await readBounded(
        response,
        maximumBytes,
        () => new HoldfastError('too_large', `${address} has more than ${maximumBytes} bytes`),
      );
      this.bytes += body.length;
      return body;
    } catch (error) {
      if (error instanceof HoldfastError) throw error;
      if (signal?.aborted) throw new HoldfastError('cancelled', 'the check was stopped');
      throw new HoldfastError('not_ready', `there was no answer from ${address}; try again later`, { cause: error });
    }
  }

  async #ask(address: string, signal: AbortSignal): Promise<Response> {
    this.requests++;
    return await fetch(address, {
      cache: 'no-cache',
      credentials: 'omit',
      redirect: 'error',
      referrerPolicy: 'no-referrer',
      signal,
    });
  }
}
