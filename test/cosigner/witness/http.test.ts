/** The witness over real sockets: every status with its content type, what monitors read, limits, an orderly end. */

import { connect } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { HoldfastError, utf8 } from '../../../src/core/index.ts';
import {
  encodeAddCheckpoint,
  hashOf,
  MAXIMUM_REQUEST,
  startWitnessService,
  type WitnessServiceOptions,
} from '../../../src/cosigner/witness/index.ts';
import { createLogger } from '../../../src/http/index.ts';
import { parseNote, serialiseNote, verifyNote } from '../../../src/trust/index.ts';
import { SampleLog } from '../sample-log.ts';
import { newDisk, StoppedClock, secondsOf, witnessKey, witnessSigner } from './fixtures.ts';

const LOOPBACK = { host: '127.0.0.1', port: 0 };
const log = new SampleLog().grow(20);
const cleanUp: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

async function start(changes: Partial<WitnessServiceOptions> = {}) {
  const disk = await newDisk();
  const service = await startWitnessService({
    signer: witnessSigner,
    logs: [{ origin: log.origin, keys: [log.key] }],
    clock: new StoppedClock(),
    disk,
    tls: undefined,
    listen: LOOPBACK,
    metrics: LOOPBACK,
    rateLimit: undefined,
    trustedProxies: [],
    maximumInFlight: 10,
    log: createLogger('silent', {}),
    ...changes,
  });
  cleanUp.push(() => service.close());
  const post = (body: Uint8Array | string, headers: Record<string, string> = {}) =>
    fetch(`${service.url}/add-checkpoint`, { method: 'POST', body: body as Uint8Array<ArrayBuffer>, headers });
  return { ...service, disk, post };
}

it('serves the page of transparency logs to those who would not have it from the log, under its own policy', async () => {
  const file = (name: string, type: string, text: string) => {
    return { name, type, bytes: Buffer.from(text), etag: `"${name}"`, encodings: new Map<string, Buffer>() };
  };
  const page = {
    sha256: '',
    contentSecurityPolicy: "default-src 'none'; script-src 'self'",
    files: [file('index.html', 'text/html', '<!doctype html>'), file('page-1.js', 'text/javascript', 'check()')],
  };
  const { url } = await start({ page });
  const index = await fetch(`${url}/page/?site=https://log.example`);
  expect([index.status, await index.text()]).toEqual([200, '<!doctype html>']);
  expect(index.headers.get('content-security-policy')).toMatch(/script-src 'self'.*frame-ancestors 'none'/);
  expect(await (await fetch(`${url}/page/page-1.js`)).text()).toBe('check()');
  const own = await fetch(`${url}/`);
  expect(own.headers.get('content-security-policy')).toBe("default-src 'none'; frame-ancestors 'none'");
  expect((await fetch(`${(await start()).url}/page/`)).status).toBe(404);
});

describe('add-checkpoint over HTTP', () => {
  it('has every status of the specification', async () => {
    const { post } = await start();
    const expectStatus = async (body: Uint8Array | string, status: number, type = 'text/plain; charset=utf-8') => {
      const response = await post(body);
      expect([response.status, response.headers.get('content-type')]).toEqual([status, type]);
      return await response.text();
    };
    const lines = await expectStatus(await log.request(0, 5), 200);
    expect(secondsOf(lines, await log.checkpoint(5))).toBe(new StoppedClock().seconds);
    expect(lines).toMatch(/^— witness\.example\/w1 [A-Za-z0-9+/=]+\n$/);
    await expectStatus('old five\n\n', 400);
    await expectStatus('', 400);
    await expectStatus(await log.request(0, 5).then((body) => body.subarray(0, -1)), 400);
    const note = parseNote(await log.checkpoint(7));
    const spoiled = note.signatures.map((line) => ({ ...line, signature: new Uint8Array(64) }));
    const forged = utf8(serialiseNote({ ...note, signatures: spoiled }));
    await expectStatus(encodeAddCheckpoint({ oldSize: 5, proof: [], checkpoint: forged }), 403);
    await expectStatus(await new SampleLog('unknown.example').grow(1).request(0, 1), 404);
    expect(await expectStatus(await log.request(3, 20), 409, 'text/x.tlog.size')).toBe('5\n');
    const body = encodeAddCheckpoint({ oldSize: 5, proof: [], checkpoint: utf8(await log.checkpoint(7)) });
    await expectStatus(body, 422);
  });

  it('takes any content type, or none', async () => {
    const { post } = await start();
    for (const type of ['application/octet-stream', 'application/json', 'text/plain', 'x/y; z']) {
      expect((await post(await log.request(0, 0), { 'content-type': type })).status).toBe(200);
    }
    expect((await post(await log.request(0, 3))).status).toBe(200);
  });

  it('stops reading what is too long', async () => {
    const { post } = await start();
    expect((await post(new Uint8Array(MAXIMUM_REQUEST + 1))).status).toBe(413);
  });

  it('answers nothing else: other methods and places are not found', async () => {
    const { url } = await start();
    for (const path of ['/add-checkpoint', '/sign-subtree', '/metrics', `/${hashOf('unknown')}/checkpoint`]) {
      expect((await fetch(url + path)).status).toBe(404);
    }
  });

  it('limits requests per address, and requests in flight', async () => {
    const limited = await start({ rateLimit: { requests: 2, windowMilliseconds: 60_000 } });
    const statuses = [];
    for (let i = 0; i < 3; i++) statuses.push((await limited.post('')).status);
    expect(statuses).toEqual([400, 400, 429]);
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const step = () => {
      reach();
      return held;
    };
    const full = await start({ maximumInFlight: 1, step });
    const first = full.post(await log.request(0, 5));
    await reached;
    expect((await full.post(await log.request(0, 5))).status).toBe(503);
    resolve();
    expect((await first).status).toBe(200);
  });

  it('answers 500 without the reason where disk or token fail, and goes on afterwards', async () => {
    const { post, disk, url } = await start();
    disk.failNextCommit();
    const failed = await post(await log.request(0, 5));
    expect(failed.status).toBe(500);
    expect(await failed.text()).not.toContain('disk');
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await post(await log.request(0, 5))).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(200);
    const broken = await start({ signer: { ...witnessSigner, sign: async () => new Uint8Array(64) } });
    expect((await broken.post(await log.request(0, 5))).status).toBe(500);
  });
});

