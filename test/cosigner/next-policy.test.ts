/** A later trust policy while the cosigner runs: what witnesses have confirmed does not have to be confirmed again. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { serialiseNote } from '../../src/trust/index.ts';
import { nextPolicy, signPolicy } from '../trust/fixture.ts';
import { EVIDENCE } from './cosigner-fixture.ts';
import { get, post, ServiceBench, until } from './service-fixture.ts';

let bench: ServiceBench;
beforeAll(async () => {
  bench = await ServiceBench.start();
});
afterAll(async () => {
  await bench.close();
});

test('the next submission is taken before any witness has answered to a policy that keeps the witnesses', async () => {
  const reader = await bench.connect('public');
  const operator = await bench.connect({ role: 'operator', name: 'olga' });
  await until(async () => ((await get(reader, '/readyz')).status === 200 ? true : undefined));
  const answering = Promise.withResolvers<void>();
  for (const witness of bench.witnesses.witnesses) {
    witness.misbehave = async (_request, right) => {
      await answering.promise;
      return right();
    };
  }
  try {
    const next = await signPolicy(nextPolicy(bench.policy, { maxAge: bench.policy.policy.maxAge / 2 }));
    expect((await post(operator, '/submit/policy', serialiseNote(next.note))).status).toBe(200);
    const evidence = await post(operator, '/submit/evidence', JSON.stringify(EVIDENCE), 'application/json');
    expect([evidence.status, evidence.text]).toEqual([200, expect.stringContaining('"index"')]);
    expect((await get(reader, '/readyz')).status).toBe(200);
  } finally {
    answering.resolve();
  }
});
