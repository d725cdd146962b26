/** Alerts on their way to people: each change at least once, signed, whatever the receiver does. */

import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock, utf8 } from '../../../src/core/index.ts';
import { nextBook } from '../../../src/cosigner/monitor/alert-book.ts';
import {
  type Finding,
  lookAndTell,
  RULES,
  type Rule,
  signatureOf,
  startWatching,
} from '../../../src/cosigner/monitor/index.ts';
import type { StoredAlert } from '../../../src/cosigner/monitor/store.ts';
import { Fetcher } from '../../../src/cosigner/replay/index.ts';
import { createLogger } from '../../../src/http/index.ts';
import type { SignedPolicy } from '../../../src/trust/index.ts';
import { signPolicy, type TestLog, trustPolicy } from '../../trust/fixture.ts';
import { NOW } from '../../trust/manifests.ts';
import { ADDRESS, EVIDENCE, HOUR, MonitorBench, orderlyLog } from './fixtures.ts';

let policy: SignedPolicy;
let log: TestLog;
beforeAll(async () => {
  policy = await signPolicy(trustPolicy());
  log = await orderlyLog(policy);
});
const bench = () => new MonitorBench(policy, log.fork());

const cleanUp: (() => Promise<unknown> | unknown)[] = [];
afterEach(async () => {
  for (const step of cleanUp.splice(0)) await step();
});

