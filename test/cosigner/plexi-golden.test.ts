/**
 * The exact answers of the Plexi view that Cloudflare's own `plexi` 0.1.2 has verified (docs/cosigner.md says how), by their
 * paths. Whoever changes one of them has to run that program again.
 */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { deployment } from '../trust/manifests.ts';
import { CosignerBench, following } from './cosigner-fixture.ts';

const NAMESPACE = 'family.production.first';

test('the Plexi view is what Cloudflare’s tool has verified, byte for byte', async () => {
  const bench = await CosignerBench.create();
  const first = deployment();
  await bench.accepted(first);
  await bench.accepted(following(first));
  const { plexi } = bench;
  await plexi.signMissing(bench.log.head.size);
  const view = {
    '/info': plexi.info(),
    '/namespaces': plexi.namespaces(),
    [`/namespaces/${NAMESPACE}`]: plexi.namespace(NAMESPACE),
    [`/namespaces/${NAMESPACE}/last-verified-epoch`]: plexi.lastVerifiedEpoch(NAMESPACE),
    [`/namespaces/${NAMESPACE}/audits/1`]: plexi.audit(NAMESPACE, 1),
    [`/namespaces/${NAMESPACE}/audits/2`]: plexi.audit(NAMESPACE, 2),
  };
  const golden = readFileSync(new URL('golden/plexi.json', import.meta.url), 'utf8');
  expect(JSON.stringify(view)).toBe(JSON.stringify(JSON.parse(golden)));
});
