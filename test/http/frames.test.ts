/** Frames on a server that also speaks HTTP: whole requests only, bounded in size, number and time. */

import { once } from 'node:events';
import { createServer, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type TLSSocket, connect as tlsConnect } from 'node:tls';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../src/core/index.ts';
import { encodeFrame, FRAMES_PROTOCOL, FrameReader, numberAfter } from '../../src/http/frames.ts';
import { FRAME_SERVER_PROTOCOLS, FrameConnection, type FrameServerOptions, serveFrames } from '../../src/http/index.ts';
import { requirePeer, tlsClientOptions, tlsServerOptions } from '../../src/pki/index.ts';
import { createFleet, type TestFleet } from '../pki/fixtures.ts';
import { FLEET, NEVER } from './fixtures.ts';

let pki: TestFleet;
const cleanUp: (() => Promise<unknown> | unknown)[] = [];

beforeAll(async () => {
  pki = await createFleet(FLEET);
});
afterEach(async () => {
  for (const step of cleanUp.splice(0).reverse()) await step();
});

describe('a reader of frames', () => {
  it('gives the same frames however the bytes are cut', () => {
    const frame = fc.record({
      number: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      body: fc.uint8Array({ maxLength: 50 }),
    });
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 6 }), fc.array(fc.nat(400)), (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(({ number, body }) => encodeFrame(number, body)));
        const places = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length];
        const found: { number: number; body: Uint8Array }[] = [];
        const reader = new FrameReader(50, (number, body) => found.push({ number, body: Uint8Array.from(body) }));
        places.slice(1).forEach((end, i) => {
          reader.push(bytes.subarray(places[i], end));
        });
        expect(found).toEqual(frames.map(({ number, body }) => ({ number, body: Uint8Array.from(body) })));
        expect([reader.isPartial, reader.frames]).toEqual([false, frames.length]);
      }),
    );
  });

  it('refuses a frame that says that it is too large, before it has come', () => {
    const reader = new FrameReader(50, () => {});
    expect(() => reader.push(encodeFrame(1, new Uint8Array(51)).subarray(0, 8))).toThrow(
      expect.objectContaining({ code: 'too_large' }),
    );
  });

  it('holds what comes byte by byte in few pieces, since each costs far more than its byte', () => {
    const body = Uint8Array.from({ length: 20_000 }, (_, i) => i & 0xff);
    let found: Uint8Array | undefined;
    const reader = new FrameReader(20_000, (_, whole) => {
      found = Uint8Array.from(whole);
    });
    const bytes = encodeFrame(1, body);
    let most = 0;
    for (let at = 0; at < bytes.length; at++) {
      reader.push(Buffer.from(bytes.subarray(at, at + 1)));
      most = Math.max(most, reader.heldPieces);
    }
    expect(found).toEqual(body);
    expect(most).toBeLessThan(400);
    expect([reader.heldBytes, reader.heldPieces]).toEqual([0, 0]);
  });

  it('has numbers that come round', () => {
    expect([numberAfter(0), numberAfter(2 ** 32 - 1)]).toEqual([1, 0]);
  });
});

/** Answers with what it was sent; `bad` is refused, and what begins with `hold` waits to be let go. */
async function serve(options: Partial<FrameServerOptions> = {}) {
  const faults: HoldfastError[] = [];
  const held: (() => void)[] = [];
  const server = createServer(
    { ...tlsServerOptions(await pki.issue('node', 'node-1')), ALPNProtocols: FRAME_SERVER_PROTOCOLS },
    (_request, response) => response.end('by HTTP'),
  );
  const frames = serveFrames(server, {
    ...{
      maximumBytes: 1000,
      maximumHeldBytes: 1_000_000,
      requestTimeout: NEVER,
      idleTimeout: NEVER,
      closeDeadline: NEVER,
    },
    answer: async (body) => {
      const text = Buffer.from(body).toString();
      if (text === 'bad') throw new HoldfastError('malformed', 'this is bad');
      if (text.startsWith('hold')) await new Promise<void>((resolve) => held.push(resolve));
      return Uint8Array.from(body);
    },
    onFault: (error) => faults.push(error),
    ...options,
  });
  requirePeer(server, { fleet: FLEET, role: 'coordinator' });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanUp.push(async () => {
    for (const release of held) release();
    server.closeAllConnections();
    server.close();
    await frames.close();
  });
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, server, frames, faults, held };
}

const never = new AbortController().signal;
const tlsOf = async (role: 'coordinator' | 'node' = 'coordinator') =>
  tlsClientOptions(await pki.issue(role, 'somebody'), { fleet: FLEET, role: 'node', name: 'node-1' });

