/** The coordinator's way to a node: batches, timeouts, nodes that hang, refuse, lie, or are somebody else. */

import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect as connectTcp, createServer as createTcpServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HttpNodeTransport } from '../../src/coordinator/http/index.ts';
import { systemClock } from '../../src/core/index.ts';
import { encodeFrame, FRAMES_PROTOCOL, FrameReader } from '../../src/http/frames.ts';
import { type TlsIdentity, tlsServerOptions } from '../../src/pki/index.ts';
import {
  decodeNodeBatch,
  decodeNodeRequest,
  encodeNodeAnswer,
  encodeNodeBatchAnswer,
  type NodeRequest,
  nodeAnswerWith,
} from '../../src/protocol/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { reservePorts } from '../ports.ts';
import { FLEET } from './fixtures.ts';

let pki: TestFleet;
const cleanUp: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  pki = await createFleet(FLEET);
});
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

const head = (i: number): NodeRequest => ({ kind: 'head', record: new Uint8Array(32).fill(i) });
const request: NodeRequest<'submit'>['request'] = {
  ...{ fleet: FLEET, epoch: 1, operation: 'open', record: new Uint8Array(32), generation: 1, attempt: 0 },
  arguments: new Uint8Array(0),
  sealed: [],
};
/** What an enrolment asks of every node, the one before the nodes agree, the other once enough of them have. */
const OPENING: readonly NodeRequest[] = [
  { kind: 'submit', request, heads: [] },
  { kind: 'evaluate', request, certificate: new Uint8Array(0) },
];
/** Answers that carry the record they were asked for, so that each caller can tell its own. */
const echo = (batch: readonly Uint8Array[]) =>
  encodeNodeBatchAnswer(
    batch.map((element) => {
      const request = decodeNodeRequest(element);
      return encodeNodeAnswer(nodeAnswerWith(request.kind === 'head' ? { content: request.record } : {}));
    }),
  );

/** How a node under test answers one batch. */
interface Reply {
  end(bytes: Uint8Array): void;
  /** Answers with an error of the transport. */
  refuse(): void;
  /** Sends a little now and then, and never all. */
  drip(): void;
}
type Handler = (batch: Uint8Array[], reply: Reply) => void;

/** A node of the version before frames. */
async function httpServer(handler: Handler, tls: TlsIdentity): Promise<{ server: Server; cut: () => void }> {
  const server = createServer(tlsServerOptions(tls), async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    handler(decodeNodeBatch(Buffer.concat(chunks)), {
      end: (bytes) => response.end(bytes),
      refuse: () => response.writeHead(503).end(),
      drip: () => {
        const drip = setInterval(() => response.write('x'), 20);
        response.on('close', () => clearInterval(drip));
      },
    });
  });
  return { server, cut: () => server.closeAllConnections() };
}

