/** The node's listener: who may connect, what a batch may hold, and what bad input gets. */

import { connect as tcpConnect } from 'node:net';
import { PassThrough } from 'node:stream';
import { connect as tlsConnect } from 'node:tls';
import fc from 'fast-check';
import { Pool, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_KINDS, HoldfastError, systemRandom, utf8 } from '../../src/core/index.ts';
import { blind } from '../../src/crypto/index.ts';
import { FrameConnection } from '../../src/http/index.ts';
import { createNodeServer, NODE_CONTENT_TYPE, NodeMetrics } from '../../src/node/http/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import {
  ARGUMENTS,
  blindHash,
  CONTENT,
  decodeAnswerContent,
  decodeNodeAnswer,
  decodeNodeBatchAnswer,
  encodeNodeBatch,
  encodeNodeRequest,
  MAXIMUM_BATCH_BYTES,
  type NodeAnswer,
  type NodeRequest,
  nodeAnswerWith,
} from '../../src/protocol/index.ts';
import { SoftwareToken } from '../../src/token/software.ts';
import { createFleet } from '../pki/fixtures.ts';
import { FLEET, LOOPBACK, NEVER, nodeName, silent, startNodes, TestClient, type TestNodes, until } from './fixtures.ts';

let nodes: TestNodes;
let pool: Pool;
const coordinatorPool = async (url: string, pki = nodes.pki, role: 'coordinator' | 'node' = 'coordinator') =>
  new Pool(url, {
    connect: tlsClientOptions(await pki.issue(role, 'somebody'), {
      fleet: FLEET,
      role: 'node',
      name: nodeName(1),
    }) as object,
  });

beforeAll(async () => {
  nodes = await startNodes(1);
  pool = await coordinatorPool(nodes.running[0]!.url);
});
afterAll(async () => {
  await pool.destroy();
  await nodes.close();
});

const post = (body: string | Uint8Array, type = NODE_CONTENT_TYPE, to = pool) =>
  to.request({ path: '/v1/node', method: 'POST', headers: { 'content-type': type }, body });
async function send(elements: readonly Uint8Array[], to = pool): Promise<NodeAnswer[]> {
  const response = await post(encodeNodeBatch(elements), NODE_CONTENT_TYPE, to);
  expect(response.statusCode).toBe(200);
  return decodeNodeBatchAnswer(await response.body.bytes()).map(decodeNodeAnswer);
}
const ask = async (asked: NodeRequest) => (await send([encodeNodeRequest(asked)]))[0]!;

