/**
 * Fetching from servers that may be hostile: never more bytes, seconds or redirects than allowed, and never an address
 * inside the own network unless the configuration names it.
 */

import { type LookupAddress, type LookupAllOptions, lookup } from 'node:dns';
import { BlockList, isIP } from 'node:net';
import { getCACertificates } from 'node:tls';
import { gunzipSync } from 'node:zlib';
import { Agent, request } from 'undici';
import { asHoldfastError, collectBytes, HoldfastError } from '../../core/index.ts';

export interface FetchLimits {
  /** Bytes of the body, before and after decompression. */
  readonly maximumBytes: number;
  /** Milliseconds for the whole exchange. */
  readonly timeout: number;
}

export interface FetchOptions extends FetchLimits {
  readonly signal?: AbortSignal | undefined;
}

export interface Fetched {
  readonly status: number;
  readonly body: Uint8Array<ArrayBuffer>;
}

export interface FetcherOptions {
  /** PEM certificates of authorities that are trusted besides the system's. */
  readonly authority?: string | undefined;
  /** Only addresses of the public Internet are connected to: for addresses that others chose. */
  readonly publicOnly?: boolean;
}

const CONNECT_TIMEOUT = 10_000;
const MAXIMUM_HEADERS = 16 * 1024;

/** What no address that a stranger chose may lead to: IANA's special-purpose registries (RFC 6890, RFC 4291). */
const INSIDE = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const) {
  INSIDE.addSubnet(network, prefix, 'ipv4');
}

/** Whether `address` is one of the public Internet. Of IPv6 that is 2000::/3 without tunnels and documentation. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !INSIDE.check(address, 'ipv4');
  return family === 6 && PUBLIC_6.check(address, 'ipv6') && !TUNNELS_6.check(address, 'ipv6');
}
const PUBLIC_6 = new BlockList();
PUBLIC_6.addSubnet('2000::', 3, 'ipv6');
const TUNNELS_6 = new BlockList();
TUNNELS_6.addSubnet('2001::', 23, 'ipv6');
TUNNELS_6.addSubnet('2001:db8::', 32, 'ipv6');
TUNNELS_6.addSubnet('2002::', 16, 'ipv6');

const LOOPBACK = ['127.0.0.1', '[::1]', 'localhost'];

/**
 * `text` as an address that may be fetched from or sent to: HTTPS, or HTTP on loopback; no user, query or fragment.
 * @throws HoldfastError `usage` naming `what`.
 */
export function checkUrl(what: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const secure = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.includes(url.hostname));
  if (url && secure && url.username === '' && url.password === '' && url.search === '' && url.hash === '') return url;
  throw new HoldfastError('usage', `${what} must be https://host/path, or http:// on loopback`);
}

/** Connections to any number of servers; close it when done. */
export class Fetcher {
  readonly #agent: Agent;
  readonly #publicOnly: boolean;

  constructor({ authority, publicOnly = false }: FetcherOptions = {}) {
    this.#publicOnly = publicOnly;
    this.#agent = new Agent({
      connections: 4,
      maxHeaderSize: MAXIMUM_HEADERS,
      connect: {
        timeout: CONNECT_TIMEOUT,
        ...(authority !== undefined && { ca: [...getCACertificates('default'), authority] }),
        ...(publicOnly && { lookup: publicLookup }),
      },
    });
  }

  /**
   * The answer to one GET, whatever its status. Redirects are not followed.
   * @throws HoldfastError `not_ready` where there is no answer in time, `too_large`, `untrusted` for an inside address.
   */
  async get(url: URL, options: FetchOptions): Promise<Fetched> {
    return this.#exchange(url, { method: 'GET', headers: { 'accept-encoding': 'gzip, identity' } }, options);
  }

  /** The same for one POST. */
  async post(
    url: URL,
    body: Uint8Array,
    headers: Readonly<Record<string, string>>,
    options: FetchOptions,
  ): Promise<Fetched> {
    return this.#exchange(url, { method: 'POST', headers, body }, options);
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #exchange(
    url: URL,
    message: { method: 'GET' | 'POST'; headers: Readonly<Record<string, string>>; body?: Uint8Array },
    { maximumBytes, timeout, signal }: FetchOptions,
  ): Promise<Fetched> {
    this.#checkLiteral(url);
    const deadline = AbortSignal.timeout(timeout);
    const either = signal ? AbortSignal.any([signal, deadline]) : deadline;
    try {
      const { statusCode, headers, body } = await request(url, {
        ...message,
        dispatcher: this.#agent,
        signal: either,
        headersTimeout: timeout,
        bodyTimeout: timeout,
      });
      const bytes = await collectBytes(body, maximumBytes, () => tooLarge(url, maximumBytes));
      return { status: statusCode, body: unpacked(bytes, headers['content-encoding'], maximumBytes, url) };
    } catch (cause) {
      if (signal?.aborted) throw new HoldfastError('cancelled', 'cancelled', { cause });
      if (deadline.aborted) {
        throw new HoldfastError('not_ready', `${url.href} gave no whole answer within ${timeout} ms`, { cause });
      }
      if (cause instanceof HoldfastError) throw cause;
      throw new HoldfastError('not_ready', `${url.href} cannot be reached: ${asHoldfastError(cause).message}`, {
        cause,
      });
    }
  }

  /** Literal addresses never reach the look-up. */
  #checkLiteral(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    if (this.#publicOnly && isIP(host) !== 0 && !isPublicAddress(host)) throw inside(url.hostname);
  }
}

/** Resolves as the system does, and gives only public addresses, so that a name cannot lead inside. */
function publicLookup(
  hostname: string,
  options: LookupAllOptions,
  callback: (error: Error | null, addresses: LookupAddress[] | string, family?: number) => void,
): void {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    const found = addresses.filter(({ address }) => isPublicAddress(address));
    if (found.length === 0 || found.length < addresses.length) return callback(inside(hostname), []);
    if (options.all) return callback(null, found);
    callback(null, found[0]!.address, found[0]!.family);
  });
}

function inside(host: string): HoldfastError {
  return new HoldfastError('untrusted', `${host} is not an address of the public Internet and is not fetched from`);
}

/** A log may compress without being asked to (C2SP tlog-tiles, "Log entries"). */
function unpacked(
  bytes: Uint8Array<ArrayBuffer>,
  encoding: string | string[] | undefined,
  maximum: number,
  url: URL,
): Uint8Array<ArrayBuffer> {
  if (encoding === undefined || encoding === 'identity') return bytes;
  if (encoding !== 'gzip') throw new HoldfastError('malformed', `${url.href} is compressed in a way never asked for`);
  try {
    return new Uint8Array(gunzipSync(bytes, { maxOutputLength: maximum }));
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(url, maximum);
    throw new HoldfastError('malformed', `${url.href} is not what its compression says`, { cause });
  }
}

function tooLarge(url: URL, maximum: number): HoldfastError {
  return new HoldfastError('too_large', `${url.href} has more than ${maximum} bytes`);
}