describe('a token', () => {
  it.each([
    ['token_removed', {}, 1],
    ['token_failed', { hung: true }, 1],
    ['token_failed', {}, 0],
  ] as const)('that ends with %s %o is fatal so often: %i', async (code, details, times) => {
    const fatal: string[] = [];
    const sign = async () => {
      throw new HoldfastError(code, 'the token', { details });
    };
    const onFatal = (error: HoldfastError) => void fatal.push(error.code);
    const { post } = await start({ signer: { ...witnessSigner, sign }, onFatal });
    expect((await post(await log.request(0, 5))).status).toBe(500);
    expect(fatal).toEqual(Array(times).fill(code));
  });
});

describe('what a witness says of itself', () => {
  it('is its key, its logs and the newest checkpoint of each', async () => {
    const { url, post } = await start();
    const hash = hashOf(log.origin);
    expect((await fetch(`${url}/${hash}/checkpoint`)).status).toBe(404);
    await post(await log.request(0, 5));
    expect(await (await fetch(url)).json()).toEqual({
      role: 'witness',
      name: 'witness.example/w1',
      verifierKey: witnessKey.text,
      protocol: 'c2sp.org/tlog-witness',
      logs: [{ origin: log.origin, hash, size: 5 }],
    });
    const served = await fetch(`${url}/${hash}/checkpoint`);
    expect(served.headers.get('content-type')).toBe('text/plain; charset=utf-8');
    const note = parseNote(new Uint8Array(await served.arrayBuffer()));
    expect(note.text).toBe(await log.text(5));
    expect(verifyNote(note, [log.key, witnessKey])).toHaveLength(2);
  });

  it('has the contradictions that a log signed', async () => {
    const { url, post } = await start();
    await post(await log.request(0, 5));
    await post(await new SampleLog(log.origin).grow(5, 'forged').request(0, 5));
    const { misconduct } = (await (await fetch(`${url}/${hashOf(log.origin)}/misconduct`)).json()) as {
      misconduct: [];
    };
    expect(misconduct).toMatchObject([{ kind: 'split_view', first: await log.checkpoint(5) }]);
  });

  it('is seen by monitoring: health, readiness, metrics', async () => {
    const { url, monitoringUrl, post } = await start();
    await post(await log.request(0, 5));
    await post('');
    for (const path of ['/healthz', '/readyz']) {
      expect((await fetch(url + path)).status).toBe(200);
      expect((await fetch(monitoringUrl + path)).status).toBe(200);
    }
    const metrics = await (await fetch(`${monitoringUrl}/metrics`)).text();
    expect(metrics).toContain(`holdfast_witness_size{origin="${log.origin}"} 5`);
    expect(metrics).toContain('holdfast_witness_answers_total{status="200"} 1');
    expect(metrics).toContain('holdfast_witness_answers_total{status="400"} 1');
  });
});

describe('the end of a witness', () => {
  it('waits for the request in flight, and closes everything', async () => {
    const { promise: held, resolve } = Promise.withResolvers<void>();
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
    const order: string[] = [];
    const service = await start({
      step: (step) => {
        if (step === 'recorded') order.push(step);
        if (step !== 'persisted') return;
        reach();
        return held;
      },
      onClose: async () => void order.push('closed'),
    });
    const answer = service.post(await log.request(0, 5));
    await reached;
    const closed = service.close();
    resolve();
    await closed;
    expect((await answer).status).toBe(200);
    expect(order).toEqual(['recorded', 'closed']);
    expect(service.disk.ended).toBe(true);
    const { port } = new URL(service.url);
    const refused = await new Promise((done) => {
      connect(Number(port), '127.0.0.1', () => done('connected')).on('error', () => done('refused'));
    });
    expect(refused).toBe('refused');
  });
});
