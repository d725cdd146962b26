/** Mutual TLS over real sockets: who gets in, and who stays out. */

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer as createHttpsServer, get } from 'node:https';
import { type AddressInfo, connect as connectTcp } from 'node:net';
import {
  type ConnectionOptions,
  connect,
  createServer,
  type PeerCertificate,
  type Server,
  type TLSSocket,
  type TlsOptions,
} from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { HoldfastError } from '../../src/core/index.ts';
import {
  checkPeer,
  type ExpectedPeer,
  requirePeer,
  tlsClientOptions,
  tlsPublicServerOptions,
  tlsServerOptions,
} from '../../src/pki/index.ts';
import { createFleet, HOUR, type TestFleet } from './fixtures.ts';

const A = { fleet: 'fleet-a' } as const;
const NODE_ONE = { ...A, role: 'node', name: 'one' } as const;

let fleet: TestFleet;
let impostors: TestFleet;
const servers: Server[] = [];

beforeAll(async () => {
  fleet = await createFleet('fleet-a');
  // An authority with the same name as the fleet's, but with its own key.
  impostors = await createFleet('fleet-a');
});

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => server.close(resolve))));
});

/** A server that greets whoever it lets in. `refused` holds what it turned away. */
async function serve(options: TlsOptions, expected?: ExpectedPeer) {
  const refused: Error[] = [];
  const server = createServer(options, (socket) => {
    socket.on('error', () => {});
    if (!socket.destroyed) socket.end('welcome');
  });
  if (expected) requirePeer(server, expected);
  server.on('tlsClientError', (error) => refused.push(error));
  servers.push(server);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  return { port: (server.address() as AddressInfo).port, refused };
}

/** What the server said; rejects with the reason if there was no conversation. */
function greet(port: number, options: ConnectionOptions, host = '127.0.0.1'): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({ ...options, socket: connectTcp(port, '127.0.0.1'), host });
    let heard = '';
    socket.on('data', (data) => {
      heard += data;
    });
    socket.on('error', reject);
    socket.on('close', () => (heard === '' ? reject(new Error('closed without a word')) : resolve(heard)));
  });
}

const coordinators = { ...A, role: 'coordinator' } as const;