describe('a batch', () => {
  it('is answered element by element, in order, malformed ones by their code', async () => {
    const info = encodeNodeRequest({ kind: 'info' });
    const unknown = encodeNodeRequest({ kind: 'head', record: new Uint8Array(32) });
    const answers = await send([info, Uint8Array.of(1, 2, 3), unknown, new Uint8Array(0), info]);
    expect(answers.map(({ code }) => code)).toEqual(['ok', 'malformed', 'not_found', 'malformed', 'ok']);
    expect(CONTENT.info.decode(answers[4]!.content!).phase).toBe('serving');
  });

  it('of any elements gets as many answers, each of a known code, and the node lives on', async () => {
    const valid = encodeNodeRequest({ kind: 'export', record: new Uint8Array(32) });
    const damaged = fc.tuple(fc.nat(valid.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, change]) => {
      const copy = valid.slice();
      copy[at]! ^= change;
      return copy;
    });
    const element = fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged);
    await fc.assert(
      fc.asyncProperty(fc.array(element, { maxLength: 5 }), async (elements) => {
        const answers = await send(elements);
        expect(answers.length).toBe(elements.length);
        for (const { code } of answers) expect(code === 'ok' || Object.hasOwn(ERROR_KINDS, code)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

describe('a body', () => {
  it.each<[string, string | Uint8Array, string, number, string]>([
    ['that is no batch', 'nonsense', NODE_CONTENT_TYPE, 400, 'malformed'],
    ['that is empty', '', NODE_CONTENT_TYPE, 400, 'malformed'],
    ['of another type', '{}', 'application/json', 400, 'malformed'],
    ['without a type', encodeNodeBatch([]), '', 400, 'malformed'],
    ['that is too large', new Uint8Array(MAXIMUM_BATCH_BYTES + 1), NODE_CONTENT_TYPE, 413, 'too_large'],
    ['with too many elements', Buffer.alloc(300 * 4 + 64), NODE_CONTENT_TYPE, 400, 'malformed'],
  ])('%s is a problem', async (_, body, type, status, code) => {
    const response = await post(body, type);
    expect(response.statusCode).toBe(status);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(await response.body.json()).toMatchObject({ type: `urn:holdfast:problem:${code}`, status, code });
  });

  it('of any bytes is a problem or a batch, never a failure of the service', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (body) => {
        const response = await post(body);
        expect([200, 400, 413]).toContain(response.statusCode);
        await response.body.dump();
      }),
      { numRuns: 60 },
    );
  });

  it('elsewhere finds nothing', async () => {
    const response = await pool.request({ path: '/v1/records', method: 'GET' });
    expect(response.statusCode).toBe(404);
    expect(await response.body.json()).toMatchObject({ code: 'not_found' });
  });
});

describe('frames', () => {
  const connection = async () => {
    const tls = tlsClientOptions(await nodes.pki.issue('coordinator', 'somebody'), {
      ...{ fleet: FLEET, role: 'node', name: nodeName(1) },
    });
    const limits = { connectTimeout: NEVER, idleTimeout: NEVER, maximumBytes: 100_000 };
    return (await FrameConnection.open({ url: nodes.running[0]!.url, tls, ...limits }, signal))!;
  };
  const { signal } = new AbortController();

  it('carry batches as HTTP does', async () => {
    const frames = await connection();
    const info = encodeNodeRequest({ kind: 'info' });
    const ask = async () =>
      decodeNodeBatchAnswer(await frames.request(encodeNodeBatch([info, Uint8Array.of(1)]), signal)).map(
        (answer) => decodeNodeAnswer(answer).code,
      );
    expect(await Promise.all([ask(), ask()])).toEqual([
      ['ok', 'malformed'],
      ['ok', 'malformed'],
    ]);
    frames.close();
  });

  it('that hold no batch end their connection, and nobody else’s', async () => {
    const other = await connection();
    for (const body of [utf8('nonsense'), new Uint8Array(0)]) {
      const frames = await connection();
      await expect(frames.request(body, signal)).rejects.toThrow('closed');
    }
    expect(decodeNodeBatchAnswer(await other.request(encodeNodeBatch([]), signal))).toEqual([]);
    other.close();
  });
});

describe('a connection', () => {
  it.each([
    ['with a certificate of another role', async () => coordinatorPool(nodes.running[0]!.url, nodes.pki, 'node')],
    [
      'with a certificate of another authority',
      async () => {
        const other = await createFleet(FLEET);
        const identity = { ...(await other.issue('coordinator', 'c')), authorityPem: nodes.pki.authorityPem };
        const peer = { fleet: FLEET, role: 'node', name: nodeName(1) } as const;
        return new Pool(nodes.running[0]!.url, { connect: tlsClientOptions(identity, peer) as object });
      },
    ],
    [
      'without a certificate',
      async () => {
        const peer = { fleet: FLEET, role: 'node', name: nodeName(1) } as const;
        const options = tlsClientOptions({ authorityPem: nodes.pki.authorityPem }, peer);
        return new Pool(nodes.running[0]!.url, { connect: options as object });
      },
    ],
  ])('%s is refused', async (_, open) => {
    const stranger = await open();
    await expect(send([encodeNodeRequest({ kind: 'info' })], stranger)).rejects.toThrow();
    await stranger.destroy();
  });

  it('that speaks no TLS, or stays silent after it, holds nobody else up', async () => {
    const { hostname, port } = new URL(nodes.running[0]!.url);
    const plain = tcpConnect(Number(port), hostname);
    plain.on('error', () => {});
    plain.write('GET / HTTP/1.1\r\n\r\n');
    const identity = await nodes.pki.issue('coordinator', 'slow');
    const slow = tlsConnect({
      ...tlsClientOptions(identity, { fleet: FLEET, role: 'node', name: nodeName(1) }),
      host: hostname,
      port: Number(port),
    });
    slow.on('error', () => {});
    slow.write(
      'POST /v1/node HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 99\r\n\r\nx',
    );
    expect((await ask({ kind: 'info' })).code).toBe('ok');
    plain.destroy();
    slow.destroy();
  });
});

describe('a client’s request', () => {
  const submit = async (request: Awaited<ReturnType<TestClient['openRequest']>>['request']) =>
    ask({ kind: 'submit', request, heads: [] });

  it('sealed, signed and allowed gets a vote; its evaluation opens for the client only', async () => {
    const client = new TestClient(nodes);
    const { blindedElement } = blind(utf8('input'), systemRandom);
    const { request: sent } = await client.openRequest(blindedElement, client.key.publicKey);
    const answer = await submit(sent);
    expect(answer.code).toBe('ok');
    expect(answer.statement).toBeDefined();
  });

  it.each<[string, Parameters<TestClient['userToken']>[0] | undefined, boolean, string]>([
    ['signed for another request', undefined, true, 'client_signature'],
    ['with an expired token', { issuedAt: Date.now() - 3_600_000 }, false, 'expired'],
    ['with a token for something else', { scope: ['status'] }, false, 'scope'],
  ])('%s is forbidden, the reason sealed to its client', async (_, token, signOther, reason) => {
    const client = new TestClient(nodes);
    const { blindedElement } = blind(utf8('input'), systemRandom);
    const args = { blindHash: blindHash(blindedElement), ownerKey: client.key.publicKey, takeover: false };
    const { request: sent, open } = await client.request('open', {
      generation: 1,
      arguments: ARGUMENTS.open.encode({ ...args, authorisation: undefined }),
      blindedElement,
      signOther,
      userToken: await client.userToken(token),
    });
    const answer = await submit(sent);
    expect(answer.code).toBe('forbidden');
    expect(answer.reason).not.toContain(reason);
    expect(decodeAnswerContent(await open.get(1)!(answer.sealed!))).toMatchObject({ code: 'forbidden', reason });
  });

  it('whose outer fields were changed under way does not open', async () => {
    const client = new TestClient(nodes);
    const { request: sent } = await client.statusRequest();
    expect((await submit({ ...sent, attempt: 1 })).code).toBe('malformed');
    const offCurve = { ...sent.sealed[0]!, enc: new Uint8Array(65).fill(4) };
    expect((await submit({ ...sent, sealed: [offCurve] })).code).toBe('malformed');
  });
});

describe('monitoring', () => {
  it('tells health, readiness and metrics on its own listener', async () => {
    const { monitoringUrl } = nodes.running[0]!;
    expect((await request(`${monitoringUrl}/healthz`)).statusCode).toBe(200);
    expect(await (await request(`${monitoringUrl}/readyz`)).body.json()).toEqual({ status: 'ready' });
    const metrics = await (await request(`${monitoringUrl}/metrics`)).body.text();
    for (const name of [
      'holdfast_node_phase{phase="serving"} 1',
      'holdfast_node_anchor_writes_total',
      'holdfast_node_refusals_total{code="malformed"}',
      'holdfast_node_batch_step_seconds_count{step="anchor"}',
      'holdfast_node_requests_total{kind="info",code="ok"}',
      'holdfast_token_operations_total{operation="sign"}',
      'holdfast_token_key_age_seconds',
      'holdfast_node_queue_depth 0',
      'holdfast_node_incarnation 2',
      'nodejs_eventloop_lag_seconds',
    ]) {
      expect(metrics).toContain(name);
    }
  });

  it('says of a node that repairs what it waits for', async () => {
    const repairing = await startNodes(3);
    const response = await request(`${repairing.running[0]!.monitoringUrl}/readyz`);
    expect(response.statusCode).toBe(503);
    expect(await response.body.json()).toEqual({
      status: 'not_ready',
      reason: 'repairing: has the heads of 0 of 2 nodes',
    });
    await repairing.close();
  });
});

describe('what is no request', () => {
  it.each([
    ['no HTTP', 'HELLO\r\n\r\n', 400, 'malformed'],
    ['an address that is none', 'GET /%E0%A4%A HTTP/1.1\r\nhost: x\r\n\r\n', 400, 'malformed'],
    ['headers without end', `GET / HTTP/1.1\r\nhost: x\r\na: ${'x'.repeat(40_000)}\r\n\r\n`, 413, 'too_large'],
  ])('%s is refused by a code of the closed list, and repeats nothing of it', async (_, sent, status, code) => {
    const { hostname: host, port } = new URL(nodes.running[0]!.url);
    const identity = await nodes.pki.issue('coordinator', 'somebody');
    const peer = { fleet: FLEET, role: 'node', name: nodeName(1) } as const;
    const options = tlsClientOptions(identity, peer) as object;
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = tlsConnect({ host, port: Number(port), ...options }, () => socket.write(sent));
      socket.setEncoding('utf8').on('data', (part: string) => {
        text += part;
        if (text.endsWith('}')) socket.end();
      });
      socket.on('close', () => resolve(text)).on('error', (error) => (text === '' ? reject(error) : resolve(text)));
    });
    expect(answer).toContain(`HTTP/1.1 ${status} `);
    expect(answer).toContain('application/problem+json');
    expect(JSON.parse(answer.slice(answer.indexOf('{')))).toMatchObject({ status, code });
    expect(answer).not.toContain('E0%A4');
  });
});

describe('monitoring behind the fleet’s certificates', () => {
  it('gives coordinators what the monitoring listener gives, and nobody else', async () => {
    const metrics = await pool.request({ path: '/metrics', method: 'GET' });
    expect(await metrics.body.text()).toContain('holdfast_node_phase{phase="serving"} 1');
    const ready = await pool.request({ path: '/readyz', method: 'GET' });
    expect(await ready.body.json()).toEqual({ status: 'ready' });
    const stranger = await coordinatorPool(nodes.running[0]!.url, await createFleet(FLEET));
    await expect(stranger.request({ path: '/metrics', method: 'GET' })).rejects.toThrow();
    await stranger.destroy();
    const node = await coordinatorPool(nodes.running[0]!.url, nodes.pki, 'node');
    await expect(node.request({ path: '/metrics', method: 'GET' })).rejects.toThrow();
    await node.destroy();
  });
});

describe('a node with its hands full', () => {
  async function serve(handle: (asked: NodeRequest) => Promise<NodeAnswer>, maximumInFlight = 100, more = {}) {
    const metrics = new NodeMetrics(new SoftwareToken(), silent, () => 0);
    const tls = await nodes.pki.issue('node', nodeName(1));
    const readiness = () => ({ ready: true, reason: '' });
    const server = createNodeServer({
      ...{ fleet: FLEET, tls, handle, metrics, readiness, log: silent, maximumInFlight, ...more },
    });
    return { server, to: await coordinatorPool(await server.listen(LOOPBACK)) };
  }

  it('answers overloaded beyond its limit, element by element', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = 0;
    const { server, to } = await serve(async () => {
      begun++;
      return held.then(() => nodeAnswerWith({}));
    }, 3);
    const answers = send(
      Array.from({ length: 5 }, () => encodeNodeRequest({ kind: 'info' })),
      to,
    );
    await until(() => begun === 3);
    const late = await send([Uint8Array.of(1)], to);
    release();
    expect(late[0]!.code).toBe('overloaded');
    expect((await answers).map(({ code }) => code)).toEqual(['ok', 'ok', 'ok', 'overloaded', 'overloaded']);
    await to.destroy();
    await server.close();
  });

  it('holds no more of half-sent batches than its limit, and answers others again once they are gone', async () => {
    const logged: unknown[] = [];
    const log = { ...silent, warn: () => {}, error: (line: unknown) => logged.push(line) };
    const { server, to } = await serve(async () => nodeAnswerWith({}), 100, { maximumHeldBytes: 100_000, log });
    const half = async () => {
      const source = new PassThrough();
      const abandoned = new AbortController();
      const response = to.request({
        ...{ path: '/v1/node', method: 'POST', headers: { 'content-type': NODE_CONTENT_TYPE } },
        ...{ body: source, signal: abandoned.signal },
      });
      response.catch(() => {});
      source.write(Buffer.alloc(70_000));
      return { response, abandoned };
    };
    const first = await half();
    const second = await half();
    // Whichever came first is waited for.
    const refused = await Promise.race([first.response, second.response]);
    expect([refused.statusCode, await refused.body.json()]).toMatchObject([503, { code: 'overloaded' }]);
    for (const { abandoned } of [first, second]) abandoned.abort();
    await until(async () => {
      const large = await post(Buffer.alloc(90_000), NODE_CONTENT_TYPE, to);
      return ((await large.body.json()) as { code: string }).code === 'malformed';
    });
    // Whoever went away in the middle is no fault of the service.
    expect(logged).toEqual([]);
    await to.destroy();
    await server.close();
  });

  it('answers what its logic throws without repeating its words', async () => {
    const { server, to } = await serve(async ({ kind }) => {
      throw kind === 'info' ? new Error('password=hunter2') : new HoldfastError('not_found', 'no such record');
    });
    const [failed, missing] = await send(
      [encodeNodeRequest({ kind: 'info' }), encodeNodeRequest({ kind: 'head', record: new Uint8Array(32) })],
      to,
    );
    expect(failed!.code).toBe('unexpected');
    expect(failed!.reason).not.toContain('hunter2');
    expect(missing).toMatchObject({ code: 'not_found', reason: 'no such record' });
    await to.destroy();
    await server.close();
  });

  it('finishes what is in flight when it is closed, and takes no more', async () => {
    let begun = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { server, to } = await serve(async () => {
      begun();
      await held;
      return nodeAnswerWith({ reason: 'finished' });
    });
    const answers = send([encodeNodeRequest({ kind: 'info' })], to);
    await started;
    const closed = server.close();
    release();
    expect((await answers)[0]!.reason).toBe('finished');
    await closed;
    await expect(send([encodeNodeRequest({ kind: 'info' })], to)).rejects.toThrow();
    await to.destroy();
  });
});