interface Message {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver that answers with one status after the other, the last one for ever. */
async function receiver(...statuses: number[]) {
  const messages: Message[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      messages.push({ headers: request.headers, body: Buffer.concat(parts).toString('utf8') });
      response.writeHead(statuses.length > 1 ? statuses.shift()! : statuses[0]!).end('x'.repeat(100));
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const fetcher = new Fetcher();
  cleanUp.push(async () => {
    await fetcher.close();
    server.closeAllConnections();
    server.close();
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/alerts`);
  const alerts = () =>
    messages.map(({ body }) => JSON.parse(body) as { id: string; alerts: { rule: string; state: string }[] });
  return { messages, alerts, webhook: { url, fetcher, secret: utf8('sixteen bytes or more'), pauses: [0, 0] } };
}

describe('a webhook', () => {
  it('is told once of each alert that begins, and once that it is over', async () => {
    const monitor = bench();
    const { alerts, webhook } = await receiver(204);
    const tell = () => lookAndTell({ ...monitor.options(), webhook: { ...webhook, clock: monitor.clock } });
    monitor.evidence.clear();
    await tell();
    await tell();
    monitor.disk = monitor.disk.reopen();
    await tell();
    monitor.evidence.set(ADDRESS, EVIDENCE);
    await tell();
    await tell();
    const told = alerts().map((message) => message.alerts.map(({ rule, state }) => `${rule} ${state}`));
    expect(told).toEqual([['evidence_missing raised'], ['evidence_missing resolved']]);
  });

  it('that fails is tried again with the same message, and after the next look', async () => {
    const monitor = bench();
    monitor.evidence.clear();
    const { alerts, webhook } = await receiver(500, 404, 302, 200);
    const tell = () => lookAndTell({ ...monitor.options(), webhook: { ...webhook, clock: monitor.clock } });
    expect((await tell()).undelivered).toMatchObject({ code: 'not_ready' });
    expect((await tell()).undelivered).toBeUndefined();
    const ids = alerts().map(({ id }) => id);
    expect(new Set(ids.slice(0, 3)).size).toBe(1);
    expect(ids).toHaveLength(4);
    expect(ids[3]).not.toBe(ids[0]);
    await tell();
    expect(alerts()).toHaveLength(4);
  });

  it('gets a signature over time and body that only the secret makes', async () => {
    const monitor = bench();
    monitor.evidence.clear();
    const { messages, webhook } = await receiver(200);
    await lookAndTell({ ...monitor.options(), webhook: { ...webhook, clock: monitor.clock } });
    const [{ headers, body }] = messages as [Message];
    const hmac = createHmac('sha256', 'sixteen bytes or more')
      .update(`${NOW / 1000}.${body}`)
      .digest('hex');
    expect(headers['holdfast-signature']).toBe(`t=${NOW / 1000},v1=${hmac}`);
    expect(signatureOf(utf8('another secret ..'), NOW / 1000, utf8(body))).not.toContain(hmac);
    expect(JSON.parse(body)).toMatchObject({ type: 'holdfast/monitor-alerts/v1', origin: log.state.origin });
  });
});

describe('the book of alerts', () => {
  const rules = Object.keys(RULES) as Rule[];
  const finding = fc.record({
    rule: fc.constantFrom(...rules.slice(0, 3)),
    subject: fc.constantFrom('a', 'b'),
    message: fc.constant('something'),
  });

  it('has what was found in the last look, since when, and forgets nothing untold', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ found: fc.array(finding), told: fc.boolean() }), { maxLength: 8 }), (looks) => {
        let alerts: readonly StoredAlert[] = [];
        const names = (list: readonly Pick<Finding, 'rule' | 'subject'>[]) =>
          [...new Set(list.map(({ rule, subject }) => `${rule} ${subject}`))].toSorted();
        let before: string[] = [];
        looks.forEach(({ found, told }, time) => {
          const book = nextBook(alerts, found, time);
          const now = names(found);
          expect(names(book.alerts.filter(({ resolved }) => !resolved))).toEqual(now);
          expect(names(book.raised)).toEqual(now.filter((name) => !before.includes(name)));
          expect(names(book.resolved)).toEqual(before.filter((name) => !now.includes(name)));
          for (const alert of book.raised) expect(alert.since).toBe(time);
          alerts = told
            ? book.alerts.filter(({ resolved }) => !resolved).map((alert) => ({ ...alert, delivered: true }))
            : book.alerts;
          before = now;
        });
      }),
    );
  });
});

describe('watching', () => {
  it('goes on after looks that fail, says so, and ends when it is told to', async () => {
    const monitor = bench();
    let failing = true;
    const { promise: looked, resolve } = Promise.withResolvers<void>();
    const { promise: failed, resolve: fail } = Promise.withResolvers<void>();
    let waits = 0;
    const clock = {
      now: () => NOW,
      sleep: async (milliseconds: number, signal?: AbortSignal) => {
        if (++waits === 1) fail();
        if (waits === 2) resolve();
        if (waits > 1) return systemClock.sleep(HOUR, signal);
        expect(milliseconds).toBe(1234);
        await recovered;
      },
    };
    const { promise: recovered, resolve: recover } = Promise.withResolvers<void>();
    const keepFiles = async () => [];
    const journal = {
      read: async () => {
        if (failing) throw new Error('the journal cannot be read');
        return [];
      },
    };
    const watching = await startWatching({
      ...monitor.options({ clock, keepFiles, journal }),
      interval: 1234,
      metrics: { host: '127.0.0.1', port: 0 },
      log: createLogger('silent', {}),
    });
    cleanUp.push(() => watching.close());
    const get = async (path: string) => {
      const response = await fetch(watching.monitoringUrl + path);
      return { status: response.status, text: await response.text() };
    };
    await failed;
    expect(await get('/readyz')).toEqual({ status: 503, text: expect.stringContaining('cannot be read') });
    expect((await get('/metrics')).text).toContain('holdfast_monitor_looks_total{outcome="failed"} 1');
    failing = false;
    recover();
    await looked;
    expect((await get('/readyz')).status).toBe(200);
    const { text } = await get('/metrics');
    expect(text).toContain('holdfast_monitor_looks_total{outcome="ok"} 1');
    expect(text).toContain(`holdfast_monitor_log_size ${log.entries.length}`);
    expect(text).toContain('holdfast_monitor_alerts{rule="split_view",severity="alert"} 0');
    await watching.close();
    await expect(watching.ended).resolves.toBeUndefined();
  });

  it('ends by itself where what it has seen is damaged', async () => {
    const monitor = bench();
    await monitor.look();
    const options = monitor.options();
    const [[key]] = [...monitor.disk.entries('monitor')] as [[Uint8Array, Uint8Array]];
    await monitor.disk.commit([{ table: 'monitor', key, value: utf8('damaged') }]);
    const watching = await startWatching({
      ...options,
      interval: 10,
      metrics: { host: '127.0.0.1', port: 0 },
      log: createLogger('silent', {}),
    });
    cleanUp.push(() => watching.close());
    await expect(watching.ended).rejects.toMatchObject({ code: 'store_refused' });
  });
});
