/** The command line's `fetch` over real sockets: whom it believes, what it gives, and how it fails. */

import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import {
  type AddressInfo,
  connect as connectTcp,
  createServer as createTcpServer,
  type Server as TcpServer,
} from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { FleetFetch } from '../../src/cli/fleet-fetch.ts';
import type { FetchAnswer } from '../../src/client/index.ts';
import { tlsPublicServerOptions } from '../../src/pki/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';

/** Milliseconds that no test takes: no connection is given up as too slow, on however busy a machine. */
const NEVER = 3_600_000;

let mine: TestFleet;
let other: TestFleet;
const servers: (Server | TcpServer)[] = [];
const fetchers: FleetFetch[] = [];

beforeAll(async () => {
  mine = await createFleet('mine');
  other = await createFleet('other');
});

afterEach(async () => {
  await Promise.all(fetchers.splice(0).map((fetcher) => fetcher.close()));
  for (const server of servers) if ('closeAllConnections' in server) server.closeAllConnections();
  await Promise.all(servers.splice(0).map((server) => new Promise((done) => server.close(done))));
});

async function portOf(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return (server.address() as AddressInfo).port;
}

const plain = async (listener: RequestListener) => `http://127.0.0.1:${await portOf(createServer(listener))}`;

async function secure(fleet: TestFleet, role: 'public' | 'node', listener: RequestListener): Promise<string> {
  const identity = await fleet.issue(role, 'api');
  return `https://127.0.0.1:${await portOf(createSecureServer(tlsPublicServerOptions(identity), listener))}`;
}

function fetcher(): FleetFetch {
  const made = new FleetFetch(NEVER);
  fetchers.push(made);
  return made;
}

async function textOf({ body }: FetchAnswer): Promise<string> {
  const reader = body!.getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done || !value) return text;
    text += Buffer.from(value).toString('utf8');
  }
}

const echo: RequestListener = async (request, answer) => {
  const sent = await buffer(request);
  answer.setHeader('x-said', `${request.method} ${request.url} ${request.headers['content-type'] ?? ''}`);
  answer.end(sent);
};

describe('an answer', () => {
  it('has the status, the headers and the body that the server sent', async () => {
    const fetch = fetcher().of(undefined, undefined);
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${await plain(echo)}/v1/a?b`, { method: 'POST', headers, body: 'Grüße' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('X-Said')).toBe('POST /v1/a?b application/json');
    expect(answer.headers.get('x-other')).toBeNull();
    expect(await textOf(answer)).toBe('Grüße');
  });

  it('of a second request comes over the same connection', async () => {
    const ports: (number | undefined)[] = [];
    const url = await plain((request, answer) => {
      ports.push(request.socket.remotePort);
      answer.end('well');
    });
    const fetch = fetcher().of(undefined, undefined);
    for (let i = 0; i < 2; i++) expect(await textOf(await fetch(url, { method: 'GET' }))).toBe('well');
    expect(ports[0]).toBeDefined();
    expect(ports[1]).toBe(ports[0]);
  });

  it('that breaks off fails whoever reads it', async () => {
    const url = await plain((_, answer) => {
      answer.writeHead(200, { 'content-length': '100' });
      answer.write('half');
      answer.socket!.end();
    });
    const answer = await fetcher().of(undefined, undefined)(url, { method: 'GET' });
    await expect(textOf(answer)).rejects.toThrow();
  });

  it('that is cancelled is read no further', async () => {
    const closed = Promise.withResolvers<void>();
    const url = await plain((_, answer) => {
      answer.once('close', closed.resolve);
      answer.write('and so on');
    });
    const answer = await fetcher().of(undefined, undefined)(url, { method: 'GET' });
    await answer.body!.cancel();
    await closed.promise;
  });

  it('is no change of protocol', async () => {
    const rude = createTcpServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => socket.end('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n'));
    });
    const asking = fetcher().of(undefined, undefined)(`http://127.0.0.1:${await portOf(rude)}`, { method: 'GET' });
    await expect(asking).rejects.toThrow('fetch failed');
  });

  it('is no redirect', async () => {
    const url = await plain((_, answer) => answer.writeHead(302, { location: '/elsewhere' }).end());
    const asking = fetcher().of(undefined, undefined)(url, { method: 'GET' });
    await expect(asking).rejects.toMatchObject({ message: 'fetch failed', cause: { code: 'EREDIRECT' } });
  });
});

