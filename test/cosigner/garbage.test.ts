/**
 * Anything at all, sent to the listeners of cosigner and witness: what is refused is refused by a code of the closed list,
 * nothing is an unexpected failure, and the service goes on.
 */

import { connect as connectPlain, type Socket } from 'node:net';
import fc from 'fast-check';
import { Pool } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ERROR_KINDS, type ErrorCode } from '../../src/core/index.ts';
import { hashOf, startWitnessService } from '../../src/cosigner/witness/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { SampleLog } from './sample-log.ts';
import { type Answered, get, LOOPBACK, ServiceBench, until } from './service-fixture.ts';
import { newDisk, StoppedClock, witnessSigner } from './witness/fixtures.ts';

const plain = { listen: LOOPBACK, tls: undefined, rateLimit: undefined, trustedProxies: [] };
const log = new SampleLog().grow(5);

let bench: ServiceBench;
let reader: Pool;
let operator: Pool;
let witness: Awaited<ReturnType<typeof startWitnessService>>;

beforeAll(async () => {
  bench = await ServiceBench.start({ public: plain });
  reader = await bench.connect('public');
  operator = await bench.connect({ role: 'operator', name: 'olga' });
  await until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));
  witness = await startWitnessService({
    signer: witnessSigner,
    logs: [{ origin: log.origin, keys: [log.key] }],
    clock: new StoppedClock(),
    disk: await newDisk(),
    ...{ tls: undefined, listen: LOOPBACK, metrics: LOOPBACK, rateLimit: undefined, trustedProxies: [] },
    maximumInFlight: 10,
    log: createLogger('silent', {}),
  });
});
afterAll(async () => {
  await witness.close();
  await bench.close();
});

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'] as const;
const TYPES = ['text/plain', 'application/json', 'application/octet-stream', 'text/plain; charset=utf-16', 'x', ''];
const DIGEST = 'e'.repeat(64);
const COSIGNER_PATHS = [
  ...['/', '/checkpoint', '/latest-checkpoint', '/tile/0/000', '/tile/0/000.p/1', '/tile/entries/000.p/1', '/healthz'],
  ...['/readyz', '/trust/first', `/trust/sets/${DIGEST}`, `/trust/bundles/${DIGEST}`, '/policies/1', '/info'],
  ...['/namespaces', '/namespaces/a', '/namespaces/a/last-verified-epoch', '/namespaces/a/audits/1'],
  ...['/submit/acceptance', '/submit/revocation', '/submit/proposal', '/submit/policy', '/submit/evidence'],
  ...['/submit/waiting', `/submit/waiting/${DIGEST}/approve`, `/submit/waiting/${DIGEST}/reject`],
];
const WITNESS_PATHS = [
  '/',
  '/add-checkpoint',
  `/${hashOf(log.origin)}/checkpoint`,
  `/${hashOf(log.origin)}/misconduct`,
];

/** A path that exists, one with something odd in the place of a part, or one made of anything that a URL may hold. */
const pathsOf = (known: readonly string[]) => {
  const odd = fc.oneof(
    fc.constantFrom('%', '%zz', '%00', '%ff', '%2f', '..', '__proto__', 'constructor', '?', '?a=%', '//', ';'),
    fc.string({ maxLength: 80 }).map(encodeURIComponent),
    fc.constant('a'.repeat(3000)),
  );
  return fc.tuple(fc.constantFrom(...known), fc.option(odd, { freq: 3 }), fc.nat(8)).map(([path, part, at]) => {
    if (part === null) return path;
    const parts = path.split('/');
    parts[1 + (at % (parts.length - 1))] = part;
    return parts.join('/');
  });
};
const bytes = fc.uint8Array({ maxLength: 2000 });
const requests = (known: readonly string[]) =>
  fc.tuple(fc.constantFrom(...METHODS), pathsOf(known), fc.constantFrom(...TYPES), bytes);