describe('a coordinator calls a node', () => {
  it('both have the right certificates: they talk, in TLS 1.3', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')), coordinators);
    expect(await greet(port, tlsClientOptions(await fleet.issue('coordinator', 'c'), NODE_ONE))).toBe('welcome');
    expect(refused).toEqual([]);
  });

  it('the address does not matter, the name does', async () => {
    const { port } = await serve(tlsServerOptions(await fleet.issue('node', 'one')), coordinators);
    const client = await fleet.issue('coordinator', 'c');
    expect(await greet(port, tlsClientOptions(client, NODE_ONE), 'elsewhere.example')).toBe('welcome');
    const wrongName = tlsClientOptions(client, { ...NODE_ONE, name: 'two' });
    await expect(greet(port, wrongName)).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('a coordinator’s certificate cannot pass for a node’s', async () => {
    const { port } = await serve(tlsServerOptions(await fleet.issue('coordinator', 'one')));
    const call = greet(port, tlsClientOptions(await fleet.issue('coordinator', 'c'), NODE_ONE));
    await expect(call).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('a node’s certificate cannot pass for a coordinator’s', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')), coordinators);
    await expect(greet(port, tlsClientOptions(await fleet.issue('node', 'two'), NODE_ONE))).rejects.toThrow();
    expect((refused[0] as HoldfastError).code).toBe('forbidden');
  });

  it('a public certificate is refused as a client’s', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')));
    await expect(greet(port, tlsClientOptions(await fleet.issue('public', 'c'), NODE_ONE))).rejects.toThrow();
    expect(refused).toHaveLength(1);
  });

  it('a server of another authority is refused, though its names are right', async () => {
    const { port } = await serve(tlsServerOptions(await impostors.issue('node', 'one')));
    const call = greet(port, tlsClientOptions(await fleet.issue('coordinator', 'c'), NODE_ONE));
    await expect(call).rejects.toThrow(/certificate|signature/);
  });

  it('a client of another authority is refused, though its names are right', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')));
    const stranger = { ...(await impostors.issue('coordinator', 'c')), authorityPem: fleet.authorityPem };
    await expect(greet(port, tlsClientOptions(stranger, NODE_ONE))).rejects.toThrow();
    expect(refused).toHaveLength(1);
  });

  it('a client without a certificate is refused', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')));
    const { authorityPem } = fleet;
    await expect(greet(port, tlsClientOptions({ authorityPem }, NODE_ONE))).rejects.toThrow();
    expect(refused).toHaveLength(1);
  });

  it.each([
    ['expired', -2 * HOUR, -HOUR],
    ['not yet valid', HOUR, 2 * HOUR],
  ])('a certificate that is %s is refused on either side', async (_, begin, end) => {
    const lifetime = { notBefore: Date.now() + begin, notAfter: Date.now() + end };
    const good = { node: await fleet.issue('node', 'one'), coordinator: await fleet.issue('coordinator', 'c') };
    const server = await serve(tlsServerOptions(await fleet.issue('node', 'one', lifetime)));
    await expect(greet(server.port, tlsClientOptions(good.coordinator, NODE_ONE))).rejects.toThrow(
      /expired|not yet valid/,
    );

    const { port, refused } = await serve(tlsServerOptions(good.node));
    const client = await fleet.issue('coordinator', 'c', lifetime);
    await expect(greet(port, tlsClientOptions(client, NODE_ONE))).rejects.toThrow();
    expect(refused).toHaveLength(1);
  });

  it('TLS 1.2 is not spoken', async () => {
    const { port } = await serve(tlsServerOptions(await fleet.issue('node', 'one')));
    const options = tlsClientOptions(await fleet.issue('coordinator', 'c'), NODE_ONE);
    await expect(greet(port, { ...options, minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' })).rejects.toThrow(/version/i);
  });
});

describe('a server behind `requirePeer`', () => {
  it('knows the client of a resumed session', async () => {
    const { port, refused } = await serve(tlsServerOptions(await fleet.issue('node', 'one')), coordinators);
    const options = tlsClientOptions(await fleet.issue('coordinator', 'c'), NODE_ONE);
    const first = connect({ ...options, host: '127.0.0.1', port });
    const [[session]] = await Promise.all([once(first, 'session'), once(first.resume(), 'close')]);
    const second = connect({ ...options, host: '127.0.0.1', port, session });
    const reused = once(second, 'secureConnect').then(() => second.isSessionReused());
    const [[welcome]] = await Promise.all([once(second, 'data'), reused]);
    expect([await reused, String(welcome), refused]).toEqual([true, 'welcome', []]);
  });

  it('shows no request of anybody else to the application', async () => {
    const seen: unknown[] = [];
    const server = createHttpsServer(tlsServerOptions(await fleet.issue('node', 'one')), (incoming, answer) => {
      seen.push(incoming.url);
      answer.end('welcome');
    });
    requirePeer(server, coordinators);
    servers.push(server);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    const ask = async (role: 'node' | 'coordinator') => {
      const options = tlsClientOptions(await fleet.issue(role, 'x'), NODE_ONE);
      const request = get({ ...options, host: '127.0.0.1', port, path: `/${role}`, agent: false });
      const [answer] = await once(request, 'response');
      await once(answer.resume(), 'end');
    };
    await expect(ask('node')).rejects.toThrow();
    await ask('coordinator');
    expect(seen).toEqual(['/coordinator']);
  });
});

describe('anybody calls the public server', () => {
  const expected = { ...A, role: 'public' } as const;

  it('without a client certificate, by a host name of its certificate', async () => {
    const { port } = await serve(tlsPublicServerOptions(await fleet.issue('public', 'api')));
    const options = tlsClientOptions({ authorityPem: fleet.authorityPem }, expected);
    expect(await greet(port, { ...options, servername: 'localhost' }, 'localhost')).toBe('welcome');
    const elsewhere = greet(port, { ...options, servername: 'elsewhere.example' }, 'elsewhere.example');
    await expect(elsewhere).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });

  it('a node’s certificate does not make a public server', async () => {
    const { port } = await serve(tlsPublicServerOptions(await fleet.issue('node', 'api')));
    const options = tlsClientOptions({ authorityPem: fleet.authorityPem }, expected);
    await expect(greet(port, options, 'localhost')).rejects.toMatchObject({ code: 'forbidden' });
  });
});

describe('checkPeer', () => {
  it('gives the identity and insists on fleet, role and name', async () => {
    const certificate = new X509Certificate((await fleet.issue('node', 'one')).certificatePem);
    expect(checkPeer(certificate, { ...A, role: 'node' })).toEqual(NODE_ONE);
    expect(checkPeer(certificate.toLegacyObject() as unknown as PeerCertificate, NODE_ONE)).toEqual(NODE_ONE);
    for (const other of [
      { fleet: 'fleet-b' },
      { role: 'coordinator' },
      { role: 'public' },
      { name: 'ONE' },
      { name: '' },
    ]) {
      expect(() => checkPeer(certificate, { ...NODE_ONE, ...other } as ExpectedPeer)).toThrow(
        expect.objectContaining({ code: 'forbidden' }),
      );
    }
  });

  it('takes no certificate, an authority’s, or a broken one for nobody', () => {
    const authority = new X509Certificate(fleet.authorityPem);
    const broken = { raw: Buffer.from('30030201', 'hex') };
    for (const certificate of [{}, authority, broken, { raw: 'text' }]) {
      expect(() => checkPeer(certificate as PeerCertificate, { ...A, role: 'node' })).toThrow(
        expect.objectContaining({ code: 'forbidden' }),
      );
    }
  });
});
