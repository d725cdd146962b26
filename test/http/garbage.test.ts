/**
 * Anything at all, sent to the listeners of coordinator and node by way of their own OpenAPI documents: what is refused is
 * refused by a code of the closed list, nothing is an unexpected failure, and the services go on.
 */

import fc from 'fast-check';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openApiDocument } from '../../src/coordinator/http/index.ts';
import { operatorApiDocument } from '../../src/coordinator/operator/index.ts';
import { ERROR_KINDS, type ErrorCode } from '../../src/core/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { tlsClientOptions } from '../../src/pki/index.ts';
import { FLEET, LOOPBACK, nodeName, startNodes, type TestNodes, until } from './fixtures.ts';

const CREDENTIAL = 'the-operators-own-credential-0123456789';
const failures: string[] = [];
const log = createLogger('error', {}, { write: (line) => void failures.push(line) });
const paths = (document: { readonly paths: object }) => Object.keys(document.paths);

let nodes: TestNodes;
const pools: Record<string, Pool> = {};

beforeAll(async () => {
  nodes = await startNodes(1, { log });
  const page = undefined;
  const dashboard = { listen: LOOPBACK, tls: undefined, credential: CREDENTIAL, interval: 100, coordinators: 1, page };
  const coordinator = await nodes.coordinator({ tls: undefined, log, dashboard: { ...dashboard, trustExpires: 4e12 } });
  pools.coordinator = new Pool(coordinator.url);
  pools.operator = new Pool(coordinator.dashboardUrl!);
  pools.monitoring = new Pool(coordinator.monitoringUrl);
  const peer = { fleet: FLEET, role: 'node', name: nodeName(1) } as const;
  const tls = tlsClientOptions(await nodes.pki.issue('coordinator', 'somebody'), peer);
  pools.node = new Pool(nodes.running[0]!.url, { connect: tls as object });
  await until(async () => (await pools.coordinator!.request({ path: '/readyz', method: 'GET' })).statusCode === 200);
});
afterAll(async () => {
  for (const pool of Object.values(pools)) await pool.destroy();
  await nodes.close();
});

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const;
const TYPES = [
  'application/json',
  'application/octet-stream',
  'text/plain',
  'application/json; charset=utf-16',
  'x',
  '',
];
const odd = fc.oneof(
  fc.constantFrom('%', '%zz', '%00', '%ff', '%2f', '..', '__proto__', 'constructor', '//', ';', '?range=1h&range=7d'),
  fc.constantFrom('?range=__proto__', '?range[]=1h', '?', '?a=%', `?${'a=1&'.repeat(500)}`, 'a'.repeat(3000)),
  fc.string({ maxLength: 60 }).map(encodeURIComponent),
);
const pathsOf = (known: readonly string[]) =>
  fc
    .tuple(fc.constantFrom(...known), fc.option(odd, { freq: 2 }), fc.boolean())
    .map(([path, part, behind]) => (part === null ? path : behind ? `${path}${part}` : `/${part}${path}`));
const header = fc.constantFrom<Record<string, string>>(
  {},
  { authorization: `Bearer ${CREDENTIAL}` },
  { authorization: 'Bearer ' },
  { cookie: 'holdfast-operator=; holdfast-operator' },
  { cookie: `a=${';'.repeat(2000)}` },
  { origin: 'null' },
  { origin: 'http://[', 'access-control-request-method': 'POST' },
  { 'sec-fetch-site': 'cross-site' },
  { 'holdfast-bundle-serial': '1e400' },
  { 'if-none-match': '*', 'accept-encoding': 'br;q=nan' },
  { 'x-forwarded-for': '::1, nobody', 'x-forwarded-proto': 'https' },
);
const members = fc.oneof(fc.constant(CREDENTIAL), fc.jsonValue({ maxDepth: 3 }));
const body = fc.oneof(
  fc.uint8Array({ maxLength: 500 }),
  fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)),
  members.map((value) => Buffer.from(JSON.stringify({ credential: value, fleet: value, sealed: [value] }))),
  fc.constantFrom('{"__proto__":{}}', `${'['.repeat(4000)}`, '{"a":1,"a":2}', '"\\ud800"', '1e999').map(Buffer.from),
);
const requests = (known: readonly string[]) =>
  fc.tuple(fc.constantFrom(...METHODS), pathsOf(known), header, fc.constantFrom(...TYPES), body);

/** Codes whose cause is a node or a source, which garbage may well ask for. */
const OTHERS: readonly ErrorCode[] = ['no_majority', 'not_ready', 'overloaded'];

describe.each([
  ['coordinator', paths(openApiDocument)],
  ['operator', paths(operatorApiDocument)],
  ['node', ['/v1/node', '/healthz', '/readyz', '/metrics']],
] as const)('the listener of the %s', (which, known) => {
  it('answers any request by the closed list, and goes on', async () => {
    const pool = pools[which]!;
    await fc.assert(
      fc.asyncProperty(requests(known), async ([method, path, headers, type, content]) => {
        const hasBody = method !== 'GET' && method !== 'HEAD';
        const response = await pool.request({
          ...{ method, path, headers: { ...headers, ...(type !== '' && { 'content-type': type }) } },
          ...(hasBody && { body: content }),
        });
        const { statusCode: status } = response;
        const text = await response.body.text();
        if (status < 400) return;
        expect(String(response.headers['content-type'])).toMatch(/^application\/problem\+json/);
        if (method === 'HEAD') return;
        const { code, detail } = JSON.parse(text) as { code: ErrorCode; detail: string };
        expect([code, status]).toEqual([code, ERROR_KINDS[code].status]);
        if (status >= 500) expect(OTHERS).toContain(code);
        expect(detail).not.toContain(CREDENTIAL);
      }),
      { numRuns: 250 },
    );
    expect((await pool.request({ path: known.at(-1)!, method: 'GET' })).statusCode).toBe(200);
    expect(failures).toEqual([]);
  });
});

describe('the monitoring listener', () => {
  it('answers any request, and never as a failure', async () => {
    await fc.assert(
      fc.asyncProperty(
        requests(['/healthz', '/readyz', '/metrics']),
        async ([method, path, headers, type, content]) => {
          const hasBody = method !== 'GET' && method !== 'HEAD';
          const response = await pools.monitoring!.request({
            ...{ method, path, headers: { ...headers, ...(type !== '' && { 'content-type': type }) } },
            ...(hasBody && { body: content }),
          });
          await response.body.dump();
          expect(response.statusCode).toBeLessThan(500);
        },
      ),
      { numRuns: 100 },
    );
  });
});
