/** The public API: what it takes and gives, what bad input gets, its limits, and the document that describes it. */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { documents } from '../../scripts/write-documents.ts';
import { CoordinatorMetrics, createCoordinatorServer, openApiDocument } from '../../src/coordinator/http/index.ts';
import type { CoordinatorServerOptions } from '../../src/coordinator/http/server.ts';
import type { NodeInfo } from '../../src/coordinator/index.ts';
import { ERROR_KINDS, type ErrorCode, HoldfastError, systemRandom, utf8 } from '../../src/core/index.ts';
import {
  type ClientAnswer,
  type ClientRequest,
  clientAnswerFromJson,
  clientRequestToJson,
  OPERATIONS,
} from '../../src/protocol/index.ts';
import { FLEET, LOOPBACK, silent } from './fixtures.ts';

const ORIGIN = 'https://app.example';
const answer: ClientAnswer = {
  nodes: [
    { node: 1, code: 'ok', statement: Uint8Array.of(1), head: undefined, sealed: Uint8Array.of(2) },
    { node: 3, code: 'waiting', statement: undefined, head: Uint8Array.of(3), sealed: undefined },
  ],
  certificate: Uint8Array.of(4),
  portable: undefined,
};
const good: ClientRequest = {
  fleet: FLEET,
  epoch: 1,
  operation: 'attempt',
  record: systemRandom(32),
  generation: 1,
  attempt: 1,
  arguments: Uint8Array.of(1, 2),
  sealed: [{ node: 1, enc: systemRandom(65), ciphertext: systemRandom(100) }],
};
const goodJson = clientRequestToJson(good);

const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

