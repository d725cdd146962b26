/** The operator's listener over a fleet on real sockets: who gets in, what is shown, and that a dead node holds nobody up. */

import { createServer, type Server } from 'node:net';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { operatorApiDocument } from '../../src/coordinator/operator/index.ts';
import { utf8 } from '../../src/core/index.ts';
import type { HistoryView, Overview } from '../../src/dashboard/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { HOUR } from '../dashboard/facts.ts';
import { matches } from '../dashboard/schema.ts';
import { CHECKS, LOOPBACK, nodeName, startNodes, type TestNodes, until } from './fixtures.ts';

const CREDENTIAL = 'the-operators-own-credential-0123456789';
const logged: string[] = [];
const log = createLogger('trace', { service: 'coordinator' }, { write: (line) => void logged.push(line) });

let nodes: TestNodes;
let url: string;
let clientUrl: string;
const dashboard = (changes: object = {}) => ({
  listen: LOOPBACK,
  tls: undefined,
  credential: CREDENTIAL,
  // Also the time in which a node has to give its figures.
  interval: 2000,
  coordinators: 2,
  page: undefined,
  trustExpires: Date.now() + 5000 * HOUR,
  ...changes,
});

beforeAll(async () => {
  nodes = await startNodes(3);
  const coordinator = await nodes.coordinator({ dashboard: dashboard(), log });
  url = coordinator.dashboardUrl!;
  clientUrl = coordinator.url;
  await until(async () => (await overview()).quorum.serving === 3);
});
afterAll(() => nodes.close());

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${url}${path}`, { headers });
const bearer = { authorization: `Bearer ${CREDENTIAL}` };
const overview = async () => (await (await get('/v1/operator/overview', bearer)).json()) as Overview;
/** Certificates of tests are short-lived, which is said too. */
const urgent = ({ alarms }: Overview) =>
  alarms.filter(({ id, severity }) => id !== 'expiry' && severity !== 'notice').map(({ title }) => title);
const signIn = (credential: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/v1/operator/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ credential }),
  });
const problem = async (response: Response) => ({ status: response.status, ...((await response.json()) as object) });
const cookieOf = (response: Response) => response.headers.get('set-cookie')!.split(';')[0]!;

describe('who gets in', () => {
  it('is nobody without the credential, by one code and one message for every path', async () => {
    const refusals = [];
    for (const path of ['/v1/operator/overview', '/v1/operator/history?range=1h', '/v1/operator/history']) {
      for (const headers of [{}, { cookie: 'holdfast-operator=x' }, { authorization: 'Basic eDp5' }]) {
        const response = await get(path, headers as Record<string, string>);
        expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
        refusals.push(await problem(response));
      }
    }
    expect(new Set(refusals.map((refusal) => JSON.stringify(refusal))).size).toBe(1);
    expect(refusals[0]).toMatchObject({ status: 401, code: 'not_authenticated' });
  });

  it('is a browser after signing in, by a cookie that no script and no other site can use, until it signs out', async () => {
    const response = await signIn(CREDENTIAL);
    expect(response.status).toBe(204);
    const attributes = response.headers.get('set-cookie')!.split('; ').slice(1);
    expect(attributes).toEqual(expect.arrayContaining(['HttpOnly', 'SameSite=Strict', 'Path=/']));
    const cookie = cookieOf(response);
    expect(cookie).not.toContain(CREDENTIAL);
    expect((await get('/v1/operator/overview', { cookie })).status).toBe(200);
    await fetch(`${url}/v1/operator/session`, { method: 'DELETE', headers: { cookie } });
    expect((await get('/v1/operator/overview', { cookie })).status).toBe(401);
  });

  it('is under HTTPS a browser whose cookie no other part of the site can set or see', async () => {
    const tls = await nodes.pki.issue('public', 'dashboard-1');
    const other = await nodes.coordinator({ dashboard: dashboard({ tls }), log });
    const dispatcher = new Agent({ connect: { ca: tls.authorityPem } });
    const { statusCode, headers } = await request(`${other.dashboardUrl}/v1/operator/session`, {
      ...{ method: 'POST', dispatcher, headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ credential: CREDENTIAL }),
    });
    expect(statusCode).toBe(204);
    expect(String(headers['set-cookie'])).toMatch(/^__Host-holdfast-operator=[\w-]{43}; Path=\/; .*; Secure$/);
    expect(headers['strict-transport-security']).toBeDefined();
    const session = String(headers['set-cookie']).split(';')[0]!;
    const get = async (cookie: string) => {
      const response = await request(`${other.dashboardUrl}/v1/operator/overview`, { dispatcher, headers: { cookie } });
      await response.body.dump();
      return response.statusCode;
    };
    expect(await get(session)).toBe(200);
    // One that another part of the site could have set counts for nothing.
    expect(await get(session.replace('__Host-', ''))).toBe(401);
    await dispatcher.close();
    await other.close();
  });

  it('is nobody whom another site sends', async () => {
    for (const headers of [
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example' },
    ]) {
      expect(await problem(await signIn(CREDENTIAL, headers as Record<string, string>))).toMatchObject({
        code: 'forbidden',
      });
    }
    const own = { origin: new URL(url).origin };
    expect((await signIn(CREDENTIAL, own)).status).toBe(204);
  });

  it('is nobody with what is not a credential', async () => {
    for (const wrong of [undefined, null, 1, '', ['x'], 'x'.repeat(600)]) {
      expect(await problem(await signIn(wrong))).toMatchObject({ status: 400, code: 'malformed' });
    }
    const twice = await fetch(`${url}/v1/operator/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: `{"credential":"${CREDENTIAL}","credential":"x"}`,
    });
    expect(twice.status).toBe(400);
  });

  it('is not the same as who may use the API for clients, in neither direction', async () => {
    const response = await fetch(`${url}/v1/nodes`, { headers: bearer });
    expect(response.status).toBe(404);
    expect((await fetch(`${url}/v1/status`, { method: 'POST', headers: bearer })).status).toBe(404);
    expect(new URL(clientUrl).port).not.toBe(new URL(url).port);
  });

  it('guesses in vain, and is told when to come back', async () => {
    const other = await nodes.coordinator({ dashboard: dashboard(), log });
    const guess = (credential: string) =>
      fetch(`${other.dashboardUrl}/v1/operator/overview`, { headers: { authorization: `Bearer ${credential}` } });
    for (let i = 0; i < 10; i++) {
      expect(await problem(await guess(`not-the-right-credential-${i}`))).toMatchObject({ code: 'not_authenticated' });
    }
    const refused = await guess(CREDENTIAL);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await problem(refused)).toMatchObject({ status: 429, code: 'rate_limited' });
    await other.close();
  });

  it('leaves no credential and no session in the log', async () => {
    const cookie = cookieOf(await signIn(CREDENTIAL));
    await get('/v1/operator/overview', { cookie });
    await signIn('a-wrong-credential-that-is-long');
    const text = logged.join('');
    expect(text).toContain('operator signed in');
    expect(text).toContain('operator refused');
    for (const secret of [CREDENTIAL, 'a-wrong-credential-that-is-long', cookie.split('=')[1]!])
      expect(text).not.toContain(secret);
  });
});