async function send(pool: Pool, [method, path, type, body]: [(typeof METHODS)[number], string, string, Uint8Array]) {
  const headers = type === '' ? {} : { 'content-type': type };
  const without = method === 'GET' || method === 'HEAD';
  const response = await pool.request({ method, path, headers, ...(without ? {} : { body }) });
  return { status: response.statusCode, headers: response.headers, text: await response.body.text() };
}

function expectClosedList({ status, headers, text }: Pick<Answered, 'status' | 'headers' | 'text'>, method: string) {
  if (status < 400) return;
  expect(String(headers['content-type'])).toMatch(/^application\/problem\+json/);
  if (method === 'HEAD') return;
  const { code, type } = JSON.parse(text) as { code: ErrorCode; type: string };
  expect(Object.keys(ERROR_KINDS)).toContain(code);
  expect([code, type, status]).toEqual([code, `urn:holdfast:problem:${code}`, ERROR_KINDS[code].status]);
  expect(code).not.toBe('unexpected');
}

/** What a listener says to bytes that may be no HTTP at all; it closes the connection, or waits for more. */
async function saidTo(url: string, sent: Uint8Array): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket: Socket = connectPlain(Number(port), hostname);
  let said = '';
  socket.setEncoding('latin1').on('data', (text) => (said += text));
  socket.on('error', () => {});
  socket.end(sent);
  await new Promise((done) => socket.once('close', done));
  return said;
}

const HEADERS: Readonly<Record<string, string>> = {
  none: '',
  negative: 'content-length: -1\r\n',
  twice: 'content-length: 9\r\ncontent-length: 8\r\n',
  unknown: 'transfer-encoding: x\r\n',
  long: `a: ${'b'.repeat(70_000)}\r\n`,
};
/** A request’s first line, the name of a header, and what follows. */
const raw = fc.tuple(
  fc.constantFrom('GET / HTTP/1.1', 'GET /%zz HTTP/1.1\r\nhost: a', 'POST /submit/acceptance HTTP/1.1', ''),
  fc.constantFrom(...Object.keys(HEADERS)),
  fc.uint8Array({ maxLength: 300 }),
);
const encode = ([first, header, rest]: readonly [string, string, Uint8Array]) =>
  Buffer.concat([Buffer.from(`${first}\r\n${HEADERS[header]}`), rest]);

describe('the cosigner', () => {
  it.each(['public', 'submission'])('answers any request to its %s listener by the closed list', async (which) => {
    const pool = which === 'public' ? reader : operator;
    await fc.assert(
      fc.asyncProperty(requests(COSIGNER_PATHS), async (request) => {
        expectClosedList(await send(pool, request), request[0]);
      }),
      { numRuns: 300 },
    );
    expect((await get(reader, '/healthz')).status).toBe(200);
  });

  it('answers what is no HTTP as malformed, in the same form', async () => {
    await fc.assert(
      fc.asyncProperty(raw, async (sent) => {
        const said = await saidTo(bench.running.publicUrl, encode(sent));
        if (!/^HTTP\/1\.1 [45]/.test(said)) return;
        expect(said).toMatch(/^HTTP\/1\.1 4/);
        expect(said).toMatch(/content-type: application\/problem\+json/i);
        expect(said).toContain('"code":"');
      }),
      { numRuns: 100 },
    );
    expect((await get(reader, '/healthz')).status).toBe(200);
  });
});

describe('the witness', () => {
  it('answers any request as C2SP tlog-witness has it: a status of its list, as text', async () => {
    const pool = new Pool(witness.url);
    try {
      await fc.assert(
        fc.asyncProperty(requests(WITNESS_PATHS), async (request) => {
          const { status, headers } = await send(pool, request);
          expect([200, 400, 404]).toContain(status);
          if (status >= 400) expect(headers['content-type']).toBe('text/plain; charset=utf-8');
        }),
        { numRuns: 300 },
      );
      await fc.assert(
        fc.asyncProperty(raw, async (sent) => {
          const said = await saidTo(witness.url, encode(sent));
          expect(said).not.toMatch(/^HTTP\/1\.1 5/);
        }),
        { numRuns: 50 },
      );
      expect((await get(pool, '/healthz')).status).toBe(200);
    } finally {
      await pool.destroy();
    }
  });
});