async function serve(changes: Partial<CoordinatorServerOptions> = {}) {
  const seen: ClientRequest[] = [];
  const app = await createCoordinatorServer({
    fleet: { fleet: FLEET, epoch: 1, nodes: [1, 2, 3] },
    tls: undefined,
    handle: async (request) => {
      seen.push(request);
      return answer;
    },
    readiness: () => ({ ready: false, reason: '1 of 3 nodes serve, 2 are needed' }),
    infos: () => new Map(),
    metrics: new CoordinatorMetrics(silent),
    log: silent,
    rateLimit: undefined,
    allowedOrigins: [],
    trustedProxies: [],
    maximumInFlight: 10,
    ...changes,
  });
  cleanUp.push(() => app.close());
  const url = await app.listen(LOOPBACK);
  const post = (body: unknown, operation = 'attempt', headers: Record<string, string> = {}) =>
    fetch(`${url}/v1/${operation}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { url, app, seen, post };
}

async function expectProblem(response: Response, code: ErrorCode) {
  expect(response.headers.get('content-type')).toContain('application/problem+json');
  const { title, status, retryable } = ERROR_KINDS[code];
  const body = await response.json();
  expect(body).toEqual({
    type: `urn:holdfast:problem:${code}`,
    title,
    status,
    detail: expect.stringMatching(/./),
    code,
    retryable,
  });
  expect(response.status).toBe(status);
  return body;
}

describe('an operation', () => {
  it.each(OPERATIONS)('%s reaches the coordinator as it was sent, and its answer the client', async (operation) => {
    const { post, seen } = await serve();
    const response = await post(goodJson, operation);
    expect(response.status).toBe(200);
    expect(clientAnswerFromJson(await response.json())).toEqual(answer);
    expect(seen).toEqual([{ ...good, operation }]);
  });

  it.each<ErrorCode>(['no_majority', 'malformed', 'not_ready'])('that fails with %s is its problem', async (code) => {
    const { post } = await serve({
      handle: async () => {
        throw new HoldfastError(code, 'say this');
      },
    });
    expect((await expectProblem(await post(goodJson), code)).detail).toBe('say this');
  });

  it('that fails unforeseen tells the client nothing of why', async () => {
    const { post } = await serve({
      handle: async () => {
        throw new Error('password=hunter2');
      },
    });
    expect((await expectProblem(await post(goodJson), 'unexpected')).detail).not.toContain('hunter2');
  });

  it('at an address that is no URL is malformed, in the same form', async () => {
    const { url } = await serve();
    await expectProblem(await fetch(`${url}/v1/%zz`), 'malformed');
  });

  it('beyond the limit in flight is overloaded', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const handle = () => {
      begun();
      return held.then(() => answer);
    };
    const { post } = await serve({ handle, maximumInFlight: 1 });
    const first = post(goodJson);
    await started;
    await expectProblem(await post(goodJson), 'overloaded');
    release();
    expect((await first).status).toBe(200);
  });

  it('in flight is finished when the service closes', async () => {
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let begun = () => {};
    const started = new Promise<void>((resolve) => {
      begun = resolve;
    });
    const { post, app, url } = await serve({
      handle: () => {
        begun();
        return held.then(() => answer);
      },
    });
    const response = post(goodJson);
    await started;
    const closed = app.close();
    release();
    expect((await response).status).toBe(200);
    await closed;
    await expect(fetch(`${url}/healthz`)).rejects.toThrow();
  });
});

describe('a bad request', () => {
  const part = goodJson.sealed[0]!;
  it.each<[string, unknown]>([
    ['no JSON', '{'],
    ['empty', ''],
    ['a list', []],
    ['null', 'null'],
    ['with an unknown member', { ...goodJson, pin: '1234' }],
    ['with the operation in the body', { ...goodJson, operation: 'attempt' }],
    ['with a member twice', JSON.stringify(goodJson).replace('{', '{"epoch":2,')],
    ['with __proto__', JSON.stringify(goodJson).replace('{', '{"__proto__":{},')],
    ['nested deeply', '['.repeat(5000) + ']'.repeat(5000)],
    ['without a record', { ...goodJson, record: undefined }],
    ['with a short record', { ...goodJson, record: 'AAAA' }],
    ['with padding', { ...goodJson, arguments: 'AAA=' }],
    ['with base64, not base64url', { ...goodJson, arguments: '+/+/' }],
    ['with base64url that is not canonical', { ...goodJson, arguments: 'AB' }],
    ['with an epoch in text', { ...goodJson, epoch: '1' }],
    ['with a fraction', { ...goodJson, attempt: 1.5 }],
    ['with a negative number', { ...goodJson, attempt: -1 }],
    ['with an unsafe number', JSON.stringify(goodJson).replace('"attempt":1', '"attempt":9007199254740993')],
    ['with a node twice', { ...goodJson, sealed: [part, part] }],
    ['with node 0', { ...goodJson, sealed: [{ ...part, node: 0 }] }],
    ['with ten parts', { ...goodJson, sealed: Array.from({ length: 10 }, () => part) }],
    ['with too long a ciphertext', { ...goodJson, sealed: [{ ...part, ciphertext: 'A'.repeat(12_000) }] }],
    ['with too long arguments', { ...goodJson, arguments: 'A'.repeat(100_000) }],
    ['with a lone surrogate', JSON.stringify(goodJson).replace(FLEET, '\\ud800')],
  ])('%s is malformed and reaches nobody', async (_, body) => {
    const { post, seen } = await serve();
    await expectProblem(await post(body), 'malformed');
    expect(seen).toEqual([]);
  });

  it('of any JSON or text is a problem, never a failure', async () => {
    const { post } = await serve();
    const member = fc.oneof(
      fc
        .constantFrom(...Object.keys(goodJson))
        .chain((name) => fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.stringify({ ...goodJson, [name]: value }))),
      fc.json({ maxDepth: 3 }),
      fc.string({ maxLength: 50 }),
    );
    await fc.assert(
      fc.asyncProperty(member, async (body) => {
        const response = await post(body);
        expect([200, 400]).toContain(response.status);
        await response.arrayBuffer();
      }),
      { numRuns: 100 },
    );
  });

  it('too large, of another type, or elsewhere gets its own code', async () => {
    const { post, url } = await serve();
    await expectProblem(await post(' '.repeat(300_000)), 'too_large');
    await expectProblem(await post(goodJson, 'attempt', { 'content-type': 'text/plain' }), 'malformed');
    await expectProblem(await post(goodJson, 'evaluate'), 'not_found');
    await expectProblem(await fetch(`${url}/v1/attempt`), 'not_found');
    await expectProblem(await fetch(`${url}/metrics`), 'not_found');
  });
});

describe('limits and headers', () => {
  it('an address that asks too often is told to wait, health checks apart', async () => {
    const { post, url } = await serve({ rateLimit: { requests: 3, windowMilliseconds: 60_000 } });
    for (let i = 0; i < 3; i++) expect((await post(goodJson)).status).toBe(200);
    const limited = await post(goodJson);
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0);
    await expectProblem(limited, 'rate_limited');
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });

  it('the forwarded address counts behind a trusted proxy only', async () => {
    const rateLimit = { requests: 1, windowMilliseconds: 60_000 };
    const from = (address: string) => ({ 'x-forwarded-for': address });
    const trusting = await serve({ rateLimit, trustedProxies: ['127.0.0.1'] });
    expect((await trusting.post(goodJson, 'status', from('192.0.2.1'))).status).toBe(200);
    expect((await trusting.post(goodJson, 'status', from('192.0.2.2'))).status).toBe(200);
    expect((await trusting.post(goodJson, 'status', from('192.0.2.2'))).status).toBe(429);
    const other = await serve({ rateLimit });
    expect((await other.post(goodJson, 'status', from('192.0.2.1'))).status).toBe(200);
    expect((await other.post(goodJson, 'status', from('192.0.2.2'))).status).toBe(429);
  });

  it('pages of allowed origins may call, others not', async () => {
    const { url, post } = await serve({ allowedOrigins: [ORIGIN] });
    const preflight = (origin: string) =>
      fetch(`${url}/v1/status`, { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } });
    const allowed = await preflight(ORIGIN);
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get('access-control-allow-origin')).toBe(ORIGIN);
    expect(allowed.headers.get('access-control-allow-headers')).toBe('content-type, holdfast-bundle-serial');
    expect(allowed.headers.get('access-control-expose-headers')).toContain('holdfast-bundle-serial');
    expect((await post(goodJson, 'status', { origin: ORIGIN })).headers.get('access-control-allow-origin')).toBe(
      ORIGIN,
    );
    for (const response of [await preflight('https://evil.example'), await post(goodJson, 'status')]) {
      expect(response.headers.get('access-control-allow-origin')).toBeNull();
    }
  });

  it('every answer, problems included, says that it is not to be kept or guessed at', async () => {
    const { url, post } = await serve();
    for (const response of [await fetch(`${url}/healthz`), await post('{'), await fetch(`${url}/nowhere`)]) {
      expect(response.headers.get('cache-control')).toBe('no-store');
      expect(response.headers.get('x-content-type-options')).toBe('nosniff');
      expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    }
  });
});

describe('trust sets', () => {
  const set = utf8('{}');
  const known = { serial: 7, digest: 'aa'.repeat(32), set, fetchedAt: 0 };

  it('a newer serial is told to whoever says what it uses, with refusals too, and the set is given', async () => {
    const { post, url } = await serve({ trust: () => known });
    const told = async (serial: string, body: unknown = goodJson) =>
      (await post(body, 'status', { 'holdfast-bundle-serial': serial })).headers.get('holdfast-bundle-serial');
    expect(await told('6')).toBe('7');
    expect(await told('6', '{')).toBe('7');
    for (const serial of ['7', '8', '0', '-1', '1e1', 'x', '9'.repeat(17)]) expect(await told(serial)).toBeNull();
    expect((await post(goodJson)).headers.get('holdfast-bundle-serial')).toBeNull();
    const response = await fetch(`${url}/v1/trust`);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(set);
  });

  it('are not found where none is known', async () => {
    const { post, url } = await serve({ trust: () => undefined });
    await expectProblem(await fetch(`${url}/v1/trust`), 'not_found');
    expect(
      (await post(goodJson, 'status', { 'holdfast-bundle-serial': '1' })).headers.has('holdfast-bundle-serial'),
    ).toBe(false);
  });
});

describe('what anybody may know', () => {
  it('is each node’s phase, and no more of it', async () => {
    const info = {
      node: 2,
      phase: 'serving',
      incarnation: 4,
      sequence: 9,
      records: 7,
      syncRoot: new Uint8Array(32),
      fences: [],
      headsKnown: 2,
      headsNeeded: 2,
      reason: '',
    } as NodeInfo;
    const { url } = await serve({ infos: () => new Map([[2, info]]) });
    expect(await (await fetch(`${url}/v1/nodes`)).json()).toEqual({
      fleet: FLEET,
      epoch: 1,
      nodes: [
        { node: 1, phase: 'unreachable' },
        { node: 2, phase: 'serving', incarnation: 4, headsKnown: 2, headsNeeded: 2 },
        { node: 3, phase: 'unreachable' },
      ],
    });
  });

  it('is readiness with its reason', async () => {
    const { url } = await serve();
    const response = await fetch(`${url}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toEqual({ status: 'not_ready', reason: '1 of 3 nodes serve, 2 are needed' });
  });
});