describe('what is shown', () => {
  it('is as documented, and as this coordinator sees it', async () => {
    let shown = await overview();
    await until(async () => {
      shown = await overview();
      return shown.quorum.serving === 3 && shown.nodes.every(({ figuresAt }) => figuresAt !== null);
    });
    expect(matches(operatorApiDocument, 'Overview', shown)).toEqual([]);
    expect(shown.view).toMatchObject({ coordinator: 'coordinator-1', coordinators: 2 });
    expect(shown.quorum).toEqual({ nodes: 3, needed: 2, serving: 3, mayFail: 1 });
    expect(shown.nodes.map(({ name, condition }) => `${name} ${condition}`)).toEqual(
      [1, 2, 3].map((one) => `node-${one} serving`),
    );
    expect(urgent(shown)).toEqual([]);
    expect(shown.log).toBeNull();
  });

  it('over time is as documented, for each range and no other', async () => {
    for (const range of ['15m', '1h', '6h', '24h', '7d']) {
      const view = (await (await get(`/v1/operator/history?range=${range}`, bearer)).json()) as HistoryView;
      expect(matches(operatorApiDocument, 'History', view)).toEqual([]);
      expect(view.coordinator.answered).toHaveLength(view.points);
    }
    for (const query of ['?range=2h', '', '?range=1h&range=6h', '?range=1h&node=1', '?range=__proto__']) {
      expect(await problem(await get(`/v1/operator/history${query}`, bearer))).toMatchObject({
        status: 400,
        code: 'malformed',
      });
    }
  });

  it('has no record, tenant or user in it', async () => {
    const text =
      JSON.stringify(await overview()) + (await (await get('/v1/operator/history?range=15m', bearer)).text());
    for (const word of ['tenant', 'record"', 'issuer', 'subject', 'syncRoot', 'pin']) expect(text).not.toContain(word);
  });

  it('is never kept by browsers or read by other pages', async () => {
    const { headers } = await get('/v1/operator/overview', bearer);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('cross-origin-resource-policy')).toBe('same-origin');
    expect(headers.get('access-control-allow-origin')).toBeNull();
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  it('describes itself', async () => {
    expect(await (await get('/openapi.json')).json()).toEqual(JSON.parse(JSON.stringify(operatorApiDocument)));
  });
});

describe('a node that dies', () => {
  it('is down at once, with the right words, and of what it said last nothing is shown as if it were so now', async () => {
    const own = await startNodes(3);
    const coordinator = await own.coordinator({ dashboard: dashboard() });
    const look = async () =>
      (await (await fetch(`${coordinator.dashboardUrl}/v1/operator/overview`, { headers: bearer })).json()) as Overview;
    await until(async () => {
      const { nodes: views, quorum } = await look();
      return quorum.serving === 3 && views.every(({ figuresAt }) => figuresAt !== null);
    });
    await own.running[1]!.close();
    let shown = await look();
    await until(async () => {
      shown = await look();
      return shown.nodes[1]!.condition === 'unreachable' && shown.quorum.serving === 2;
    });
    expect(shown.quorum).toEqual({ nodes: 3, needed: 2, serving: 2, mayFail: 0 });
    expect(urgent(shown)).toEqual(['One more node down and recoveries stop', 'node-2 is down']);
    expect(shown.nodes[1]).toMatchObject({ queueDepth: null, records: null, repair: null });
    await own.close();
  });

  it('by holding its connections costs nobody else anything, and is asked once at a time', async () => {
    const own = await startNodes(2 + 1);
    let accepted = 0;
    const hanging: Server = createServer((socket) => {
      accepted++;
      // Takes everything and answers nothing.
      socket.on('error', () => {}).resume();
    });
    await new Promise<void>((resolve) => hanging.listen(0, '127.0.0.1', resolve));
    const { port } = hanging.address() as { port: number };
    const urls = own.running.map((one, i) => (i === 2 ? `https://127.0.0.1:${port}` : one.url));
    const coordinator = await own.coordinator({
      dashboard: dashboard(),
      nodes: urls.map((address, i) => ({ node: i + 1, url: address, name: nodeName(i + 1) })),
      timeouts: { node: 400, grace: 20, enrolmentGrace: 50 },
      checks: CHECKS,
    });
    const look = async () =>
      (await (await fetch(`${coordinator.dashboardUrl}/v1/operator/overview`, { headers: bearer })).json()) as Overview;
    await until(async () => (await look()).nodes.slice(0, 2).every(({ figuresAt }) => figuresAt !== null));
    const before = (await look()).nodes[0]!.figuresAt!;
    // Further rounds end, although the hanging one answers in none.
    await until(async () => (await look()).nodes[0]!.figuresAt! > before);
    expect((await look()).nodes[2]).toMatchObject({ condition: 'unreachable', figuresAt: null });
    expect(accepted).toBeGreaterThan(0);
    await coordinator.close();
    await new Promise((resolve) => hanging.close(resolve));
    await own.close();
  });
});

describe('the page', () => {
  it('comes with a policy that lets nothing in from elsewhere, or says how it is made', async () => {
    const response = await get('/');
    if (response.status === 404) {
      expect(await problem(response)).toMatchObject({
        code: 'not_found',
        detail: expect.stringContaining('npm run build'),
      });
      return;
    }
    const policy = response.headers.get('content-security-policy')!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain('unsafe');
  });

  it('leads to no other file', async () => {
    for (const path of ['/../package.json', '/%2e%2e/package.json', '/page.json', '/..%2fserver.js', '/%']) {
      const response = await get(path);
      expect([400, 404]).toContain(response.status);
      expect(utf8(await response.text()).length).toBeLessThan(1000);
    }
  });
});
