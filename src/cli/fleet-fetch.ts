/** `fetch` for servers of a fleet and for sources of trust sets, each with the authority that it is to be known by. */

import { Agent, fetch as undiciFetch } from 'undici';
import type { Fetch } from '../client/index.ts';
import { tlsClientOptions } from '../pki/index.ts';

/** Milliseconds for TCP and TLS. */
const TIMEOUT = 3000;

/** A pool of connections for each address, fleet and authority (src/pki/tls.ts says why). */
export class FleetFetch {
  readonly #agents = new Map<string, Agent>();

  /**
   * @param authority PEM; undefined for the platform's own authorities.
   * @param fleet whose public certificate it must be; undefined for sources of trust sets, which nobody has to trust.
   */
  of(authority: string | undefined, fleet: string | undefined): Fetch {
    return async (url, init) => {
      const { origin } = new URL(url);
      const key = JSON.stringify([origin, authority, fleet]);
      let agent = this.#agents.get(key);
      if (!agent) {
        agent = newAgent(authority, fleet);
        this.#agents.set(key, agent);
      }
      const own = undiciFetch as unknown as (
        url: string,
        init: RequestInit & { dispatcher: Agent },
      ) => Promise<Response>;
      return own(url, { ...init, dispatcher: agent });
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#agents.values()].map((agent) => agent.destroy()));
  }
}

function newAgent(authority: string | undefined, fleet: string | undefined): Agent {
  if (authority === undefined) return new Agent({ connect: { timeout: TIMEOUT } });
  const tls =
    fleet === undefined ? { ca: authority } : tlsClientOptions({ authorityPem: authority }, { fleet, role: 'public' });
  return new Agent({ connect: { ...tls, timeout: TIMEOUT } as NonNullable<Agent.Options['connect']> });
}
