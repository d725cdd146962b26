/** The cosigner with the auditing witness of this project: each reads, replays and confirms the other over HTTP. */

import { expect, test } from 'vitest';
import { Fetcher, LogReader, LogReplay } from '../../src/cosigner/replay/index.ts';
import {
  createAuditor,
  initialiseWitnessStore,
  startWitnessService,
  WITNESS_TABLES,
} from '../../src/cosigner/witness/index.ts';
import { createLogger } from '../../src/http/index.ts';
import { MemoryKeyValueStore } from '../../src/store/index.ts';
import { parseCheckpoint, parseNote, parseVerifierKey } from '../../src/trust/index.ts';
import { key, LOG, ORIGIN, signPolicy, trustPolicy, WITNESSES } from '../trust/fixture.ts';
import { DAY, deployment } from '../trust/manifests.ts';
import { countersigned, digest, EVIDENCE, text } from './cosigner-fixture.ts';
import { get, LOOPBACK, post, ServiceBench, until } from './service-fixture.ts';

test('every leaf of a bundle’s way is audited before the trust set appears', async () => {
  const signer = key(WITNESSES[0], 'cosignature');
  const fetcher = new Fetcher();
  let witnessUrl: string | undefined;
  const now = Math.floor(Date.now() / DAY) * DAY;
  const policy = await signPolicy(
    trustPolicy({
      tlog: `log ${LOG.verifierKey}\nwitness w1 ${signer.verifierKey} https://audit.example\nquorum w1\n`,
      auditors: [parseVerifierKey(signer.verifierKey)],
      expires: now + 300 * DAY,
    }),
  );
  const bench = await ServiceBench.start({
    policy,
    transport: {
      get: async (url, limits) => fetcher.get(new URL(url.pathname, witnessUrl), limits),
      post: async (url, body, headers, limits) => {
        if (witnessUrl === undefined) throw new Error('there is no witness yet');
        return fetcher.post(new URL(url.pathname, witnessUrl), body, headers, limits);
      },
    },
    public: { listen: LOOPBACK, tls: undefined, rateLimit: undefined, trustedProxies: [] },
  });
  const disk = new MemoryKeyValueStore(undefined, WITNESS_TABLES);
  await initialiseWitnessStore(disk);
  const reader = new LogReader(new URL(bench.running.publicUrl), fetcher);
  const witness = await startWitnessService({
    signer,
    logs: [{ origin: ORIGIN, keys: [parseVerifierKey(LOG.verifierKey)] }],
    auditor: createAuditor([{ replay: new LogReplay(disk, policy), reader }]),
    refreshSeconds: 0,
    disk,
    tls: undefined,
    rateLimit: undefined,
    trustedProxies: [],
    maximumInFlight: 10,
    listen: LOOPBACK,
    metrics: LOOPBACK,
    log: createLogger('silent', {}),
  });
  witnessUrl = witness.url;
  try {
    const operator = await bench.connect({ role: 'operator', name: 'olga' });
    const open = await bench.connect('public');
    await until(async () => {
      const answer = await post(operator, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json');
      return answer.status === 200 ? true : undefined;
    });
    const manifest = deployment({ notBefore: now - DAY, notAfter: now + 300 * DAY });
    const proposed = await post(operator, '/submit/proposal', text(manifest));
    await post(operator, '/submit/acceptance', await countersigned(proposed.json().note));
    const set = await until(async () => {
      const answer = await get(open, '/trust/first');
      return answer.status === 200 ? answer : undefined;
    });
    expect(set.text).toContain(digest(manifest));
    const checkpoint = parseNote((await get(open, '/checkpoint')).text);
    expect(checkpoint.signatures.map(({ name }) => name)).toEqual([ORIGIN, signer.name]);
    const { size } = parseCheckpoint(checkpoint.text);
    const newest = await fetcher.get(new URL(`${bench.running.publicUrl}/latest-checkpoint`), {
      maximumBytes: 100_000,
      timeout: 60_000,
    });
    expect(parseCheckpoint(parseNote(newest.body).text).size).toBeGreaterThanOrEqual(size);
  } finally {
    await bench.close();
    await witness.close();
    await fetcher.close();
  }
});
