/**
 * The real cosigner, real auditing witnesses and a real monitor over sockets: a bundle on its way into the log, and what
 * each of them says of it.
 */

import type { Pool } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock, utf8 } from '../../src/core/index.ts';
import {
  look,
  MONITOR_TABLES,
  MonitorStore,
  type MonitorTable,
  type Vantage,
} from '../../src/cosigner/monitor/index.ts';
import { LogReader, LogReplay } from '../../src/cosigner/replay/index.ts';
import {
  createAuditor,
  hashOf,
  initialiseWitnessStore,
  type RunningWitness,
  startWitnessService,
  WITNESS_TABLES,
  type WitnessTable,
} from '../../src/cosigner/witness/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { parseNote, verifyCheckpoint } from '../../src/trust/index.ts';
import { LOG, ORIGIN } from '../trust/fixture.ts';
import { DAY, deployment } from '../trust/manifests.ts';
import { countersigned, EVIDENCE, text } from './cosigner-fixture.ts';
import { get, LOOPBACK, post, ServiceBench, until } from './service-fixture.ts';

let bench: ServiceBench;
let reader: Pool;
let operator: Pool;
const witnesses: RunningWitness[] = [];

/** The log over the cosigner's public listener. */
const logReader = () =>
  new LogReader(new URL('https://log.example'), {
    get: async (url) => {
      const { status, bytes } = await get(reader, url.pathname);
      return { status, body: new Uint8Array(bytes) };
    },
  });

beforeAll(async () => {
  bench = await ServiceBench.start();
  reader = await bench.connect('public');
  operator = await bench.connect({ role: 'operator', name: 'olga' });
  for (const witness of bench.witnesses.witnesses) {
    const disk = new MemoryKeyValueStore<WitnessTable>(undefined, WITNESS_TABLES);
    await initialiseWitnessStore(disk);
    const running = await startWitnessService({
      signer: witness.signer,
      logs: [{ origin: ORIGIN, keys: bench.policy.tlog.logs.map(({ key }) => key) }],
      auditor: createAuditor([{ replay: new LogReplay(disk, bench.policy), reader: logReader() }]),
      disk,
      tls: undefined,
      listen: LOOPBACK,
      metrics: LOOPBACK,
      rateLimit: undefined,
      trustedProxies: [],
      maximumInFlight: 10,
      log: createLogger('silent', {}),
    });
    witnesses.push(running);
    // From here on the cosigner talks to the real one, which knows nothing of the log yet.
    witness.misbehave = async (body) => {
      const response = await fetch(`${running.url}/add-checkpoint`, { method: 'POST', body });
      return { status: response.status, body: new Uint8Array(await response.arrayBuffer()) };
    };
  }
});
afterAll(async () => {
  await bench.close();
  for (const witness of witnesses) await witness.close();
});

const sizeServed = async () => {
  const { status, bytes } = await get(reader, '/checkpoint');
  return status === 200 ? verifyCheckpoint(parseNote(bytes), bench.policy.tlog) : undefined;
};

test('auditing witnesses read the leaves before they cosign, and the log publishes what they cosigned', async () => {
  const start = Math.floor(Date.now() / DAY) * DAY;
  const manifest = deployment({ notBefore: start, notAfter: start + 300 * DAY });
  await until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));
  await until(async () =>
    (await post(operator, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json')).status === 200
      ? true
      : undefined,
  );
  const proposed = await until(async () => {
    const answer = await post(operator, '/submit/proposal', text(manifest));
    return answer.status === 200 ? answer : undefined;
  });
  const accepted = await post(reader, '/submit/acceptance', await countersigned(proposed.json().note));
  expect(accepted.status).toBe(200);
  const size = await until(async () => {
    const found = await sizeServed();
    // The last that the log grows by: no witness is asked for a later checkpoint any more.
    const isLast = found !== undefined && found.checkpoint.size > accepted.json().index;
    return isLast && found.cosignatures.length > 1 ? found.checkpoint.size : undefined;
  });
  const seen = await Promise.all(
    witnesses.map(async ({ url }) => {
      const response = await fetch(`${url}/${hashOf(ORIGIN)}/checkpoint`);
      return response.status === 200 ? parseNote(await response.text()).text.split('\n')[1] : undefined;
    }),
  );
  expect(seen.filter((found) => found === String(size)).length).toBeGreaterThan(1);
});

test('the monitor finds nothing wrong, from all sides', async () => {
  const disk = new MemoryKeyValueStore<MonitorTable>(undefined, MONITOR_TABLES);
  const vantages: Vantage[] = witnesses.map(({ url }, i) => ({
    name: `witness ${i + 1}`,
    checkpoint: async () => {
      const response = await fetch(`${url}/${hashOf(ORIGIN)}/checkpoint`);
      return response.status === 200 ? utf8(await response.text()) : undefined;
    },
  }));
  const looked = await look({
    replay: new LogReplay(disk, bench.policy),
    store: new MonitorStore(disk, ORIGIN),
    reader: logReader(),
    vantages,
    keepFiles: async () => [],
    clock: systemClock,
    withheldAfter: 900_000,
    unacceptedAfter: DAY,
    evidence: { fetch: undefined, maximumBytes: 1, interval: DAY },
    plexi: {
      get: async (path) => {
        const { status, bytes } = await get(reader, `/${path}`);
        return status === 200 ? bytes : undefined;
      },
    },
  });
  expect(looked.alerts).toEqual([]);
  expect(looked.size).toBeGreaterThan(5);
  expect(LOG.name).toBe(looked.origin);
});