describe('the OpenAPI document', () => {
  it('names exactly the routes that exist', async () => {
    const { app, url } = await serve();
    const described = Object.entries(openApiDocument.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    for (const line of described) {
      const [method, path] = line.split(' ') as ['GET' | 'POST', string];
      expect(app.hasRoute({ method, url: path }), line).toBe(true);
    }
    const routes = app.printRoutes({ commonPrefix: false }).match(/\((GET|POST|PUT|DELETE|PATCH|HEAD)[^)]*\)/g);
    expect(routes?.length).toBe(described.length);
    expect(await (await fetch(`${url}/openapi.json`)).json()).toEqual(JSON.parse(JSON.stringify(openApiDocument)));
  });

  it('refers to nothing that it lacks, and lists every operation and code', () => {
    const text = JSON.stringify(openApiDocument);
    for (const [, group, name] of text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g)) {
      expect(openApiDocument.components).toHaveProperty([group!, name!]);
    }
    for (const operation of OPERATIONS) expect(openApiDocument.paths).toHaveProperty([`/v1/${operation}`]);
    expect(openApiDocument.components.schemas.Problem.properties.code.enum).toEqual(Object.keys(ERROR_KINDS));
  });

  it('describes requests and answers member by member', () => {
    const { Request, Answer } = openApiDocument.components.schemas;
    expect(Object.keys(Request.properties)).toEqual(Object.keys(goodJson));
    expect(Request.required).toEqual(Object.keys(goodJson));
    expect(Object.keys(Answer.properties)).toEqual(['nodes', 'certificate', 'portable']);
  });
});

describe('documents made from code', () => {
  it.each(['configuration.md', 'api/openapi.json', 'api/operator.json'])(
    '%s is as the code would write it now',
    (path) => {
      const stored = readFileSync(new URL(`../../docs/${path}`, import.meta.url), 'utf8');
      expect(stored).toBe(documents().get(path));
    },
  );
});