async function frameServer(handler: Handler, tls: TlsIdentity): Promise<{ server: Server; cut: () => void }> {
  const sockets = new Set<TLSSocket>();
  const server = createTlsServer({ ...tlsServerOptions(tls), ALPNProtocols: [FRAMES_PROTOCOL] }, (socket) => {
    sockets.add(socket);
    const reader = new FrameReader(2 ** 24, (number, body) => {
      handler(decodeNodeBatch(body), {
        end: (bytes) => socket.write(encodeFrame(number, bytes)),
        refuse: () => socket.destroy(),
        drip: () => {
          socket.write(encodeFrame(number, new Uint8Array(1000)).subarray(0, 10));
          const drip = setInterval(() => socket.write('x'), 20);
          socket.on('close', () => clearInterval(drip));
        },
      });
    });
    socket.on('data', (piece: Buffer) => reader.push(piece)).on('error', () => {});
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return { server: server as Server, cut };
}

/** A port that is listened at again after it was closed is a reserved one: any other may be somebody else's by then. */
async function listenWith(make: typeof httpServer, handler: Handler, name = 'node-1', port = 0) {
  const batches: number[] = [];
  const counted: Handler = (batch, reply) => {
    batches.push(batch.length);
    handler(batch, reply);
  };
  const { server, cut } = await make(counted, await pki.issue('node', name));
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    cut();
    return new Promise((resolve) => server.close(resolve));
  };
  cleanUp.push(close);
  const { port: taken } = server.address() as AddressInfo;
  return { url: `https://127.0.0.1:${taken}`, port: taken, batches, cut, close };
}

/** Milliseconds. Only a node that hangs comes to this end, in tests that name a shorter one. */
const LONG = 60_000;

async function connect(urls: readonly string[], timeout = LONG, clock = systemClock) {
  const transport = new HttpNodeTransport({
    fleet: FLEET,
    tls: await pki.issue('coordinator', 'coordinator-1'),
    nodes: urls.map((url, i) => ({ node: i + 1, url, name: `node-${i + 1}` })),
    timeout,
    clock,
  });
  cleanUp.push(() => transport.close());
  return transport;
}

const answerAll: Handler = (batch, reply) => reply.end(echo(batch));
const refused = { code: 'no_majority' };

describe.each([
  ['HTTP', httpServer],
  ['frames', frameServer],
])('over %s:', (_name, make) => {
  const listen = (handler: Handler, name?: string, port?: number) => listenWith(make, handler, name, port);

  describe('batches', () => {
    it('carry a hundred concurrent requests in a few exchanges, each caller getting its own answer', async () => {
      const node = await listen(answerAll);
      const transport = await connect([node.url]);
      const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => transport.send(1, head(i))));
      expect(answers.map(({ content }) => content![0])).toEqual(Array.from({ length: 100 }, (_, i) => i));
      expect(node.batches.length).toBeLessThanOrEqual(4);
      expect(node.batches.reduce((sum, size) => sum + size)).toBe(100);
    });

    it('number at most two in flight; what arrives meanwhile travels in the next one, at most 256 together', async () => {
      const held: (() => void)[] = [];
      const node = await listen((batch, reply) => held.push(() => answerAll(batch, reply)));
      const transport = await connect([node.url]);
      const first = transport.send(1, head(1));
      while (held.length < 1) await new Promise(setImmediate);
      const second = transport.send(1, head(2));
      while (held.length < 2) await new Promise(setImmediate);
      const rest = Array.from({ length: 300 }, (_, i) => transport.send(1, head(i % 200)));
      held.shift()!();
      await first;
      while (held.length < 2) await new Promise(setImmediate);
      expect(node.batches).toEqual([1, 1, 256]);
      const release = setInterval(() => held.shift()?.(), 1);
      await Promise.all([second, ...rest]);
      clearInterval(release);
      expect(node.batches).toEqual([1, 1, 256, 44]);
    });

    it('after one of several elements wait a moment for company; single ones wait for nothing', async () => {
      const node = await listen(answerAll);
      let now = 1000;
      const transport = await connect([node.url], LONG, { ...systemClock, now: () => now });
      await Promise.all([1, 2, 3].map((i) => transport.send(1, head(i))));
      const fourth = transport.send(1, head(4));
      // It would have left by now. No timer runs in between, however slow the machine is.
      await Promise.resolve();
      const fifth = transport.send(1, head(5));
      await Promise.all([fourth, fifth]);
      expect(node.batches).toEqual([3, 2]);
      now += 20;
      await transport.send(1, head(6));
      const seventh = transport.send(1, head(7));
      await new Promise(setImmediate);
      await Promise.all([seventh, transport.send(1, head(8))]);
      expect(node.batches).toEqual([3, 2, 1, 1, 1]);
    });

    it('of background work do not hold up those of clients', async () => {
      const node = await listen((batch, reply) => {
        if (decodeNodeRequest(batch[0]!).kind === 'head') answerAll(batch, reply);
      });
      const transport = await connect([node.url]);
      const background = Array.from({ length: 8 }, () => transport.send(1, { kind: 'info' }));
      const settled = Promise.allSettled(background);
      expect((await transport.send(1, head(7))).code).toBe('ok');
      // None of them was answered meanwhile.
      await transport.close();
      expect((await settled).every(({ status }) => status === 'rejected')).toBe(true);
    });
  });

  describe('a node that fails', () => {
    it('by refusing connections is refused quickly, and costs the others nothing', async () => {
      const gone = await listen(answerAll);
      await gone.close();
      const alive = await listen(answerAll, 'node-2');
      // A timeout that nobody could wait for.
      const transport = await connect([gone.url, alive.url], 3_600_000);
      await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
      expect((await transport.send(2, head(1))).code).toBe('ok');
    });

    it('is not asked again at once, and is found again when it is back', async () => {
      let up = false;
      const node = await listen((batch, reply) => {
        if (up) answerAll(batch, reply);
        else reply.refuse();
      });
      let now = 1000;
      const transport = await connect([node.url], LONG, { ...systemClock, now: () => now });
      for (let i = 0; i < 20; i++) await expect(transport.send(1, head(i))).rejects.toMatchObject(refused);
      // Over a connection that was cut it is asked once more.
      const before = node.batches.length;
      expect(before).toBeLessThanOrEqual(2);
      up = true;
      now += 50;
      expect((await transport.send(1, head(1))).code).toBe('ok');
      expect(node.batches.length).toBe(before + 1);
    });

    it.each(OPENING)(
      'is waited for by the $kind of an opening, no longer than it is left alone, and by nobody else',
      async (open) => {
        let up = false;
        const node = await listen((batch, reply) => {
          if (up) answerAll(batch, reply);
          else reply.refuse();
        });
        let now = 1000;
        const slept: number[] = [];
        const sleep = async (milliseconds: number) => {
          slept.push(milliseconds);
          // As timers do.
          now += Math.floor(milliseconds);
        };
        const transport = await connect([node.url], LONG, { now: () => now, sleep });
        for (let i = 0; i < 3; i++) await expect(transport.send(1, head(i))).rejects.toMatchObject(refused);
        expect(slept).toEqual([]);
        // It is still away: that is all that is waited for it.
        await expect(transport.send(1, open)).rejects.toMatchObject(refused);
        expect(slept.length).toBe(1);
        up = true;
        await expect(transport.send(1, head(4))).rejects.toMatchObject(refused);
        expect((await transport.send(1, open)).code).toBe('ok');
        expect(slept.length).toBe(2);
        for (const milliseconds of slept) expect(milliseconds).toBeLessThanOrEqual(1000);
        expect((await transport.send(1, open)).code).toBe('ok');
        expect(slept.length).toBe(2);
      },
    );

    it.each(OPENING)(
      'to which no connection comes about in time is tried again for the $kind of an opening, and for nothing else',
      async (open) => {
        const node = await listen(answerAll);
        // Before it, connections that it takes no notice of for a while.
        let stalled = 1;
        const sockets = new Set<Socket>();
        const before = createTcpServer((socket) => {
          sockets.add(socket.on('error', () => {}));
          if (stalled-- > 0) return;
          const through = connectTcp(node.port, '127.0.0.1');
          sockets.add(through.on('error', () => {}));
          socket.pipe(through).pipe(socket);
        });
        before.listen(0, '127.0.0.1');
        await once(before, 'listening');
        cleanUp.push(() => {
          for (const socket of sockets) socket.destroy();
          return new Promise((resolve) => before.close(resolve));
        });
        const transport = await connect([`https://127.0.0.1:${(before.address() as AddressInfo).port}`]);
        const other = transport.send(1, head(1));
        const answer = transport.send(1, open);
        await expect(other).rejects.toMatchObject(refused);
        expect((await answer).code).toBe('ok');
      },
    );

    it('by hanging costs its callers their timeout and later ones nothing once it goes on', async () => {
      let hanging = true;
      const node = await listen((batch, reply) => {
        if (!hanging) answerAll(batch, reply);
      });
      const timeout = 500;
      const transport = await connect([node.url], timeout);
      const stuck = Array.from({ length: 20 }, (_, i) => transport.send(1, head(i)));
      // Timers go off in their order, however late: all end before two of them could one after the other.
      const two = new Promise<string>((resolve) => setTimeout(resolve, 2 * timeout, 'two'));
      const settled = Promise.allSettled(stuck);
      expect(await Promise.race([settled.then(() => 'all'), two])).toBe('all');
      for (const { status } of await settled) expect(status).toBe('rejected');
      hanging = false;
      for (;;) {
        const answer = await transport.send(1, head(1)).catch(() => undefined);
        if (answer?.code === 'ok') break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });

    it('by sending its answer drop by drop is cut off in time', async () => {
      let dripping = true;
      const node = await listen((batch, reply) => {
        if (!dripping) return answerAll(batch, reply);
        reply.drip();
      });
      const transport = await connect([node.url], 500);
      for (let i = 0; i < 2; i++) await expect(transport.send(1, head(i))).rejects.toMatchObject(refused);
      dripping = false;
      for (;;) {
        const answer = await transport.send(1, head(1)).catch(() => undefined);
        if (answer?.code === 'ok') break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });

    it.each([
      ['bytes that are no batch', () => Buffer.from('nonsense')],
      ['fewer answers than requests', () => encodeNodeBatchAnswer([])],
      ['an answer that is none', () => encodeNodeBatchAnswer([Uint8Array.of(1, 2, 3)])],
    ])('with %s gets its caller a refusal', async (_, body) => {
      const node = await listen((_batch, reply) => reply.end(body()));
      const transport = await connect([node.url]);
      await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
    });

    it('under another node’s name gets no request', async () => {
      const node = await listen(answerAll, 'node-9');
      const transport = await connect([node.url]);
      await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
      expect(node.batches).toEqual([]);
    });
  });

  describe('closing', () => {
    it('refuses what waits and what comes', async () => {
      const node = await listen(() => {});
      const transport = await connect([node.url]);
      const waiting = expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
      await transport.close();
      await waiting;
      await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
    });

    it('a kept connection that the node closed meanwhile costs no answer', async () => {
      const node = await listen(answerAll, 'node-1', await reservePorts());
      const transport = await connect([node.url]);
      await transport.send(1, head(1));
      await node.close();
      const again = await listen(answerAll, 'node-1', node.port);
      expect((await transport.send(1, head(2))).content![0]).toBe(2);
      expect(again.batches).toEqual([1]);
    });

    it('an unknown node is unreachable', async () => {
      const transport = await connect([]);
      await expect(transport.send(3, head(1))).rejects.toMatchObject(refused);
    });
  });
});

describe('a node that is upgraded', () => {
  it('is asked in frames once it knows them, and over HTTP again where it is taken back', async () => {
    const before = await listenWith(httpServer, answerAll, 'node-1', await reservePorts());
    const transport = await connect([before.url]);
    const answered = async () => {
      for (;;) {
        const answer = await transport.send(1, head(1)).catch(() => undefined);
        if (answer?.code === 'ok') return;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    await answered();
    await before.close();
    await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
    const after = await listenWith(frameServer, answerAll, 'node-1', before.port);
    await answered();
    expect(after.batches.length).toBeGreaterThan(0);
    await after.close();
    const back = await listenWith(httpServer, answerAll, 'node-1', before.port);
    await answered();
    expect(back.batches.length).toBeGreaterThan(0);
  });
});

describe('a node over frames', () => {
  it('that answers what was not asked loses its connection', async () => {
    let asked = 0;
    const make: typeof httpServer = async (_handler, tls) => {
      const server = createTlsServer({ ...tlsServerOptions(tls), ALPNProtocols: [FRAMES_PROTOCOL] }, (socket) => {
        socket
          .on('error', () => {})
          .once('data', () => {
            asked++;
            socket.write(encodeFrame(7, encodeNodeBatchAnswer([])));
          });
      });
      return { server: server as Server, cut: () => {} };
    };
    const node = await listenWith(make, () => {});
    const transport = await connect([node.url]);
    await expect(transport.send(1, head(1))).rejects.toMatchObject(refused);
    expect(asked).toBe(2);
  });
});