describe('through a proxy', () => {
  /** A name that the test's certificates have, written so that it is not taken for this machine's. */
  const AWAY = 'localhost.';

  /** A proxy that connects to `target` whatever it is asked for. */
  async function proxy(target: string) {
    const asked: string[] = [];
    const server = createServer((request, answer) => {
      asked.push(`${request.method} ${request.url}`);
      answer.end('by the proxy');
    });
    server.on('connect', (request, socket) => {
      asked.push(`CONNECT ${request.url}`);
      const { hostname, port } = new URL(target);
      const onward = connectTcp(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 Connected\r\n\r\n');
        socket.pipe(onward).pipe(socket);
      });
      for (const side of [socket, onward]) side.on('error', () => onward.destroy());
    });
    return { asked, url: `http://127.0.0.1:${await portOf(server)}` };
  }

  const within = (environment: Record<string, string>) => {
    const made = new FleetFetch(NEVER, environment);
    fetchers.push(made);
    return made;
  };

  it('TLS is still with the fleet, and the connection is kept for longer than it may take to be made', async () => {
    const { asked, url } = await proxy(await secure(mine, 'public', echo));
    const fetch = within({ HTTPS_PROXY: url }).of(mine.authorityPem, 'mine');
    for (const body of ['one', 'two']) {
      expect(await textOf(await fetch(`https://${AWAY}:8443/v1`, { method: 'POST', body }))).toBe(body);
    }
    expect(asked).toEqual([`CONNECT ${AWAY}:8443`]);
    const slow: RequestListener = (_, answer) => {
      // All the time there is for making a connection passes, and more, while the server thinks.
      vi.advanceTimersByTime(2 * NEVER);
      answer.end('late');
    };
    const late = await proxy(await secure(mine, 'public', slow));
    const patient = within({ https_proxy: late.url }).of(mine.authorityPem, 'mine');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    try {
      expect(await textOf(await patient(`https://${AWAY}/`, { method: 'GET' }))).toBe('late');
    } finally {
      vi.useRealTimers();
    }
  });

  it('another fleet is no more believed than without', async () => {
    const { url } = await proxy(await secure(other, 'public', echo));
    const asking = within({ HTTPS_PROXY: url }).of(mine.authorityPem, 'mine')(`https://${AWAY}/`, {
      method: 'GET',
    });
    await expect(asking).rejects.toMatchObject({ cause: { code: expect.stringMatching(/CERT|VERIFY|SIGNATURE/) } });
  });

  it('nothing goes that is on this machine, or that NO_PROXY names', async () => {
    const target = await secure(mine, 'public', echo);
    const { asked, url } = await proxy(target);
    const environment = { HTTPS_PROXY: url, HTTP_PROXY: url, NO_PROXY: 'localhost' };
    const fetch = within(environment).of(mine.authorityPem, 'mine');
    for (const here of [target, target.replace('127.0.0.1', 'localhost')]) {
      expect(await textOf(await fetch(here, { method: 'POST', body: 'direct' }))).toBe('direct');
    }
    expect(asked).toEqual([]);
  });
});

describe('a server', () => {
  it('is believed by its fleet’s authority, fleet and role', async () => {
    const fetch = fetcher().of(mine.authorityPem, 'mine');
    expect(await textOf(await fetch(await secure(mine, 'public', echo), { method: 'POST', body: 'x' }))).toBe('x');
  });

  it('of another authority is not', async () => {
    const fetch = fetcher().of(mine.authorityPem, 'mine');
    const asking = fetch(await secure(other, 'public', echo), { method: 'GET' });
    await expect(asking).rejects.toMatchObject({ cause: { code: expect.stringMatching(/CERT|VERIFY|SIGNATURE/) } });
  });

  it('with a node’s certificate is not', async () => {
    let asked = 0;
    const url = await secure(mine, 'node', (_, answer) => {
      asked++;
      answer.end();
    });
    const asking = fetcher().of(mine.authorityPem, 'mine')(url, { method: 'POST', body: 'x' });
    await expect(asking).rejects.toMatchObject({ cause: { name: 'HoldfastError', code: 'forbidden' } });
    expect(asked).toBe(0);
  });

  it('of another fleet of the same authority is not, though the first one’s connection is open', async () => {
    const url = await secure(mine, 'public', echo);
    const both = fetcher();
    await textOf(await both.of(mine.authorityPem, 'mine')(url, { method: 'GET' }));
    const asking = both.of(mine.authorityPem, 'another')(url, { method: 'GET' });
    await expect(asking).rejects.toMatchObject({ cause: { code: 'forbidden' } });
  });

  it('that is not there is said to be so', async () => {
    const gone = createTcpServer();
    const port = await portOf(gone);
    await new Promise((done) => gone.close(done));
    servers.length = 0;
    const asking = fetcher().of(undefined, undefined)(`http://127.0.0.1:${port}`, { method: 'GET' });
    await expect(asking).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });
});

it('a server that takes the connection and says nothing is given up', async () => {
  const silent = createTcpServer((socket) => socket.on('error', () => {}).resume());
  const url = `https://127.0.0.1:${await portOf(silent)}`;
  const quick = new FleetFetch(50);
  fetchers.push(quick);
  const asking = quick.of(mine.authorityPem, 'mine')(url, { method: 'GET' });
  await expect(asking).rejects.toMatchObject({ cause: { code: 'ETIMEDOUT' } });
});

it('an aborted request fails, before its answer and within it', async () => {
  const heard = Promise.withResolvers<void>();
  const silent = await plain(() => heard.resolve());
  const fetch = fetcher().of(undefined, undefined);
  const before = new AbortController();
  const asking = fetch(silent, { method: 'GET', signal: before.signal });
  const failed = expect(asking).rejects.toThrow('fetch failed');
  await heard.promise;
  before.abort();
  await failed;

  const endless = await plain((_, answer) => {
    answer.write('and so on');
  });
  const within = new AbortController();
  const reading = textOf(await fetch(endless, { method: 'GET', signal: within.signal }));
  const broken = expect(reading).rejects.toThrow();
  within.abort();
  await broken;
});
