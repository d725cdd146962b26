/**
 * `fetch` for servers of a fleet and for sources of trust sets, each with the authority that it is to be known by: as much of
 * the Fetch standard as src/client uses, on the runtime's own HTTP. A library for the whole of it takes longer to load than
 * a command takes to ask.
 */

import type { Agent, IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as secureRequest } from 'node:https';
import type { TLSSocket } from 'node:tls';
import type { Fetch, FetchAnswer } from '../client/index.ts';
import { tlsClientOptions } from '../pki/index.ts';

const TIMEOUT = 3000;

// Not imported: src/http/refusals.ts says why.
const { Agent: PlainAgent, request } = process.getBuiltinModule('node:http');

/** A pool of connections for each address, fleet and authority (src/pki/tls.ts says why). */
export class FleetFetch {
  readonly #agents = new Map<string, Agent>();
  readonly #timeout: number;
  readonly #proxies: NodeJS.ProcessEnv;

  /**
   * @param timeout milliseconds for TCP and TLS; how long an answer may take its caller says by a signal.
   * @param environment where HTTPS_PROXY, HTTP_PROXY and NO_PROXY are taken from, in either case of letters.
   */
  constructor(timeout: number = TIMEOUT, environment: NodeJS.ProcessEnv = {}) {
    this.#timeout = timeout;
    this.#proxies = environment;
  }

  /**
   * Follows no redirect. What fails is a TypeError, and its cause says why, as in the standard.
   * @param authority PEM; undefined for the platform's own authorities.
   * @param fleet whose public certificate it must be; undefined for sources of trust sets, which nobody has to trust.
   */
  of(authority: string | undefined, fleet: string | undefined): Fetch {
    return async (url, init) => {
      const target = new URL(url);
      const key = JSON.stringify([target.origin, authority, fleet]);
      let agent = this.#agents.get(key);
      if (!agent) {
        agent = newAgent(target, authority, fleet, this.#proxies);
        this.#agents.set(key, agent);
      }
      try {
        return await ask(target, init, agent, this.#timeout);
      } catch (cause) {
        throw new TypeError('fetch failed', { cause });
      }
    };
  }

  async close(): Promise<void> {
    for (const agent of this.#agents.values()) agent.destroy();
  }
}

const isSecure = ({ protocol }: URL) => protocol === 'https:';

/** A proxy cannot reach what is on this machine. */
const isHere = ({ hostname }: URL) => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname);

function newAgent(
  target: URL,
  authority: string | undefined,
  fleet: string | undefined,
  proxies: NodeJS.ProcessEnv,
): Agent {
  // Through a proxy TLS is still with the target: the proxy sees its name and nothing else.
  const common = { keepAlive: true, ...(!isHere(target) && { proxyEnv: proxies }) };
  if (!isSecure(target)) return new PlainAgent(common);
  if (authority === undefined) return new SecureAgent(common);
  const tls =
    fleet === undefined ? { ca: authority } : tlsClientOptions({ authorityPem: authority }, { fleet, role: 'public' });
  return new SecureAgent({ ...common, ...tls });
}

function ask(
  target: URL,
  { method, headers, body, signal }: RequestInit,
  agent: Agent,
  timeout: number,
): Promise<FetchAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<FetchAnswer>();
  const send = isSecure(target) ? secureRequest : request;
  const asked = send(target, {
    agent,
    method: method ?? 'GET',
    headers: { ...(headers as Readonly<Record<string, string>>) },
    ...(signal && { signal }),
  });
  const timer = setTimeout(() => {
    asked.destroy(Object.assign(new Error('no connection in time'), { code: 'ETIMEDOUT' }));
  }, timeout);
  const connected = () => clearTimeout(timer);
  asked.once('socket', (socket) => {
    // Behind a proxy it comes with all of that done.
    const isDone = isSecure(target) ? (socket as TLSSocket).getFinished() !== undefined : !socket.connecting;
    if (asked.reusedSocket || isDone) connected();
    else socket.once(isSecure(target) ? 'secureConnect' : 'connect', connected);
  });
  // An upgrade that nobody asked for ends without an error.
  asked.once('close', () => {
    connected();
    reject(new Error('closed without an answer'));
  });
  // Stays, because an answer may break off after it was begun; whoever reads it then learns of that.
  asked.on('error', reject);
  asked.once('response', (incoming) => {
    const status = incoming.statusCode ?? 0;
    if (status >= 300 && status < 400 && status !== 304) {
      asked.destroy(Object.assign(new Error('a redirect, which nobody follows'), { code: 'EREDIRECT' }));
    } else resolve(answerOf(status, incoming));
  });
  asked.end(body as string | undefined);
  return promise;
}

function answerOf(status: number, incoming: IncomingMessage): FetchAnswer {
  incoming.on('error', () => {});
  const cancel = async () => void incoming.destroy();
  return {
    status,
    headers: {
      get(name) {
        const value = incoming.headers[name.toLowerCase()];
        return value === undefined ? null : String(value);
      },
    },
    body: {
      cancel,
      getReader() {
        const parts: AsyncIterator<Uint8Array, undefined> = incoming[Symbol.asyncIterator]();
        const read = async () => {
          const { done = false, value } = await parts.next();
          return { done, value };
        };
        return { cancel, read };
      },
    },
  };
}
