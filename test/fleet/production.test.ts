/** Sections 1 to 6 of docs/production.md, run as they stand there: from five slots of SoftHSM to a secret that is recovered. */

import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { atOnce, blocks, Machines, nodeFolder, textsOf } from './machines.ts';

let machines: Machines;
beforeAll(async () => {
  machines = await Machines.prepare([]);
});
afterAll(async () => {
  await machines[Symbol.asyncDispose]();
});

it('says for each of its blocks whose it is', () => {
  const marked = blocks.map(({ language, role }) => `${language} ${role}`);
  expect(marked).toEqual([
    'sh everybody',
    'sh node',
    'sh coordinator',
    'sh assembler',
    'sh assembler',
    'json node',
    'sh node',
    'sh node service',
    'json coordinator',
    'sh coordinator service',
    'sh client',
    'sh node ceremony',
    ...Array(4).fill('sh operator'),
    'json trust source',
    'sh operator later',
    'sh client later',
  ]);
});

it('leads from empty slots to keys, certificates, a trust file and a tenant', async () => {
  const [keys] = textsOf('sh', 'node');
  await atOnce(async (node) => {
    const printed = await machines.run(nodeFolder(node), keys!, { NODE: String(node) });
    expect(printed).toContain('Vault node: suitable');
    for (const file of [`node-${node}.json`, `node-${node}.csr`]) machines.send(file, nodeFolder(node), 'assembler');
  });
  expect(await machines.assemble()).toMatch(/Membership [0-9a-f]{64}/);
  expect(readdirSync(machines.path('assembler'))).toEqual(expect.arrayContaining(['trust.json', 'tenants.json']));
});

it('and from there to five nodes, a coordinator, and a secret that comes back', async () => {
  for (const printed of await machines.serveFleet()) {
    expect(printed).toContain('Its token’s keys are those of the trust file.');
  }
  expect(await machines.run('client', textsOf('sh', 'client')[0]!)).toContain('Shares: 5 of 5 nodes.');
  expect(existsSync(machines.path('client', 'recovered'))).toBe(true);
});