async function open(url: string, role?: 'coordinator' | 'node'): Promise<FrameConnection> {
  const limits = { connectTimeout: NEVER, idleTimeout: NEVER, maximumBytes: 70_000 };
  const connection = await FrameConnection.open({ url, tls: await tlsOf(role), ...limits }, never);
  cleanUp.push(() => connection?.close());
  return connection!;
}

/** A connection of which the test sends every byte itself. */
async function raw(url: string): Promise<TLSSocket> {
  const { hostname, port } = new URL(url);
  const socket = tlsConnect({
    ...(await tlsOf()),
    host: hostname,
    port: Number(port),
    ALPNProtocols: [FRAMES_PROTOCOL],
  });
  cleanUp.push(() => socket.destroy());
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  return socket;
}

/** Resolves however it ended: who is cut may be told so by a reset. */
const goneOf = (socket: TLSSocket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

const ask = async (connection: FrameConnection, text: string) =>
  Buffer.from(await connection.request(utf8(text), never)).toString();

describe('a server of frames', () => {
  it('answers many requests of one connection, each its own, also out of order', async () => {
    const { url, held } = await serve();
    const connection = await open(url);
    const late = ask(connection, 'hold me');
    // More than are read at a time, and the first of them still waits.
    const texts = Array.from({ length: 60 }, (_, i) => `request ${i}`);
    expect(await Promise.all(texts.map((text) => ask(connection, text)))).toEqual(texts);
    expect(held.length).toBe(1);
    held[0]!();
    expect(await late).toBe('hold me');
  });

  it('reads no more than a few requests ahead of its answers', async () => {
    const { url, held } = await serve({ maximumBytes: 70_000 });
    const connection = await open(url);
    // Each larger than what comes in one piece.
    const bodies = Array.from({ length: 12 }, () => Buffer.from(`hold${'x'.repeat(69_000)}`));
    const answers = bodies.map((body) => connection.request(body, never).catch(() => undefined));
    while (held.length < 4) await new Promise(setImmediate);
    await ask(await open(url), 'time for more to be read');
    expect(held.length).toBeLessThanOrEqual(5);
    const release = setInterval(() => held.shift()?.(), 1);
    const lengths = (await Promise.all(answers)).map((answer) => answer?.length);
    clearInterval(release);
    expect(lengths).toEqual(bodies.map((body) => body.length));
  });

  it('begins few of the requests that come in one piece, and the others in their turn', async () => {
    const { url, held } = await serve();
    const socket = await raw(url);
    const found: number[] = [];
    const reader = new FrameReader(1000, (number) => found.push(number));
    socket.on('data', (piece: Buffer) => reader.push(piece));
    const frames = Array.from({ length: 300 }, (_, number) => encodeFrame(number, utf8('hold')));
    socket.write(Buffer.concat(frames));
    while (held.length < 4) await new Promise(setImmediate);
    await ask(await open(url), 'time for more to be begun');
    expect(held.length).toBe(4);
    while (found.length < 300) {
      held.shift()?.();
      await new Promise(setImmediate);
    }
    expect(found).toEqual(Array.from({ length: 300 }, (_, number) => number));
  });

  it('answers also what waits for its turn before it closes', async () => {
    const { url, frames, held } = await serve();
    const socket = await raw(url);
    const found: number[] = [];
    const reader = new FrameReader(1000, (number) => found.push(number));
    socket.on('data', (piece: Buffer) => reader.push(piece));
    socket.write(Buffer.concat(Array.from({ length: 9 }, (_, number) => encodeFrame(number, utf8('hold')))));
    while (held.length < 4) await new Promise(setImmediate);
    const gone = goneOf(socket);
    const closed = frames.close();
    for (let i = 0; i < 9; i++) {
      while (held.length === 0) await new Promise(setImmediate);
      held.shift()!();
    }
    await Promise.all([closed, gone]);
    expect(found).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('cuts the connection that makes it hold the most, once it holds too much', async () => {
    const { url, faults } = await serve({ maximumBytes: 100_000, maximumHeldBytes: 150_000 });
    const modest = await raw(url);
    const greedy = await raw(url);
    const closed = goneOf(greedy);
    const whole = encodeFrame(1, new Uint8Array(60_000));
    modest.write(whole.subarray(0, 55_000));
    greedy.write(encodeFrame(1, new Uint8Array(100_000)).subarray(0, 99_000));
    await closed;
    expect(faults).toMatchObject([{ code: 'overloaded' }]);
    const answered = once(modest, 'data');
    modest.write(whole.subarray(55_000));
    await answered;
    expect(faults.length).toBe(1);
  });

  it('keeps so many connections, and cuts for one more the one that asked nothing for the longest', async () => {
    const { url, faults } = await serve({ maximumConnections: 2 });
    const [first, second] = [await open(url), await open(url)];
    await ask(second, 'second');
    await ask(first, 'first');
    const third = await open(url);
    expect(await ask(third, 'third')).toBe('third');
    expect(faults).toMatchObject([{ code: 'overloaded' }]);
    expect(await ask(first, 'still here')).toBe('still here');
    await expect(ask(second, 'gone')).rejects.toThrow();
  });

  it('cuts a connection that asks and takes no answer', async () => {
    // More than the buffers of both systems hold of a connection.
    const answer = async () => new Uint8Array(20_000_000);
    const { url, faults } = await serve({ answer, maximumHeldBytes: 30_000_000 });
    const socket = await raw(url);
    socket.pause();
    const closed = goneOf(socket);
    socket.write(Buffer.concat(Array.from({ length: 4 }, (_, number) => encodeFrame(number, utf8('much')))));
    while (faults.length === 0) await new Promise(setImmediate);
    expect(faults).toMatchObject([{ code: 'overloaded' }]);
    socket.resume();
    await closed;
  });

  it('leaves those who speak HTTP to HTTP', async () => {
    const { url } = await serve();
    const asked = request(url, { ...(await tlsOf()), agent: false }).end();
    const [response] = (await once(asked, 'response')) as [AsyncIterable<Buffer>];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('by HTTP');
  });

  it('serves nobody of another role', async () => {
    const { url, faults } = await serve();
    const connection = await open(url, 'node');
    await expect(ask(connection, 'hello')).rejects.toThrow();
    expect(faults).toEqual([]);
  });

  it.each([
    ['it cannot answer', 'malformed', encodeFrame(1, utf8('bad'))],
    ['that is too large', 'too_large', encodeFrame(1, new Uint8Array(1001)).subarray(0, 20)],
  ])('cuts a connection with a request %s, and no other', async (_, code, bytes) => {
    const { url, faults } = await serve();
    const other = await open(url);
    const socket = await raw(url);
    const closed = goneOf(socket);
    socket.write(bytes);
    await closed;
    expect(faults).toMatchObject([{ code }]);
    expect(await ask(other, 'still here')).toBe('still here');
  });

  it('cuts a connection whose request does not arrive in time, however often a byte of it comes', async () => {
    const { url, faults } = await serve({ requestTimeout: 100 });
    const socket = await raw(url);
    const closed = goneOf(socket);
    const bytes = encodeFrame(1, new Uint8Array(900));
    let at = 0;
    const drip = setInterval(() => socket.write(bytes.subarray(at, ++at)), 10);
    await closed;
    clearInterval(drip);
    expect(at).toBeLessThan(900);
    expect(faults).toMatchObject([{ code: 'malformed' }]);
  });

  it('closes a connection on which nothing comes', async () => {
    const { url } = await serve({ idleTimeout: 50 });
    const socket = await raw(url);
    socket.resume();
    await goneOf(socket);
    expect(socket.destroyed).toBe(true);
  });

  it('answers what it was asked before it closes', async () => {
    const { url, frames, held } = await serve();
    const connection = await open(url);
    const waiting = ask(connection, 'hold on');
    while (held.length === 0) await new Promise(setImmediate);
    const closed = frames.close();
    held[0]!();
    expect(await waiting).toBe('hold on');
    await closed;
    await expect(ask(connection, 'more')).rejects.toThrow();
  });
});

describe('a client of frames', () => {
  it('that gives one request up asks nothing more on that connection, but hears the others out', async () => {
    const { url, held } = await serve();
    const connection = await open(url);
    const impatient = new AbortController();
    const given = expect(connection.request(utf8('hold 1'), impatient.signal)).rejects.toThrow('enough');
    const other = ask(connection, 'hold 2');
    while (held.length < 2) await new Promise(setImmediate);
    impatient.abort(new Error('enough'));
    await given;
    expect(connection.isUsable).toBe(false);
    await expect(ask(connection, 'one more')).rejects.toThrow('closed');
    for (const release of held) release();
    expect(await other).toBe('hold 2');
  });

  it('learns that a server speaks HTTP only', async () => {
    const server = createServer(tlsServerOptions(await pki.issue('node', 'node-1')));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanUp.push(() => server.close());
    expect(await open(`https://127.0.0.1:${(server.address() as AddressInfo).port}`)).toBeUndefined();
  });
});
