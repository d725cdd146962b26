/**
 * Sections 1 to 6 of docs/production.md, run as they stand there: from five slots of SoftHSM to a secret that is recovered. The
 * last node and the coordinator are units of systemd, by docs/deploy/README.md.
 */

import { existsSync, readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { atOnce, blocks, Machines, nodeFolder, textsOf } from './machines.ts';
import { SystemdMachine, systemdObstacle } from './systemd-machine.ts';

let machines: Machines;
const obstacle = systemdObstacle();
let units: SystemdMachine | undefined;

beforeAll(async () => {
  machines = await Machines.prepare([]);
  if (obstacle === undefined) units = await SystemdMachine.boot(machines.work);
});
afterAll(async () => {
  await units?.[Symbol.asyncDispose]();
  await machines?.[Symbol.asyncDispose]();
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
  for (const printed of await machines.serveFleet({}, units)) {
    expect(printed).toContain('Its token’s keys are those of the trust file.');
  }
  expect(await machines.run('client', textsOf('sh', 'client')[0]!)).toContain('Shares: 5 of 5 nodes.');
  expect(existsSync(machines.path('client', 'recovered'))).toBe(true);
});

describe('as units of systemd', () => {
  const need = (test: TestContext): SystemdMachine => {
    // biome-ignore lint/suspicious/noSkippedTests: only where systemd cannot be had, with the reason
    test.skip(units === undefined, obstacle);
    return units!;
  };
  const shown = async (machine: SystemdMachine, name: string, unit = 'holdfast-node') =>
    (await machine.run(`systemctl show --value --property=${name} ${unit}`)).trim();
  const recover = async (out: string) => {
    const variables = 'export HOLDFAST_TRUST=trust.json HOLDFAST_USER=alice.json';
    await machines.run('client', `${variables}\nholdfast secret get --out ${out}\ncmp secret ${out}`);
  };

  it('a node and a coordinator serve without any capability', async (test) => {
    const machine = need(test);
    for (const unit of ['holdfast-node', 'holdfast-coordinator']) {
      expect(await shown(machine, 'ActiveState', unit)).toBe('active');
      const status = await machine.run(`cat /proc/$(systemctl show --value --property=MainPID ${unit})/status`);
      expect(status).toMatch(/^Uid:\t(?!0\t)\d+\t/m);
      expect(status).toMatch(/^CapEff:\t0+$/m);
      expect(status).toMatch(/^Seccomp:\t2$/m);
    }
    expect(await machine.run('ls /etc/holdfast')).not.toMatch(/^pin$/m);
    await machines.stop(nodeFolder(1));
    await recover('with-one-less');
  });

  it('a node that dies is started again, and is one of the fewest that a recovery needs', async (test) => {
    const machine = need(test);
    const before = await shown(machine, 'MainPID');
    await machine.run('systemctl kill --signal=KILL --kill-whom=main holdfast-node');
    await machine.until(async () => !['0', before].includes(await shown(machine, 'MainPID')));
    await machine.until(async () => {
      const said = await machine.run(`journalctl _PID=${await shown(machine, 'MainPID')} --output=cat --no-pager`);
      const [, address] = /"monitoringUrl":"([^"]+)"/.exec(said) ?? [];
      return address !== undefined && (await fetch(`${address}/readyz`)).ok;
    });
    await machines.stop(nodeFolder(2));
    await recover('after-its-death');
    expect(await shown(machine, 'NRestarts')).toBe('1');
  });

  it('a node ends in order, and one with a wrong configuration is not tried again', async (test) => {
    const machine = need(test);
    await machine.run('systemctl stop holdfast-node');
    expect([await shown(machine, 'ActiveState'), await shown(machine, 'Result')]).toEqual(['inactive', 'success']);
    await machine.untilSaid('holdfast-node', /"event":"stopped"/);
    await machine.run(`sed -i 's/"store"/"stores"/' /etc/holdfast/node.json && systemctl start holdfast-node`);
    await machine.until(async () => (await shown(machine, 'ActiveState')) === 'failed');
    expect([await shown(machine, 'ExecMainStatus'), await shown(machine, 'NRestarts')]).toEqual(['2', '0']);
    await machine.untilSaid('holdfast-node', /node\.json.*stores/);
  });
});
